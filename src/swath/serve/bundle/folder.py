"""The folder of a bundle: written aside with MANIFEST.json last, and read only where every byte is as then.

    bundle/  bundle.json  backbone.safetensors  [head.safetensors]  MODEL_CARD.md  LICENSE  MANIFEST.json

Hashes find damage and careless edits. Who forges a file can forge its hash too: compare `digest`, the sha256
of MANIFEST.json, with what the maker of the bundle says it is.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath import files, storage
from swath.copies import files_here, files_put
from swath.errors import DataError, UsageError
from swath.kinds import mistaken
from swath.location import Location, S3Path
from swath.runtime.tensor_file import write_hashed, write_tensors
from swath.serve.bundle.description import FORMAT

DESCRIPTION, BACKBONE, HEAD = "bundle.json", "backbone.safetensors", "head.safetensors"
CARD, LICENCE, MANIFEST = "MODEL_CARD.md", "LICENSE", "MANIFEST.json"
_NAMES = {DESCRIPTION, BACKBONE, HEAD, CARD, LICENCE}
_NEEDED = _NAMES - {HEAD}
_FILES = (*sorted(_NAMES), MANIFEST)
_LARGEST_MANIFEST = 1 << 20

Tensors = Mapping[str, Any]


@dataclass(frozen=True)
class Written:
    """What a bundle has become: its bytes, and the digest that stands for all of them."""

    bytes: int
    digest: str


def write_bundle(path: Location, texts: Mapping[str, str], tensors: Mapping[str, Tensors]) -> Written:
    """Write files of text and of tensors, by name, to the new folder `path`, whole or not at all; on S3 the
    manifest last, without which it is none.

    Raises:
        UsageError: `path` exists.
        MachineError: the disk is full or cannot be written; S3 cannot be reached, or refuses.
    """
    files.check_is_free(path)
    with files_put(path, last=MANIFEST) if isinstance(path, S3Path) else files.folder_aside(path) as aside:
        entries = {name: write_tensors(aside / name, named) for name, named in tensors.items()}
        entries |= {name: write_hashed(aside / name, text.encode()) for name, text in texts.items()}
        files.write_json(aside / MANIFEST, {"format": FORMAT, "files": entries})
        return Written(sum(file.stat().st_size for file in aside.iterdir()), digest_of(aside))


def is_bundle(path: Location) -> bool:
    return storage.is_file(path / DESCRIPTION) or storage.is_file(path / MANIFEST)


def bundle_here(path: Location) -> AbstractContextManager[Path]:
    """The folder of a bundle to be read, or a copy of that on S3.

    Raises:
        UsageError: there is no bundle at `path`.
    """
    if not is_bundle(path):
        raise UsageError(mistaken(path, "bundle"))
    return files_here(path, _FILES)


def read_bundle(path: Path) -> dict[str, bytes]:
    """The content of every file of a bundle, as it was written.

    Raises:
        DataError: files are missing or changed; a line for each.
    """
    contents: dict[str, bytes] = {}
    wrong: list[str] = []
    for name, entry in _manifest(path).items():
        try:
            contents[name] = _checked(path, name, entry)
        except DataError as error:
            wrong.append(str(error))
    if wrong:
        head = f"{path} is not as it was bundled ({len(wrong)} of {len(contents) + len(wrong)} files):"
        raise DataError("\n".join([head, *wrong, "Copy it again, or bundle the run again."]))
    return contents


def digest_of(path: Path) -> str:
    """The sha256 of a bundle's manifest, which stands for all its bytes."""
    return files.sha256_of(path / MANIFEST)


def strangers(path: Location, contents: Mapping[str, bytes]) -> list[str]:
    """Names of what lies in the folder beside what `read_bundle` reads, which never looks at it."""
    if isinstance(path, S3Path):
        there = {name.split("/")[0] for name in storage.list_files(path)}
    else:
        there = {entry.name for entry in path.iterdir()}
    return sorted(there - set(contents) - {MANIFEST})


def _manifest(path: Path) -> dict[str, Any]:
    where = path / MANIFEST
    if not where.is_file():
        raise DataError(f"{where} is missing; copy the bundle again.")
    if where.stat().st_size > _LARGEST_MANIFEST:
        raise DataError(f"{where} is {where.stat().st_size:,} bytes; expected the list of a few files.")
    try:
        manifest = json.loads(where.read_bytes())
        entries: dict[str, Any] = manifest["files"]
        whole = all(
            isinstance(entry["size"], int) and isinstance(entry["sha256"], str) for entry in entries.values()
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{where} is not readable; copy the bundle again.") from error
    if manifest.get("format") != FORMAT:
        raise DataError(f"{where} is of version {manifest.get('format')}; this swath reads version {FORMAT}.")
    odd = sorted((set(entries) - _NAMES) | (_NEEDED - set(entries)))
    if odd or not whole:
        raise DataError(f"{where} does not list the files of a bundle ({', '.join(odd) or 'sizes'}).")
    return entries


def _checked(path: Path, name: str, entry: Mapping[str, Any]) -> bytes:
    where = path / name
    if not where.is_file():
        raise DataError(f"{name} is missing")
    size = where.stat().st_size
    if size != entry["size"]:
        raise DataError(f"{name} has {size:,} of {entry['size']:,} bytes")
    try:
        content = where.read_bytes()
    except OSError as error:
        raise DataError(f"{name} cannot be read ({error.strerror})") from error
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise DataError(f"{name} sha256 mismatch")
    return content
