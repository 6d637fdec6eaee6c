"""Packed tiles: a Lance dataset with one row a tile, read by row number at the speed of the disk.

Columns: those of the index but for paths and windows, `crc32` (uint32, over the pixels of all groups in
order), and `pixels_0`, `pixels_1`, ... (fixed-size binary), one for each group of bands of one ground
resolution: the bytes of (bands, size_px, size_px), little-endian. Where the tiles have masks, `mask` holds
the bytes of (size_px, size_px) uint8 on the finest grid, and `mask_crc32` their checksum.

All else is JSON in the schema's metadata under "swath", written in the one commit that makes the folder a
dataset: an interrupted pack cannot open.

Lance is not fork-safe: open a store in the process that reads it, and do not fork afterwards.
"""

import hashlib
import json
from functools import cached_property
from typing import Any

import lance
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from isal import isal_zlib

from swath import storage
from swath.data.bands import BandGroup, TileFormat
from swath.data.labels import multi_hot
from swath.errors import DataError
from swath.kinds import kind_of, mistaken
from swath.location import Location, absolute, location

SCHEMA_VERSION = 1
METADATA_KEY = b"swath"
MASK_COLUMN, MASK_CRC32 = "mask", "mask_crc32"

Pixels = npt.NDArray[Any]


class TileStore:
    """A complete pack, opened for reading. A sample id is a row number of it.

    Raises:
        DataError: `path` is no pack, an incomplete one, or one of another version.
    """

    def __init__(self, path: Location | str) -> None:
        self.path = location(path) if isinstance(path, str) else path
        self._dataset, described = _open(self.path)
        self.format = TileFormat.from_json(described["tile_format"])
        self.vocabulary: tuple[str, ...] = tuple(described["vocabulary"])
        self.task: str | None = described["task"]
        self.digest: str = described["digest"]
        self.index_digest: str = described["index_digest"]
        self.statistics: dict[str, dict[str, float]] = described["statistics"]
        self.info: dict[str, Any] = described["info"]
        self._tiles: int = described["tiles"]
        self.tile_bytes = tile_bytes(self.format.groups)
        self.mask_vocabulary: tuple[str, ...] = tuple(described.get("mask_vocabulary", ()))
        self._pixel_columns = [f"pixels_{number}" for number in range(len(self.format.groups))]

    def __reduce__(self) -> tuple[type["TileStore"], tuple[str]]:
        """Another process opens it for itself."""
        return TileStore, (absolute(self.path),)

    def __len__(self) -> int:
        return self._tiles

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(
            name for name in self._dataset.schema.names if name not in {*self._pixel_columns, MASK_COLUMN}
        )

    def columns(self, *names: str) -> pa.Table:
        """Columns of all tiles, in order of rows, without pixels."""
        with storage.s3_errors(self.path):
            return self._dataset.to_table(columns=list(names))

    def ids(self) -> npt.NDArray[np.str_]:
        return np.asarray(self.columns("id")["id"].to_pylist(), dtype=np.str_)

    def splits(self) -> npt.NDArray[np.str_]:
        """(N,) train, val, test, gap, or '' where the tile has none."""
        return np.asarray(pc.fill_null(self.columns("split")["split"], "").to_pylist(), dtype=np.str_)

    @cached_property
    def split_digest(self) -> str:
        """Hash of which tile is in which split and what it is labelled, whatever the order of the tiles."""
        names = [name for name in ("id", "split", "labels") if name in self.column_names]
        columns = self.columns(*names).to_pydict().values()
        lines = sorted("\0".join(map(str, row)) for row in zip(*columns, strict=True))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def located(self) -> bool:
        """Whether every tile has a place on the ground."""
        return "geometry" in self.column_names and not self.columns("geometry")["geometry"].null_count

    def labels(self) -> npt.NDArray[np.uint8]:
        """(N, K) 0 or 1, classes as in `vocabulary`; zeros also where nobody looked: see `labelled`."""
        return multi_hot(self._labels, self.vocabulary)

    def labelled(self) -> npt.NDArray[np.bool_]:
        """(N,) whether somebody looked at the tile, also where the answer was "none of the classes"."""
        return np.asarray(pc.is_valid(self._labels).to_numpy(), dtype=np.bool_)

    @cached_property
    def _labels(self) -> pa.ChunkedArray:
        return self.columns("labels")["labels"]

    def read(self, rows: npt.NDArray[np.int64]) -> list[Pixels]:
        """Pixels of tiles by row number: one array (B, Cg, h, w) a group, in the order of `rows`.

        Raises:
            DataError: the bytes of a tile are not those that were packed.
        """
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"rows {rows.min()} to {rows.max()} are not all in 0 to {len(self) - 1}")
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]  # neighbours on the disk are read together: 10 to 40 % faster (measured)
        table = self._take(ascending, "crc32", *self._pixel_columns)
        pixels = [
            _from_arrow(table[name], group)
            for name, group in zip(self._pixel_columns, self.format.groups, strict=True)
        ]
        wrong = np.flatnonzero(checksums_of(pixels) != table["crc32"].to_numpy())
        if len(wrong):
            self._raise_damaged(ascending[wrong])
        undo = np.empty_like(order)
        undo[order] = np.arange(len(rows))
        return [values[undo] for values in pixels]

    def masks(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """(B, H, W) places in `mask_vocabulary`, or `masks.IGNORE`, in the order of `rows`.

        Raises:
            DataError: the bytes of a mask are not those that were packed.
        """
        table = self._take(rows, MASK_CRC32, MASK_COLUMN)
        band = BandGroup((MASK_COLUMN,), self.format.size_px, "uint8")
        masks = _from_arrow(table[MASK_COLUMN], band)
        wrong = np.flatnonzero(checksums_of([masks]) != table[MASK_CRC32].to_numpy())
        if len(wrong):
            self._raise_damaged(rows[wrong])
        return masks[:, 0].copy()

    def _take(self, rows: npt.NDArray[np.int64], *columns: str) -> pa.Table:
        with storage.s3_errors(self.path):
            return self._dataset.take(rows, columns=list(columns))

    def _raise_damaged(self, rows: npt.NDArray[np.int64]) -> None:
        first = self._take(rows[:1], "id")["id"][0].as_py()
        more = f" and {len(rows) - 1} more of this batch" if len(rows) > 1 else ""
        raise DataError(
            f'{self.path}: the pixels of tile "{first}" (row {rows[0]}){more} do not match their checksum. '
            f"The disk or a copy changed them: pack again, or copy {self.path.name} again."
        )


def tile_bytes(groups: tuple[BandGroup, ...]) -> int:
    """Of one tile's pixels, as stored."""
    return sum(len(group.bands) * group.size_px**2 * np.dtype(group.dtype).itemsize for group in groups)


def checksums_of(pixels: list[Pixels]) -> npt.NDArray[np.uint32]:
    """(B,) crc32 over each tile's bytes, group after group (64 GB/s on one core; by zlib 7)."""
    checksums = np.zeros(len(pixels[0]), dtype=np.uint32)
    for values in pixels:
        for tile, value in enumerate(np.ascontiguousarray(values)):
            checksums[tile] = isal_zlib.crc32(value, int(checksums[tile]))
    return checksums


def _open(path: Location) -> tuple[Any, dict[str, Any]]:
    if not storage.exists(path):
        raise DataError(mistaken(path, "tiles"))
    try:
        with storage.s3_errors(path):
            dataset = lance.dataset(str(path), storage_options=storage.lance_options(path))
    except (ValueError, OSError) as error:
        if kind_of(path) not in {None, "tiles"}:
            raise DataError(mistaken(path, "tiles")) from error
        reason = "is not a folder of packed tiles, or its packing was interrupted"
        raise DataError(f"{path} {reason}; make it with: swath pack INDEX --out OTHER") from error
    stored = (dataset.schema.metadata or {}).get(METADATA_KEY)
    if stored is None:
        raise DataError(f"{path} is a Lance dataset, but not one that swath pack wrote")
    described: dict[str, Any] = json.loads(stored)
    version = described.get("schema_version")
    if version != SCHEMA_VERSION:
        raise DataError(
            f"{path} has schema version {version}, this swath reads version {SCHEMA_VERSION}: pack it again"
        )
    rows = dataset.count_rows()
    if not described.get("complete") or rows != described["tiles"]:
        raise DataError(f"{path} is incomplete ({rows} of {described.get('tiles')} tiles): pack it again")
    return dataset, described


def _from_arrow(column: pa.ChunkedArray, group: BandGroup) -> Pixels:
    """(B, Cg, h, w) over the column's own memory, which must not be written to."""
    array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    dtype = np.dtype(group.dtype).newbyteorder("<")
    count = len(array) * array.type.byte_width // dtype.itemsize
    start = array.offset * array.type.byte_width
    flat = np.frombuffer(array.buffers()[1], dtype=dtype, count=count, offset=start)
    return flat.reshape(len(array), len(group.bands), group.size_px, group.size_px)
