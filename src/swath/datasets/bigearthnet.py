"""BigEarthNet v1 patch folders: a GeoTIFF a band and a JSON of labels (43 classes, mapped to 19)."""

import datetime as dt
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from swath.data.bad_inputs import BadInputs
from swath.data.bands import SENTINEL2_GSD_M
from swath.data.index import IndexInfo
from swath.data.raster import inspect
from swath.data.windows import footprints
from swath.datasets.bigearthnet_labels import CLASSES_19, FROM_43
from swath.datasets.layout import Asked, Layout, first_few
from swath.errors import DataError, UsageError, did_you_mean

logger = logging.getLogger(__name__)

JSON_SUFFIX = "_labels_metadata.json"
BANDS = tuple(band for band in SENTINEL2_GSD_M if band != "B10")
_TILE_PX = 120
_BAND_PX = tuple(10.0 / SENTINEL2_GSD_M[band] for band in BANDS)
_PATCH = re.compile(r"S2[AB]_MSIL2A_\d{8}T\d{5,6}_\d+_\d+")


def find(source: Path, asked: Asked) -> Layout:
    """Every Sentinel-2 patch folder below `source`, at any depth.

    Raises:
        DataError: no patch folder, or a patch twice; from the rows: files missing or bad, labels unknown.
        UsageError: labels were given beside those of the data set.
    """
    if asked.labels or asked.label_column or asked.label_columns or asked.band_pattern:
        raise UsageError("BigEarthNet brings labels and bands: leave out --label(s)... and --band-pattern.")
    patches = sorted(_patches(source))
    if not patches:
        raise DataError(
            f"{source} holds no BigEarthNet v1 patch folders (S2A_MSIL2A_.../..._labels_metadata.json)."
        )
    _check_once(patches)
    info = IndexInfo(
        root=str(source.resolve()),
        layout="bigearthnet",
        task="multilabel",
        vocabulary=CLASSES_19,
        bands=BANDS,
        band_px=_BAND_PX,
        tile_px=_TILE_PX,
        stride_px=0,
        dtypes=("uint16",) * len(BANDS),
        nodata=None,
        licence="CDLA-Permissive-1.0",
        attribution="BigEarthNet (Sumbul et al., 2019); contains modified Copernicus Sentinel data 2017-2018",
    )
    bad = BadInputs("patches", asked.bad_files)
    return Layout(info, len(patches) * len(BANDS), _rows(source, patches, asked.max_pixels, bad), bad)


def _patches(source: Path) -> Iterator[str]:
    for path in source.rglob(f"*{JSON_SUFFIX}"):
        folder = path.parent
        if _PATCH.fullmatch(folder.name) and path.name == folder.name + JSON_SUFFIX:
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
    for raster, px in zip(rasters, _BAND_PX, strict=True):
        side = round(_TILE_PX * px)
        if (raster.width, raster.height, raster.count, raster.dtype) != (side, side, 1, "uint16"):
            found = f"{raster.width}x{raster.height}x{raster.count} {raster.dtype}"
            raise DataError(f"{raster.path} is {found}; BigEarthNet has {side}x{side}x1 uint16.")
    labels, acquired = _read_json(source / patch / f"{name}{JSON_SUFFIX}")
    finest = rasters[BANDS.index("B02")]
    window = np.asarray([[0, 0, _TILE_PX, _TILE_PX]], float)
    return {
        "id": name,
        "paths": paths,
        "x_px": 0,
        "y_px": 0,
        "width_px": _TILE_PX,
        "height_px": _TILE_PX,
        "sensor": "Sentinel-2",
        "gsd_m": 10.0,
        "crs": finest.crs,
        "acquired": acquired,
        "labels": labels,
        "geometry": None if finest.crs is None else footprints(finest.crs, finest.transform, window)[0],
    }


def _read_json(path: Path) -> tuple[list[str], dt.date]:
    """The labels among the 19, in their order, and the day."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        names, acquired = list(value["labels"]), dt.date.fromisoformat(str(value["acquisition_date"])[:10])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is not the JSON of a BigEarthNet patch ({error}). Extract it again."
        ) from error
    unknown = next((name for name in names if name not in FROM_43), None)
    if unknown is not None:
        raise DataError(f'{path}: unknown label "{unknown}".{did_you_mean(str(unknown), FROM_43)}')
    used = {FROM_43[name] for name in names}
    return [label for number, label in enumerate(CLASSES_19) if number in used], acquired
