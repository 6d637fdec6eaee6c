"""Groups of tiles that are nearly the same: every pair is compared, block by block.

Shapes: N tiles, D numbers a feature; an outer and an inner block have n and m tiles.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from swath.features.table import Rows
from swath.runtime.progress import Progress
from swath.serve.search.neighbours import unit_blocks

_OUTER, _STRIP = 65_536, 1024  # tiles held while the file is read through once; tiles compared at a time
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

    Memory holds 65,536 features and one block of similarities; the file is read once for each 65,536 tiles.

    Raises:
        DataError: a feature is NaN or infinite, or the file is damaged.
    """
    allowed = np.zeros(tiles, dtype=np.bool_)
    allowed[slice(None) if among is None else among] = True
    group, pairs = np.arange(tiles), 0
    held: list[npt.NDArray[np.int64]] = []
    for found in _pairs(path, allowed, threshold - _ROUNDING):
        pairs += len(found)
        held.append(found)
        if sum(map(len, held)) > _MOST_PAIRS:
            group, held = _joined(group, np.concatenate(held)), []
    group = _joined(group, np.concatenate(held)) if held else group
    return DuplicateGroups(_members(group), pairs)


def _pairs(path: Path, allowed: npt.NDArray[np.bool_], least: float) -> Iterator[npt.NDArray[np.int64]]:
    """(P, 2) rows of pairs, the lower first."""
    tiles = len(allowed)
    with Progress(tiles, unit="tiles", label="comparing every pair") as progress:
        for start in range(0, tiles, _OUTER):
            outer = _rows_of(path, start, min(start + _OUTER, tiles))
            for at, inner in _from(path, start):
                for strip in range(0, len(outer), _STRIP):
                    similar = outer[strip : strip + _STRIP] @ inner.T >= least  # (n, m)
                    pairs = similar.nonzero().numpy() + np.asarray([start + strip, at])
                    yield pairs[(pairs[:, 0] < pairs[:, 1]) & allowed[pairs].all(axis=1)]
            progress.advance(len(outer))


def _from(path: Path, start: int) -> Iterator[tuple[int, Tensor]]:
    """Blocks of unit features with their first rows, from the block that holds row `start`."""
    at = 0
    for block in unit_blocks(path):
        if at + len(block) > start:
            yield at, block
        at += len(block)


def _rows_of(path: Path, start: int, stop: int) -> Tensor:
    parts = []
    for at, block in _from(path, start):
        if at >= stop:
            break
        parts.append(block[max(0, start - at) : stop - at])
    return torch.cat(parts)


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
