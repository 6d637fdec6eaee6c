"""Objects on S3: their hash travels with them, stages read copies of them, and some are changed only by who
knows their newest state.
"""

import contextlib
import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError

from swath import storage
from swath.errors import DataError, SwathError
from swath.files import sha256_of
from swath.location import Location, S3Path
from swath.storage import s3_errors, store_of

_HASH = "sha256"
_TRIES = 3


def put_file(local: Path, path: S3Path) -> None:
    """Put a file, in one piece or in several, with the hash of its bytes beside them.

    Raises:
        MachineError: S3 cannot be reached, or refuses.
    """
    with s3_errors(path):
        obstore.put(store_of(path), path.key, local, attributes={_HASH: sha256_of(local)})


def fetch_file(path: S3Path, local: Path) -> None:
    """Get an object, and compare it with its hash where it has one; what was changed on its way comes again.

    Raises:
        DataError: it is missing, or is not what was put.
        MachineError: S3 cannot be reached, or refuses.
    """
    local.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(_TRIES):
        found = hashlib.sha256()
        with s3_errors(path):
            answer = obstore.get(store_of(path), path.key)
            wanted = answer.attributes.get(_HASH)
            with local.open("wb") as stream:
                for piece in answer.stream():
                    found.update(piece)
                    stream.write(piece)
        if wanted in {None, found.hexdigest()}:
            return
    local.unlink()
    raise DataError(f"{path}: sha256 mismatch; these are not the bytes that were put there")


@contextlib.contextmanager
def copy_of(path: S3Path) -> Iterator[Path]:
    """Where a copy of what lies on S3 may be put for this while; an error calls it by its true name."""
    with tempfile.TemporaryDirectory(prefix="swath-") as folder:
        local = Path(folder) / (path.name or path.bucket)
        try:
            yield local
        except SwathError as error:
            error.args = (str(error).replace(str(local), str(path)),)
            raise


@contextlib.contextmanager
def file_here(path: Location) -> Iterator[Path]:
    """A file to be read: itself, or a copy of the object. Raises as `fetch_file`."""
    if isinstance(path, Path):
        yield path
        return
    with copy_of(path) as local:
        fetch_file(path, local)
        yield local


@contextlib.contextmanager
def files_here(folder: Location, names: Iterable[str]) -> Iterator[Path]:
    """A folder to be read, or a copy of it with those of the files `names` that are there. Raises as
    `fetch_file`.
    """
    if isinstance(folder, Path):
        yield folder
        return
    with copy_of(folder) as local:
        local.mkdir()
        for name in names:
            if storage.is_file(folder / name):
                fetch_file(folder / name, local / name)
        yield local


@contextlib.contextmanager
def files_put(folder: S3Path, *, last: str) -> Iterator[Path]:
    """A new folder to be written here; at the end its files are put to S3, `last` as the last of them."""
    with copy_of(folder) as local:
        local.mkdir()
        yield local
        for path in sorted(local.iterdir(), key=lambda path: path.name == last):
            put_file(path, folder / path.name)


@dataclass(frozen=True)
class Version:
    """A state of an object, and what S3 calls it."""

    content: bytes
    tag: str


def read_version(path: S3Path) -> Version | None:
    """The newest state, None where there is no such object."""
    with s3_errors(path):
        try:
            answer = obstore.get(store_of(path), path.key)
            return Version(answer.bytes().to_bytes(), str(answer.meta["e_tag"]))
        except FileNotFoundError:
            return None


def swap(path: S3Path, content: bytes, *, after: Version | None) -> Version | None:
    """Put `content` in the place of the state `after` (None: of nothing); None if another state is there.

    `content` is like no other, so a put whose answer was lost is known by it.
    """
    mode = "create" if after is None else {"e_tag": after.tag}
    with s3_errors(path):
        try:
            done = obstore.put(store_of(path), path.key, content, mode=mode)  # type: ignore[arg-type] # e_tag alone will do
            return Version(content, str(done["e_tag"]))
        except (AlreadyExistsError, PreconditionError):
            pass
    now = read_version(path)
    return now if now is not None and now.content == content else None
