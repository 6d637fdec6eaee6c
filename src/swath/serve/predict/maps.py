"""classes.tif and probabilities.tif of a scene: Cloud-Optimised GeoTIFFs, written strip by strip.

Probabilities are stored as whole numbers of 0.5 % (0 to 200, with the GDAL scale 0.005), in one band a class.
Legend: K classes, h x W pixels of a strip.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import matplotlib as mpl
import numpy as np
from rasterio import Affine
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from swath.data.raster import gdal_ready
from swath.data.windows import PixelGrid
from swath.serve.bundle.description import HeadFacts
from swath.serve.predict.cog import CogWriter
from swath.serve.predict.halving import NODATA, mean_of_four, most_of_four
from swath.serve.predict.mosaic import Done, Floats
from swath.serve.predict.speaking import LEVELS, NONE, speak

_SIDE = 256  # px of a tile: a row of them, of every overview, is held in memory
_COLOURS = [tuple(round(255 * part) for part in colour) for colour in mpl.colormaps["tab20"](range(20))]


class MapWriter:
    """Strips in, two files in `folder` out once it is finished; `with` closes what it holds meanwhile."""

    def __init__(self, folder: Path, facts: HeadFacts, grid: PixelGrid) -> None:
        self._task = facts.task
        self._classes = CogWriter(folder / "classes.tif", _class_template(facts, grid), most_of_four)
        self._levels = CogWriter(folder / "probabilities.tif", _level_template(facts, grid), mean_of_four)

    def __enter__(self) -> Self:
        return self

    def write(self, done: Done) -> Floats:
        """Write a strip; gives back its probabilities (K, h, W)."""
        found = done.decisions
        classes = np.empty(found.shape[1:], np.uint8)
        levels = np.empty(found.shape, np.uint8)
        speak(found, classes, levels, self._task == "multilabel")
        if done.blank.any():
            classes[done.blank] = NODATA
            levels[:, done.blank] = NODATA
        self._classes.write(classes[None])
        self._levels.write(levels)
        return found

    def finish(self) -> None:
        self._classes.finish()
        self._levels.finish()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._classes.close()
        self._levels.close()


def _class_template(facts: HeadFacts, grid: PixelGrid) -> bytes:
    names = facts.class_names
    colours = {number: _COLOURS[number % len(_COLOURS)] for number in range(len(names))}
    tags = {f"class_{number}": name for number, name in enumerate(names)}

    def describe(file: Any) -> None:
        file.write_colormap(1, colours | {NONE: (120, 120, 120, 255), NODATA: (0, 0, 0, 0)})
        file.set_band_description(1, "class")
        file.update_tags(**tags, **({f"class_{NONE}": "none"} if facts.task == "multilabel" else {}))

    return _template(grid, 1, describe)


def _level_template(facts: HeadFacts, grid: PixelGrid) -> bytes:
    def describe(file: Any) -> None:
        file.scales = (1 / LEVELS,) * len(facts.class_names)
        file.descriptions = facts.class_names

    return _template(grid, len(facts.class_names), describe)


def _template(grid: PixelGrid, count: int, describe: Callable[[Any], None]) -> bytes:
    """A GeoTIFF that has every tag and no pixel."""
    where = {} if grid.crs is None else {"crs": grid.crs, "transform": Affine(*grid.transform)}
    profile = {
        "driver": "GTiff", "width": grid.width, "height": grid.height, "count": count, "dtype": "uint8",
        "nodata": NODATA, "interleave": "band", "tiled": True, "blockxsize": _SIDE, "blockysize": _SIDE,
        "compress": "deflate", "sparse_ok": True, "bigtiff": "no", "endianness": "little",
        "photometric": "minisblack",  # four classes are no picture with an alpha band
        **where,
    }  # fmt: skip
    with warnings.catch_warnings(), gdal_ready(), MemoryFile() as memory:  # no other thread is at work yet
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(**profile) as file:
            describe(file)
        return bytes(memory.read())
