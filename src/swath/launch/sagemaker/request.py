"""A job -> the request that creates it, a plain dict: compared in tests, printed by --dry-run, then sent.

Field names are those of CreateTrainingJob and CreateProcessingJob in botocore's model.
"""

from typing import Any

from swath.launch.sagemaker.job import Job, pairs
from swath.launch.sagemaker.metrics import definitions
from swath.launch.sagemaker.stage_words import OUTPUT, Channel, input_folder, is_object
from swath.launch.sagemaker.wheel import START
from swath.location import S3Path


def request_of(job: Job) -> dict[str, Any]:
    """That of the operation `operation(job)`."""
    return training_request(job) if job.words.kind == "training" else processing_request(job)


def operation(job: Job) -> str:
    return "CreateTrainingJob" if job.words.kind == "training" else "CreateProcessingJob"


def training_request(job: Job) -> dict[str, Any]:
    """CreateTrainingJob for a job."""
    asked = job.asked
    request: dict[str, Any] = {
        "TrainingJobName": job.name,
        "RoleArn": job.role,
        "AlgorithmSpecification": {
            "TrainingImage": job.image.uri,
            "TrainingInputMode": "FastFile" if asked.input == "FastFile" else "File",
            "ContainerEntrypoint": _entrypoint(job),
            "MetricDefinitions": definitions(),
        },
        "HyperParameters": job.words.hyperparameters,
        "InputDataConfig": _channels(job),
        "OutputDataConfig": {"S3OutputPath": str(job.folder.parent), "CompressionType": "NONE"} | _key(job),
        "ResourceConfig": _machines(job),
        "StoppingCondition": {"MaxRuntimeInSeconds": job.max_s},
        "EnableManagedSpotTraining": asked.spot,
        "Environment": _environment(job),
        "Tags": _tags(job),
    }
    if job.max_wait_s is not None:
        request["StoppingCondition"]["MaxWaitTimeInSeconds"] = job.max_wait_s
    if job.words.verb in {"pretrain", "finetune"}:
        request["CheckpointConfig"] = {"S3Uri": str(job.checkpoints), "LocalPath": "/opt/ml/checkpoints"}
    if asked.subnets:
        request["VpcConfig"] = _vpc(job)
    return request


def processing_request(job: Job) -> dict[str, Any]:
    """CreateProcessingJob for a job: what it is told are the arguments of its first process."""
    asked = job.asked
    request: dict[str, Any] = {
        "ProcessingJobName": job.name,
        "RoleArn": job.role,
        "AppSpecification": {
            "ImageUri": job.image.uri,
            "ContainerEntrypoint": _entrypoint(job),
            "ContainerArguments": [f"{name}={text}" for name, text in job.words.hyperparameters.items()],
        },
        "ProcessingInputs": _inputs(job),
        "ProcessingOutputConfig": {"Outputs": [_output(job)]} | _key(job),
        "ProcessingResources": {"ClusterConfig": _machines(job)},
        "StoppingCondition": {"MaxRuntimeInSeconds": job.max_s},
        "Environment": _environment(job),
        "Tags": _tags(job),
    }
    if asked.subnets:
        request["NetworkConfig"] = {"VpcConfig": _vpc(job)}
    return request


def _inputs(job: Job) -> list[dict[str, Any]]:
    """Files of a shared channel are dealt out by key; of another, and of the code, each machine gets all."""
    channels = [*job.words.channels, Channel("code", job.code)]
    return [
        {
            "InputName": channel.name,
            "S3Input": {
                "S3Uri": _prefix(channel.uri),
                "LocalPath": input_folder("processing", channel.name),
                "S3DataType": "S3Prefix",
                "S3InputMode": "File",
                "S3DataDistributionType": "ShardedByS3Key" if channel.shared else "FullyReplicated",
            },
        }
        for channel in channels
    ]


def _output(job: Job) -> dict[str, Any]:
    """Copied at the end, and whole: copied while it grows, S3 would get what is written aside too."""
    to = {"S3Uri": str(job.folder / "output"), "LocalPath": OUTPUT, "S3UploadMode": "EndOfJob"}
    return {"OutputName": "output", "S3Output": to}


def _entrypoint(job: Job) -> list[str]:
    return ["/bin/bash", f"{input_folder(job.words.kind, 'code')}/{START}"]


def _environment(job: Job) -> dict[str, str]:
    return {"PYTHONUNBUFFERED": "1"} | pairs(job.asked.environment, flag="--environment")


def _tags(job: Job) -> list[dict[str, str]]:
    tags = {"swath": job.words.verb} | pairs(job.asked.tags, flag="--tags")
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _vpc(job: Job) -> dict[str, list[str]]:
    return {"Subnets": list(job.asked.subnets), "SecurityGroupIds": list(job.asked.security_groups)}


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
