"""The windows that cut a scene into tiles, their place on the ground, and the share of each in a mask."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import shapely

# Rows of a scene held at once: a Sentinel-2 scene is then 11 million pixels a mask instead of 120 million.
_STRIP_ROWS = 1024
_TRUE_TO_SCALE = 0.05


@dataclass(frozen=True)
class Strip:
    """Rows of tiles measured together: pixel rows from `top`, `height_px` of them; tiles begin at `ys`."""

    top: int
    height_px: int
    ys: tuple[int, ...]


@dataclass(frozen=True)
class Grid:
    """Square windows of `tile_px` every `stride_px`; what is left at the right and bottom is not covered."""

    width: int
    height: int
    tile_px: int
    stride_px: int

    @property
    def xs(self) -> tuple[int, ...]:
        return tuple(range(0, self.width - self.tile_px + 1, self.stride_px))

    @property
    def ys(self) -> tuple[int, ...]:
        return tuple(range(0, self.height - self.tile_px + 1, self.stride_px))

    def strips(self) -> Iterator[Strip]:
        rows = max(1, (_STRIP_ROWS - self.tile_px) // self.stride_px + 1)
        for first in range(0, len(self.ys), rows):
            ys = self.ys[first : first + rows]
            yield Strip(top=ys[0], height_px=ys[-1] + self.tile_px - ys[0], ys=ys)

    def shares(self, mask: npt.NDArray[np.bool_], strip: Strip) -> npt.NDArray[np.float32]:
        """(len(strip.ys), len(xs)) share of each window that `mask` (strip.height_px, width) is true in.

        A summed-area table, so that overlapping windows cost no more than others.
        """
        sums = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int64)
        np.cumsum(np.cumsum(mask, axis=0, dtype=np.int64), axis=1, out=sums[1:, 1:])
        top, left, side = (
            np.asarray(strip.ys)[:, None] - strip.top,
            np.asarray(self.xs)[None, :],
            self.tile_px,
        )
        inside = (
            sums[top + side, left + side] - sums[top, left + side] - sums[top + side, left] + sums[top, left]
        )
        shares: npt.NDArray[np.float32] = (inside / side**2).astype(np.float32)
        return shares


@dataclass(frozen=True)
class PixelGrid:
    """`width` x `height` pixels; `transform` (a, b, c, d, e, f) takes them to `crs`, None where unknown."""

    width: int
    height: int
    crs: str | None
    transform: tuple[float, ...]

    def scaled(self, factor: float, size: tuple[int, int]) -> "PixelGrid":
        """The same ground in `size` (width, height) pixels, each `factor` times as long."""
        a, b, c, d, e, f = self.transform
        return PixelGrid(*size, self.crs, (a * factor, b * factor, c, d * factor, e * factor, f))


def footprints(
    crs: str, transform: tuple[float, ...], windows_px: npt.NDArray[np.float64]
) -> npt.NDArray[np.object_]:
    """(N,) WKB polygons, WGS 84 longitude and latitude, of windows (N, 4): x, y, width, height in pixels.

    A footprint across the antimeridian keeps its shape: its western part gets longitudes below -180.
    """
    x, y, width, height = windows_px.T
    columns = np.stack([x, x + width, x + width, x, x], axis=1)
    rows = np.stack([y + height, y + height, y, y, y + height], axis=1)
    a, b, c, d, e, f = transform
    lon, lat = _to_lonlat(crs).transform(a * columns + b * rows + c, d * columns + e * rows + f)
    across = (lon.max(axis=1) - lon.min(axis=1) > 180)[:, None]
    lon = np.where(across & (lon > 0), lon - 360, lon)
    return np.asarray(shapely.to_wkb(shapely.polygons(np.stack([lon, lat], axis=2))), object)


def ground_resolution(crs: str, transform: tuple[float, ...], *, at_px: tuple[float, float]) -> float:
    """Metres a pixel: of the map where that is true to scale, to 5 % (10 for Sentinel-2), else of the ground
    at `at_px` (degrees, Web Mercator).
    """
    a, b, _, d, e, _ = transform
    system = pyproj.CRS.from_user_input(crs)
    on_ground = float(np.sqrt(np.prod(pixel_sides_m(crs, transform, at_px=at_px))))
    if system.is_geographic:
        return on_ground
    on_map = float(np.sqrt(abs(a * e - b * d)) * system.axis_info[0].unit_conversion_factor)
    return on_ground if abs(on_ground / on_map - 1) > _TRUE_TO_SCALE else on_map


def pixel_sides_m(
    crs: str, transform: tuple[float, ...], *, at_px: tuple[float, float]
) -> tuple[float, float]:
    """Metres on the ground along one pixel of a row and of a column, at `at_px`."""
    a, b, c, d, e, f = transform
    x, y = at_px
    xs = np.asarray([a * (x + i) + b * (y + j) + c for i, j in ((0, 0), (1, 0), (0, 1))])
    ys = np.asarray([d * (x + i) + e * (y + j) + f for i, j in ((0, 0), (1, 0), (0, 1))])
    lon, lat = _to_lonlat(crs).transform(xs, ys)
    _, _, sides = pyproj.Geod(ellps="WGS84").inv(lon[[0, 0]], lat[[0, 0]], lon[1:], lat[1:])
    return float(sides[0]), float(sides[1])


def bounds_of(transform: tuple[float, ...], width: int, height: int) -> tuple[float, float, float, float]:
    """(left, bottom, right, top) of a raster in its own system, whichever way its axes point."""
    a, b, c, d, e, f = transform
    xs = [a * x + b * y + c for x in (0, width) for y in (0, height)]
    ys = [d * x + e * y + f for x in (0, width) for y in (0, height)]
    return (min(xs), min(ys), max(xs), max(ys))


@functools.lru_cache(maxsize=64)
def _to_lonlat(crs: str) -> Any:
    return pyproj.Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)
