"""Groups of tiles that are nearly the same: every pair that can be is compared, box by box.

Shapes: N tiles, n of a box, m that may be near one of these.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from swath.features.table import Rows
from swath.runtime.progress import Progress
from swath.serve.search.boxes import boxed
from swath.serve.search.neighbours import unit_blocks

_BOX, _AT_ONCE = 512, 16_384  # tiles; those that a box is compared with at a time: 32 MB
_MOST_PAIRS = 4_000_000  # 64 MB, before they are joined into groups
_ROUNDING = 1e-6  # of float32 similarities: the same feature twice may come to 0.9999999


@dataclass(frozen=True, eq=False)
class DuplicateGroups:
    """Rows of each group, the largest group first, and how many pairs are as similar as asked."""

    groups: list[Rows]
    pairs: int


def near_duplicates(
    path: Path, *, tiles: int, threshold: float, among: Rows | None = None
) -> DuplicateGroups:
    """Tiles linked by a cosine of at least `threshold`, directly or through others, and only `among` these.

    A file of the temporary folder holds their features meanwhile, memory some 200 bytes of each. The
    higher the threshold, the fewer tiles are near enough to be compared; at a low one every pair is.

    Raises:
        DataError: a feature is NaN or infinite, or the file is damaged.
        MachineError: the disk of temporary files is full.
    """
    rows = np.arange(tiles) if among is None else among
    group, pairs = np.arange(tiles), 0
    held: list[npt.NDArray[np.int64]] = []
    for found in _pairs(path, rows, threshold - _ROUNDING):
        pairs += len(found)
        held.append(found)
        if sum(map(len, held)) > _MOST_PAIRS:
            group, held = _joined(group, np.concatenate(held)), []
    group = _joined(group, np.concatenate(held)) if held else group
    return DuplicateGroups(_members(group), pairs)


def _pairs(path: Path, rows: Rows, least: float) -> Iterator[npt.NDArray[np.int64]]:
    """(P, 2) of `rows`, each pair once."""
    if not len(rows):
        return
    tiles = boxed(lambda: unit_blocks(path), rows, most=_BOX)
    distance = math.sqrt(2 - 2 * least)
    with Progress(len(rows), unit="tiles", label="comparing near tiles") as progress:
        for number in range(len(tiles)):
            own = np.arange(*tiles.starts[number : number + 2])
            near = tiles.near(number, distance=distance)
            for start in range(0, len(near), _AT_ONCE):
                others = near[start : start + _AT_ONCE]
                similar = torch.from_numpy(tiles.unit[own]) @ torch.from_numpy(tiles.unit[others]).T  # (n, m)
                first, second = (similar >= least).numpy().nonzero()
                once = own[first] < others[second]
                yield tiles.rows[np.stack([own[first[once]], others[second[once]]], axis=1)]
            progress.advance(len(own))


def _joined(group: npt.NDArray[np.int64], pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Group numbers (N,) once the groups of each pair are one."""
    ends = group[pairs]
    links = coo_array((np.ones(len(ends), np.bool_), (ends[:, 0], ends[:, 1])), shape=(len(group),) * 2)
    _, joined = connected_components(links, directed=False)
    return np.asarray(joined, dtype=np.int64)[group]


def _members(group: npt.NDArray[np.int64]) -> list[Rows]:
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    members = [rows for rows in np.split(order, starts[1:]) if len(rows) > 1]
    return sorted(members, key=len, reverse=True)
