"""A job of swath as a user of AWS's SDK v3 sends it; what is asked comes as JSON.

Started by test_sdk_driver.py with the Python of the SDK. Prints the name of the job.
"""

import json
import sys

from sagemaker.core.helper.session_helper import Session
from sagemaker.core.shapes import Channel, DataSource, MetricDefinition, S3DataSource
from sagemaker.core.training.configs import Compute, OutputDataConfig, SourceCode, StoppingCondition
from sagemaker.train import ModelTrainer
from sagemaker.train.distributed import Torchrun

asked = json.loads(sys.argv[1])
trainer = ModelTrainer(
    sagemaker_session=Session(default_bucket="bucket", default_bucket_prefix="sdk"),
    training_image="123456789012.dkr.ecr.us-east-1.amazonaws.com/pytorch:2.13-cu133-amzn2023-sagemaker",
    role="arn:aws:iam::123456789012:role/swath",
    base_job_name="swath-sdk",
    source_code=SourceCode(**asked["source_code"]),
    distributed=Torchrun(process_count_per_node=asked["ranks"]) if asked["ranks"] else None,
    compute=Compute(instance_type="ml.g5.xlarge", instance_count=asked["hosts"]),
    stopping_condition=StoppingCondition(max_runtime_in_seconds=600),
    output_data_config=OutputDataConfig(s3_output_path="s3://bucket/sdk-out", compression_type="NONE"),
    hyperparameters=asked["hyperparameters"],
).with_metric_definitions(
    [MetricDefinition(name=row["Name"], regex=row["Regex"]) for row in asked["metrics"]]
)
tiles = S3DataSource(s3_data_type="S3Prefix", s3_uri="s3://bucket/tiles.lance/")
trainer.train(
    input_data_config=[
        Channel(channel_name="tiles", data_source=DataSource(s3_data_source=tiles), input_mode="File")
    ],
    wait=False,
    logs=False,
)
sys.stdout.write(f"\n{trainer._latest_training_job.training_job_name}\n")
