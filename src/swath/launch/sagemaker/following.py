"""A job that was sent, found again by its name: how it stands, what it says, what it made."""

import datetime as dt
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from swath.config.sagemaker import ListConfig, LogsConfig, OneJob, ResultsConfig, StopConfig
from swath.errors import DataError, UsageError
from swath.files import folder_aside
from swath.launch.sagemaker.aws import Aws
from swath.location import S3Path
from swath.results import Result

GROUP = "/aws/sagemaker/TrainingJobs"
ENDED = {"Completed", "Failed", "Stopped"}
_LOOK_S = 5.0
_SETTLE_S = 15.0  # the last lines of a job reach CloudWatch after its end
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobStatus(Result):
    """How a job stands; times in seconds, `reason` where it failed."""

    job: str
    status: str
    phase: str
    instance: str
    count: int
    spot: bool
    ran_s: float | None
    billable_s: int | None
    reason: str | None
    metrics: dict[str, float]


@dataclass(frozen=True)
class Jobs(Result):
    """Name, status and start of each."""

    jobs: list[dict[str, str]]

    def lines(self) -> list[str]:
        if not self.jobs:
            return ["no jobs"]
        return [f"{job['name']:50}  {job['status']:11}  {job['started']}" for job in self.jobs]


@dataclass(frozen=True)
class Fetched(Result):
    """Where the results are, and from where."""

    out: str
    files: int
    source: str


@dataclass(frozen=True)
class Said(Result):
    """How many lines a job said so far, and how it stands."""

    job: str
    lines_said: int
    status: str


def described(aws: Aws, name: str) -> dict[str, Any]:
    """DescribeTrainingJob.

    Raises:
        UsageError: there is no such job in the region.
    """
    client = aws.client("sagemaker")
    try:
        with aws.errors(f"job {name}"):
            found: dict[str, Any] = client.describe_training_job(TrainingJobName=name)
    except UsageError as error:
        if "not found" in str(error) or "could not find" in str(error).lower():
            raise UsageError(
                f"no job {name} in {aws.region}; `swath sagemaker list` shows the newest"
            ) from error
        raise
    return found


def status(config: OneJob) -> JobStatus:
    """How the job stands now."""
    return status_of(described(Aws(config.region), config.job))


def status_of(about: dict[str, Any]) -> JobStatus:
    machines = about["ResourceConfig"]
    start, end = about.get("TrainingStartTime"), about.get("TrainingEndTime")
    until = end or (dt.datetime.now(start.tzinfo) if start else None)
    return JobStatus(
        job=about["TrainingJobName"],
        status=about["TrainingJobStatus"],
        phase=about.get("SecondaryStatus", ""),
        instance=machines["InstanceType"],
        count=machines["InstanceCount"],
        spot=bool(about.get("EnableManagedSpotTraining")),
        ran_s=(until - start).total_seconds() if start and until else None,
        billable_s=about.get("BillableTimeInSeconds"),
        reason=about.get("FailureReason"),
        metrics={item["MetricName"]: item["Value"] for item in about.get("FinalMetricDataList") or []},
    )


def jobs(config: ListConfig) -> Jobs:
    """The newest first."""
    aws = Aws(config.region)
    client = aws.client("sagemaker")
    with aws.errors("list of jobs"):
        found = client.list_training_jobs(
            NameContains=config.contains,
            MaxResults=min(config.most, 100),
            SortBy="CreationTime",
            SortOrder="Descending",
        )
    rows = found["TrainingJobSummaries"][: config.most]
    return Jobs(
        [
            {
                "name": row["TrainingJobName"],
                "status": row["TrainingJobStatus"],
                "started": f"{row['CreationTime']:%Y-%m-%d %H:%M}",
            }
            for row in rows
        ]
    )


def stop(config: StopConfig) -> JobStatus:
    """Ask it to end; it saves first."""
    aws = Aws(config.region)
    about = described(aws, config.job)
    if about["TrainingJobStatus"] in ENDED:
        raise UsageError(f"{config.job} has ended already ({about['TrainingJobStatus']})")
    with aws.errors(f"job {config.job}"):
        aws.client("sagemaker").stop_training_job(TrainingJobName=config.job)
    return status_of(described(aws, config.job))


def logs(config: LogsConfig) -> Said:
    """Print the lines of a job to the log, all of them or until it ends."""
    aws = Aws(config.region)
    about = described(aws, config.job)
    said = 0
    for _, line in events(aws, config.job, follow=config.follow):
        log.info("%s", line)
        said += 1
    about = described(aws, config.job)
    return Said(job=config.job, lines_said=said, status=about["TrainingJobStatus"])


def events(aws: Aws, job: str, *, follow: bool) -> Iterator[tuple[int, str]]:
    """(milliseconds, line) of what all machines of a job said; with `follow` until it has ended."""
    places: dict[str, str] = {}
    quiet_since: float | None = None
    while True:
        is_over = described(aws, job)["TrainingJobStatus"] in ENDED
        found = sorted(_new_events(aws, job, places))
        yield from found
        if not follow:
            return
        if is_over:
            quiet_since = quiet_since or time.monotonic()
            if not found and time.monotonic() - quiet_since > min(_SETTLE_S, _LOOK_S):
                return
        time.sleep(_LOOK_S)


def _new_events(aws: Aws, job: str, places: dict[str, str]) -> Iterator[tuple[int, str]]:
    """(time, line) after `places`, the token that each stream was read up to; both move on."""
    client = aws.client("logs")
    with aws.errors(f"logs of {job}"):
        try:
            streams = client.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=f"{job}/")
        except client.exceptions.ResourceNotFoundException:
            return
        for stream in streams["logStreams"]:
            yield from _events_of(client, stream["logStreamName"], places)


def _events_of(client: Any, stream: str, places: dict[str, str]) -> Iterator[tuple[int, str]]:
    while True:
        at = {"nextToken": places[stream]} if stream in places else {}
        page = client.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True, **at)
        yield from ((event["timestamp"], event["message"]) for event in page["events"])
        if places.get(stream) == page["nextForwardToken"] or not page["events"]:
            places[stream] = page["nextForwardToken"]
            return
        places[stream] = page["nextForwardToken"]


def results(config: ResultsConfig) -> Fetched:
    """Fetch the model of a job; of one that was stopped, its checkpoints.

    Raises:
        UsageError: the job still runs, or made nothing; or `out` exists.
    """
    aws = Aws(config.region)
    about = described(aws, config.job)
    places = _places(about)
    with folder_aside(config.out) as aside:
        for source in places:
            count = _fetch(aws, source, aside)
            if count:
                return Fetched(out=str(config.out), files=count, source=str(source))
        raise DataError(
            f"{config.job} ({about['TrainingJobStatus']}) has nothing under {', '.join(map(str, places))}; "
            f"what it said: swath sagemaker logs {config.job}"
        )


def _places(about: dict[str, Any]) -> list[S3Path]:
    """Where a run lies: in the model of a job, else in its checkpoints; other stages leave only a model."""
    out = S3Path.parse(about["OutputDataConfig"]["S3OutputPath"])
    model = out / about["TrainingJobName"] / "output" / "model"
    places = [model / "run", model]
    checkpoints = about.get("CheckpointConfig", {}).get("S3Uri")
    return [*places, S3Path.parse(checkpoints) / "run"] if checkpoints else places


def _fetch(aws: Aws, source: S3Path, folder: Any) -> int:
    client, count = aws.client("s3"), 0
    with aws.errors(str(source)):
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=source.bucket, Prefix=f"{source.key}/"
        )
        for item in (item for page in pages for item in page.get("Contents", [])):
            name = item["Key"].removeprefix(f"{source.key}/")
            if ".." in name.split("/"):
                raise DataError(f"s3://{source.bucket}/{item['Key']} leaves its folder; nothing was kept")
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(source.bucket, item["Key"], str(target))
            count += 1
    return count
