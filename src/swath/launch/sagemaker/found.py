"""A job of either kind by its name, in one description: training jobs learn, processing jobs look at data.

Training jobs are billed by BillableTimeInSeconds, processing jobs for the time from start to end.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from swath.errors import UsageError
from swath.launch.sagemaker.aws import Aws
from swath.launch.sagemaker.stage_words import Kind
from swath.location import S3Path

ENDED = {"Completed", "Failed", "Stopped"}
LOG_GROUPS: dict[Kind, str] = {
    "training": "/aws/sagemaker/TrainingJobs",
    "processing": "/aws/sagemaker/ProcessingJobs",
}
_UNKNOWN = ("not found", "could not find")


class NoSuchJobError(UsageError):
    """The region has no job of that name."""


@dataclass(frozen=True)
class FoundJob:
    """What AWS says of a job; `places` on S3 are where its results lie, the best first."""

    name: str
    kind: Kind
    status: str
    phase: str
    reason: str | None
    instance: str
    count: int
    spot: bool
    start: dt.datetime | None
    end: dt.datetime | None
    billable_s: int | None
    metrics: Mapping[str, float]
    places: tuple[S3Path, ...]

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    @property
    def ran_s(self) -> float | None:
        """So far, or in all."""
        if self.start is None:
            return None
        until = self.end or dt.datetime.now(self.start.tzinfo)
        return (until - self.start).total_seconds()

    @classmethod
    def of_training(cls, about: Mapping[str, Any]) -> Self:
        """From DescribeTrainingJob. A run lies in the model of a job, else in its checkpoints; other stages
        leave only a model.
        """
        machines, name = about["ResourceConfig"], about["TrainingJobName"]
        model = S3Path.parse(about["OutputDataConfig"]["S3OutputPath"]) / name / "output" / "model"
        checkpoints = about.get("CheckpointConfig", {}).get("S3Uri")
        return cls(
            name=name,
            kind="training",
            status=about["TrainingJobStatus"],
            phase=about.get("SecondaryStatus", ""),
            reason=about.get("FailureReason"),
            instance=machines["InstanceType"],
            count=machines["InstanceCount"],
            spot=bool(about.get("EnableManagedSpotTraining")),
            start=about.get("TrainingStartTime"),
            end=about.get("TrainingEndTime"),
            billable_s=about.get("BillableTimeInSeconds"),
            metrics={item["MetricName"]: item["Value"] for item in about.get("FinalMetricDataList") or []},
            places=(model / "run", model, *([S3Path.parse(checkpoints) / "run"] if checkpoints else [])),
        )

    @classmethod
    def of_processing(cls, about: Mapping[str, Any]) -> Self:
        """From DescribeProcessingJob. Its last words say more than its FailureReason."""
        machines = about["ProcessingResources"]["ClusterConfig"]
        start, end = about.get("ProcessingStartTime"), about.get("ProcessingEndTime")
        outputs = about["ProcessingOutputConfig"]["Outputs"]
        return cls(
            name=about["ProcessingJobName"],
            kind="processing",
            status=about["ProcessingJobStatus"],
            phase="",
            reason=about.get("ExitMessage") or about.get("FailureReason"),
            instance=machines["InstanceType"],
            count=machines["InstanceCount"],
            spot=False,
            start=start,
            end=end,
            billable_s=round((end - start).total_seconds()) if start and end else None,
            metrics={},
            places=tuple(S3Path.parse(output["S3Output"]["S3Uri"]) for output in outputs),
        )


def find_job(aws: Aws, name: str) -> FoundJob:
    """The training or processing job of that name.

    Raises:
        NoSuchJobError: the region has none.
    """
    client = aws.client("sagemaker")
    for ask, key, read in (
        (client.describe_training_job, "TrainingJobName", FoundJob.of_training),
        (client.describe_processing_job, "ProcessingJobName", FoundJob.of_processing),
    ):
        try:
            with aws.errors(f"job {name}"):
                return read(ask(**{key: name}))
        except UsageError as error:
            if not any(words in str(error).lower() for words in _UNKNOWN):
                raise
    raise NoSuchJobError(f"no job {name} in {aws.region}; `swath sagemaker list` shows the newest")
