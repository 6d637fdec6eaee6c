"""A job -> the request that creates it, a plain dict: compared in tests, printed by --dry-run, then sent.

Limits and field names are those of CreateTrainingJob in botocore's model.
"""

from typing import Any

from swath.launch.sagemaker.job import Job, pairs
from swath.launch.sagemaker.metrics import definitions
from swath.launch.sagemaker.stage_words import BASE, is_object
from swath.launch.sagemaker.wheel import START
from swath.location import S3Path


def training_request(job: Job) -> dict[str, Any]:
    """CreateTrainingJob for a job."""
    asked = job.asked
    request: dict[str, Any] = {
        "TrainingJobName": job.name,
        "RoleArn": job.role,
        "AlgorithmSpecification": {
            "TrainingImage": job.image.uri,
            "TrainingInputMode": "FastFile" if asked.input == "FastFile" else "File",
            "ContainerEntrypoint": ["/bin/bash", f"{BASE}/input/data/code/{START}"],
            "MetricDefinitions": definitions(),
        },
        "HyperParameters": job.words.hyperparameters,
        "InputDataConfig": _channels(job),
        "OutputDataConfig": {"S3OutputPath": str(job.folder.parent), "CompressionType": "NONE"} | _key(job),
        "ResourceConfig": _machines(job),
        "StoppingCondition": {"MaxRuntimeInSeconds": job.max_s},
        "EnableManagedSpotTraining": asked.spot,
        "Environment": {"PYTHONUNBUFFERED": "1"} | pairs(asked.environment, flag="--environment"),
        "Tags": [
            {"Key": key, "Value": value}
            for key, value in ({"swath": job.words.verb} | pairs(asked.tags, flag="--tags")).items()
        ],
    }
    if job.max_wait_s is not None:
        request["StoppingCondition"]["MaxWaitTimeInSeconds"] = job.max_wait_s
    if job.words.verb in {"pretrain", "finetune"}:
        request["CheckpointConfig"] = {"S3Uri": str(job.checkpoints), "LocalPath": "/opt/ml/checkpoints"}
    if asked.subnets:
        request["VpcConfig"] = {
            "Subnets": list(asked.subnets),
            "SecurityGroupIds": list(asked.security_groups),
        }
    return request


def _channels(job: Job) -> list[dict[str, Any]]:
    """The input mode stands on every channel: a client's default on the channel would win over the job's."""
    mode = "FastFile" if job.asked.input == "FastFile" else "File"
    data = [_channel(channel.name, _prefix(channel.uri), mode=mode) for channel in job.words.channels]
    return [*data, _channel("code", f"{job.code}/", mode="File")]


def _prefix(uri: S3Path) -> str:
    """A folder ends in a slash: S3 takes a/tiles.lance for the beginning of a/tiles.lance-old too."""
    return str(uri) if is_object(uri) else f"{uri}/"


def _channel(name: str, uri: str, *, mode: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "InputMode": mode, "DataSource": {"S3DataSource": source}}


def _machines(job: Job) -> dict[str, Any]:
    asked = job.asked
    machines: dict[str, Any] = {
        "InstanceType": asked.instance,
        "InstanceCount": asked.count,
        "VolumeSizeInGB": asked.volume_gb,
    }
    if asked.keep_alive_minutes:
        machines["KeepAlivePeriodInSeconds"] = asked.keep_alive_minutes * 60
    if asked.kms_key:
        machines["VolumeKmsKeyId"] = asked.kms_key
    return machines


def _key(job: Job) -> dict[str, str]:
    return {"KmsKeyId": job.asked.kms_key} if job.asked.kms_key else {}
