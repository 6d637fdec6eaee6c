"""Settings of demo and doctor: the first two commands of a new user."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from swath.config.sagemaker import InstanceType, OnS3
from swath.config.settings import Location, Settings


class DemoConfig(Settings):
    """The whole flow on a real Sentinel-2 scene that comes with a Python package."""

    out: Path = Path("swath-demo")
    """Folder for everything the demo makes."""
    minutes: Annotated[float, Field(gt=0)] = 3.5
    """Training budget on this machine."""


class DoctorConfig(Settings):
    """Say what this machine can do, what is missing, and what to type."""

    data: Location | None = None
    """Also look at this archive, index or packed dataset."""
    aws: bool = False
    """Also look whether AWS is ready for `swath sagemaker`: by reading alone."""
    store: OnS3 | None = None
    """With --aws: the s3:// prefix of jobs, whose bucket is looked at."""
    instance: InstanceType | None = None
    """With --aws: type of machines whose quota and image are looked for; ml.g5.xlarge where not given."""
    region: str | None = None
    """With --aws: that of the AWS profile or environment where not given."""

    @model_validator(mode="after")
    def _only_with_aws(self) -> Self:
        given = [name for name in ("store", "instance", "region") if getattr(self, name) is not None]
        if given and not self.aws:
            raise ValueError(f"--{given[0]} changes nothing without --aws")
        return self
