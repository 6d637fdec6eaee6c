"""Tiles sorted into boxes, so that far boxes need not be compared tile by tile, and nothing is missed.

Projected on any orthonormal directions, two features are at most as far apart as they are: tiles of boxes
that are further apart than that in their projections are no pair.
Shapes: N tiles, D numbers a feature, P directions in which the archive spreads most, L boxes.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from swath.features.table import Rows, Values
from swath.files import disk_errors

_DIRECTIONS = 16
_AT_ONCE = 8192
_SLACK = 1e-4  # of a distance, for the rounding of projections

Blocks = Callable[[], Iterable[Tensor]]


@dataclass(frozen=True, eq=False)
class BoxedTiles:
    """`unit` features (N, D), box by box, with their projections (N, P) and the `rows` (N,) that they come
    from; box i is from starts[i] to starts[i + 1], and spans low[i] to high[i] (L, P).
    """

    unit: npt.NDArray[np.float32]
    projected: Values
    rows: Rows
    starts: Rows
    low: Values
    high: Values

    @classmethod
    def of(cls, unit: npt.NDArray[np.float32], projected: Values, rows: Rows, starts: Rows) -> "BoxedTiles":
        low, high = (end.reduceat(projected, starts[:-1]) for end in (np.minimum, np.maximum))
        return cls(unit, projected, rows, starts, low, high)

    def __len__(self) -> int:
        return len(self.low)

    def near(self, number: int, *, distance: float) -> Rows:
        """Places of the tiles of this box, and of those of later ones that may be within `distance` of one
        of it, ascending.
        """
        boxes = number + self._within(self.low[number:], self.high[number:], number, distance)
        places = np.concatenate([np.arange(self.starts[box], self.starts[box + 1]) for box in boxes])
        inside = self.projected[places]
        return places[self._within(inside, inside, number, distance)]

    def _within(self, low: Values, high: Values, number: int, distance: float) -> Rows:
        """Which of the boxes from `low` to `high` (n, P) are near."""
        gaps = np.maximum(low - self.high[number], self.low[number] - high).clip(0)
        return np.flatnonzero((gaps**2).sum(axis=1) <= (distance + _SLACK) ** 2)


def boxed(blocks: Blocks, rows: Rows, *, most: int) -> BoxedTiles:
    """The tiles `rows`, which ascend, of an archive whose unit features come in `blocks`, three times; at
    most `most` in a box. Memory holds their projections, a file without a name their features.

    Raises:
        MachineError: the disk of temporary files is full.
    """
    directions = _directions(blocks, rows)
    projected = np.empty((len(rows), directions.shape[1]), np.float32)
    for at, block in _of_rows(blocks, rows):
        projected[at : at + len(block)] = (block @ directions).numpy()
    order, starts = _split(projected, most)
    place = np.empty(len(rows), np.int64)
    place[order] = np.arange(len(rows))
    unit = _on_disk((len(rows), len(directions)))
    for at, block in _of_rows(blocks, rows):
        unit[place[at : at + len(block)]] = block.numpy()
    return BoxedTiles.of(unit, projected[order], rows[order], starts)


def _of_rows(blocks: Blocks, rows: Rows) -> Iterator[tuple[int, Tensor]]:
    """What `blocks` hold of `rows`, with the place of its first in `rows`."""
    start = 0
    for block in blocks():
        first, last = np.searchsorted(rows, (start, start + len(block)))
        yield int(first), block[rows[first:last] - start]
        start += len(block)


def _directions(blocks: Blocks, rows: Rows) -> Tensor:
    """(D, P), orthonormal."""
    total = products = torch.zeros(1, dtype=torch.float64)
    for _, block in _of_rows(blocks, rows):
        total = total + block.sum(dim=0)
        products = products + block.T @ block
    mean = total / len(rows)
    spread = products / len(rows) - mean[:, None] * mean
    _, directions = torch.linalg.eigh(spread)  # the last is that of the greatest spread
    return torch.as_tensor(directions[:, -_DIRECTIONS:], dtype=torch.float32).contiguous()


def _split(projected: Values, most: int) -> tuple[Rows, Rows]:
    """An order (N,) of tiles, and where its boxes start (L + 1,): halves across the widest side, again and
    again.
    """
    leaves, left = [], [np.arange(len(projected))]
    while left:
        members = left.pop()
        if len(members) <= most:
            leaves.append(members)
            continue
        inside = projected[members]
        widest = int((inside.max(axis=0) - inside.min(axis=0)).argmax())
        halves = np.argpartition(inside[:, widest], len(members) // 2)
        left += [members[halves[: len(members) // 2]], members[halves[len(members) // 2 :]]]
    starts = np.cumsum([0, *map(len, leaves)])
    return np.concatenate(leaves), starts


def _on_disk(shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Zeros that lie in a file, which is gone when they are. It is written: a file with gaps would end the
    process, not raise, where the disk turns out to be full.
    """
    with tempfile.TemporaryFile() as file, disk_errors(Path(tempfile.gettempdir())):
        row = bytes(4 * shape[1])
        for start in range(0, shape[0], _AT_ONCE):
            file.write(row * min(_AT_ONCE, shape[0] - start))
        file.flush()
        return np.memmap(file, np.float32, mode="r+", shape=shape)
