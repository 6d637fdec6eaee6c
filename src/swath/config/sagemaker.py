"""Settings of a SageMaker job: on what it runs, for how long, and where on S3 its code and results lie."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from swath.config.settings import Location, Names, Settings, comma_list
from swath.location import S3Path


def _on_s3(value: Location) -> Location:
    if not isinstance(value, S3Path):
        raise ValueError(f"expected s3://BUCKET/PREFIX, found {value}")  # noqa: TRY004 -- pydantic asks for it
    return value


OnS3 = Annotated[Location, AfterValidator(_on_s3)]
InstanceType = Annotated[str, Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")]


class JobConfig(Settings):
    """What every job takes beside the settings of its stage; keep the usual ones in a file (--config)."""

    role: str = ""
    """ARN of the role that the job runs as; `swath sagemaker policy` prints what it must be allowed."""
    store: OnS3 | None = None
    """s3:// prefix under which each job has a folder of its own: code, checkpoints, results."""
    region: str | None = None
    """Region of jobs and image; that of the AWS profile or environment where not given."""
    job_name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$")] | None = None
    """Name of the job, unique in the account; made of verb and time where not given."""
    instance: InstanceType = "ml.g5.xlarge"
    """Type of the machines."""
    count: Annotated[int, Field(ge=1)] = 1
    """Number of machines; their GPUs share each batch."""
    volume_gb: Annotated[int, Field(ge=1)] = 200
    """Disk of each machine; ignored by AWS where the type has disks of its own."""
    max_hours: Annotated[float, Field(gt=0, le=672)] = 24.0
    """The job is stopped, and saved, after this time."""
    spot: bool = False
    """Spare capacity at a lower price: may be interrupted, and goes on from the last checkpoint."""
    max_wait_hours: Annotated[float, Field(gt=0, le=672)] | None = None
    """With --spot: waiting and running together; at least --max-hours."""
    keep_alive_minutes: Annotated[int, Field(ge=1, le=360)] | None = None
    """Keep the machines after the job, so that the next one starts at once (a warm pool; it is billed)."""
    checkpoints: OnS3 | None = None
    """Checkpoints of pretrain; a folder of the job's own where not given. That of a stopped job goes on with
    it."""
    input: Literal["File", "FastFile", "direct"] = "File"
    """How a job gets at what it reads: copied before it starts, streamed as files, or read from S3 by
    swath."""
    image: str | None = None
    """Container image; the newest PyTorch image of the table that fits instance and region where not
    given."""
    tables: Location | None = None
    """A JSON file with `images` or `prices` of your own, in the layout of `swath sagemaker tables`."""
    subnets: Names = ()
    """Subnets of a VPC; with --security-groups."""
    security_groups: Names = ()
    """Security groups of the machines; with --subnets."""
    kms_key: str | None = None
    """Key that encrypts volumes and results."""
    tags: Names = ()
    """NAME=VALUE,..."""
    environment: Names = ()
    """Variables of the container, NAME=VALUE,... Never secrets: anyone who may describe the job sees them."""
    images_per_s: Annotated[float, Field(gt=0)] | None = None
    """A measured rate, for an estimate of time and price before; needs --images."""
    images: Annotated[int, Field(ge=1)] | None = None
    """Tiles that pass through the network in all (tiles x epochs), for the estimate."""
    dry_run: bool = False
    """Print the request, the size of the code, the price and the quota it needs; touch nothing."""


JobName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$")]


class OneJob(Settings):
    """Say how a job stands."""

    job: JobName
    """Its name."""
    region: str | None = None
    """That of the AWS profile or environment where not given."""


class StopConfig(OneJob):
    """Ask a job to save and end; `pretrain --checkpoints` goes on with it."""


class LogsConfig(OneJob):
    """Print what a job said."""

    follow: bool = False
    """Until it ends; after a lost connection the same command goes on."""


class ResultsConfig(OneJob):
    """Fetch what a job made; of pretrain an ordinary run, for `swath report`."""

    out: Path
    """Folder to make."""


class PlotConfig(OneJob):
    """Draw what a job measured: loss, checks, learning rate, images/s, use of GPU and memory, over time."""

    out: Path
    """The picture, .png or .svg."""


class CostConfig(OneJob):
    """What a job cost: billable seconds x the price of the table."""

    tables: Location | None = None
    """A JSON file with `prices` of your own."""


class ListConfig(Settings):
    """The newest jobs that swath started."""

    region: str | None = None
    """That of the AWS profile or environment where not given."""
    contains: str = "swath"
    """Part of the name."""
    most: Annotated[int, Field(ge=1, le=100)] = 20
    """How many to list."""


class PolicyConfig(Settings):
    """Print least-privilege IAM policies for the caller and for the role of the jobs; nothing is created."""

    store: OnS3
    """Prefix of the jobs: written and read."""
    data: Annotated[tuple[OnS3, ...], BeforeValidator(comma_list)] = ()
    """More prefixes that jobs read."""
    write: Annotated[tuple[OnS3, ...], BeforeValidator(comma_list)] = ()
    """More prefixes that jobs write, where index or pack put their --out."""
    role: str = ""
    """ARN of the role, for the statement that lets the caller pass it."""
    region: str | None = None
    """That of the AWS profile or environment where not given."""
    kms_key: str | None = None
    """Key that encrypts volumes and results, which the role must be allowed to use."""
    vpc: bool = False
    """Allow the role what jobs with --subnets need: network interfaces of EC2."""


class CleanupConfig(Settings):
    """List what jobs left on S3 and in the logs, with size and price a month; delete what is confirmed."""

    store: OnS3
    """Prefix of the jobs."""
    jobs: Names = ()
    """Only these."""
    delete: bool = False
    """Delete what was listed, after `--confirm`."""
    confirm: str = ""
    """The number of objects that the listing showed, as proof that it was read."""
    region: str | None = None
    """That of the AWS profile or environment where not given."""


class TablesConfig(Settings):
    """Print the tables of images and prices, as JSON to edit and give to --tables."""
