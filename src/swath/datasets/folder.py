"""A folder of ready tiles, labelled by labels.csv, by the folders they lie in, or not at all.

Tiles without a row in labels.csv are kept, unlabelled: they are what pretraining is for. A row without a file
is an error.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from swath.data.bad_inputs import BadInputs
from swath.data.fetched import LocalCopies
from swath.data.index import IndexInfo, batches_of
from swath.data.raster import RasterInfo, inspect
from swath.data.windows import footprints, ground_resolution
from swath.datasets import names
from swath.datasets.labels_csv import TABLES, CsvLabels, read_labels
from swath.datasets.layout import Asked, Layout, first_few, raster_files
from swath.engine import HERE
from swath.errors import DataError, UsageError
from swath.location import Location, absolute

logger = logging.getLogger(__name__)

_AT_ONCE = 64  # files that are fetched together where they lie on S3


def find(source: Location, asked: Asked) -> Layout:
    """Look at the first tile, and read the labels; every other tile must be like the first.

    Raises:
        DataError: labels.csv names files that are not there; later, from the rows: tiles are bad or differ.
        UsageError: labels.csv can be read in two ways, or a flag has no effect here.
    """
    if asked.band_pattern:
        raise UsageError("--band-pattern is for scenes of one file a band. Use it with --layout scenes.")
    files = raster_files(source, without=asked.mask_folders)
    copies = LocalCopies(source)
    with copies.of(["labels.csv"]) as here:
        labels = _labels(here, files, asked)
    name, first = _first_good(copies, files, asked)
    sensor = names.sensor_of(files[0])
    bands, made_up = names.bands_in_file(first, sensor)
    if made_up:
        logger.warning(
            f"{name} does not name its bands; called {','.join(bands)} in all {len(files):,} tiles."
        )
    if first.width != first.height:
        raise DataError(
            f"{name} is {first.width}x{first.height} px; tiles must be square. Cut it as a scene: "
            f"--layout scenes --tile-px {min(first.width, first.height)}"
        )
    info = IndexInfo(
        root=absolute(source),
        layout="folder",
        task=labels.task if labels else None,
        vocabulary=labels.vocabulary if labels else (),
        bands=bands,
        band_px=(1.0,) * len(bands),
        tile_px=first.width,
        stride_px=0,
        dtypes=(first.dtype,) * len(bands),
        nodata=first.nodata,
        attribution=names.credit(sensor, []),
    )
    bad = BadInputs("files", asked.bad_files)
    opened = _open_tiles(copies, files, asked, bad)
    return Layout(info, len(files), batches_of(_rows(opened, labels, first)), bad)


def _labels(source: Path, files: list[str], asked: Asked) -> CsvLabels | None:
    table = asked.labels or source / "labels.csv"
    if asked.labels is None and not table.is_file():
        if asked.label_column or asked.label_columns:
            raise UsageError(
                f"{source} has no labels.csv. Give it with --labels FILE, or leave out --label-column(s)."
            )
        return _class_folders(files)
    if table.suffix.lower() not in TABLES:
        raise UsageError(
            f"tiles are labelled by a table ({', '.join(TABLES)}), found {table}. "
            "Polygons label scenes: --layout scenes."
        )
    if not table.is_file():
        raise UsageError(f"no labels at {table}.")
    read = read_labels(table, label_column=asked.label_column, label_columns=asked.label_columns)
    return _matched(source, files, table, read)


def _class_folders(files: list[str]) -> CsvLabels | None:
    """The name of the folder each tile lies in, where there are at least two and no tile lies outside."""
    folders = sorted({PurePosixPath(file).parent for file in files})
    classes = sorted({folder.name for folder in folders})
    if len(classes) < 2 or "" in classes:
        return None
    logger.info(f"classes from folders: {first_few(classes)}")
    labels: dict[str, tuple[str, ...] | None] = {file: (PurePosixPath(file).parent.name,) for file in files}
    return CsvLabels("class", tuple(classes), labels, {})


def _matched(source: Path, files: list[str], table: Path, read: CsvLabels) -> CsvLabels:
    """The same labels by each file's path below `source`; the table's paths may be relative to the table."""
    there = set(files)
    folder = table.resolve().parent
    inside = (
        folder.relative_to(source.resolve()).as_posix() if folder.is_relative_to(source.resolve()) else "."
    )
    placed = {
        name: name if name in there else (PurePosixPath(inside) / name).as_posix() for name in read.labels
    }
    missing = [name for name, place in placed.items() if place not in there]
    if missing:
        raise DataError(
            f"{table} names {len(missing):,} files of {len(read.labels):,} that are not in {source}: "
            f"{first_few(missing)}. Put them back or take out their rows."
        )
    without = len(there) - len(placed)
    if without:
        logger.info(f"{without:,} of {len(there):,} tiles have no row in {table.name}: kept, unlabelled")
    return CsvLabels(
        read.task,
        read.vocabulary,
        {placed[name]: labels for name, labels in read.labels.items()},
        {placed[name]: split for name, split in read.splits.items()},
    )


def _first_good(copies: LocalCopies, files: list[str], asked: Asked) -> tuple[str, RasterInfo]:
    """The first tile that can be read, so that bad ones are all reported together."""
    bad = BadInputs("files", asked.bad_files)
    for found in _open_tiles(copies, files, replace(asked, engine=HERE), bad):
        return found
    raise AssertionError("where all are bad, that was said")


def _open_tiles(
    copies: LocalCopies, files: list[str], asked: Asked, bad: BadInputs
) -> Iterator[tuple[str, RasterInfo]]:
    given = _Files(copies, files, asked.max_pixels)
    with closing(asked.engine.over(_opened, given, len(files), at_once=_AT_ONCE)) as opened:
        for file, tile in opened:
            if isinstance(tile, DataError):
                bad.add(file, tile)
            else:
                yield file, tile
    bad.judge(looked_at=len(files))


@dataclass(frozen=True)
class _Files:
    copies: LocalCopies
    files: list[str]
    max_pixels: int


def _opened(given: _Files, stretch: range) -> Iterator[tuple[str, RasterInfo | DataError]]:
    """What each file of a stretch holds, or what is wrong with it."""
    for start in range(stretch.start, stretch.stop, _AT_ONCE):
        some = given.files[start : min(start + _AT_ONCE, stretch.stop)]
        with given.copies.of(some):
            for file in some:
                try:
                    with given.copies.of([file]) as here:
                        yield file, inspect(here / file, root=here, max_pixels=given.max_pixels)
                except DataError as error:
                    yield file, error


def _rows(
    tiles: Iterator[tuple[str, RasterInfo]], labels: CsvLabels | None, first: RasterInfo
) -> Iterator[dict[str, Any]]:
    kinds = _Kinds()
    for file, tile in tiles:
        kinds.add(tile, file)
        found = labels.labels.get(file) if labels else None
        yield {
            "id": file,
            "paths": [file],
            "x_px": 0,
            "y_px": 0,
            "width_px": first.width,
            "height_px": first.height,
            "sensor": names.sensor_of(file),
            "acquired": names.date_of(file),
            "split": labels.splits.get(file) if labels else None,
            "labels": None if found is None else list(found),
            **_place(tile),
        }
    kinds.raise_if_mixed()


def _place(tile: RasterInfo) -> dict[str, Any]:
    if tile.crs is None or tile.transform == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0):
        return {}
    window = np.asarray([[0, 0, tile.width, tile.height]], float)
    middle = (tile.width / 2, tile.height / 2)
    return {
        "crs": tile.crs,
        "gsd_m": round(ground_resolution(tile.crs, tile.transform, at_px=middle), 4),
        "geometry": footprints(tile.crs, tile.transform, window)[0],
    }


class _Kinds:
    """Counts tiles by size, bands and type, with one name of each."""

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()
        self._example: dict[str, str] = {}

    def add(self, tile: RasterInfo, file: str) -> None:
        kind = f"{tile.width}x{tile.height}x{tile.count} {tile.dtype}"
        self._count[kind] += 1
        self._example.setdefault(kind, file)

    def raise_if_mixed(self) -> None:
        if len(self._count) > 1:
            listed = [f"{kind} ({n:,}: {self._example[kind]})" for kind, n in self._count.most_common(4)]
            more = f" | and {len(self._count) - 4} more kinds" if len(self._count) > 4 else ""
            raise DataError(
                f"tiles differ in size, bands or type: {' | '.join(listed)}{more}. "
                f"Index each kind by itself, or cut them all alike: --layout scenes --tile-px N"
            )
