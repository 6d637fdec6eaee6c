"""Where the patches of an archive lie, on this machine or on S3, before one of them is opened."""

import os
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from swath import storage
from swath.datasets.bigearthnet.names import S1, S2_V1, S2_V2
from swath.errors import DataError
from swath.location import Location, S3Path

REFERENCE_MAPS = "Reference_Maps"
MAP_SUFFIX = "_reference_map.tif"

Sizes = dict[str, int]  # bytes of the files of a folder, by name
_KINDS = {kind: re.compile(pattern, re.ASCII) for kind, pattern in (("v1", S2_V1), ("v2", S2_V2), ("s1", S1))}


@dataclass(frozen=True)
class Found:
    """`patches`: paths relative to the source of the folders of each kind (v1, v2, s1), sorted.

    `sizes`: on S3, where listing tells them; here a folder is looked into when it is read. `maps`: folders
    of reference maps by the name of their patch.
    """

    patches: dict[str, list[str]]
    maps: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, Sizes] = field(default_factory=dict)


def find_folders(source: Location) -> Found:
    """Every folder at any depth that is called like a patch.

    Raises:
        DataError: a patch is there twice.
    """
    found = _on_s3(source) if isinstance(source, S3Path) else _here(source)
    for folders in found.patches.values():
        folders.sort()
        _check_once(folders)
    return found


def a_patch_in(source: Location) -> str | None:
    """The first folder that is called like a patch, or None."""
    if isinstance(source, S3Path):
        names = (path.rpartition("/")[0].rpartition("/")[2] for path in storage.list_files(source))
    else:
        names = (name for _, folders, _ in os.walk(source) for name in folders)
    return next((name for name in names if kind_of(name)), None)


def kind_of(name: str) -> str | None:
    """v1, v2 or s1 where `name` is that of a patch."""
    return next((kind for kind, pattern in _KINDS.items() if pattern.fullmatch(name)), None)


def _here(source: Path) -> Found:
    found = Found(defaultdict(list))
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        in_maps = REFERENCE_MAPS in inside.split("/")
        with os.scandir(source / inside) as entries:
            names = [entry.name for entry in entries if entry.name[0] != "." and entry.is_dir()]
        for name in names:
            path = f"{inside}/{name}" if inside else name
            if not _file(found, path, name, in_maps=in_maps):
                waiting.append(path)
    return found


def _on_s3(source: S3Path) -> Found:
    found = Found(defaultdict(list))
    for path, size in storage.list_sizes(source):
        folder, _, file = path.rpartition("/")
        sizes = found.sizes.get(folder)
        if sizes is None:
            name = folder.rpartition("/")[2]
            if not _file(found, folder, name, in_maps=REFERENCE_MAPS in folder.split("/")):
                continue
            sizes = found.sizes[folder] = {}
        sizes[file] = size
    return found


def _file(found: Found, path: str, name: str, *, in_maps: bool) -> bool:
    kind = kind_of(name)
    if kind is not None and in_maps:
        found.maps[name] = path
    elif kind is not None:
        found.patches[kind].append(path)
    return kind is not None


def _check_once(folders: list[str]) -> None:
    seen: dict[str, str] = {}
    for folder in folders:
        name = folder.rpartition("/")[2]
        if name in seen:
            raise DataError(f"patch {name} is there twice: {seen[name]} and {folder}. Keep one.")
        seen[name] = folder
