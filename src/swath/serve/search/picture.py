"""A picture to look for: read as the run's tiles are, and embedded by the run that made the features."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from swath import storage
from swath.copies import file_here
from swath.data.bands import TileFormat
from swath.data.normalize import to_unit
from swath.data.raster import RasterInfo, inspect, read_window
from swath.data.store import TileStore
from swath.data.windows import ground_resolution
from swath.datasets.names import bands_in_file, sensor_of
from swath.errors import DataError, UsageError
from swath.features.backbone import FrozenBackbone, open_backbone
from swath.features.content import Content
from swath.features.table import About, Values
from swath.location import Location, location
from swath.runtime.mirror import run_here
from swath.runtime.run import Run
from swath.serve.bundle.pixels import grouped

_MOST_PIXELS = 270_000_000


@dataclass(frozen=True, eq=False)
class Picture:
    """Stored pixels in the groups of `given`, one (1, Cg, h, w) a group."""

    groups: list[Tensor]
    given: TileFormat

    def unit(self) -> Tensor:
        """(1, C, H, W) in [0, 1]."""
        return to_unit(self.groups, self.given)


def embed_picture(path: Location, about: About, *, run: Location | None) -> tuple[Values, Picture]:
    """(D,) feature of the middle of a picture, and its pixels; `run` where not the one that `about` names.

    Raises:
        UsageError: the run is not known, or not a run.
        DataError: the picture has other bands, resolution, type or unit; the run is not the one that made
            the features.
    """
    backbone = _backbone_of(about, run)
    seen = backbone.trained
    if about.origin.scale == "tiles":
        seen = TileStore(location(about.tiles)).format
        backbone = backbone.for_other_data(seen, where=about.tiles)
    with file_here(path) as local:
        picture = Picture(*grouped(_middle(local, seen), seen))
    return backbone.features(picture.groups, picture.given)[0].numpy(), picture


def _backbone_of(about: About, run: Location | None) -> FrozenBackbone:
    origin = about.origin
    where = run or (location(about.run) if about.run else None)
    if where is None or origin.tokens not in {"cls", "mean", "both"}:
        raise UsageError(
            f"these features were made without a run ({origin.weights}), so a picture cannot be embedded "
            "like them; give --like the id of a tile, or LON,LAT"
        )
    if run is None and not storage.is_folder(where):
        raise UsageError(f"the run that made these features is no longer at {where}; say where: --run RUN")
    content = Content(origin.tokens, origin.blocks)  # type: ignore[arg-type] # checked above
    with run_here(where) as folder:
        backbone = open_backbone(Run.open(folder), whose=origin.weights, content=content)
    if backbone.weights.checkpoint != origin.checkpoint:
        raise DataError(
            f"{where} has checkpoint {backbone.weights.checkpoint[:12]} (step {backbone.weights.step}); "
            f"the features are of checkpoint {origin.checkpoint[:12]} (step {origin.step}), and a picture "
            "cannot be compared with them. Embed the tiles again: swath embed RUN TILES --out FILE"
        )
    return backbone


def _middle(path: Path, tiles: TileFormat) -> "np.ndarray[tuple[int, ...], np.dtype[np.generic]]":
    """(C, size_px, size_px) of the middle of a picture, in the order of `tiles.bands`."""
    info = inspect(path, max_pixels=_MOST_PIXELS)
    bands = _places(info, tiles)
    side = tiles.size_px
    if min(info.width, info.height) < side:
        raise DataError(f"{path} is {info.width}x{info.height} px; tiles of the run have {side}x{side} px")
    if tiles.gsd_m and info.crs:
        found = ground_resolution(info.crs, info.transform, at_px=(info.width / 2, info.height / 2))
        if abs(found / tiles.gsd_m - 1) > 0.05:
            raise DataError(
                f"{path} has {found:.4g} m a pixel; the run was trained on {tiles.gsd_m:g} m. Resample it."
            )
    window = ((info.width - side) // 2, (info.height - side) // 2, side, side)
    return read_window(path, bands=bands, window=window, out_px=(side, side), max_pixels=_MOST_PIXELS)


def _places(info: RasterInfo, tiles: TileFormat) -> tuple[int, ...]:
    """Where the bands of the run lie in the picture, from 1."""
    names, _ = bands_in_file(info, sensor_of(str(info.path)))
    missing = [band for band in tiles.bands if band not in names]
    if missing:
        raise DataError(
            f"{info.path} has bands {','.join(names)}; the run was trained on {','.join(tiles.bands)}: "
            f"no {missing[0]}. Give a picture whose bands have these names."
        )
    return tuple(names.index(band) + 1 for band in tiles.bands)
