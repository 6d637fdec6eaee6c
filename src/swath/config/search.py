"""Settings of search: a features file -> the tiles most like one, or like each other."""

from datetime import date
from typing import Annotated, Self

from pydantic import Field, model_validator

from swath.config.settings import Location, Names, Settings
from swath.config.transfer import Places

_OF_LIKE = {"k", "exact", "run", "tiles", "out"}


class SearchConfig(Settings):
    """Find the tiles of an archive that look most like one tile, place or picture, or like each other."""

    features: Location
    """Features of an archive (of `swath embed`), here or on S3."""
    like: str | None = None
    """What to look for: the id of a tile; LON,LAT: the tile that holds the point; or a picture (.tif, .png,
    .jpg) with the bands of the run."""
    near_duplicates: bool = False
    """List groups of tiles that are nearly the same, in place of a search."""
    threshold: Annotated[float, Field(gt=0.0, le=1.0)] = 0.999
    """Cosine similarity from which two tiles are near duplicates."""
    k: Annotated[int, Field(ge=1)] = 50
    """How many tiles to find."""
    exact: bool = False
    """Compare every tile also where there are a million or more; else an index finds nearly all of them."""
    labels: Names = ()
    """Only tiles with one of these labels."""
    split: Names = ()
    """Only tiles of these splits."""
    after: date | None = None
    """Only tiles of this day or later, YYYY-MM-DD."""
    before: date | None = None
    """Only tiles of this day or earlier, YYYY-MM-DD."""
    place: str | None = None
    """Only tiles that touch WEST,SOUTH,EAST,NORTH (degrees), or the polygons of a file (.gpkg, .geojson,
    .shp)."""
    out: Places = ()
    """Files to write besides: .png (contact sheet), .geojson, .parquet (GeoParquet)."""
    run: Location | None = None
    """The run that made the features, for a picture; where it lay then, if not given."""
    tiles: Location | None = None
    """The pack with the pixels of the contact sheet; where it lay when the features were made, if not
    given."""

    @model_validator(mode="after")
    def _asks_for_one_thing(self) -> Self:
        given = self.model_fields_set
        if self.like is None and not self.near_duplicates:
            raise ValueError(
                "--like is missing: the id of a tile, LON,LAT or a picture; or ask for --near-duplicates"
            )
        if self.like is not None and self.near_duplicates:
            raise ValueError("--like and --near-duplicates are two questions; ask one")
        idle = given & (_OF_LIKE if self.near_duplicates else {"threshold"})
        if idle:
            flags = ", ".join(f"--{name}" for name in sorted(idle))
            raise ValueError(
                f"{flags} would change nothing with{'' if self.near_duplicates else 'out'} --near-duplicates"
            )
        return self
