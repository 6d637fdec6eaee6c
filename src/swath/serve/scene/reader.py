"""A scene as a network reads it: its bands by name, its pixel types and units checked, strip by strip.

Legend: Cg bands of a group, w x h pixels of a strip in the resolution of the group, `px` pixels of a band for
one of the finest band that the network reads.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data.bands import BandGroup, TileFormat
from swath.data.holes import holes_in
from swath.data.raster import RasterInfo, read_window
from swath.data.warped import WarpedRaster
from swath.data.windows import PixelGrid
from swath.datasets.scene import Scene
from swath.errors import DataError, did_you_mean
from swath.serve.scene.grid import target_grid

_COARSEST = 60  # pixels of the finest band in one of a coarse band; Sentinel-2 has 6

Pixels = npt.NDArray[Any]
Holes = npt.NDArray[np.bool_]
Read = Callable[[int, int], tuple[Pixels, Holes]]


@dataclass(frozen=True)
class Band:
    """Where a band of the network is in the files of a scene; `number` counts from 1."""

    name: str
    raster: RasterInfo
    number: int
    px: float
    dtype: str


@dataclass(frozen=True)
class Layer:
    """Bands that are read together: `read(top, height)` in pixels of this layer, all columns."""

    group: BandGroup
    per_px: int
    read: Read


class SceneReader:
    """The pixels of a scene on `grid`; `format` says how they are grouped, as the network takes them.

    `multiple`: windows begin at multiples of so many pixels, the side of the coarsest band's.
    To be read by one thread.

    Raises:
        DataError: a band is missing, or its type, unit or resolution is none the network knows.
    """

    def __init__(
        self, scene: Scene, contract: TileFormat, *, multiply: float | None, max_pixels: int
    ) -> None:
        self.name = scene.name
        self._scene, self._contract = scene, contract
        self._multiply, self._max_pixels = multiply, max_pixels
        self._warped: list[WarpedRaster] = []
        bands = _bands(scene, contract, multiply=multiply)
        finest = max(bands, key=lambda band: band.raster.width)
        own = PixelGrid(
            finest.raster.width,
            finest.raster.height,
            None if scene.crs is None else finest.raster.crs,
            finest.raster.transform,
        )
        self.resampled = target_grid(own, contract.gsd_m, where=str(finest.raster.path))
        self.layers = self._resampling(bands) if self.resampled else self._as_they_are(bands, own)
        self.multiple = lcm(*(layer.per_px for layer in self.layers))
        self.format = replace(contract, groups=tuple(layer.group for layer in self.layers))
        self.grid = self._covered(self.resampled or own)
        side = contract.size_px
        if min(self.grid.width, self.grid.height) < side:
            raise DataError(
                f"{finest.raster.path} is {self.grid.width}x{self.grid.height} px of the network's; a tile "
                f"is {side} px. It is too small to be looked at."
            )

    def close(self) -> None:
        for raster in self._warped:
            raster.close()

    def _covered(self, grid: PixelGrid) -> PixelGrid:
        """Without the last few pixels that do not fill one of the coarsest band."""
        width, height = (side // self.multiple * self.multiple for side in (grid.width, grid.height))
        return replace(grid, width=width, height=height)

    def _as_they_are(self, bands: Sequence[Band], own: PixelGrid) -> list[Layer]:
        """Bands of one file, size and type together, the finest first, as they are packed."""
        finest = max(band.px for band in bands)
        side = self._contract.size_px
        members: dict[tuple[float, str], list[Band]] = {}
        for band in bands:
            per_px = Fraction(finest / band.px).limit_denominator(_COARSEST)
            divides = per_px.denominator == 1 and side % per_px.numerator == 0
            px = 1 / per_px.numerator if divides else 1.0
            members.setdefault((px, band.dtype), []).append(replace(band, px=band.px / finest))
        return [
            self._layer(px, dtype, group, own)
            for (px, dtype), group in sorted(members.items(), key=lambda member: -member[0][0])
        ]

    def _layer(self, px: float, dtype: str, bands: Sequence[Band], own: PixelGrid) -> Layer:
        per_px = round(1 / px)
        width = own.width // per_px

        def read(top: int, height: int) -> tuple[Pixels, Holes]:
            parts = [
                self._read_file(raster, numbers, band_px / px, (top, height, width))
                for raster, numbers, band_px in _by_file(bands)
            ]
            pixels = np.concatenate(parts) if len(parts) > 1 else parts[0]
            holes = holes_in(pixels, self._scene.nodata)
            return self._in_unit(pixels, holes, dtype), holes

        group = BandGroup(tuple(band.name for band in bands), self._contract.size_px // per_px, dtype)
        return Layer(group, per_px, read)

    def _read_file(
        self, raster: RasterInfo, numbers: tuple[int, ...], scale: float, rows: tuple[int, int, int]
    ) -> Pixels:
        """`scale`: pixels of the file for one of the layer, 1 but where they do not divide the tiles."""
        top, height, width = rows
        box = (0.0, top * scale, min(width * scale, raster.width), height * scale)
        below = min(box[3], raster.height - box[1])
        return read_window(
            raster.path,
            bands=numbers,
            window=(box[0], round(box[1], 6), round(box[2], 6), round(below, 6)),
            out_px=(height, width),
            max_pixels=self._max_pixels,
        )

    def _resampling(self, bands: Sequence[Band]) -> list[Layer]:
        """Bands in the groups that the network was trained on, each at its resolution there."""
        assert self.resampled is not None
        by_name = {band.name: band for band in bands}
        side = self._contract.size_px
        layers = []
        for group in self._contract.groups:
            per_px = round(side / group.size_px) if side % group.size_px == 0 else 1
            size = (self.resampled.width // per_px, self.resampled.height // per_px)
            grid = self.resampled.scaled(per_px, size)
            members = [by_name[name] for name in group.bands]
            layers.append(self._warped_layer(replace(group, size_px=side // per_px), per_px, members, grid))
        return layers

    def _warped_layer(self, group: BandGroup, per_px: int, bands: Sequence[Band], grid: PixelGrid) -> Layer:
        warped = [
            (
                WarpedRaster(raster, nodata=self._scene.nodata, grid=grid),
                numbers,
            )
            for raster, numbers, _ in _by_file(bands)
        ]
        self._warped += [raster for raster, _ in warped]

        def read(top: int, height: int) -> tuple[Pixels, Holes]:
            parts = [raster.read(numbers, top=top, height=height) for raster, numbers in warped]
            pixels, holes = (np.concatenate(each) for each in zip(*parts, strict=True))
            return self._in_unit(pixels, holes, group.dtype), holes

        return Layer(group, per_px, read)

    def _in_unit(self, pixels: Pixels, holes: Holes, dtype: str) -> Pixels:
        if self._multiply is None:
            return pixels
        values = np.where(holes, 0, pixels.astype(np.float32) * np.float32(self._multiply))
        if np.dtype(dtype).kind == "f":
            return values
        limits = np.iinfo(dtype)
        return np.rint(values).clip(limits.min, limits.max).astype(dtype)


def _bands(scene: Scene, contract: TileFormat, *, multiply: float | None) -> list[Band]:
    """Those of the network, in its order."""
    one_file = len(scene.rasters) == 1
    missing = [name for name in contract.bands if name not in scene.bands]
    path = scene.rasters[0].path
    if missing:
        made_up = (
            " The file does not name its bands: say how they are called with --bands." * scene.names_made_up
        )
        raise DataError(
            f"{path} has bands {','.join(scene.bands)}; the network reads {','.join(contract.bands)}, and "
            f"{missing[0]} is missing.{made_up or did_you_mean(missing[0], scene.bands)}"
        )
    kinds = {band: group.dtype for group in contract.groups for band in group.bands}
    found = []
    for name in contract.bands:
        place = scene.bands.index(name)
        if multiply is None and scene.dtypes[place] != kinds[name]:
            raise DataError(_other_type(path, name, scene.dtypes[place], kinds[name]))
        raster, number = (scene.rasters[0], place + 1) if one_file else (scene.rasters[place], 1)
        found.append(Band(name, raster, number, scene.band_px[place], kinds[name]))
    return found


def _other_type(path: Path, band: str, found: str, expected: str) -> str:
    if found == "float32" and expected != "float32":
        hint = "If these are reflectance in 0..1 and the network knows x 10,000: --multiply 10000."
    else:
        hint = "If its values are of the same unit: --multiply 1."
    return f"{path} holds band {band} as {found}; the network was trained on {expected}. {hint}"


def _by_file(bands: Sequence[Band]) -> list[tuple[RasterInfo, tuple[int, ...], float]]:
    """Files in the order of the bands; bands that follow each other in one file are read at once."""
    files: list[tuple[RasterInfo, tuple[int, ...], float]] = []
    for band in bands:
        if files and files[-1][0] is band.raster:
            files[-1] = (band.raster, (*files[-1][1], band.number), band.px)
        else:
            files.append((band.raster, (band.number,), band.px))
    return files
