"""One file over HTTP: fetched in one piece or many, kept when the line breaks, and checked at the end."""

import hashlib
import http.client
import logging
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from swath.errors import DataError, MachineError
from swath.files import check_parent, disk_errors

logger = logging.getLogger(__name__)

_PIECE = 1 << 20
_TIMEOUT_S = 60.0
_TRIES = 8  # in a row, without a byte in between
_LONGEST_WAIT_S = 60.0
OnBytes = Callable[[int], None]
_AGAIN = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class RemoteFile:
    """Where a file is and how it is known again; `md5` and `num_bytes` are None where they are not known."""

    url: str
    md5: str | None
    num_bytes: int | None = None

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2].partition("?")[0]


class _BrokenOffError(Exception):
    """The line broke, or the server asked to come again; what was got so far is kept."""


def fetch(remote: RemoteFile, folder: Path, *, on_bytes: OnBytes) -> Path:
    """The path of the whole, checked file; `on_bytes` hears of every piece. It is named NAME.part until then.

    Raises:
        DataError: the server has not got it, or what came is not the published file.
        MachineError: the server cannot be reached, or there is no space.
    """
    path = folder / remote.name
    part = path.with_name(f"{path.name}.part")
    check_parent(path)
    if path.exists():
        _check_md5(path, remote)
        on_bytes(path.stat().st_size)
        return path
    tries = 0
    while True:
        before = _size(part)
        try:
            with disk_errors(part):
                _go_on(remote, part, on_bytes)
            break
        except _BrokenOffError as error:
            tries = 1 if _size(part) > before else tries + 1
            if tries >= _TRIES:
                raise MachineError(
                    f"{remote.url}: {error}, {_TRIES} times in a row. {_size(part):,} bytes are kept in "
                    f"{part}; the same command goes on from there."
                ) from error
            logger.info(f"{remote.name}: {error}; going on at {_size(part):,} bytes")
            pause(min(2.0**tries, _LONGEST_WAIT_S))
    _check_md5(part, remote)
    part.replace(path)
    return path


def pause(seconds: float) -> None:
    time.sleep(seconds)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _go_on(remote: RemoteFile, part: Path, on_bytes: OnBytes) -> None:
    """Ask for what is missing of `part` and append it."""
    have = _size(part)
    if remote.num_bytes is not None and have >= remote.num_bytes:
        return
    answer = _ask(remote, have)
    if answer is None:
        return
    with answer:
        start, total = _place_of(remote, answer, have)
        _check_space(part, remote, (total or 0) - start)
        with part.open("r+b" if part.exists() else "wb") as stream:
            stream.truncate(start)
            stream.seek(start)
            while piece := _read(answer):
                stream.write(piece)
                on_bytes(len(piece))
            end = stream.tell()
    if total is not None and end < total:
        raise _BrokenOffError(f"the line broke at {end:,} of {total:,} bytes")


def _ask(remote: RemoteFile, start: int) -> http.client.HTTPResponse | None:
    """The answer to a request for the bytes from `start`; None where the server has no more."""
    headers = {"Range": f"bytes={start}-"} if start else {}
    request = urllib.request.Request(remote.url, headers=headers)  # noqa: S310 -- the table allows http(s) alone
    try:
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            return None
        said = f"the server answers {error.code} {error.reason}"
        if error.code in _AGAIN:
            raise _BrokenOffError(said) from error
        raise DataError(
            f"{remote.url}: {said}. If the file has moved, give a table with its new address: --table"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOffError(f"not reached ({error or type(error).__name__})") from error
    return answer


def _read(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read(_PIECE)
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOffError(f"the line broke ({error or type(error).__name__})") from error


def _place_of(remote: RemoteFile, answer: http.client.HTTPResponse, asked: int) -> tuple[int, int | None]:
    """Where the answer begins in the file, and the size of the file if the server says it."""
    if answer.status == 206:
        unit, _, said = answer.headers.get("Content-Range", "").partition(" ")
        place, _, size = said.partition("/")
        first = place.partition("-")[0]
        if unit != "bytes" or not first.isdecimal() or int(first) != asked:
            raise DataError(
                f'{remote.url}: asked for bytes from {asked:,}, the server sends "{said}". Try a mirror.'
            )
        total = int(size) if size.isdecimal() else None
    else:  # the range was not heeded: all of it comes again
        length = answer.headers.get("Content-Length", "")
        asked, total = 0, int(length) if length.isdecimal() else None
    if None not in {total, remote.num_bytes} and total != remote.num_bytes:
        raise DataError(
            f"{remote.url} has {total:,} bytes; the published file has {remote.num_bytes:,}. Try a mirror."
        )
    return asked, total


def _check_space(part: Path, remote: RemoteFile, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise MachineError(
            f"{remote.name} needs {needed / 1e9:.1f} GB more, {part.parent} has {free / 1e9:.1f} GB. "
            "Free space or choose another --out."
        )


def _check_md5(path: Path, remote: RemoteFile) -> None:
    if remote.md5 is None:
        logger.warning(f"{path}: not checked, the table of addresses has no md5 for it")
        return
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found == remote.md5:
        return
    said = f"{path} has md5 {found}; the published file has {remote.md5}"
    if path.name == remote.name:
        raise DataError(f"{said}. Remove or rename it, then type the same command again.")
    path.unlink()
    raise DataError(f"{said}. It was removed; type the same command again, or try a mirror with --table.")
