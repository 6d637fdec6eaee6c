"""One scene whose files were opened and found to fit together."""

import datetime as dt
import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from swath.data.raster import RasterInfo, inspect
from swath.data.windows import Grid, ground_resolution
from swath.datasets import names
from swath.datasets.grouping import Group
from swath.errors import DataError

_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True)
class Scene:
    """`rasters` has one entry a path of `paths`; `band_px` and `dtypes` one a band."""

    name: str
    paths: tuple[str, ...]
    bands: tuple[str, ...]
    rasters: tuple[RasterInfo, ...]
    band_px: tuple[float, ...]
    sensor: str | None
    acquired: dt.date | None
    names_made_up: bool = False

    @property
    def finest(self) -> RasterInfo:
        return self.rasters[self._finest_file]

    @property
    def finest_path(self) -> str:
        return self.paths[self._finest_file]

    @property
    def _finest_file(self) -> int:
        return self.band_px.index(1.0) if len(self.rasters) > 1 else 0

    @property
    def dtypes(self) -> tuple[str, ...]:
        kinds = tuple(raster.dtype for raster in self.rasters)
        return kinds if len(kinds) > 1 else kinds * len(self.bands)

    @property
    def crs(self) -> str | None:
        """The system of the finest raster, or None where the scene has no location."""
        return None if self.finest.transform == _IDENTITY else self.finest.crs

    @property
    def gsd_m(self) -> float | None:
        if self.crs is None:
            return None
        middle = (self.finest.width / 2, self.finest.height / 2)
        return round(ground_resolution(self.crs, self.finest.transform, at_px=middle), 4)

    @property
    def nodata(self) -> float | None:
        """What the file declares; 0 in Sentinel-2 products, which do not."""
        declared = next((raster.nodata for raster in self.rasters if raster.nodata is not None), None)
        if declared is None and self.sensor == "Sentinel-2" and "uint16" in self.dtypes:
            return 0.0
        return declared

    def grid(self, tile_px: int, stride_px: int) -> Grid:
        """Windows on the finest raster that lie inside every band."""
        pairs = list(zip(self.rasters, self.band_px, strict=False))
        width = min(math.floor(raster.width / px + 1e-6) for raster, px in pairs)
        height = min(math.floor(raster.height / px + 1e-6) for raster, px in pairs)
        return Grid(width, height, tile_px, stride_px)


def scene_of(group: Group, source: Path, *, max_pixels: int) -> Scene:
    """Open every file of a group.

    Raises:
        DataError: a file is bad, or the bands do not cover the same ground.
    """
    rasters = tuple(inspect(source / path, root=source, max_pixels=max_pixels) for path in group.paths)
    where = f"{source.name}/{group.paths[0]}"
    sensor, acquired = names.sensor_of(where), names.date_of(where)
    if len(rasters) == 1 and (not group.bands or rasters[0].count > 1):
        bands, made_up = names.bands_in_file(rasters[0], sensor)
        sizes = (1.0,) * len(bands)
        return Scene(group.name, group.paths, bands, rasters, sizes, sensor, acquired, made_up)
    for raster in rasters:
        if raster.count != 1:
            raise DataError(f"{raster.path} has {raster.count} bands; its name says that it holds one.")
    return Scene(group.name, group.paths, group.bands, rasters, _band_px(rasters), sensor, acquired)


def _band_px(rasters: tuple[RasterInfo, ...]) -> tuple[float, ...]:
    """Pixels of each raster for a pixel of the finest one, along one side."""
    finest = max(rasters, key=lambda raster: raster.width)
    sizes = []
    for raster in rasters:
        ratio = _pixel_side(finest) / _pixel_side(raster) if finest.crs else raster.width / finest.width
        px = float(Fraction(ratio).limit_denominator(1000))
        off = max(abs(raster.width - finest.width * px), abs(raster.height - finest.height * px))
        shift = max(abs(raster.transform[i] - finest.transform[i]) for i in (2, 5)) / _pixel_side(raster)
        if raster.crs != finest.crs or off > 1 or shift > 0.5:
            raise DataError(
                f"{raster.path} does not cover the same ground as {finest.path.name}: "
                f"{_extent(raster)} against {_extent(finest)}. "
                f"Cut both to one extent, or give --band-pattern to leave it out."
            )
        sizes.append(px)
    return tuple(sizes)


def _pixel_side(raster: RasterInfo) -> float:
    """In units of the CRS; the transform may be turned, so its first number alone may be zero."""
    return math.hypot(raster.transform[0], raster.transform[3])


def _extent(raster: RasterInfo) -> str:
    left, top = raster.transform[2], raster.transform[5]
    size = f"{raster.width}x{raster.height} px of {_pixel_side(raster):g}"
    return f"{size} from {left:.0f}, {top:.0f} in {raster.crs}"
