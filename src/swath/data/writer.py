"""Writing packed tiles (see `store`): batch by batch aside, then one commit that says what they are."""

import contextlib
import hashlib
import json
import queue
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress
from types import TracebackType
from typing import Any, Self

import lance
import numpy as np
import pyarrow as pa
from lance.fragment import write_fragments

from swath import storage
from swath.data.bands import BandGroup, TileFormat
from swath.data.claim import Claim
from swath.data.store import MASK_COLUMN, MASK_CRC32, METADATA_KEY, SCHEMA_VERSION, Pixels, checksums_of
from swath.errors import DataError, SwathError
from swath.files import check_is_free, folder_aside
from swath.location import Location, S3Path

_FILE_VERSION = "2.1"  # of Lance: 2.0, 2.1 and 2.2 read at the same speed (measured), pylance 1.0 knows 2.1
_QUEUED_BATCHES = 2


class TileWriter:
    """Writes a pack aside; it becomes `path` when the `with` block ends after `finish`, else it vanishes.

    On S3, where nothing can be renamed, it is written in place and is no dataset before its one commit.

    `info` is kept as it is and comes back as TileStore.info: layout, attribution, anything JSON can say.

    Raises:
        UsageError: `path` exists already.
        MachineError: the disk is full or cannot be written.
    """

    def __init__(
        self,
        path: Location,
        *,
        groups: tuple[BandGroup, ...],
        info: dict[str, Any],
    ) -> None:
        self._path = path
        self._claim = Claim(path)  # of the prefix on S3; here folders have locks
        self._groups = groups
        self._info = info
        self._batches: queue.Queue[pa.RecordBatch | None] = queue.Queue(_QUEUED_BATCHES)
        self._schema: pa.Schema | None = None
        self._writing: Future[list[Any]] | None = None
        self._fragments: list[Any] = []
        self._chain = b""  # a hash over all tiles so far that can be saved and gone on with
        self._finished = False
        self.tiles = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._aside = stack.enter_context(self._place())
            self._pool = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="swath-pack"))
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert error is not None or self._finished, "TileWriter was left without finish()"
        self._stop_writing()
        self._exit.__exit__(kind, error, trace)

    def append(self, columns: pa.Table, pixels: list[Pixels], masks: Pixels | None = None) -> None:
        """Add tiles: their columns of the index, an array (B, Cg, h, w) a group, and masks (B, H, H)."""
        checksums = checksums_of(pixels)
        batch = columns.append_column("crc32", pa.array(checksums))
        for number, (group, values) in enumerate(zip(self._groups, pixels, strict=True)):
            batch = batch.append_column(f"pixels_{number}", _to_arrow(values, group))
        mask_checksums = np.zeros(0, np.uint32) if masks is None else checksums_of([masks])
        if masks is not None:
            batch = batch.append_column(MASK_CRC32, pa.array(mask_checksums))
            band = BandGroup((MASK_COLUMN,), masks.shape[-1], "uint8")
            batch = batch.append_column(MASK_COLUMN, _to_arrow(masks[:, None], band))
        if self._writing is None:
            self._schema = batch.schema.remove_metadata()
            self._writing = self._pool.submit(self._write)
        for number, tile_id in enumerate(columns["id"].to_pylist()):
            line = f"{tile_id}\0{checksums[number]}\n".encode()
            line += mask_checksums[number].tobytes() if masks is not None else b""
            self._chain = hashlib.sha256(self._chain + line).digest()
        self.tiles += len(columns)
        for part in batch.combine_chunks().to_batches():
            self._hand_over(part.replace_schema_metadata(None))

    def finish(
        self,
        tile_format: TileFormat,
        *,
        vocabulary: tuple[str, ...],
        task: str | None,
        mask_vocabulary: tuple[str, ...] = (),
        index_digest: str = "",
        statistics: Mapping[str, Mapping[str, float]] | None = None,
    ) -> str:
        """Commit the pack, with what it says about itself, and return its digest.

        Raises:
            DataError: there are no tiles.
        """
        self._end_fragment()
        if self._schema is None:
            raise DataError(f"no tiles to write to {self._path}")
        digest = hashlib.sha256(self._chain + ",".join(tile_format.bands).encode()).hexdigest()
        metadata = {
            "schema_version": SCHEMA_VERSION,
            "complete": True,
            "tiles": self.tiles,
            "tile_format": tile_format.to_json(),
            "vocabulary": vocabulary,
            "task": task,
            "mask_vocabulary": mask_vocabulary,
            "index_digest": index_digest,
            "statistics": statistics or {},
            "digest": digest,
            "info": self._info,
        }
        schema = self._schema.with_metadata({METADATA_KEY: json.dumps(metadata, allow_nan=False)})
        self._claim.check()
        lance.LanceDataset.commit(
            str(self._aside),
            lance.LanceOperation.Overwrite(schema, self._fragments),
            storage_options=storage.lance_options(self._aside),
        )
        self._finished = True
        return digest

    def _place(self) -> AbstractContextManager[Location]:
        return self._in_place(self._path) if isinstance(self._path, S3Path) else folder_aside(self._path)

    @contextlib.contextmanager
    def _in_place(self, path: S3Path) -> Iterator[Location]:
        """Fill a free prefix, and end it with the one commit; on any error all of it is removed."""
        check_is_free(path)
        with self._claim.held():
            try:
                with storage.s3_errors(path):
                    yield path
            except BaseException:
                with suppress(SwathError):
                    if self._claim.holds:
                        storage.remove(path)
                raise

    def _end_fragment(self) -> None:
        if self._writing is not None:
            self._hand_over(None)
            self._fragments += self._writing.result()
            self._writing = None

    def _hand_over(self, batch: pa.RecordBatch | None) -> None:
        assert self._writing is not None
        while not self._writing.done():
            with suppress(queue.Full):
                self._batches.put(batch, timeout=0.1)
                return
        self._writing.result()  # raises what stopped the writing thread

    def _write(self) -> list[Any]:
        """One large fragment: at 64 rows a call it is read at 57,000 to 60,000 tiles/s, 40 small ones at
        13,000 and 157 at 11,000 (one core of an AMD EPYC).
        """
        reader = pa.RecordBatchReader.from_batches(self._schema, self._queued())
        written: list[Any] = write_fragments(
            reader,
            str(self._aside),
            mode="create",
            data_storage_version=_FILE_VERSION,
            storage_options=storage.lance_options(self._aside),
        )
        return written

    def _queued(self) -> Iterator[pa.RecordBatch]:
        while (batch := self._batches.get()) is not None:
            yield batch

    def _stop_writing(self) -> None:
        while self._writing is not None and not self._writing.done():
            with suppress(queue.Full):
                self._batches.put(None, timeout=0.1)


def _to_arrow(values: Pixels, group: BandGroup) -> pa.Array:
    shape = (len(values), len(group.bands), group.size_px, group.size_px)
    if values.shape != shape or values.dtype != np.dtype(group.dtype):
        raise ValueError(f"pixels {values.shape} {values.dtype} do not fit {shape} {group.dtype}")
    flat = np.ascontiguousarray(values, dtype=np.dtype(group.dtype).newbyteorder("<"))
    width = flat.nbytes // len(flat)
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(flat), [None, pa.py_buffer(flat)])
