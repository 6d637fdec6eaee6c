"""Files on S3, copied here for a moment, so that the raster gate reads them as any others."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from swath import storage
from swath.errors import DataError
from swath.location import Location

_PIECE = 1 << 20
_AT_ONCE = 32  # small objects are mostly waited for


@contextlib.contextmanager
def files_here(root: Location, paths: Iterable[str], *, large: bool = False) -> Iterator[Path]:
    """A folder of this machine that holds the files: `root` itself, or copies of those that are on S3.

    `large` ones are copied piece by piece, which takes two requests more for each and no memory.
    An object that is missing is missing here too. Errors name the objects, not the copies.

    Raises:
        MachineError: S3 cannot be reached, or refuses.
    """
    if isinstance(root, Path):
        yield root
        return
    with (
        tempfile.TemporaryDirectory(prefix="swath-") as folder,
        ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="swath-fetch") as pool,
    ):
        here = Path(folder)
        copy = _copy_large if large else _copy
        list(pool.map(lambda path: copy(root / path, here / path), set(paths)))
        yield here


def _copy(source: Location, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(DataError):  # missing: the gate says so of the tile that needs it
        target.write_bytes(storage.read_bytes(source))


def _copy_large(source: Location, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(DataError), storage.open_stream(source) as stream, target.open("wb") as copy:
        shutil.copyfileobj(stream, copy, _PIECE)
