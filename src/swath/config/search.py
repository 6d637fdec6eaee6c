"""Settings of search: a features file -> the tiles most like one."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from swath.config.settings import Settings


class SearchConfig(Settings):
    """Find the tiles of an archive that look most like one tile or place."""

    features: Path
    """Features of an archive (of `swath embed`)."""
    like: str | None = None
    """What to look for: the id of a tile, or LON,LAT: the tile that holds the point."""
    k: Annotated[int, Field(ge=1)] = 50
    """How many tiles to find."""

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if self.like is None:
            raise ValueError("--like is missing: the id of a tile, or LON,LAT")
        return self
