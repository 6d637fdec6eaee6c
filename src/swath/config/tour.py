"""Settings of demo and doctor: the first two commands of a new user."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

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
