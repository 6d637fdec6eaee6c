"""What every settings model shares: frozen, no unknown keys, and the types that several of them use."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    field_validator,
)

from swath.errors import UsageError
from swath.location import S3Path, location


def comma_list(value: Any) -> Any:
    return (
        tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
    )


def _location(value: Any) -> Any:
    if not isinstance(value, str | os.PathLike):
        return value
    try:
        return location(value)
    except UsageError as error:
        raise ValueError(str(error)) from error


Location = Annotated[
    Path | S3Path, BeforeValidator(_location), PlainSerializer(str, return_type=str, when_used="json")
]


def _locations(value: Any) -> Any:
    """One place, or several."""
    several = [value] if isinstance(value, str | os.PathLike | S3Path) else value
    return tuple(several) if isinstance(several, list | tuple) else value


def part_of(value: str) -> tuple[int, int]:
    """The number and the count: "2/8" is (2, 8), the second of eight.

    Raises:
        ValueError: it is no such part.
    """
    number, slash, of = value.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise ValueError("expected K/N, the K-th of N parts, such as 2/8")
    return int(number), int(of)


def _part(value: str) -> str:
    part_of(value)
    return value


Part = Annotated[str, AfterValidator(_part)]
Locations = Annotated[tuple[Location, ...], BeforeValidator(_locations), Field(min_length=1)]
EngineName = Literal["local", "ray"]
Names = Annotated[tuple[str, ...], BeforeValidator(comma_list)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Settings(BaseModel):
    """Frozen, no unknown keys, and the docstring under each field is its help text."""

    @field_validator("*", mode="after")
    @classmethod
    def _paths_are_here(cls, value: Any) -> Any:
        """Path("s3://bucket/key") would be a folder called "s3:" of the working directory."""
        for path in value if isinstance(value, tuple) else (value,):
            if isinstance(path, Path) and path.parts[:1] == ("s3:",):
                raise ValueError("expected a path of this machine; copy it here with aws s3 cp --recursive")
        return value

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
