"""Settings of bundle, verify and predict: a run -> what others use, and what it says of their scenes."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from swath.config.settings import Location, Locations, Names, Part, Settings

_OVERLAPS = (0.0, 0.5, 0.75)


def _of_tiles(overlap: float) -> float:
    if overlap not in _OVERLAPS:
        raise ValueError("choose 0, 0.5 or 0.75, so that every tile is one of the windows")
    return overlap


class BundleConfig(Settings):
    """Make one folder of a run that others can use: network, head, and how their pixels have to be read."""

    run: Location
    """Folder of a run, here or on S3; one that was fine-tuned brings its own head."""
    out: Location
    """Folder of the bundle, here or on S3."""
    head: Path | None = None
    """The .json that swath probe wrote (probe-linear.json, probe-segmentation.json), or its name in RUN."""
    licence: Path | None = None
    """Text of the licence of the weights; where not given, LICENSE says that none was chosen."""


class VerifyConfig(Settings):
    """Compare every file of a bundle, or of the checkpoints of a run, with the hashes written beside it."""

    path: Location
    """Folder of a bundle or of a run, here or on S3."""


class PredictConfig(Settings):
    """Say what is where on scenes of any size: maps as Cloud-Optimised GeoTIFF, and a table of tiles."""

    bundle: Location
    """Folder of a bundle, here or on S3; one without a head gives features of tiles."""
    scenes: Locations
    """Scenes, folders of scenes, or places on S3 (s3://bucket/prefix)."""
    out: Path
    """Folder that gets one folder a scene; scenes that are done are not done again."""
    overlap: Annotated[float, AfterValidator(_of_tiles)] = 0.5
    """Share of a window that the next one covers too: 0, 0.5 or 0.75; 1, 4 or 16 looks at each pixel."""
    multiply: Annotated[float, Field(gt=0)] | None = None
    """What turns the values of the scenes into the unit that the network was trained on: 10000 for
    reflectance in 0..1 where that was x 10,000; 1 where only the type of the pixels differs."""
    bands: Names = ()
    """Names of the bands of files that do not name them, in their order: B02,B03,B04,B08."""
    part: Part | None = None
    """Only every N-th scene, beginning with the K-th (K/N): for several machines that share the work."""
    max_pixels: Annotated[int, Field(ge=1)] = 270_000_000
    """Refuse scenes that declare more pixels in a band than this."""
