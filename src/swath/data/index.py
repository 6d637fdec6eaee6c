"""index.parquet: one row a tile, with where its pixels lie, its labels and its footprint on the ground.

The file is GeoParquet 1.1 (footprints in WGS 84 longitude and latitude), so QGIS and geopandas open it. What
holds for all rows is an `IndexInfo`, as JSON under the key `swath` of the file's metadata. A row has one path
where one file holds all bands, or one path a band, in the order of `IndexInfo.bands`; paths are relative to
`IndexInfo.root`. An index without pixels (a catalogue) has no root and no paths.

Columns beyond `SCHEMA` may follow: what one data set knows of its tiles, such as country and season.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from swath import storage
from swath.errors import DataError, did_you_mean
from swath.files import check_output, file_aside
from swath.kinds import mistaken
from swath.location import Location

SCHEMA_VERSION = 1

# x_px, y_px, width_px, height_px: the window on the finest grid (the whole file for ready tiles).
# labels: null where nobody looked, [] where none of the vocabulary is there.
# label_shares: share of the tile under each class of the vocabulary (polygons only).
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("paths", pa.list_(pa.string()), nullable=False),
        pa.field("x_px", pa.int32(), nullable=False),
        pa.field("y_px", pa.int32(), nullable=False),
        pa.field("width_px", pa.int32(), nullable=False),
        pa.field("height_px", pa.int32(), nullable=False),
        pa.field("sensor", pa.string()),
        pa.field("gsd_m", pa.float64()),
        pa.field("crs", pa.string()),
        pa.field("acquired", pa.date32()),
        pa.field("split", pa.string()),
        pa.field("labels", pa.list_(pa.string())),
        pa.field("label_shares", pa.list_(pa.float32())),
        pa.field("nodata_share", pa.float32()),
        pa.field("block", pa.string()),
        pa.field("geometry", pa.binary()),
    ]
)

PATH_LEAVES_ROOT = r"^/|^\\|(^|/)\.\.(/|$)|^[A-Za-z0-9_]+:|[\x00\r\n]|^\s*<"


@dataclass(frozen=True)
class IndexInfo:
    """What holds for every tile of an index.

    `band_px` is pixels of that band for a pixel of the finest band, along one side (1, 0.5, 1/6). `stride_px`
    is 0 for ready tiles. `task` is "class" (one label a tile), "multilabel", or None without labels.
    `class_order` names the order of `vocabulary` where a data set has more than one. `masks`, where tiles
    have them, is the folder ("root") that the column `mask_path` is relative to, with what
    `masks.MaskClasses.to_json` says.
    """

    root: str
    layout: str
    task: str | None
    vocabulary: tuple[str, ...]
    bands: tuple[str, ...]
    band_px: tuple[float, ...]
    tile_px: int
    stride_px: int
    dtypes: tuple[str, ...]
    nodata: float | None
    licence: str = ""
    attribution: str = ""
    class_order: str = ""
    masks: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if not self.bands or len(set(self.bands)) != len(self.bands):
            raise DataError(
                f"an index needs bands with different names, found {', '.join(self.bands) or 'none'}"
            )
        if len(self.band_px) != len(self.bands) or len(self.dtypes) != len(self.bands):
            raise DataError(
                f"{len(self.bands)} bands need as many sizes and types, "
                f"found {len(self.band_px)} and {len(self.dtypes)}"
            )
        known = self.task in {None, "class", "multilabel"}
        if not known or (self.task is None) != (not self.vocabulary):
            raise DataError(f"task {self.task} does not go with {len(self.vocabulary)} classes")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        lists = {key: tuple(entry) for key, entry in value.items() if isinstance(entry, list)}
        return cls(**{**value, **lists})


@dataclass(frozen=True)
class Index:
    """An index in memory. `digest` is the sha256 of the file it was read from."""

    info: IndexInfo
    table: pa.Table
    digest: str

    @property
    def more(self) -> pa.Schema:
        """The columns beyond `SCHEMA`."""
        return pa.schema([field for field in self.table.schema if field.name not in SCHEMA.names])


class IndexWriter:
    """Write an index in batches: `with IndexWriter(path, info) as writer: writer.append(batch)`.

    `more` are columns beyond `SCHEMA`, which then every batch must have.
    The file appears, whole, when the block ends without an error, and not at all otherwise.
    """

    def __init__(self, path: Location, info: IndexInfo, *, more: pa.Schema | None = None) -> None:
        self.rows = 0
        self._schema = pa.schema([*SCHEMA, *(more or [])])
        self._path, self._info = path, info
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        check_output(self._path, begins=b"PAR1")
        aside = self._stack.enter_context(file_aside(self._path))
        try:
            self._writer = pq.ParquetWriter(
                aside, self._schema.with_metadata(_metadata(self._info)), compression="zstd"
            )
        except BaseException as error:
            self._stack.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def append(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Add rows that have the columns, in any order."""
        table = pa.table({name: rows[name] for name in self._schema.names}, schema=self._schema)
        self.rows += table.num_rows
        self._writer.write_table(table)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._writer.close()
        except Exception as failed:
            self._stack.__exit__(type(failed), failed, failed.__traceback__)
            raise
        self._stack.__exit__(kind, error, traceback)


def _metadata(info: IndexInfo) -> dict[str, str]:
    column = {"encoding": "WKB", "geometry_types": ["Polygon"]}  # without crs: WGS 84 longitude and latitude
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    swath = {"schema_version": SCHEMA_VERSION, **info.to_json()}
    return {"geo": json.dumps(geo), "swath": json.dumps(swath, allow_nan=False)}


def batches_of(rows: Iterator[dict[str, Any]], size: int = 4096) -> Iterator[pa.RecordBatch]:
    """Gather rows (dicts; columns left out are null) into record batches, so that memory stays flat."""
    held: list[dict[str, Any]] = []
    for row in rows:
        held.append(row)
        if len(held) == size:
            yield pa.RecordBatch.from_pylist(held, schema=SCHEMA)
            held = []
    if held:
        yield pa.RecordBatch.from_pylist(held, schema=SCHEMA)


def read_index(path: Location) -> Index:
    """Read an index whole and check that its rows can be used.

    Raises:
        DataError: not an index, another version, no rows, a column missing, a label outside the vocabulary,
            an id twice, or a path that leaves the root.
    """
    if not storage.is_file(path):
        raise DataError(mistaken(path, "index"))
    held = storage.read_bytes(path)
    try:
        table = pq.read_table(pa.BufferReader(held))
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{path} is not a whole Parquet file. Make it again: swath index SOURCE --out {path}"
        ) from error
    info = _info_of(path, table.schema)
    _check_columns(path, table.column_names)
    if table.num_rows == 0:
        raise DataError(f"{path} has 0 rows. Check the source, and index it again.")
    _check_ids(path, table["id"])
    _check_paths(path, table["paths"], info)
    _check_labels(path, table["labels"], info.vocabulary)
    return Index(info, table, hashlib.sha256(held).hexdigest())


def _info_of(path: Location, schema: pa.Schema) -> IndexInfo:
    metadata = schema.metadata or {}
    if "features" in schema.names:
        raise DataError(mistaken(path, "index"))
    if b"swath" not in metadata:
        raise DataError(
            f"{path} is not an index of swath (columns: {', '.join(schema.names[:8])}). "
            f"Make one: swath index SOURCE --out {path}"
        )
    value = json.loads(metadata[b"swath"])
    version = value.pop("schema_version", None)
    if version != SCHEMA_VERSION:
        raise DataError(
            f"{path} is an index of version {version}; this swath reads {SCHEMA_VERSION}. "
            f"Make it again with swath index."
        )
    return IndexInfo.from_json(value)


def _check_columns(path: Location, names: Sequence[str]) -> None:
    missing = [name for name in SCHEMA.names if name not in names]
    if missing:
        raise DataError(
            f'{path} has no column "{missing[0]}"; columns: {", ".join(names)}.'
            f"{did_you_mean(missing[0], names)} Make it again with swath index."
        )


def _check_ids(path: Location, ids: pa.ChunkedArray) -> None:
    if pc.count_distinct(ids).as_py() == len(ids):
        return
    seen: dict[str, int] = {}
    for row, name in enumerate(ids.to_pylist()):
        if name in seen:
            raise DataError(
                f'{path}: rows {seen[name]} and {row} have the same id "{name}". Index the source again.'
            )
        seen[name] = row


def _check_paths(path: Location, paths: pa.ChunkedArray, info: IndexInfo) -> None:
    lengths = pc.list_value_length(paths)
    if not info.root and pc.max(lengths).as_py() == 0:
        return
    fits = pc.or_(pc.equal(lengths, 1), pc.equal(lengths, len(info.bands)))
    row = pc.index(fits, value=False).as_py()
    if row >= 0:
        found = lengths[row].as_py()
        raise DataError(
            f"{path}: row {row} has {found} paths; expected 1, or one for each of {len(info.bands)} bands."
        )
    leaves = pc.match_substring_regex(pc.list_flatten(paths), PATH_LEAVES_ROOT)
    flat = pc.index(leaves, value=True).as_py()
    if flat >= 0:
        row = pc.list_parent_indices(paths)[flat].as_py()
        raise DataError(
            f"{path}: row {row} leaves the data root: {pc.list_flatten(paths)[flat].as_py()!r}. Refused."
        )


def _check_labels(path: Location, labels: pa.ChunkedArray, vocabulary: tuple[str, ...]) -> None:
    names = pc.list_flatten(labels)
    known = pc.is_in(names, value_set=pa.array(vocabulary, pa.string()))
    flat = pc.index(known, value=False).as_py()
    if flat >= 0:
        row, name = pc.list_parent_indices(labels)[flat].as_py(), names[flat].as_py()
        raise DataError(
            f'{path}: unknown label "{name}" in row {row}; {len(vocabulary)} labels are known.'
            f"{did_you_mean(name, vocabulary)}"
        )
