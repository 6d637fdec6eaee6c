"""Where the windows of a scene begin, and their pixels, one row of windows after another.

Memory holds one row of windows: it grows with the width of a scene, not with its height.
Legend: Cg bands of a group, h x w pixels of a window in the resolution of the group, W pixels of a row.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data.holes import filled
from swath.errors import DataError
from swath.serve.scene.reader import Layer, SceneReader
from swath.serve.unit import check_unit

_SAMPLED = 16  # rows of a window, and as dense columns, whose values tell the unit
_ENOUGH = 100

Pixels = npt.NDArray[Any]
Holes = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class WindowGrid:
    """Windows of `side_px` begin at every pair of `ys` and `xs`; those of the tiles are at every pair of
    `tile_ys` and `tile_xs`, which are among them: the tiles that `swath index` cuts, and, where the scene
    has a rest, the last ones, which end with it.
    """

    side_px: int
    ys: tuple[int, ...]
    xs: tuple[int, ...]
    tile_ys: tuple[int, ...]
    tile_xs: tuple[int, ...]

    @classmethod
    def over(cls, reader: SceneReader, side_px: int, *, parts: int) -> "WindowGrid":
        """`parts` windows begin along a tile: 1 for none that overlap, 2 for halves, 4 for quarters."""
        steps = (side_px, parts, reader.multiple)
        ys, tile_ys = _starts(reader.grid.height, *steps)
        xs, tile_xs = _starts(reader.grid.width, *steps)
        return cls(side_px, ys, xs, tile_ys, tile_xs)

    def __len__(self) -> int:
        return len(self.ys) * len(self.xs)

    def is_tile(self, y: int, x: int) -> bool:
        return y in self.tile_ys and x in self.tile_xs


def _starts(length: int, side: int, parts: int, multiple: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    last = (length - side) // multiple * multiple
    tiles = sorted({*range(0, last + 1, side), last})
    offsets = [part * side // parts // multiple * multiple for part in range(parts)]
    between = {start + offset for start in range(0, last + 1, side) for offset in offsets}
    return tuple(sorted({start for start in between if start <= last} | {last})), tuple(tiles)


@dataclass(frozen=True, eq=False)
class Row:
    """One row of windows: where it begins, and which pixels (side_px, W) of the finest bands are no data."""

    y: int
    holes: Holes


@dataclass(frozen=True, eq=False)
class CutWindow:
    """A window without holes: stored pixels (Cg, h, w) a group."""

    y: int
    x: int
    groups: list[Pixels]


def cut_windows(reader: SceneReader, grid: WindowGrid) -> Iterator[Row | CutWindow]:
    """Each row, and then its windows from left to right; those in which a band has no data are left out.

    Raises:
        DataError: pixels cannot be decoded, or are in another unit than the network knows.
    """
    strips = [_Strip(layer, grid.side_px, reader.grid.width) for layer in reader.layers]
    unit_is_known = False
    for y in grid.ys:
        for strip in strips:
            strip.go_to(y)
        unit_is_known = unit_is_known or _check(reader, strips)
        yield Row(y, np.asarray(strips[0].holes.all(axis=0)))
        for x in grid.xs:
            try:
                yield CutWindow(y, x, [strip.window(x, reader.name) for strip in strips])
            except DataError:  # a band has no pixel with data: nothing can be said of this window
                continue


class _Strip:
    """The rows of one layer that a row of windows covers; rows that the next one shares are kept."""

    def __init__(self, layer: Layer, side_px: int, width: int) -> None:
        self._layer = layer
        self._side = side_px // layer.per_px
        self._columns = width // layer.per_px
        self._end = 0
        self.pixels: Pixels = np.empty(0)
        self.holes: Holes = np.empty(0, dtype=np.bool_)

    def go_to(self, y: int) -> None:
        top = y // self._layer.per_px
        kept = max(0, self._end - top)
        start = max(self._end, top)
        if not kept:  # two strips at once are not needed then
            self.pixels, self.holes = np.empty(0), np.empty(0, dtype=np.bool_)
        read = self._layer.read(start, top + self._side - start)
        pixels, holes = (values[..., : self._columns] for values in read)
        if kept:
            pixels = np.concatenate([self.pixels[:, -kept:], pixels], axis=1)
            holes = np.concatenate([self.holes[:, -kept:], holes], axis=1)
        self.pixels, self.holes, self._end = pixels, holes, top + self._side

    def window(self, x: int, where: str) -> Pixels:
        left = x // self._layer.per_px
        columns = slice(left, left + self._side)
        return filled(self.pixels[..., columns], self.holes[..., columns], self._layer.group, where)


def _check(reader: SceneReader, strips: list[_Strip]) -> bool:
    """Whether these rows had enough pixels with data to tell that the unit is the network's."""
    values: dict[str, Pixels] = {}
    for strip, layer in zip(strips, reader.layers, strict=True):
        step = slice(None, None, max(1, strip.holes.shape[1] // _SAMPLED))
        few = (..., step, step)
        sample = np.where(strip.holes[few], np.nan, strip.pixels[few].astype(np.float32))
        values |= {band: sample[i].ravel() for i, band in enumerate(layer.group.bands)}
    if min(int(np.isfinite(band).sum()) for band in values.values()) < _ENOUGH:
        return False
    check_unit([values[band] for band in reader.format.bands], reader.format, where=reader.name)
    return True
