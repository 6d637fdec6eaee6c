"""Files on S3 as files of this machine, for as long as they are needed, so that the raster gate reads them.

GDAL never opens a URL. An object is copied whole and in pieces, so memory does not grow with it; copies that
nobody uses are kept while they fit into `KEPT_BYTES`, because neighbouring tiles are cut from one scene.
"""

import contextlib
import functools
import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from swath import storage
from swath.errors import DataError, SwathError
from swath.files import disk_errors
from swath.location import Location, S3Path

KEPT_BYTES = 2 << 30  # on the disk of temporary files
_AT_ONCE = 32  # small objects are mostly waited for


class LocalCopies:
    """Files below `root`, used from any thread; of a folder of this machine they are the files themselves."""

    def __init__(self, root: Location, *, kept_bytes: int | None = None) -> None:
        self._root, self._kept_bytes = root, KEPT_BYTES if kept_bytes is None else kept_bytes
        self._lock = threading.Lock()
        self._copies: OrderedDict[str, _Copy] = OrderedDict()  # the one that was used last comes last
        self._bytes = 0
        self._held: Path | None = None
        if isinstance(root, S3Path):
            self._held = Path(tempfile.mkdtemp(prefix="swath-"))
            weakref.finalize(self, shutil.rmtree, self._held, ignore_errors=True)

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process makes copies of its own."""
        return functools.partial(LocalCopies, kept_bytes=self._kept_bytes), (self._root,)

    @contextlib.contextmanager
    def of(self, paths: Iterable[str]) -> Iterator[Path]:
        """The folder that holds the files until the block ends. One that is missing is missing there too.

        Errors that leave the block name the objects, not the copies.

        Raises:
            MachineError: S3 cannot be reached, or refuses; the disk is full.
        """
        if self._held is None or not isinstance(self._root, S3Path):
            assert isinstance(self._root, Path)
            yield self._root
            return
        here = self._held / (self._root.name or self._root.bucket)
        taken = [self._take(path) for path in dict.fromkeys(paths)]
        try:
            self._fetch(taken, here)
            yield here
        except SwathError as error:
            if str(here) not in str(error):
                raise
            raise type(error)(str(error).replace(str(here), str(self._root))) from error
        finally:
            self._give_back(taken)

    def _take(self, path: str) -> "_Copy":
        with self._lock:
            copy = self._copies.setdefault(path, _Copy(path))
            self._copies.move_to_end(path)
            copy.users += 1
            return copy

    def _fetch(self, copies: list["_Copy"], here: Path) -> None:
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="swath-fetch") as pool:
            fetched = sum(pool.map(lambda copy: copy.fetch(self._root, here), copies))
        with self._lock:
            self._bytes += fetched

    def _give_back(self, taken: list["_Copy"]) -> None:
        with self._lock:
            for copy in taken:
                copy.users -= 1
            if self._bytes <= self._kept_bytes:
                return
            for copy in [copy for copy in self._copies.values() if not copy.users]:
                self._bytes -= copy.remove()
                del self._copies[copy.path]
                if self._bytes <= self._kept_bytes:
                    return


class _Copy:
    """One object; whoever comes first fetches it, the others wait for that."""

    def __init__(self, path: str) -> None:
        self.path, self.users = path, 0
        self._lock = threading.Lock()
        self._at: Path | None = None
        self._bytes = 0

    def fetch(self, root: Location, here: Path) -> int:
        """Bytes that came: 0 where it is here already, or missing, of which the gate tells."""
        with self._lock:
            if self._at is not None:
                return 0
            source, self._at = root / self.path, here / self.path
            self._at.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(DataError), disk_errors(self._at):
                with storage.open_stream(source) as stream, self._at.open("wb") as copy:
                    shutil.copyfileobj(stream, copy, 1 << 20)
                self._bytes = self._at.stat().st_size
            return self._bytes

    def remove(self) -> int:
        """The bytes that are free again."""
        if self._at is not None:
            self._at.unlink(missing_ok=True)
        return self._bytes
