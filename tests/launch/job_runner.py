"""SageMaker on loopback: moto's API, and behind each new job processes that get the container contract.

moto alone says Completed at once and runs nothing.
"""

import contextlib
import json
import logging

import boto3
import processing_runner
import pytest
from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult
from moto.sagemaker.responses import SageMakerResponse
from moto.server import ThreadedMotoServer
from training_runner import REGION, RunningJob

__all__ = ["REGION", "RunningJob", "sagemaker_on_loopback"]

RUNNING = {}  # by the names of jobs, threads to wait for: asking AWS again and again takes their processor


@contextlib.contextmanager
def sagemaker_on_loopback(runs_as=RunningJob):
    """Address of S3, SageMaker, logs and CloudWatch; jobs that still run are killed at the end."""
    running = RUNNING
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    replaced = {
        "create_training_job": _creator(
            SageMakerResponse.create_training_job, running, lambda *job: runs_as(*job, url)
        ),
        "stop_training_job": _stopper(running),
        **processing_runner.replacements(running, url),
    }
    try:
        with pytest.MonkeyPatch.context() as patched:
            for name, function in replaced.items():
                patched.setattr(SageMakerResponse, name, function, raising=False)
            boto3.client("s3", endpoint_url=url, region_name=REGION).create_bucket(Bucket="bucket")
            yield url
    finally:
        while running:
            _, job = running.popitem()
            job.kill()
            job.join(30)
        server.stop()


def _creator(create, running, runner):
    def create_training_job(self):
        request = json.loads(self.body)
        name = request["TrainingJobName"]
        if name in self.sagemaker_backend.training_jobs:
            raise JsonRESTError("ResourceInUse", f"a training job with this name already exists ({name})")
        metrics = request["AlgorithmSpecification"].get("MetricDefinitions", [])
        answer = create(self)
        job = self.sagemaker_backend.training_jobs[name]
        job.training_job_status, job.secondary_status = "InProgress", "Starting"
        job.failure_reason, job.final_metric_data_list = None, []
        running[name] = runner(name, job, request)
        running[name].metric_definitions = metrics
        running[name].start()
        return answer

    return create_training_job


def _stopper(running):
    def stop_training_job(self):
        name = json.loads(self.body)["TrainingJobName"]
        if name not in running:
            raise JsonRESTError("ValidationException", "Requested resource not found.")
        running[name].stop()
        return ActionResult({})

    return stop_training_job
