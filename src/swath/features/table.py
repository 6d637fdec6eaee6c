"""features.parquet: one row a tile of a pack, in its order, with the frozen features of one network.

GeoParquet 1.1, so QGIS and geopandas open it. Under the key `swath` of the file's metadata stands, as JSON,
which weights and which pack the features are of: features of anything else are refused. `crc32` is that of
the tile's pixels, so that features can be kept for tiles that another pack holds unchanged.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from swath.data.bands import TileFormat
from swath.data.store import TileStore
from swath.errors import DataError
from swath.features.backbone import Weights
from swath.features.content import Content, Pixels
from swath.files import file_aside
from swath.kinds import mistaken
from swath.location import absolute

SCHEMA_VERSION = 3
_KEY = "swath"
# The features of a tile stand beside these columns of the pack.
_COLUMNS = {
    "id": pa.string(),
    "split": pa.string(),
    "labels": pa.list_(pa.string()),
    "acquired": pa.date32(),
    "crc32": pa.uint32(),
    "geometry": pa.binary(),
}
_ROW_GROUP = 8192
_FOOTER_END = 8  # bytes of a Parquet file after its footer: the footer's length and "PAR1"

Values = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


class FeatureMaker(Protocol):
    """What makes features of stored pixels: a network, random convolutions, statistics."""

    trained: TileFormat
    weights: Weights

    @property
    def content(self) -> Content | Pixels: ...
    @property
    def scale(self) -> str: ...
    @property
    def dim(self) -> int: ...
    @property
    def image_px(self) -> int: ...
    def features(self, groups: list[Tensor], given: TileFormat) -> Tensor:
        """Stored pixels, one (B, Cg, h, w) a group of `given`, to (B, dim) float32 on the CPU."""

    def check_fits(self, given: TileFormat, *, where: str) -> None:
        """Raise DataError for tiles that it cannot look at."""


@dataclass(frozen=True)
class Origin:
    """What features are of: digests of checkpoint, pack and split, step, whose weights (teacher, student),
    which tokens of how many blocks, and how pixels were scaled (see FrozenBackbone).
    """

    checkpoint: str
    step: int
    weights: str
    pack: str
    split: str
    tokens: str
    blocks: int
    scale: str

    @classmethod
    def of(cls, maker: FeatureMaker, store: TileStore) -> "Origin":
        weights, content = maker.weights, maker.content
        return cls(
            checkpoint=weights.checkpoint, step=weights.step, weights=weights.whose,
            pack=store.digest, split=store.split_digest,
            tokens=content.tokens, blocks=content.blocks, scale=maker.scale,
        )  # fmt: skip

    def __str__(self) -> str:
        return (
            f"checkpoint {self.checkpoint[:12]} (step {self.step}, {self.weights}; {self.tokens}, "
            f"{self.blocks} blocks, scaled by {self.scale}) on pack {self.pack[:12]}, split {self.split[:12]}"
        )


@dataclass(frozen=True)
class About:
    """What a features file says of itself. `run` and `tiles` are where it was made from, absolute; `run` is
    None for features that no run made.
    """

    origin: Origin
    dim: int
    run: str | None
    tiles: str
    tile_format: TileFormat
    vocabulary: tuple[str, ...]


def write_features(
    path: Path, store: TileStore, maker: FeatureMaker, blocks: Iterable[Values], *, rows: range | None = None
) -> None:
    """Write blocks (B, D) of all tiles, or of `rows`, in the order of the pack; memory holds one group.

    Raises:
        MachineError: the disk is full or cannot be written; a file that was there stays.
    """
    columns = store.columns(*[name for name in _COLUMNS if name in store.column_names])
    schema = _schema(maker, store)
    rows = range(len(store)) if rows is None else rows
    start = rows.start
    with file_aside(path) as aside, pq.ParquetWriter(aside, schema, compression="zstd") as writer:
        for block in _joined(blocks, _ROW_GROUP):
            writer.write_table(_table(columns.slice(start, len(block)), block, schema))
            start += len(block)
        assert start == rows.stop, f"features up to tile {start} of {rows}"


def read_features(path: Path, rows: Rows, *, origin: Origin) -> Values:
    """(len(rows), D) features of the tiles `rows`, which ascend; memory holds these and one block.

    Raises:
        DataError: the file cannot be read, or its features are of another checkpoint or pack.
    """
    found = origin_of(path)
    if found != origin:
        raise DataError(
            f"{path} holds features of {found}; expected those of {origin}. "
            "Make them again: swath embed RUN TILES --out FILE"
        )
    values = np.empty((len(rows), about(path).dim), dtype=np.float32)
    start = filled = 0
    for block in feature_blocks(path):
        wanted = rows[filled : np.searchsorted(rows, start + len(block))] - start
        values[filled : filled + len(wanted)] = block[wanted]
        start, filled = start + len(block), filled + len(wanted)
    if filled < len(rows):
        raise DataError(
            f"{path} holds features of {start:,} tiles, a part of the pack (--part). Make the others too: "
            "swath embed RUN TILES --out FILE"
        )
    return values


def read_feature(path: Path, row: int) -> Values:
    """(D,) feature of one tile; only the rows that are stored with it are read.

    Raises:
        DataError: the file is damaged.
    """
    with _whole(path), pq.ParquetFile(path) as stored:
        for group in range(stored.num_row_groups):
            rows = stored.metadata.row_group(group).num_rows
            if row < rows:
                values = stored.read_row_group(group, columns=["features"])["features"][row].values
                return np.array(values.to_numpy(zero_copy_only=False))
            row -= rows
    raise IndexError(f"{path} has no row {row}")


def feature_blocks(path: Path) -> Iterator[Values]:
    """(B, D) features of all tiles in order, block by block.

    Raises:
        DataError: the file is damaged.
    """
    with _whole(path), pq.ParquetFile(path) as stored:
        dim = stored.schema_arrow.field("features").type.list_size
        for batch in stored.iter_batches(batch_size=_ROW_GROUP, columns=["features"]):
            flat = batch.column(0).flatten().to_numpy(zero_copy_only=False)
            yield flat.reshape(len(batch), dim).copy()  # Arrow's own memory must not be written to


def tile_columns(path: Path) -> pa.Table:
    """All columns but the features: id, split, labels, acquired, crc32, geometry (WKB).

    Raises:
        DataError: the file is damaged.
    """
    with _whole(path):
        return pq.read_table(path, columns=list(_COLUMNS))


def origin_of(path: Path) -> Origin:
    """What the features in a file were made of.

    Raises:
        DataError: not a features file, or one of another version.
    """
    return about(path).origin


def about(path: Path) -> About:
    """What a features file says of itself.

    Raises:
        DataError: not a features file, or one of another version.
    """
    with _whole(path):
        schema = pq.read_schema(path)
    if "features" not in schema.names:
        raise DataError(mistaken(path, "features"))
    described = json.loads((schema.metadata or {}).get(_KEY.encode(), b"{}"))
    if described.get("schema_version") != SCHEMA_VERSION or "origin" not in described:
        found = described.get("schema_version", "none")
        raise DataError(
            f"{path} has features of version {found}, this swath reads {SCHEMA_VERSION}. "
            "Make them again: swath embed RUN TILES --out FILE"
        )
    return About(
        origin=Origin(**described["origin"]),
        dim=schema.field("features").type.list_size,
        run=described["run"],
        tiles=described["tiles"],
        tile_format=TileFormat.from_json(described["tile_format"]),
        vocabulary=tuple(described["vocabulary"]),
    )


def fingerprint(path: Path) -> str:
    """Tells features from others: a hash of the file's footer.

    It holds the origin, and of every block its size and its least and greatest number.

    Raises:
        DataError: the file is damaged.
    """
    with _whole(path), path.open("rb") as stream:
        stream.seek(-_FOOTER_END, os.SEEK_END)
        length = int.from_bytes(stream.read(4), "little")
        stream.seek(-_FOOTER_END - length, os.SEEK_END)
        return hashlib.sha256(stream.read(length)).hexdigest()


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        if not path.is_file():
            raise DataError(mistaken(path, "features")) from error
        raise DataError(
            f"{path} is not a whole Parquet file; make it with: swath embed RUN TILES --out FILE"
        ) from error


def _joined(blocks: Iterable[Values], rows: int) -> Iterator[Values]:
    """The same rows in blocks of at least `rows`, but for the last."""
    held: list[Values] = []
    for block in blocks:
        held.append(block)
        if sum(map(len, held)) >= rows:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)


def _schema(maker: FeatureMaker, store: TileStore) -> pa.Schema:
    described: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "origin": asdict(Origin.of(maker, store)),
        "content": str(maker.content),
        "image_px": maker.image_px,
        "tile_format": maker.trained.to_json(),
        "vocabulary": list(store.vocabulary),
        "run": maker.weights.run,
        "tiles": absolute(store.path),
    }
    geometry = {"encoding": "WKB", "geometry_types": ["Polygon"]}  # no crs: WGS 84 longitude and latitude
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry}}
    fields = [pa.field(name, kind) for name, kind in _COLUMNS.items()]
    fields.append(pa.field("features", pa.list_(pa.float32(), maker.dim)))
    return pa.schema(fields, metadata={_KEY: json.dumps(described), "geo": json.dumps(geo)})


def _table(columns: pa.Table, block: Values, schema: pa.Schema) -> pa.Table:
    values = pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(block).ravel()), block.shape[1])
    arrays = [
        columns[name].cast(kind) if name in columns.column_names else pa.nulls(len(block), kind)
        for name, kind in _COLUMNS.items()
    ]
    return pa.table([*arrays, values], schema=schema)
