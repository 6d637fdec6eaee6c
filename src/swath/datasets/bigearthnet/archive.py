"""BigEarthNet v1 patch folders: a GeoTIFF a band and a JSON of labels (43 classes, mapped to 19)."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from swath.data.bad_inputs import BadInputs
from swath.data.index import batches_of
from swath.data.raster import inspect
from swath.data.windows import footprints
from swath.datasets.bigearthnet.names import JSON_SUFFIX, S2_V1
from swath.datasets.bigearthnet.patch_json import read_json
from swath.datasets.bigearthnet.patches import about
from swath.datasets.bigearthnet.sensors import GSD_M, SENTINEL2, TILE_PX
from swath.datasets.layout import Asked, Layout, first_few
from swath.errors import DataError

logger = logging.getLogger(__name__)

BANDS = SENTINEL2.bands


def find(source: Path, asked: Asked) -> Layout:
    """Every Sentinel-2 patch folder below `source`, at any depth.

    Raises:
        DataError: no patch folder, or a patch twice; from the rows: files missing or bad, labels unknown.
    """
    patches = sorted(_patches(source))
    if not patches:
        raise DataError(
            f"{source} holds no BigEarthNet v1 patch folders (S2A_MSIL2A_.../..._labels_metadata.json)."
        )
    _check_once(patches)
    info = about("v1", SENTINEL2, root=str(source.resolve()), labelled=True, order="original")
    bad = BadInputs("patches", asked.bad_files)
    rows = _rows(source, patches, asked.max_pixels, bad)
    return Layout(info, len(patches) * len(BANDS), batches_of(rows), bad)


def _patches(source: Path) -> Iterator[str]:
    for path in source.rglob(f"*{JSON_SUFFIX}"):
        folder = path.parent
        if re.fullmatch(S2_V1, folder.name) and path.name == folder.name + JSON_SUFFIX:
            yield folder.relative_to(source).as_posix()


def _check_once(patches: list[str]) -> None:
    seen: dict[str, str] = {}
    for patch in patches:
        name = patch.rpartition("/")[2]
        if name in seen:
            raise DataError(f"patch {name} is there twice: {seen[name]} and {patch}. Keep one.")
        seen[name] = patch


def _rows(source: Path, patches: list[str], max_pixels: int, bad: BadInputs) -> Iterator[dict[str, Any]]:
    for patch in patches:
        try:
            row = _row(source, patch, max_pixels)
        except DataError as error:
            bad.add(patch, error)
            continue
        yield row
    bad.judge(looked_at=len(patches))


def _row(source: Path, patch: str, max_pixels: int) -> dict[str, Any]:
    name = patch.rpartition("/")[2]
    paths = [f"{patch}/{name}_{band}.tif" for band in BANDS]
    missing = [path for path in paths if not (source / path).exists()]
    if missing:
        raise DataError(f"{source / patch} lacks {first_few([path.rpartition('_')[2] for path in missing])}.")
    rasters = [inspect(source / path, root=source, max_pixels=max_pixels) for path in paths]
    for raster, px in zip(rasters, SENTINEL2.band_px, strict=True):
        side = round(TILE_PX * px)
        if (raster.width, raster.height, raster.count, raster.dtype) != (side, side, 1, "uint16"):
            found = f"{raster.width}x{raster.height}x{raster.count} {raster.dtype}"
            raise DataError(f"{raster.path} is {found}; BigEarthNet has {side}x{side}x1 uint16.")
    held = read_json(source / patch / f"{name}{JSON_SUFFIX}")
    finest = rasters[BANDS.index("B02")]
    window = np.asarray([[0, 0, TILE_PX, TILE_PX]], float)
    return {
        "id": name,
        "paths": paths,
        "x_px": 0,
        "y_px": 0,
        "width_px": TILE_PX,
        "height_px": TILE_PX,
        "sensor": "Sentinel-2",
        "gsd_m": GSD_M,
        "crs": finest.crs,
        "acquired": held.acquired,
        "labels": held.labels,
        "geometry": None if finest.crs is None else footprints(finest.crs, finest.transform, window)[0],
    }
