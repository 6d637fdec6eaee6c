"""A tile in a file, read as `swath predict` reads scenes: bands by name; resolution, type, unit checked."""

from pathlib import Path

import torch
from torch import Tensor

from swath.data.bands import TileFormat
from swath.data.raster import gdal_ready
from swath.datasets.scene import scene_of
from swath.errors import DataError, UsageError
from swath.serve.scene.reader import SceneReader
from swath.serve.scene.sources import Source, find_sources
from swath.serve.scene.windows import CutWindow, WindowGrid, cut_windows

_MOST_PIXELS = 1 << 24  # of a tile of another resolution, which is resampled


def tile_in(path: Path, contract: TileFormat) -> tuple[list[Tensor], TileFormat]:
    """(1, Cg, h, w) a group, and the format that says so; `path` is a file, or a folder of one file a band.

    Raises:
        UsageError: nothing is at `path`, or more than one tile.
        DataError: it cannot be read, or is not one tile as `contract` says: bands, type, unit, resolution.
    """
    sources = find_sources([path])
    if len(sources) > 1:
        raise UsageError(f"{path} holds {len(sources)} tiles; give the path of each, embed([path, path])")
    with gdal_ready(), sources[0].here() as folder:
        return _read(sources[0], folder, contract)


def _read(source: Source, folder: Path, contract: TileFormat) -> tuple[list[Tensor], TileFormat]:
    scene = scene_of(source.group, folder, max_pixels=_MOST_PIXELS)
    if scene.names_made_up and set(scene.bands) != set(contract.bands):
        raise DataError(
            f"{source} does not name its bands; the network reads {','.join(contract.bands)}. "
            "Name them in the file (band descriptions), or read its pixels and give the array."
        )
    reader = SceneReader(scene, contract, multiply=None, max_pixels=_MOST_PIXELS)
    try:
        grid, side = reader.grid, contract.size_px
        if (grid.width, grid.height) != (side, side):
            raise DataError(
                f"{source} is {grid.width}x{grid.height} px of the network's; expected one tile of {side} "
                "px. Of scenes: swath predict BUNDLE SCENE --out DIR"
            )
        found = list(cut_windows(reader, WindowGrid.over(reader, side, parts=1)))
        if not isinstance(found[-1], CutWindow):
            raise DataError(f"{source} has a band without a pixel of data; nothing can be said of it.")
        return [torch.from_numpy(pixels[None].copy()) for pixels in found[-1].groups], reader.format
    finally:
        reader.close()
