"""A table of patches -> the columns of an index, many rows at a time."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from swath.data.index import SCHEMA, IndexInfo
from swath.data.masks import IGNORE, MaskClasses
from swath.data.windows import footprints
from swath.datasets.bigearthnet.footprint import bounds_m, corner_of, epsg_of
from swath.datasets.bigearthnet.labels import CLASS_ORDERS, CLASSES_19, FROM_CODE
from swath.datasets.bigearthnet.sensors import GSD_M, PATCH_M, TILE_PX, PatchFiles
from swath.errors import DataError

_AT_ONCE = 65_536
_SEASONS = ("Winter", "Spring", "Summer", "Fall")  # meteorological: December begins the first
_DOWN = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)  # pixels of 1 m whose rows count south, so that a UTM box is a window

# Columns that an index of BigEarthNet has beyond those of every index. left_m ... top_m: exact footprint in
# `crs`. recommended: neither seasonal snow nor cloud or shadow, and a label among the 19. Null: not known.
MORE = pa.schema(
    [
        ("mgrs_tile", pa.string()),
        ("left_m", pa.int32()),
        ("bottom_m", pa.int32()),
        ("right_m", pa.int32()),
        ("top_m", pa.int32()),
        ("country", pa.string()),
        ("season", pa.string()),
        ("seasonal_snow", pa.bool_()),
        ("cloud_or_shadow", pa.bool_()),
        ("without_label", pa.bool_()),
        ("recommended", pa.bool_()),
        ("s1_name", pa.string()),
        ("s2_name", pa.string()),
        ("s2v1_name", pa.string()),
        ("mask_path", pa.string()),
        ("labels_43", pa.list_(pa.string())),
        ("tile_source", pa.string()),
        ("acquired_at", pa.string()),
    ]
)

_CREDITS = {
    "v1": "BigEarthNet (Sumbul et al., 2019, 2021)",
    "v2": "reBEN, BigEarthNet v2.0 (Clasen et al., 2024)",
}


def about(version: str, files: PatchFiles, *, root: str, labelled: bool, order: str) -> IndexInfo:
    """What holds for all rows; `root` is "" for a catalogue without pixels."""
    return IndexInfo(
        root=root,
        layout="bigearthnet",
        task="multilabel" if labelled else None,
        vocabulary=CLASS_ORDERS[order] if labelled else (),
        bands=files.bands,
        band_px=files.band_px,
        tile_px=TILE_PX,
        stride_px=0,
        dtypes=(files.dtype,) * len(files.bands),
        nodata=None,
        licence="CDLA-Permissive-1.0",
        attribution=f"{_CREDITS[version]}; contains modified Copernicus Sentinel data 2017-2018",
        class_order=order if labelled else "",
    )


def reference_classes(order: str) -> MaskClasses:
    """The classes of the reference maps of v2 by their CORINE codes; codes of no class are ignored."""
    names = CLASS_ORDERS[order]
    codes = {
        code: IGNORE if number is None else names.index(CLASSES_19[number])
        for code, number in FROM_CODE.items()
    }
    return MaskClasses(names, codes, ignore_others=True)


def index_batches(patches: pa.Table, files: PatchFiles, *, order: str) -> Iterator[pa.RecordBatch]:
    """Rows of an index from `patches`, in their order.

    Needed columns: id, tile (MGRS), day, h, v. Any others of `SCHEMA` and `MORE` are taken over as they are,
    but labels are put into `order`.
    """
    schema = pa.schema([*SCHEMA, *MORE])
    for start in range(0, patches.num_rows, _AT_ONCE):
        piece = patches.slice(start, _AT_ONCE).combine_chunks()
        columns = _computed(piece, files)
        columns |= {name: piece[name].combine_chunks() for name in piece.column_names if name in schema.names}
        if "labels" in columns:
            columns["labels"] = in_order(columns["labels"], CLASS_ORDERS[order])
        arrays = [
            columns[field.name].cast(field.type)
            if field.name in columns
            else pa.nulls(len(piece), field.type)
            for field in schema
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _computed(patches: pa.Table, files: PatchFiles) -> dict[str, pa.Array]:
    n = patches.num_rows
    bounds, epsg = place(patches)
    days = patches["day"].combine_chunks()
    constants = {"x_px": 0, "y_px": 0, "width_px": TILE_PX, "height_px": TILE_PX, "gsd_m": GSD_M}
    columns = {
        name: pa.repeat(pa.scalar(value, SCHEMA.field(name).type), n) for name, value in constants.items()
    }
    columns |= dict(zip(("left_m", "bottom_m", "right_m", "top_m"), map(pa.array, bounds.T), strict=True))
    return columns | {
        "paths": pa.array([[]], pa.list_(pa.string())).take(pa.array(np.zeros(n, np.int64))),
        "sensor": pa.repeat(files.sensor, n),
        "crs": pc.binary_join_element_wise("EPSG", pa.array(epsg).cast(pa.string()), ":"),
        "acquired": days,
        "season": season_of(days),
        "mgrs_tile": patches["tile"].combine_chunks(),
        "geometry": _ground(bounds, epsg),
    }


def place(patches: pa.Table) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """(N, 4) left, bottom, right, top in metres, and (N,) the EPSG code of the UTM zone.

    Raises:
        DataError: a tile does not exist.
    """
    tiles = pc.dictionary_encode(patches["tile"].combine_chunks())
    names = tiles.dictionary.to_pylist()
    try:
        corners = np.asarray([corner_of(name) for name in names], np.int32).reshape(-1, 2)
    except ValueError as error:
        raise DataError(f"{error}: BigEarthNet has none such. Is the table of another data set?") from error
    zones = np.asarray([epsg_of(name) for name in names], np.int32)
    which = tiles.indices.to_numpy()
    return bounds_m(corners[which], patches["h"].to_numpy(), patches["v"].to_numpy()), zones[which]


def season_of(days: pa.Array) -> pa.Array:
    """The meteorological season, as the authors count it."""
    months = pc.cast(pc.month(days), pa.int32())
    shifted = pc.divide(pc.if_else(pc.equal(months, 12), 0, months), 3)
    return pa.array(_SEASONS).take(shifted)


def in_order(labels: pa.ListArray, classes: tuple[str, ...]) -> pa.ListArray:
    """Each list once and in the order of `classes`; null stays null."""
    numbers = pc.index_in(pc.list_flatten(labels), value_set=pa.array(classes))
    return lists_of(labels, numbers.to_numpy(), classes)


def lists_of(labels: pa.ListArray, numbers: npt.NDArray[Any], classes: tuple[str, ...]) -> pa.ListArray:
    """Lists of `classes` where the values of `labels`, in a row, have these `numbers`; below 0 is none."""
    hot = np.zeros((len(labels), len(classes)), np.bool_)
    parents = pc.list_parent_indices(labels).to_numpy()
    hot[parents[numbers >= 0], numbers[numbers >= 0]] = True
    offsets = np.concatenate([[0], np.cumsum(hot.sum(axis=1))])
    values = pa.array(classes).take(pa.array(np.nonzero(hot)[1]))
    unknown = pc.is_null(labels) if labels.null_count else None
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, mask=unknown)


def _ground(bounds: npt.NDArray[np.int32], epsg: npt.NDArray[np.int32]) -> pa.Array:
    """(N,) WKB polygons in longitude and latitude."""
    polygons = np.empty(len(bounds), object)
    windows = np.column_stack([bounds[:, 0], -bounds[:, 3], np.full((len(bounds), 2), PATCH_M)]).astype(float)
    for zone in np.unique(epsg):
        here = epsg == zone
        polygons[here] = footprints(f"EPSG:{zone}", _DOWN, windows[here])
    return pa.array(polygons, pa.binary())
