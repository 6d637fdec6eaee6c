"""From the words of a user (files, folders, places on S3) to scenes, each with a name of its own."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from swath import storage
from swath.data.fetched import LocalCopies
from swath.datasets.grouping import Group, group_files
from swath.datasets.layout import RASTER_SUFFIXES, raster_files
from swath.errors import DataError, UsageError
from swath.location import Location


@dataclass(frozen=True)
class Source:
    """A scene that nobody has opened yet; `group` names its files, relative to `root`."""

    name: str
    root: Location
    group: Group

    def __str__(self) -> str:
        return str(self.root / self.group.paths[0])

    def identity(self) -> list[list[Any]]:
        """Name, size and time of change of every file: equal as long as none was replaced."""
        return [self._identity(path) for path in self.group.paths]

    def _identity(self, path: str) -> list[Any]:
        if isinstance(self.root, Path):
            held = (self.root / path).stat()
            return [path, held.st_size, held.st_mtime_ns]
        return [path, storage.size_of(self.root / path), None]

    @contextlib.contextmanager
    def here(self) -> Iterator[Path]:
        """The folder with its files on this machine, copied here for the while where they are on S3."""
        with LocalCopies(self.root, kept_bytes=0).of(self.group.paths) as folder:
            yield folder


def find_sources(places: Sequence[Location]) -> list[Source]:
    """Scenes in the order of their names; files of one folder belong together as `swath index` says.

    Raises:
        UsageError: a place is not there, or two scenes have the same name.
        DataError: a folder holds no imagery, or two files claim one band of a scene.
    """
    found: list[Source] = []
    for root, files in _files_by_root(places).items():
        groups = group_files(files, None, source_name=root.name)
        found += [Source(group.name.replace("/", "__"), root, group) for group in groups]
    by_name: dict[str, Source] = {}
    for source in found:
        other = by_name.setdefault(source.name, source)
        if other is not source:
            raise UsageError(
                f'two scenes are called "{source.name}": {other} and {source}. Predict them with two --out.'
            )
    return sorted(found, key=lambda source: source.name)


def _files_by_root(places: Sequence[Location]) -> dict[Location, list[str]]:
    by_root: dict[Location, list[str]] = {}
    for place in places:
        if storage.is_file(place):
            by_root.setdefault(place.parent, []).append(place.name)
        elif isinstance(place, Path):
            by_root.setdefault(place, []).extend(_local(place))
        else:
            by_root.setdefault(place, []).extend(_on_s3(place))
    return {root: sorted(set(files)) for root, files in by_root.items()}


def _local(place: Path) -> list[str]:
    if not place.is_dir():
        raise UsageError(f"no file or folder {place}. Give scenes, or the folder that holds them.")
    return raster_files(place)


def _on_s3(place: Location) -> list[str]:
    names = list(storage.list_files(place))
    rasters = [name for name in names if PurePosixPath(name).suffix.lower() in RASTER_SUFFIXES]
    if not names:
        raise UsageError(f"nothing is at {place}. Give a scene, or the prefix that scenes are below.")
    if not rasters:
        raise DataError(f"{place} holds no GeoTIFF, JPEG 2000, PNG or JPEG ({len(names):,} other files).")
    return rasters
