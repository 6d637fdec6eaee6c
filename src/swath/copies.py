"""Objects on S3 whose hash travels with them, and such as only who knows their newest state may change."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError

from swath.errors import DataError
from swath.files import sha256_of
from swath.location import S3Path
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
