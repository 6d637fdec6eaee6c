"""Making the index of a large archive: centres, cells, and how deep to look for how many neighbours.

Shapes: N tiles that have a direction, M tiles in all, C cells, D numbers a feature, Q queries.
"""

import logging
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from swath.features.table import Rows, fingerprint
from swath.files import folder_aside, write_json
from swath.runtime.lock import RunLock
from swath.runtime.progress import Progress, duration
from swath.scores.knn import unit_rows
from swath.serve.search.cells import CENTRES, DESCRIBED, ROWS, STARTS, UNIT, VERSION, CellIndex, Depth
from swath.serve.search.neighbours import unit_blocks

_EXAMPLES, _ROUNDS = 64, 10  # of k-means: tiles a cell to learn from
_QUERIES, _LEVELS = 100, (50, 200, 1000)  # tiles drawn at random to measure the recall; neighbours of each
_ENOUGH, _LEAST_CELLS = 0.99, 8  # recall; cells that every search reads
_AT_ONCE = 16_384
log = logging.getLogger(__name__)
Half = np.ndarray[tuple[int, int], np.dtype[np.float16]]


def kept_cells(features: Path, *, tiles: int, dim: int) -> CellIndex:
    """The index beside a features file, made first where there is none of just these features.

    Raises:
        DataError: the features or the index are damaged.
        MachineError: another process makes it, or the disk is full or cannot be written.
    """
    folder = features.with_name(f"{features.name}.index")
    path = folder / f"cells-{VERSION}-{fingerprint(features):.16}"
    if not path.exists():
        with RunLock(folder):
            for stale in folder.glob("*cells-*"):  # of other features, or of a process that was killed
                if stale != path:
                    shutil.rmtree(stale)
            if not path.exists():  # another process may have made it meanwhile
                build_cells(path, unit_blocks(features), tiles=tiles, dim=dim)
    return CellIndex(path)


def build_cells(path: Path, blocks: Iterable[Tensor], *, tiles: int, dim: int) -> None:
    """Write the index of unit features, which come in blocks (n, D) in the order of the archive.

    Meanwhile the disk holds the features twice, in float16; memory holds the tiles that k-means learns from.

    Raises:
        MachineError: the disk is full or cannot be written.
        UsageError: `path` exists.
    """
    started, draw = time.monotonic(), np.random.default_rng(0)
    log.info("making the search index of %d tiles, once: %s", tiles, path)
    with folder_aside(path) as aside:
        asked = _write_cells(aside, blocks, (tiles, dim), draw)
        write_json(aside / DESCRIBED, [])
        write_json(aside / DESCRIBED, [asdict(depth) for depth in _depths(CellIndex(aside), asked)])
    log.info("the search index is made, in %s", duration(time.monotonic() - started))


def _write_cells(
    folder: Path, blocks: Iterable[Tensor], shape: tuple[int, int], draw: np.random.Generator
) -> Half:
    """Write all but the depths, and return some of the tiles (Q, D)."""
    by_row = folder / "by-row.f16"
    unit = _copied(by_row, blocks, shape=shape)
    centres = _centres(unit, draw)
    rows, starts = _in_cells(unit, centres)
    with (folder / UNIT).open("wb") as stream:
        for start in range(0, len(rows), _AT_ONCE):
            stream.write(unit[rows[start : start + _AT_ONCE]].tobytes())
    for name, values in ((CENTRES, centres), (STARTS, starts), (ROWS, rows)):
        np.save(folder / name, values)
    by_row.unlink()
    return np.array(unit[draw.choice(rows, min(_QUERIES, len(rows)), replace=False)])


def _copied(path: Path, blocks: Iterable[Tensor], *, shape: tuple[int, int]) -> Half:
    """(M, D) on the disk."""
    label = "copying the features in float16"
    with path.open("wb") as stream, Progress(shape[0], unit="tiles", label=label) as progress:
        for block in blocks:
            stream.write(block.to(torch.float16).numpy().tobytes())
            progress.advance(len(block))
    return np.memmap(path, np.float16, mode="r", shape=shape)


def _centres(unit: Half, draw: np.random.Generator) -> npt.NDArray[np.float32]:
    """(C, D) of length one: as many as a cell has tiles."""
    count = max(1, round(len(unit) ** 0.5))
    sample = np.asarray(unit[np.sort(draw.permutation(len(unit))[: count * _EXAMPLES])], dtype=np.float32)
    log.info("learning %d centres from %d tiles", count, len(sample))
    found = KMeans(count, init="random", n_init=1, max_iter=_ROUNDS, random_state=0).fit(sample)
    return unit_rows(found.cluster_centers_).numpy()


def _in_cells(unit: Half, centres: npt.NDArray[np.float32]) -> tuple[Rows, Rows]:
    """(N,) the rows of the tiles, cell by cell, and (C + 1,) where each cell starts.

    Tiles without direction are in none.
    """
    cell, keys = np.empty(len(unit), dtype=np.int64), torch.from_numpy(centres).T
    with Progress(len(unit), unit="tiles", label="sorting tiles into cells") as progress:
        for start in range(0, len(unit), _AT_ONCE):
            block = torch.from_numpy(np.asarray(unit[start : start + _AT_ONCE], dtype=np.float32))
            nearest = torch.where(block.any(dim=1), (block @ keys).argmax(dim=1), len(centres))
            cell[start : start + _AT_ONCE] = nearest.numpy()
            progress.advance(len(block))
    starts = np.searchsorted(np.sort(cell), np.arange(len(centres) + 1))
    return np.argsort(cell, kind="stable")[: starts[-1]], starts


def _depths(index: CellIndex, asked: Half) -> Iterator[Depth]:
    """Of every level, the least depth by powers of two whose recall is enough."""
    tiles, queries = len(index.rows), np.asarray(asked, dtype=np.float32)
    true = index.nearest(queries, k=min(_LEVELS[-1] + 1, tiles), look_at=tiles).similarities
    look_at = _LEAST_CELLS * round(tiles**0.5)
    for level in _LEVELS:
        look_at = max(look_at, level + 1)
        while True:
            found = index.nearest(queries, k=min(level + 1, tiles), look_at=look_at).similarities
            recall = _recall(found, true)
            if recall >= _ENOUGH or look_at >= tiles:
                break
            look_at *= 2
        yield Depth(level + 1, look_at, round(recall, 4))


def _recall(found: npt.NDArray[np.float32], true: npt.NDArray[np.float32]) -> float:
    """Of similarities (Q, k), the first of which is the tile itself: the share as near as the k-th true one.

    Which of two equally near tiles is found makes no difference.
    """
    least = true[:, found.shape[1] - 1, None] - 1e-6
    return float((found >= least)[:, 1:].mean()) if found.shape[1] > 1 else 1.0
