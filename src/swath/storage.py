"""Bytes at a location: read, listed, written and removed, on this machine or on S3.

S3 is reached as the AWS_* environment says (AWS_ENDPOINT_URL for other servers); swath sets none of it.
Retries with backoff are obstore's, and last for minutes once a bucket has answered. Its errors become one
line that never shows a secret; those of local files stay what Python raises.
"""

import contextlib
import functools
import io
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from swath.errors import DataError, MachineError, SwathError
from swath.location import Location, S3Path
from swath.redaction import redacted

_AT_ONCE = 32
_TIMEOUT = timedelta(seconds=120)  # of one request; a stalled one is tried again
_RETRY_WITHIN = timedelta(seconds=400)  # from the first try: three that stall, and one that does not
_UNKNOWN_RETRIES = 6  # two to six seconds, for an address that has never answered
_RETRIES = 10_000  # it is the time that ends them
# A pause is drawn from between the first and this x the last: by 2, obstore's default, pauses do not grow
# (100 tries ended within 27 s), by more than e they do.
_PAUSES_GROW = 3
_LONGEST_PAUSE = timedelta(seconds=5)
_PIECE = 16 << 20
_CODE = re.compile(r"<Code>(\w+)</Code>")
_WRONG_KEYS = {"SignatureDoesNotMatch", "InvalidAccessKeyId", "ExpiredToken", "InvalidToken"}
_ELSEWHERE = {"PermanentRedirect", "AuthorizationHeaderMalformed"}
_Client = tuple[str, tuple[tuple[str, str], ...]]  # a bucket and the AWS_* environment
_answered: set[_Client] = set()  # a server that is away is waited for, an address that never answered is not
_FROM_THE_MACHINE = ("169.254.", "fd00:ec2::254", "credential")  # where obstore looks when no keys are set


def read_bytes(path: Location) -> bytes:
    """All of a file.

    Raises:
        DataError: it is missing.
        MachineError: S3 cannot be reached, or refuses.
    """
    if isinstance(path, Path):
        return path.read_bytes()
    with s3_errors(path):
        return obstore.get(store_of(path), path.key).bytes().to_bytes()


def read_range(path: Location, start: int, length: int) -> bytes:
    """At most `length` bytes from `start`; fewer at the end of the file. Raises as `read_bytes`."""
    if isinstance(path, Path):
        with path.open("rb") as stream:
            stream.seek(start)
            return stream.read(length)
    with s3_errors(path):
        return obstore.get_range(store_of(path), path.key, start=start, length=length).to_bytes()


def read_many(paths: Sequence[Location]) -> list[bytes]:
    """All of each file, many at a time: what S3 takes for one is mostly waiting. Raises as `read_bytes`."""
    with ThreadPoolExecutor(min(_AT_ONCE, len(paths) or 1), thread_name_prefix="swath-fetch") as pool:
        return list(pool.map(read_bytes, paths))


def open_stream(path: Location) -> BinaryIO:
    """A file to be read once from its beginning; on S3 in pieces, each of which is tried again by itself."""
    return path.open("rb") if isinstance(path, Path) else cast(BinaryIO, _S3Stream(path))


def size_of(path: Location) -> int:
    """Bytes of a file. Raises as `read_bytes`."""
    if isinstance(path, Path):
        return path.stat().st_size
    with s3_errors(path):
        return int(obstore.head(store_of(path), path.key)["size"])


def is_file(path: Location) -> bool:
    if isinstance(path, Path):
        return path.is_file()
    if not path.key:
        return False
    with s3_errors(path):
        try:
            obstore.head(store_of(path), path.key)
        except FileNotFoundError:
            return False
    return True


def is_folder(path: Location) -> bool:
    """A folder, or a prefix with something below it."""
    if isinstance(path, Path):
        return path.is_dir()
    return next(list_files(path), None) is not None


def exists(path: Location) -> bool:
    return path.exists() if isinstance(path, Path) else is_file(path) or is_folder(path)


def list_files(folder: Location) -> Iterator[str]:
    """Names of everything below `folder`, relative to it, with "/" between parts; sorted on S3."""
    if isinstance(folder, Path):
        for inside, _, names in os.walk(folder):
            yield from (Path(inside, name).relative_to(folder).as_posix() for name in names)
        return
    with s3_errors(folder):
        for batch in obstore.list(store_of(folder), folder.key or None, chunk_size=1000):
            below = (str(entry["path"])[len(folder.key) :].lstrip("/") for entry in batch)
            yield from (name for name in below if name)  # some tools leave an empty object for a folder


def list_sizes(folder: S3Path) -> Iterator[tuple[str, int]]:
    """As `list_files`, with the bytes of each."""
    with s3_errors(folder):
        for batch in obstore.list(store_of(folder), folder.key or None, chunk_size=1000):
            for entry in batch:
                name = str(entry["path"])[len(folder.key) :].lstrip("/")
                if name:
                    yield name, int(entry["size"])


def remove(path: Location) -> None:
    """Take a file, or an S3 prefix with all below it, away; nothing there is fine."""
    if isinstance(path, Path):
        path.unlink(missing_ok=True)
        return
    with s3_errors(path):
        keys = [path.key, *(f"{path.key}/{name}" for name in list_files(path))]
        obstore.delete(store_of(path), keys)


@contextlib.contextmanager
def object_aside(path: S3Path) -> Iterator[Path]:
    """Give a local path to write; on success it is put to `path` in one piece, on any error it is dropped."""
    with tempfile.TemporaryDirectory(prefix="swath-") as folder:
        aside = Path(folder) / (path.name or "object")
        yield aside
        with s3_errors(path):
            obstore.put(store_of(path), path.key, aside)


class _S3Stream(io.RawIOBase):
    def __init__(self, path: S3Path) -> None:
        self._path, self._size, self._next = path, size_of(path), 0
        self._held = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._held and self._next < self._size:
            piece = read_range(self._path, self._next, min(_PIECE, self._size - self._next))
            self._held, self._next = memoryview(piece), self._next + len(piece)
        count = min(len(buffer), len(self._held))
        buffer[:count], self._held = self._held[:count], self._held[count:]
        return count


def lance_options(path: Location) -> dict[str, str] | None:
    """What Lance has to be told beside the environment, which it reads as obstore does.

    Alone it gives up after three tries, half a second after a server went away (tried).
    """
    if not isinstance(path, S3Path):
        return None
    patience = {
        "client_max_retries": str(_RETRIES),
        "client_retry_timeout": str(round(_RETRY_WITHIN.total_seconds())),
    }
    return patience | _plain_http()


@contextlib.contextmanager
def s3_errors(path: Location) -> Iterator[None]:
    """Say in one line what S3 refused while something at `path` was read or written.

    Raises:
        DataError: the object or bucket is missing.
        MachineError: no or wrong credentials, access denied, S3 not reached.
    """
    try:
        yield
        if isinstance(path, S3Path):
            _answered.add(_client_of(path))
    except (BaseError, OSError, ValueError) as error:
        words = _in_words(path, error) if isinstance(path, S3Path) else None
        if words is None:
            raise
        raise words from None  # what it was made from shows requests and keys


def _in_words(path: S3Path, error: Exception) -> SwathError | None:
    text = str(error)
    found = _CODE.search(text)
    code = found[1] if found else ""
    if code == "NoSuchBucket":
        return DataError(f"{path}: there is no bucket {path.bucket}. Check the name and AWS_ENDPOINT_URL.")
    if isinstance(error, FileNotFoundError) and error.errno is None:  # of obstore: Python's have a number
        return DataError(f"{path} does not exist. Look what is there: aws s3 ls {path.parent}/")
    if isinstance(error, BaseError) or "S3 error" in text or "403 Forbidden" in text or code:
        return MachineError(f"{path}: {_refusal(path, code, text)}")
    return None


def _refusal(path: S3Path, code: str, text: str) -> str:
    if any(words in text for words in _FROM_THE_MACHINE):
        return (
            "no AWS credentials found. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (for example with "
            'eval "$(aws configure export-credentials --format env)"), or AWS_SKIP_SIGNATURE=true for a '
            "public bucket."
        )
    if code in _WRONG_KEYS:
        return (
            f"S3 refuses the credentials ({code}). "
            "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN."
        )
    if code in _ELSEWHERE or "301 Moved" in text or "redirect without LOCATION" in text:
        return f"bucket {path.bucket} is in another region; set AWS_REGION to it."
    if "403 Forbidden" in text:
        return (
            f"access denied ({code or '403'}). Check that the credentials are right, and that they may read, "
            f"list and write in bucket {path.bucket}."
        )
    return f"S3 answers {code or _on_one_line(text)}. Check AWS_ENDPOINT_URL and AWS_REGION."


def _on_one_line(text: str) -> str:
    line = " ".join(text.split("Debug source:", maxsplit=1)[0].split())
    return redacted(re.sub(r"(https?://[^\s?]+)\?\S*", r"\1", line))[:300]


def store_of(path: S3Path) -> S3Store:
    """The client of a bucket, as the environment of now says."""
    client = _client_of(path)
    return _opened(client, _RETRIES if client in _answered else _UNKNOWN_RETRIES)


def _client_of(path: S3Path) -> _Client:
    return path.bucket, tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))


@functools.lru_cache(maxsize=16)
def _opened(client: _Client, retries: int) -> S3Store:
    """One store a bucket and environment, so that its connections are used again."""
    return S3Store(
        client[0],
        client_options={"allow_http": bool(_plain_http()), "timeout": _TIMEOUT},
        retry_config={
            "max_retries": retries,
            "retry_timeout": _RETRY_WITHIN,
            "backoff": {"base": _PAUSES_GROW, "max_backoff": _LONGEST_PAUSE},
        },
    )


def _plain_http() -> dict[str, str]:
    """Who names an http endpoint means it."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or ""
    return {"allow_http": "true"} if endpoint.startswith("http://") else {}
