"""Features while they are made: records on the disk, in the order in which they come.

They lie beside the file that they become, in a folder that the next call finds after one that was stopped.
Legend: N records, D numbers a feature.
"""

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from swath.features.table import Origin, Rows, Values
from swath.files import disk_errors, read_json, write_json
from swath.runtime.lock import RunLock

_SYNC_BYTES = 64 << 20
log = logging.getLogger(__name__)


class FeatureRecords:
    """A file of records, each the row of a tile in its pack and the feature (D,); it only grows.

    A record that was cut short by the end of the process, or of the machine, is dropped.
    """

    def __init__(self, path: Path, *, dim: int) -> None:
        self._path = path
        self._record = np.dtype([("row", "<i8"), ("feature", "<f4", (dim,))])
        self._unsynced = 0
        with path.open("ab") as stream:
            stream.truncate(stream.tell() // self._record.itemsize * self._record.itemsize)

    def __len__(self) -> int:
        return self._path.stat().st_size // self._record.itemsize

    def append(self, rows: Rows, features: Values) -> None:
        """Add the features (B, D) of tiles."""
        records = np.empty(len(rows), self._record)
        records["row"], records["feature"] = rows, features
        with self._path.open("ab") as stream:
            stream.write(records.tobytes())
            self._unsynced += records.nbytes
            if self._unsynced >= _SYNC_BYTES:
                stream.flush()
                os.fsync(stream.fileno())
                self._unsynced = 0

    def rows(self) -> Rows:
        """(N,) of which tiles there are features, in the order in which they came."""
        return np.array(self._mapped()["row"], dtype=np.int64)

    def blocks(self, count: int) -> Iterator[Values]:
        """(count, D) features in the order of the pack; memory holds one block."""
        records = self._mapped()
        order = np.argsort(records["row"], kind="stable")
        for start in range(0, len(order), count):
            yield records[order[start : start + count]]["feature"]

    def _mapped(self) -> "np.ndarray[tuple[int], np.dtype[np.void]]":
        """A file of nothing cannot be mapped."""
        return np.memmap(self._path, self._record, mode="r") if len(self) else np.empty(0, self._record)


@contextlib.contextmanager
def unfinished(path: Path, origin: Origin, *, dim: int, rows: range) -> Iterator[FeatureRecords]:
    """What an earlier call has left of features of `origin` and of the tiles `rows` for the file `path`, or
    no records yet.

    They are removed when the `with` block ends well, and kept where it does not.

    Raises:
        MachineError: another process makes the same file, or the disk is full.
    """
    folder = path.with_name(f".{path.name}.unfinished")
    with RunLock(folder), disk_errors(path):
        described, stored = folder / "origin.json", folder / "records"
        asked = {**asdict(origin), "rows": [rows.start, rows.stop]}
        if not described.exists() or read_json(described) != asked:
            stored.unlink(missing_ok=True)
            write_json(described, asked)
        records = FeatureRecords(stored, dim=dim)
        if len(records):
            log.info(
                "going on with %d features in %s, which an embedding that was stopped left",
                len(records),
                folder,
            )
        finished = False
        try:
            yield records
            finished = True
        finally:
            if finished or not len(records):
                shutil.rmtree(folder)
