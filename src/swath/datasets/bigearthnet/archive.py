"""An archive of BigEarthNet as it was extracted: v1 with a JSON a patch, v2 with one table, or Sentinel-1.

Folders are read by threads, some hundred patches at a time, and come out in the order of their paths.
"""

import logging
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from swath.data.bad_inputs import BadInputs
from swath.datasets.bigearthnet.folders import MAP_SUFFIX, Found
from swath.datasets.bigearthnet.known import Known
from swath.datasets.bigearthnet.names import S1, S2_V1, S2_V2, parse_column
from swath.datasets.bigearthnet.patch_folder import Expected, Patch, read_patch
from swath.datasets.bigearthnet.patches import index_batches, place
from swath.engine import HERE, Engine
from swath.errors import DataError
from swath.location import Location, S3Path

logger = logging.getLogger(__name__)

_AT_ONCE = 128
_ROWS = 4096
_AHEAD = 64  # groups of patches that may wait to be written
_THREADS = 4
_BESIDE_PIXELS = {"labels", "labels_43", "without_label"}
_PATTERNS = {"v1": S2_V1, "v2": S2_V2, "s1": S1}

_Read = Patch | tuple[str, DataError]


@dataclass(frozen=True)
class Archive:
    """Folders of one `kind` (v1, v2, s1) below `source`, what each must hold, and what is known of them."""

    source: Location
    kind: str
    found: Found
    expected: Expected
    known: Known | None
    order: str
    engine: Engine = HERE

    @property
    def folders(self) -> list[str]:
        return self.found.patches[self.kind]

    @property
    def key(self) -> str:
        """The column of `known` that holds the names of the folders."""
        return "s1_name" if self.kind == "s1" else "id"


def rows(archive: Archive, bad: BadInputs, *, recommended: bool) -> Iterator[pa.RecordBatch]:
    """The good patches as rows of an index; the recommended ones alone, if asked.

    Raises:
        DataError: patches are bad, after all of them were looked at.
    """
    names = pa.array([folder.rpartition("/")[2] for folder in archive.folders])
    known_rows = None if archive.known is None else archive.known.rows_of(names, key=archive.key)
    for patches in _read_all(archive, bad):
        table = _table(archive, patches)
        if known_rows is not None:
            table = _joined(archive, table, known_rows)
        table = in_place(archive.source, table, bad)
        if recommended:
            table = table.filter(pc.fill_null(table["recommended"], fill_value=False))
        yield from index_batches(table, archive.expected.files, order=archive.order)
    bad.judge(looked_at=len(archive.folders))


def _read_all(archive: Archive, bad: BadInputs) -> Iterator[list[Patch]]:
    """The good patches in their order, some thousand at a time."""
    held: list[Patch] = []
    given = replace(archive, known=None)  # large, and of no use for reading
    with closing(archive.engine.over(_read, given, len(archive.folders), at_once=_AT_ONCE)) as groups:
        for group in groups:
            held += _good(group, bad)
            if len(held) >= _ROWS:
                yield held
                held = []
    if held:
        yield held


def _read(archive: Archive, stretch: range) -> Iterator[list[_Read]]:
    """A stretch of the folders, a few hundred a thread."""
    threads = 32 if isinstance(archive.source, S3Path) else min(_THREADS, os.cpu_count() or 1)
    waiting: deque[Future[list[_Read]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="swath-read") as pool:
        try:
            for start in range(stretch.start, stretch.stop, _AT_ONCE):
                waiting.append(pool.submit(_read_group, archive, start))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _read_group(archive: Archive, start: int) -> list[_Read]:
    read: list[_Read] = []
    for at, folder in enumerate(archive.folders[start : start + _AT_ONCE], start):
        sizes = archive.found.sizes.get(folder)
        try:
            read.append(read_patch(archive.source, folder, archive.expected, at=at, sizes=sizes))
        except DataError as error:
            read.append((folder, error))
    return read


def _good(group: list[_Read], bad: BadInputs) -> list[Patch]:
    patches = []
    for patch in group:
        if isinstance(patch, Patch):
            patches.append(patch)
        else:
            bad.add(*patch)
    return patches


def _table(archive: Archive, patches: list[Patch]) -> pa.Table:
    """What folders and JSON say."""
    names = pa.array([patch.folder.rpartition("/")[2] for patch in patches], pa.string())
    named = parse_column(names, _PATTERNS[archive.kind])
    columns = {name: named[name] for name in named.column_names} | {
        "id": names,
        "at": pa.array([patch.at for patch in patches], pa.int64()),
        "folder": pa.array([patch.folder for patch in patches], pa.string()),
        "paths": _paths(names, pa.array([patch.folder for patch in patches], pa.string()), archive),
        "corner": pa.array([patch.corner for patch in patches], pa.list_(pa.int64())),
        "mask_path": pa.array(_maps(archive, names), pa.string()),
    }
    if archive.expected.has_json:
        columns |= _from_json(archive, patches)
    return pa.table(columns)


def _from_json(archive: Archive, patches: list[Patch]) -> dict[str, pa.Array]:
    held = [patch.about for patch in patches if patch.about is not None]
    texts = pa.list_(pa.string())
    columns = {
        "labels": pa.array([about.labels for about in held], texts),
        "without_label": pa.array([not about.labels for about in held], pa.bool_()),
        "labels_43": pa.array([about.labels_43 for about in held], texts),
        "tile_source": pa.array([about.source for about in held], pa.string()),
        "acquired_at": pa.array([about.acquired_at for about in held], pa.string()),
        "bounds": pa.array([about.bounds_m for about in held], pa.list_(pa.float64())),
    }
    if archive.kind == "s1":
        return columns | {"s2_name": pa.array([about.s2_name for about in held], pa.string())}
    return columns | {"tile": pa.array([about.tile for about in held], pa.string())}


def _paths(names: pa.Array, folders: pa.Array, archive: Archive) -> pa.ListArray:
    """One path a band, in the order of the bands."""
    bands = archive.expected.files.bands
    stems = pc.binary_join_element_wise(folders, names, "/")
    by_band = [pc.binary_join_element_wise(stems, f"{band}.tif", "_") for band in bands]
    order = np.arange(len(names) * len(bands)).reshape(len(bands), len(names)).T.ravel()
    offsets = np.arange(len(names) + 1, dtype=np.int32) * len(bands)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.concat_arrays(by_band).take(pa.array(order)))


def _maps(archive: Archive, names: pa.Array) -> list[str | None]:
    maps = archive.found.maps
    return [f"{maps[name]}/{name}{MAP_SUFFIX}" if name in maps else None for name in names.to_pylist()]


def _joined(archive: Archive, table: pa.Table, known_rows: npt.NDArray[np.int64]) -> pa.Table:
    """With the columns of the known table; labels of a JSON win, as they lie beside the pixels."""
    assert archive.known is not None
    here = known_rows[table["at"].to_numpy()]
    known = archive.known.columns(here)
    for name in known.column_names:
        if archive.kind == "s1" and name == "s1_name":
            continue
        column = "s2_name" if archive.kind == "s1" and name == "id" else name
        if column == "id" or (column in _BESIDE_PIXELS and column in table.column_names):
            continue
        values = known[name]
        if column == "recommended":
            values = pc.fill_null(values, fill_value=False)
        table = _set(table, column, values)
    return table


def _set(table: pa.Table, name: str, values: pa.ChunkedArray) -> pa.Table:
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, values)
    return table.append_column(name, values)


def in_place(source: Location, table: pa.Table, bad: BadInputs) -> pa.Table:
    """Without the patches whose name, JSON (column bounds) and raster (corner) do not lie in one place."""
    nowhere = pc.is_null(table["tile"]).to_numpy()
    for folder in np.asarray(table["folder"])[nowhere]:
        bad.add(folder, DataError(f"{source}/{folder}: its JSON names no MGRS tile (tile_source)."))
    table = table.filter(pa.array(~nowhere))
    bounds, epsg = place(table)
    wrong = np.zeros(len(table), np.bool_)
    if "bounds" in table.column_names:
        said = np.asarray(table["bounds"].combine_chunks().flatten()).reshape(-1, 4)
        wrong |= (said != bounds).any(axis=1)
        for at in np.flatnonzero(wrong).tolist():
            bad.add(*_disagrees(source, table, at, f"its JSON says {_corner(said[at])}", bounds[at]))
    for at, corner in enumerate(table["corner"].to_pylist()):
        expected = [int(bounds[at, 0]), int(bounds[at, 3]), int(epsg[at])]
        if corner is not None and corner != expected and not wrong[at]:
            wrong[at] = True
            words = f"its raster lies at {corner[0]} E {corner[1]} N of EPSG:{corner[2]}"
            bad.add(*_disagrees(source, table, at, words, bounds[at]))
    return table.filter(pa.array(~wrong)) if wrong.any() else table


def _corner(bounds: npt.NDArray[np.float64]) -> str:
    return f"{bounds[0]:.0f} E {bounds[3]:.0f} N"


def _disagrees(
    source: Location, table: pa.Table, at: int, words: str, bounds: npt.NDArray[np.int32]
) -> tuple[str, DataError]:
    folder, tile = table["folder"][int(at)].as_py(), table["tile"][int(at)].as_py()
    return folder, DataError(
        f"{source}/{folder}: {words}, but its name in tile {tile} {bounds[0]} E {bounds[3]} N. "
        "Extract the patch again."
    )
