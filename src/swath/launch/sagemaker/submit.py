"""Send a job: its code to S3, its request to SageMaker; or, as a dry run, say what would be sent."""

import json
import logging
from dataclasses import dataclass
from typing import Any

from swath.config.sagemaker import JobConfig
from swath.errors import UsageError
from swath.launch.sagemaker.aws import Aws
from swath.launch.sagemaker.found import NoSuchJobError, find_job
from swath.launch.sagemaker.job import Job, describe_job
from swath.launch.sagemaker.limits import check_limits
from swath.launch.sagemaker.request import operation, request_of
from swath.launch.sagemaker.stage_words import stage_words
from swath.launch.sagemaker.tables import Price, price_of, read_tables
from swath.launch.sagemaker.wheel import code_files
from swath.location import S3Path
from swath.redaction import places_of_secrets
from swath.results import Result

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Submitted(Result):
    """A job that runs, and the commands that follow it."""

    job: str
    region: str
    folder: str
    follow: str


@dataclass(frozen=True)
class DryRun(Result):
    """What would be sent, and what it would cost at most; prices are the table's, None where unknown."""

    request: dict[str, Any]
    code: dict[str, int]
    usd_most: float | None
    usd_expected: float | None
    prices: str
    quota: str

    def lines(self) -> list[str]:
        shown = json.dumps(self.request, indent=2)
        size = ", ".join(f"{name} {size:,} bytes" for name, size in self.code.items())
        price = "unknown" if self.usd_most is None else f"{self.usd_most:,.2f} US dollars"
        likely = "" if self.usd_expected is None else f"; about {self.usd_expected:,.2f} at the rate given"
        return [
            shown,
            "",
            f"code upload   {size}",
            f"price         at most {price}{likely} ({self.prices})",
            f"quota needed  {self.quota}",
            "nothing was sent; leave out --dry-run to send it",
        ]


def send(verb: str, asked: Any) -> Submitted | DryRun:
    """Send the job of a stage; `asked` are settings of `asked_model(verb)`.

    Raises:
        UsageError: a setting of stage or job is wrong; nothing was sent.
        MachineError: no credentials, no permission, no connection.
    """
    of_job = JobConfig.model_validate(
        {name: getattr(asked, name) for name in asked.model_fields_set if name in JobConfig.model_fields}
    )
    tables = read_tables(of_job.tables)
    words = stage_words(verb, asked, direct=of_job.input == "direct")
    aws = Aws(of_job.region)
    job = describe_job(words, of_job, region=aws.region, tables=tables)
    request = request_of(job)
    _check_secrets(request)
    client = aws.client("sagemaker")
    check_limits(request, client.meta.service_model.operation_model(operation(job)).input_shape)
    files = code_files()
    if of_job.dry_run:
        return _dry(job, request, files, price_of(of_job.instance, tables))
    if of_job.job_name is not None:
        _check_free(aws, job.name)
    _upload(aws, job.code, files)
    with aws.errors(f"job {job.name}"):
        create = client.create_training_job if words.kind == "training" else client.create_processing_job
        create(**request)
    log.info("job %s: %s x %s, at most %g h", job.name, of_job.count, of_job.instance, of_job.max_hours)
    return Submitted(
        job=job.name,
        region=aws.region,
        folder=str(job.folder),
        follow=f"swath sagemaker logs {job.name} --follow",
    )


def _check_free(aws: Aws, name: str) -> None:
    """Before the code is sent: a job of that name may still start again with what lies in its folder."""
    try:
        find_job(aws, name)
    except NoSuchJobError:
        return
    raise UsageError(f"job {name}: the name is in use; choose another --job-name")


def _check_secrets(request: dict[str, Any]) -> None:
    places = list(places_of_secrets(request))
    if places:
        raise UsageError(
            f"{', '.join(places)} would hold a secret, which anybody who may describe the job can read; "
            "leave it out, and let the role reach what the job needs"
        )


def _upload(aws: Aws, folder: S3Path, files: dict[str, bytes]) -> None:
    """By boto3, which knows the profiles and single sign-on of whoever sends."""
    client = aws.client("s3")
    for name, content in files.items():
        with aws.errors(str(folder / name)):
            client.put_object(Bucket=folder.bucket, Key=f"{folder.key}/{name}", Body=content)


def _dry(job: Job, request: dict[str, Any], files: dict[str, bytes], price: Price | None) -> DryRun:
    asked = job.asked
    rate = None if price is None else price.usd_per_hour * asked.count
    expected_h = None
    if asked.images is not None and asked.images_per_s is not None:
        expected_h = asked.images / asked.images_per_s / 3600
    kinds = ["spot training job" if asked.spot else f"{job.words.kind} job"]
    if asked.keep_alive_minutes:
        kinds.append("training warm pool")
    return DryRun(
        request=request,
        code={name: len(content) for name, content in files.items()},
        usd_most=None if rate is None else rate * asked.max_hours,
        usd_expected=None if rate is None or expected_h is None else rate * expected_h,
        prices="no price known" if price is None else f"prices of {price.as_of}, {price.source}",
        quota="; ".join(f"{asked.instance} for {kind} usage: {asked.count}" for kind in kinds),
    )
