"""classes.tif and probabilities.tif of a scene: written strip by strip, then as Cloud-Optimised GeoTIFF.

Probabilities are stored as whole numbers of 0.5 % (0 to 200, with the GDAL scale 0.005), in one band a class.
Legend: K classes, h x W pixels of a strip.
"""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
import torch
from rasterio import Affine
from rasterio._err import CPLE_BaseError  # what copying raises has no public name
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window
from torch import Tensor

from swath.data.raster import check_tiff_is_whole, gdal_ready, open_raster
from swath.data.windows import PixelGrid
from swath.errors import DataError, MachineError
from swath.serve.bundle.description import HeadFacts
from swath.serve.predict.mosaic import Done

NODATA, NONE = 255, 254
LEVELS = 200
_STRIP_ROWS = 64
_FAST = {"compress": "zstd", "zstd_level": 1}
_SMALL = {"compress": "deflate", "blocksize": 512, "bigtiff": "if_safer", "num_threads": "all_cpus"}
_COLOURS = [tuple(round(255 * part) for part in colour) for colour in mpl.colormaps["tab20"](range(20))]

Bytes = npt.NDArray[np.uint8]


class MapWriter:
    """Strips in, two files in `folder` out; made by `maps_in`."""

    def __init__(self, folder: Path, facts: HeadFacts, grid: PixelGrid) -> None:
        self._facts = facts
        self._folder = folder
        self._aside = {name: folder / f".{name}" for name in ("classes.tif", "probabilities.tif")}
        count = {"classes.tif": 1, "probabilities.tif": len(facts.class_names)}
        with gdal_ready(), warnings.catch_warnings():  # no other thread is at work yet
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            self._files = {
                name: rasterio.open(path, "w", **_profile(grid, count[name]), **_FAST)
                for name, path in self._aside.items()
            }
        self._describe(self._files["classes.tif"], self._files["probabilities.tif"])

    def write(self, done: Done) -> Tensor:
        """Write a strip; gives back its probabilities (K, h, W)."""
        found = probabilities_of(done.decisions, self._facts.task)
        classes = classes_of(found, self._facts.task)
        classes[done.blank] = NODATA
        levels = (found * LEVELS).round_().to(torch.uint8).numpy()
        levels[:, done.blank] = NODATA
        window = Window(0, done.top, classes.shape[1], classes.shape[0])
        with self._errors():
            self._files["classes.tif"].write(classes, 1, window=window)
            self._files["probabilities.tif"].write(levels, window=window)
        return found

    def finish(self) -> None:
        """The strips as Cloud-Optimised GeoTIFF, read once more to be sure that they are whole."""
        self.close()
        for name, overview in (("classes.tif", "mode"), ("probabilities.tif", "average")):
            with self._errors():
                rasterio.shutil.copy(
                    self._aside[name],
                    self._folder / name,
                    driver="COG",
                    overview_resampling=overview,
                    **_SMALL,
                )
            self._aside[name].unlink()
            _check(self._folder / name)

    def close(self) -> None:
        with self._errors():
            for file in self._files.values():
                file.close()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """GDAL says of a full disk only that it could not write.

        Raises:
            MachineError: with what is left on the disk.
        """
        try:
            with gdal_ready():
                yield
        except (RasterioError, CPLE_BaseError) as error:
            reason = " ".join(str(error).split())
            raise MachineError(
                f"{self._folder}: maps cannot be written ({reason}); is the disk full? Nothing was replaced."
            ) from error

    def _describe(self, classes: Any, probabilities: Any) -> None:
        names = self._facts.class_names
        colours = {number: _COLOURS[number % len(_COLOURS)] for number in range(len(names))}
        classes.write_colormap(1, colours | {NONE: (120, 120, 120, 255), NODATA: (0, 0, 0, 0)})
        classes.set_band_description(1, "class")
        tags = {f"class_{number}": name for number, name in enumerate(names)}
        classes.update_tags(**tags, **({f"class_{NONE}": "none"} if self._facts.task == "multilabel" else {}))
        probabilities.scales = (1 / LEVELS,) * len(names)
        for number, name in enumerate(names, 1):
            probabilities.set_band_description(number, name)


@contextlib.contextmanager
def maps_in(folder: Path, facts: HeadFacts, grid: PixelGrid) -> Iterator[MapWriter]:
    """A writer that is closed whatever happens; call `finish` when all strips are written."""
    writer = MapWriter(folder, facts, grid)
    try:
        yield writer
    except BaseException:
        with contextlib.suppress(MachineError):
            writer.close()
        raise


def _check(path: Path) -> None:
    """Look where its last block ends: a library that wrote to a full disk may not have said so."""
    try:
        with open_raster(path, "GTiff") as raster:
            check_tiff_is_whole(path, raster)
    except DataError as error:
        raise MachineError(f"{path} was cut while it was written; is the disk full? ({error})") from error


def probabilities_of(decisions: Tensor, task: str) -> Tensor:
    """(K, h, W) decisions -> probabilities."""
    return decisions.sigmoid() if task == "multilabel" else decisions.softmax(dim=0)


def classes_of(probabilities: Tensor, task: str) -> Bytes:
    """(h, W) the likeliest class; NONE where several are possible and none is above 0.5."""
    best, classes = probabilities.max(dim=0)
    found: Bytes = classes.to(torch.uint8).numpy()
    if task == "multilabel":
        found[(best <= 0.5).numpy()] = NONE
    return found


def _profile(grid: PixelGrid, count: int) -> dict[str, Any]:
    where = {} if grid.crs is None else {"crs": grid.crs, "transform": Affine(*grid.transform)}
    return {
        "driver": "GTiff", "width": grid.width, "height": grid.height, "count": count, "dtype": "uint8",
        "nodata": NODATA, "interleave": "band", "tiled": False, "blockysize": _STRIP_ROWS,
        "bigtiff": "if_safer", "photometric": "minisblack",  # four classes are no picture with an alpha band
        **where,
    }  # fmt: skip
