"""Writing so that a reader sees the old file, the new file, or none: aside, fsync, rename.

S3 has no rename, but an object appears whole when it is put, and a dataset when it is committed.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swath import storage
from swath.errors import MachineError, SwathError, UsageError
from swath.location import Location, S3Path

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FULL_WORDS = ("No space left", "File too large", "quota exceeded")
_NOT_WRITABLE = frozenset({errno.EACCES, errno.EROFS, errno.EPERM, errno.EIO, errno.ENAMETOOLONG})


@contextlib.contextmanager
def file_aside(path: Location) -> Iterator[Path]:
    """Give a temporary path beside `path` (on this machine for S3); on success it becomes `path`, on any
    error it is removed.

    Whatever library writes it, who may read it is what the umask says.

    Raises:
        MachineError: the disk is full or cannot be written.
        UsageError: `path` is a folder.
    """
    check_output(path)
    if isinstance(path, S3Path):
        with disk_errors(Path(tempfile.gettempdir())), storage.object_aside(path) as local:
            yield local
        return
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with disk_errors(path):
            mode = _usual_mode(aside)
            yield aside
            aside.chmod(mode)
            _fsync(aside)
            aside.replace(path)
            _fsync(path.parent)
    finally:
        aside.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_aside(path: Path) -> Iterator[Path]:
    """As `file_aside` for a folder that does not exist yet: every file in it is fsynced before the rename.

    Raises:
        MachineError: the disk is full or cannot be written.
        UsageError: `path` exists already.
    """
    check_parent(path)
    check_is_free(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        with disk_errors(path):
            aside.mkdir()
            yield aside
            settle(aside, path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Wait until all of a folder is on the disk."""
    for entry in folder.rglob("*"):
        _fsync(entry)
    _fsync(folder)


def settle(aside: Path, path: Path) -> None:
    """Give a whole folder its name, once all of it is on the disk."""
    sync_folder(aside)
    aside.rename(path)
    _fsync(path.parent)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn every spelling of "no space left" and "not writable" into one MachineError.

    A full disk is an OSError from Python, a SafetensorError or an Arrow or Lance error from below, so the
    text is read.
    """
    try:
        yield
    except SwathError:
        raise
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        if number in _FULL or any(words in str(error) for words in _FULL_WORDS):
            raise MachineError(_full(path)) from error
        if number in _NOT_WRITABLE or _is_not_taken(error):
            raise MachineError(
                f"{path}: not writable ({os.strerror(number or 0)}). Choose another --out."
            ) from error
        raise


def check_is_free(path: Location) -> None:
    """Refuse to write where something is.

    Raises:
        UsageError: `path` exists.
    """
    if storage.exists(path):
        raise UsageError(f"{path} exists already; nothing was written. Choose another --out or remove it.")


def check_output(path: Location, *, begins: bytes = b"") -> None:
    """Make the folder that a file goes into; what may be written over begins with `begins`, or is empty.

    Raises:
        MachineError: the folder cannot be made, or the file that is there cannot be read.
        UsageError: `path` is a folder, or a file of another kind, which is not replaced.
    """
    check_parent(path)
    with disk_errors(path) if isinstance(path, Path) else contextlib.nullcontext():
        if storage.is_folder(path):
            raise UsageError(f"{path} is a folder; expected the name of a file to write.")
        head = b""
        if begins and storage.is_file(path):
            head = storage.read_range(path, 0, len(begins))
    if head not in {b"", begins}:
        raise UsageError(f"{path} holds something else already; it was not touched. Choose another --out.")


def check_parent(path: Location) -> None:
    """Make the folder that `path` goes into (S3 has none).

    Raises:
        UsageError: something on the way is a file.
    """
    if isinstance(path, S3Path):
        return
    try:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"{path.parent} is a file, not a folder; choose another --out.") from error


def write_json(path: Path, value: object) -> None:
    with file_aside(path) as aside:
        aside.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _full(path: Path) -> str:
    free = ""
    with contextlib.suppress(OSError):
        free = f" ({shutil.disk_usage(path.parent).free / 2**20:.1f} MiB free)"
    return f"no space left for {path}{free}. Free space or choose another --out; nothing was replaced."


def _is_not_taken(error: Exception) -> bool:
    """Whether it is about something new in a folder that is there: /proc and its like take no files."""
    if not isinstance(error, FileNotFoundError) or error.filename is None:
        return False
    return Path(error.filename).parent.is_dir()


def _usual_mode(path: Path) -> int:
    """That of a new file, tried out at `path`: asking for the umask would change it for all threads."""
    path.unlink(missing_ok=True)
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    path.unlink()
    return mode


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
