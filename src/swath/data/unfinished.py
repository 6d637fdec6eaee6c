"""A pack that outlives a stop: what is written stays, and the next try goes on behind it.

Beside the output lies a folder `.NAME.part` (on S3 the output itself) with Lance fragments and progress.npz,
which is put in place in one piece whenever a fragment has ended: it never speaks of tiles that are not there.
"""

import contextlib
import io
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from lance.fragment import FragmentMetadata

from swath import storage
from swath.data.bands import BandGroup
from swath.data.fragment import files_of, remove_orphans
from swath.data.writer import TileWriter
from swath.errors import DataError, UsageError
from swath.files import check_is_free, check_parent, disk_errors, file_aside, settle, sync_folder
from swath.location import Location, S3Path

_PROGRESS = "progress.npz"
_STATE, _SCHEMA = "state", "schema"

Arrays = Mapping[str, npt.NDArray[Any]]


def part_of(path: Location) -> Location:
    """Where an unfinished pack of `path` lies."""
    return path if isinstance(path, S3Path) else path.with_name(f".{path.name}.part")


class UnfinishedWriter(TileWriter):
    """A TileWriter that goes on where `save` was called last. `work` says what is being packed, in JSON.

    `done` (JSON) and `arrays` are what was given to `save`; {} for a new pack.

    Raises:
        UsageError: `path` exists, or what lies beside it was begun with other `work`.
    """

    def __init__(
        self,
        path: Location,
        *,
        groups: tuple[BandGroup, ...],
        info: dict[str, Any],
        work: dict[str, Any],
    ) -> None:
        super().__init__(path, groups=groups, info=info)
        self._work = json.loads(json.dumps(work))
        self._is_unusable = False
        self.done: dict[str, Any] = {}
        self.arrays: dict[str, npt.NDArray[Any]] = {}

    def save(self, done: dict[str, Any], arrays: Arrays) -> None:
        """End the fragment, and keep all tiles so far for good."""
        self._end_fragment()
        assert self._schema is not None
        state = {
            "work": self._work,
            "done": done,
            "tiles": self.tiles,
            "chain": self._chain.hex(),
            "fragments": [fragment.to_json() for fragment in self._fragments],
        }
        if isinstance(self._aside, Path):
            sync_folder(self._aside)  # before anything says that the tiles are there
        texts = {_STATE: json.dumps(state).encode(), _SCHEMA: self._schema.serialize().to_pybytes()}
        self._claim.check()
        with file_aside(self._aside / _PROGRESS) as aside, aside.open("wb") as stream:
            held = {name: np.frombuffer(text, np.uint8) for name, text in texts.items()}
            np.savez_compressed(stream, allow_pickle=False, **{**arrays, **held})

    def discard(self) -> None:
        """Keep nothing, once the `with` block ends with an error: the tiles turned out to be unusable."""
        self._is_unusable = True

    def _remove(self) -> None:
        if isinstance(self._aside, S3Path):
            storage.remove(self._aside)
        else:
            shutil.rmtree(self._aside, ignore_errors=True)

    def _place(self) -> AbstractContextManager[Location]:
        return self._kept()

    @contextlib.contextmanager
    def _kept(self) -> Iterator[Location]:
        part = part_of(self._path)
        if isinstance(part, Path):
            check_parent(part)
            check_is_free(self._path)
            with disk_errors(part):
                part.mkdir(exist_ok=True)
        if storage.is_file(part / _PROGRESS):
            self._go_on(part)
        elif isinstance(part, S3Path):
            check_is_free(part)
        with self._claim.held():
            remove_orphans(part, self._fragments)
            try:
                with _errors_of(part):
                    yield part
            except BaseException:
                if self._claim.holds and (self._is_unusable or not storage.is_file(part / _PROGRESS)):
                    self._remove()
                raise
            with _errors_of(part):
                storage.remove(part / _PROGRESS)
        if isinstance(part, Path) and isinstance(self._path, Path):
            with disk_errors(part):
                settle(part, self._path)

    def _go_on(self, part: Location) -> None:
        with np.load(io.BytesIO(storage.read_bytes(part / _PROGRESS))) as held:
            state = json.loads(held[_STATE].tobytes())
            schema = held[_SCHEMA].tobytes()
            self.arrays = {name: held[name] for name in held.files if name not in {_STATE, _SCHEMA}}
        if state["work"] != self._work:
            changed = sorted(key for key in self._work if state["work"].get(key) != self._work[key])
            raise UsageError(
                f"{part} holds a pack that was begun with another {', '.join(changed)}. "
                f"Repeat the old command to finish it, remove {part}, or choose another --out."
            )
        self._fragments = [FragmentMetadata.from_json(json.dumps(entry)) for entry in state["fragments"]]
        self._schema = pa.ipc.read_schema(pa.py_buffer(schema))
        self._chain, self.tiles, self.done = bytes.fromhex(state["chain"]), state["tiles"], state["done"]
        written = [part / "data" / name for fragment in self._fragments for name in files_of(fragment)]
        lost = next((path for path in written if not storage.is_file(path)), None)
        if lost:
            raise DataError(f"{lost} is missing, though it was written. Remove {part} and pack again.")


def _errors_of(part: Location) -> AbstractContextManager[None]:
    return storage.s3_errors(part) if isinstance(part, S3Path) else disk_errors(part)
