"""A job that was sent, found again by its name: how it stands, what it says, what it made."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.config.sagemaker import ListConfig, LogsConfig, OneJob, ResultsConfig, StopConfig
from swath.errors import DataError, UsageError
from swath.files import folder_aside
from swath.launch.sagemaker.aws import Aws, UnreachableError
from swath.launch.sagemaker.found import LOG_GROUPS, FoundJob, find_job
from swath.launch.sagemaker.parts import joined
from swath.location import S3Path
from swath.results import Result

_LOOK_S = 5.0
_SETTLE_S = 15.0  # the last lines of a job reach CloudWatch after its end
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobStatus(Result):
    """How a job stands; times in seconds, `reason` where it failed or left something out."""

    job: str
    kind: str
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
    """Where the results are, and from where; of a prediction, how many scenes were left out."""

    out: str
    files: int
    source: str
    left_out: int

    @property
    def exit_code(self) -> int:
        """3, as that of `swath predict`, where scenes were left out."""
        return DataError.exit_code if self.left_out else 0


@dataclass(frozen=True)
class Said(Result):
    """How many lines a job said so far, and how it stands."""

    job: str
    lines_said: int
    status: str


def status(config: OneJob) -> JobStatus:
    """How the job stands now."""
    return _status_of(find_job(Aws(config.region), config.job))


def _status_of(found: FoundJob) -> JobStatus:
    return JobStatus(
        job=found.name,
        kind=found.kind,
        status=found.status,
        phase=found.phase,
        instance=found.instance,
        count=found.count,
        spot=found.spot,
        ran_s=found.ran_s,
        billable_s=found.billable_s,
        reason=found.reason,
        metrics=dict(found.metrics),
    )


def jobs(config: ListConfig) -> Jobs:
    """The newest first, of both kinds."""
    aws = Aws(config.region)
    client = aws.client("sagemaker")
    asked: dict[str, Any] = {
        "NameContains": config.contains,
        "MaxResults": config.most,
        "SortBy": "CreationTime",
        "SortOrder": "Descending",
    }
    with aws.errors("list of jobs"):
        found = [
            (row["CreationTime"], row[f"{kind}JobName"], row[f"{kind}JobStatus"])
            for kind, ask in (
                ("Training", client.list_training_jobs),
                ("Processing", client.list_processing_jobs),
            )
            for row in ask(**asked)[f"{kind}JobSummaries"]
        ]
    newest = sorted(found, reverse=True)[: config.most]
    return Jobs(
        [
            {"name": name, "status": status, "started": f"{created:%Y-%m-%d %H:%M}"}
            for created, name, status in newest
        ]
    )


def stop(config: StopConfig) -> JobStatus:
    """Ask it to end; training saves first."""
    aws = Aws(config.region)
    found = find_job(aws, config.job)
    if found.has_ended:
        raise UsageError(f"{config.job} has ended already ({found.status})")
    client = aws.client("sagemaker")
    with aws.errors(f"job {config.job}"):
        if found.kind == "training":
            client.stop_training_job(TrainingJobName=config.job)
        else:
            client.stop_processing_job(ProcessingJobName=config.job)
    return _status_of(find_job(aws, config.job))


def logs(config: LogsConfig) -> Said:
    """Print the lines of a job to the log, all of them or until it ends."""
    aws = Aws(config.region)
    said = 0
    for _, line in events(aws, config.job, follow=config.follow):
        log.info("%s", line)
        said += 1
    return Said(job=config.job, lines_said=said, status=find_job(aws, config.job).status)


def events(aws: Aws, job: str, *, follow: bool) -> Iterator[tuple[int, str]]:
    """(milliseconds, line) of what all machines of a job said; with `follow` until it has ended, lost
    connections waited out.
    """
    places: dict[str, str] = {}
    quiet_since: float | None = None
    while True:
        try:
            about = find_job(aws, job)
            found, places = _new_events(aws, about, places)
        except UnreachableError as error:
            if not follow:
                raise
            log.warning("%s; asked again in %g s", error, _LOOK_S)
            time.sleep(_LOOK_S)
            continue
        yield from found
        if not follow:
            return
        if about.has_ended:
            quiet_since = quiet_since or time.monotonic()
            if not found and time.monotonic() - quiet_since > min(_SETTLE_S, _LOOK_S):
                return
        time.sleep(_LOOK_S)


def _new_events(
    aws: Aws, job: FoundJob, places: dict[str, str]
) -> tuple[list[tuple[int, str]], dict[str, str]]:
    """(time, line) after `places`, the token that each stream was read up to; and the places after them."""
    client, group, after = aws.client("logs"), LOG_GROUPS[job.kind], dict(places)
    found: list[tuple[int, str]] = []
    with aws.errors(f"logs of {job.name}"):
        try:
            streams = client.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job.name}/")
        except client.exceptions.ResourceNotFoundException:
            return [], places
        for stream in streams["logStreams"]:
            where = {"logGroupName": group, "logStreamName": stream["logStreamName"]}
            found += _events_of(client, where, after)
    return sorted(found), after


def _events_of(client: Any, where: dict[str, str], places: dict[str, str]) -> Iterator[tuple[int, str]]:
    stream = where["logStreamName"]
    while True:
        at = {"nextToken": places[stream]} if stream in places else {}
        page = client.get_log_events(**where, startFromHead=True, **at)
        yield from ((event["timestamp"], event["message"]) for event in page["events"])
        if places.get(stream) == page["nextForwardToken"] or not page["events"]:
            places[stream] = page["nextForwardToken"]
            return
        places[stream] = page["nextForwardToken"]


def results(config: ResultsConfig) -> Fetched:
    """Fetch what a job made: its model, of one that was stopped its checkpoints, of several machines the
    whole of what each made.

    Raises:
        UsageError: `out` exists.
        DataError: the job still runs or made nothing, or a machine's part is missing.
    """
    aws = Aws(config.region)
    found = find_job(aws, config.job)
    if found.kind == "processing" and found.status != "Completed":
        raise DataError(
            f"{config.job} is {found.status}: a processing job has results once it is Completed. "
            f"What it said: swath sagemaker logs {config.job}"
        )
    with folder_aside(config.out) as aside:
        for source in found.places:
            count = _fetch(aws, source, aside)
            if count:
                left_out = joined(aside, of_job=found.name)
                if found.status == "Failed":
                    log.warning("%s failed, and this is what it had by then: %s", found.name, found.reason)
                return Fetched(out=str(config.out), files=count, source=str(source), left_out=left_out)
        raise DataError(
            f"{config.job} ({found.status}) has nothing under {', '.join(map(str, found.places))}; "
            f"what it said: swath sagemaker logs {config.job}"
        )


def _fetch(aws: Aws, source: S3Path, folder: Path) -> int:
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
