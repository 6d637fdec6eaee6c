"""final_ben_s2.parquet of bigearthnet-gdf-builder: taken as it is, and written for older pipelines."""

import json
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyproj
import shapely

from swath import storage
from swath.datasets.bigearthnet.catalogue import placed
from swath.datasets.bigearthnet.labels import CLASSES_19, FROM_43
from swath.datasets.bigearthnet.names import S2_V1
from swath.datasets.bigearthnet.patches import lists_of, place, season_of
from swath.datasets.layout import Asked
from swath.errors import DataError, UsageError, did_you_mean
from swath.files import check_output, file_aside
from swath.location import Location

EPSG = 3035
_MOST_OFF_M = 5.0  # the middle of a box is not quite that of the reprojected one
_SPLITS = {"train": "train", "val": "validation", "test": "test"}

_OF_S1 = {"tile_source": "scene_source", "acquisition_date": "acquisition_time"}

# The columns of bigearthnet-gdf-builder 0.1.10, in its order.
SCHEMA = pa.schema(
    [
        ("labels", pa.list_(pa.string())),
        ("tile_source", pa.string()),
        ("acquisition_date", pa.string()),
        ("name", pa.string()),
        ("geometry", pa.binary()),
        ("new_labels", pa.list_(pa.string())),
        ("snow", pa.bool_()),
        ("cloud_or_shadow", pa.bool_()),
        ("original_split", pa.string()),
        ("country", pa.string()),
        ("season", pa.string()),
    ]
)


def read_table(path: Location, asked: Asked) -> pa.Table:
    """The patches of a table that gdf-builder wrote, with their place and labels among the 19.

    Raises:
        DataError: the table is another, a label or name is unknown, or a geometry is not where the name says.
        UsageError: a setting changes nothing.
    """
    if asked.metadata is not None:
        raise UsageError(f"--metadata is the table of v2; {path} is one of v1. Leave it out.")
    table = _read(path)
    labels = table["labels"].combine_chunks()
    n = len(table)
    columns = {
        "id": table["name"],
        "tile": _tiles(path, table["tile_source"].combine_chunks()),
        "labels": _to_19(path, labels),
        "labels_43": labels,
        "tile_source": table["tile_source"],
        "acquired_at": table["acquisition_date"],
        "seasonal_snow": table["snow"],
        "cloud_or_shadow": table["cloud_or_shadow"],
        "country": table["country"],
        "season": table["season"],
        "split": _splits(path, table["original_split"].combine_chunks()),
    }
    without = pc.equal(pc.list_value_length(columns["labels"]), 0)
    bad = pc.or_(pc.or_(table["snow"], table["cloud_or_shadow"]), without)
    columns |= {"without_label": without, "recommended": pc.invert(bad)}
    patches = placed(pa.table(columns), S2_V1, str(path))
    _check_geometry(path, patches, table)
    patches = patches.sort_by("id")
    if pc.count_distinct(patches["id"]).as_py() < n:
        raise DataError(f"{path} lists a patch twice. Build it again.")
    return patches.filter(patches["recommended"]) if asked.recommended else patches


def _read(path: Location) -> pa.Table:
    if not storage.is_file(path):
        raise UsageError(f"no file {path}. Give final_ben_s2.parquet as bigearthnet-gdf-builder wrote it.")
    try:
        table = pq.read_table(pa.BufferReader(pa.py_buffer(storage.read_bytes(path))))
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} is not a whole Parquet file. Build it again.") from error
    missing = [name for name in SCHEMA.names if name not in table.column_names]
    if missing:
        raise DataError(
            f"{path} is not the final_ben_s2.parquet of bigearthnet-gdf-builder: it has no column "
            f"{', '.join(missing)}; columns: {', '.join(table.column_names[:12])}."
        )
    if not len(table):
        raise DataError(f"{path} has 0 rows. Build it again.")
    columns = {name: table[name] for name in SCHEMA.names}
    return pa.table(columns).cast(SCHEMA).replace_schema_metadata(table.schema.metadata)


def _check_geometry(path: Location, patches: pa.Table, table: pa.Table) -> None:
    """The middle of each polygon must be where name and tile put the patch."""
    about = json.loads((table.schema.metadata or {}).get(b"geo", b"{}"))
    crs = about.get("columns", {}).get("geometry", {}).get("crs", "OGC:CRS84")
    middle = shapely.get_coordinates(shapely.centroid(shapely.from_wkb(table["geometry"].to_numpy())))
    bounds, zones = place(patches)
    expected = (bounds[:, :2] + bounds[:, 2:]) / 2
    for zone in np.unique(zones):
        here = np.flatnonzero(zones == zone)
        back = pyproj.Transformer.from_crs(crs, int(zone), always_xy=True)
        found = np.stack(back.transform(middle[here, 0], middle[here, 1]), axis=1)
        off_m = np.abs(found - expected[here]).max(axis=1)
        if off_m.max() > _MOST_OFF_M:
            row = int(here[off_m.argmax()])
            raise DataError(
                f"{path}: the geometry of {table['name'][row].as_py()} lies {off_m.max():,.0f} m from where "
                "its name and tile_source put it. Is it a table of another data set?"
            )


def _tiles(path: Location, sources: pa.Array) -> pa.Array:
    tiles = pc.struct_field(pc.extract_regex(sources, r"_T(?P<tile>\d\d[A-Z]{3})_"), "tile")
    if tiles.null_count:
        row = pc.index(pc.is_null(tiles), value=True).as_py()
        raise DataError(f'{path}: "{sources[row].as_py()}" in row {row} of tile_source names no MGRS tile.')
    return tiles


def _to_19(path: Location, labels: pa.ListArray) -> pa.ListArray:
    names = pc.list_flatten(labels)
    found = pc.index_in(names, value_set=pa.array(FROM_43))
    if found.null_count:
        name = names[pc.index(pc.is_null(found), value=True).as_py()].as_py()
        raise DataError(f'{path}: unknown label "{name}".{did_you_mean(str(name), FROM_43)}')
    numbers = np.asarray([-1 if number is None else number for number in FROM_43.values()])
    return lists_of(labels, numbers[found.to_numpy()], CLASSES_19)


def _splits(path: Location, named: pa.Array) -> pa.Array:
    ours = {theirs: split for split, theirs in _SPLITS.items()}
    for name in pc.unique(named).to_pylist():
        if name is not None and name not in ours:
            raise DataError(f'{path}: unknown split "{name}".{did_you_mean(name, ours)}')
    return pa.array([None if name is None else ours[name] for name in named.to_pylist()], pa.string())


class TableWriter:
    """Write rows of an index as gdf-builder does: `with TableWriter(path) as writer: writer.append(batch)`.

    Only recommended patches are written, as by its build-recommended commands; each of `new_labels` once.
    """

    def __init__(self, path: Location) -> None:
        self.rows = 0
        self._path = path
        self._stack = ExitStack()
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        check_output(self._path, begins=b"PAR1")
        self._aside = self._stack.enter_context(file_aside(self._path))
        return self

    def append(self, rows: pa.RecordBatch) -> None:
        """Add rows that have the columns of an index of BigEarthNet.

        Raises:
            UsageError: they are not those of v1 patches with JSON and official lists.
        """
        _check_complete(rows)
        table = _as_written(rows.filter(rows["recommended"]))
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._aside, table.schema)
        self._writer.write_table(table)
        self.rows += len(table)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()
        elif kind is None:
            self._aside.touch()
        self._stack.__exit__(kind, error, traceback)


def _check_complete(rows: pa.RecordBatch) -> None:
    if rows["labels_43"].null_count or rows["acquired_at"].null_count:
        raise UsageError(
            "--like gdf-builder needs the JSON files of v1 patches. Give the folder that holds them."
        )
    if rows["recommended"].null_count:
        raise UsageError(
            "--like gdf-builder needs the official lists, to leave out snow, cloud and shadow. "
            'Type: pip install "swath[bigearthnet]"'
        )


def _as_written(rows: pa.RecordBatch) -> pa.Table:
    is_s1 = len(rows) > 0 and rows["sensor"][0].as_py() == "Sentinel-1"
    split = rows["split"]
    columns = {
        "labels": rows["labels_43"],
        "tile_source": rows["tile_source"],
        "acquisition_date": rows["acquired_at"],
        "name": rows["id"],
        "geometry": _rotated_boxes(rows),
        "new_labels": rows["labels"],
        "snow": rows["seasonal_snow"],
        "cloud_or_shadow": rows["cloud_or_shadow"],
        "original_split": pc.if_else(pc.equal(split, "val"), "validation", split),
        "country": rows["country"],
        "season": season_of(rows["acquired"]),
    }
    table = pa.table(columns, schema=SCHEMA)
    if is_s1:
        table = table.rename_columns([_OF_S1.get(name, name) for name in SCHEMA.names])
        table = table.add_column(1, "corresponding_s2_patch", rows["s2_name"])
    crs = pyproj.CRS.from_epsg(EPSG).to_json_dict()
    column = {"encoding": "WKB", "geometry_types": ["Polygon"], "crs": crs}
    geo = {"version": "1.0.0", "primary_column": "geometry", "columns": {"geometry": column}}
    return table.replace_schema_metadata({"geo": json.dumps(geo)})


def _rotated_boxes(rows: pa.RecordBatch) -> pa.Array:
    """(N,) WKB in EPSG:3035 of the footprints in UTM, corner by corner."""
    bounds = np.stack([rows[side].to_numpy() for side in ("left_m", "bottom_m", "right_m", "top_m")], axis=1)
    boxes = shapely.box(*bounds.T.astype(float))
    systems = np.asarray(rows["crs"])
    for crs in np.unique(systems):
        here = systems == crs
        there = pyproj.Transformer.from_crs(crs, EPSG, always_xy=True)
        corners = shapely.get_coordinates(boxes[here])
        moved = np.stack(there.transform(corners[:, 0], corners[:, 1]), axis=1)
        boxes[here] = shapely.set_coordinates(boxes[here], moved)
    return pa.array(shapely.to_wkb(boxes), pa.binary())
