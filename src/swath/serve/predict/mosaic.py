"""What a head says of overlapping windows, put together to one map, strip by strip from the top.

Where windows overlap, decisions are averaged, each weighted the less the nearer the edge of its window is;
only then they become probabilities, as `swath probe --task segmentation` does within a tile.
Legend: B windows, K classes, m cells along a side of a map, W columns of the scene, h rows that are done.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from swath.features.windows import edge_weight
from swath.models.dense_head import enlarged

_AT_ONCE = 1 << 18  # numbers; 1 MB
Holes = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Done:
    """Rows that no later window changes: decisions (K, h, W), and where there is nothing to say (h, W)."""

    top: int
    decisions: Tensor
    blank: Holes


class Mosaic:
    """Give it rows and windows from the top; it gives back strips that are done."""

    def __init__(self, *, num_classes: int, side_px: int, width: int) -> None:
        self._side = side_px
        self._sum = torch.zeros(num_classes, side_px, width)
        self._weights = torch.zeros(side_px, width)
        self._holes = np.ones((side_px, width), dtype=np.bool_)
        self._weight = edge_weight(side_px)
        self._top = 0

    def begin_row(self, y: int, holes: Holes) -> Iterator[Done]:
        """Windows at `y` follow; what lies above is done, and must be taken before they come."""
        yield from self._finish(y - self._top)
        self._holes[:, : holes.shape[1]] = holes

    def add(self, y: int, xs: list[int], maps: Tensor) -> None:
        """Maps (B, K, m, m) of windows at `y` and each of `xs`."""
        assert y == self._top
        for x, said in zip(xs, maps, strict=True):  # one by one: what is enlarged stays in the cache
            columns = slice(x, x + self._side)
            self._sum[..., columns].addcmul_(enlarged(said[None], self._side)[0], self._weight)
            self._weights[:, columns] += self._weight

    def end(self) -> Iterator[Done]:
        """The rows of the last windows."""
        return self._finish(self._side)

    def _finish(self, rows: int) -> Iterator[Done]:
        """A few rows at a time, as much as a cache holds."""
        num_classes, _, width = self._sum.shape
        step = max(1, _AT_ONCE // (num_classes * width))
        for start in range(0, rows, step):
            some = slice(start, min(start + step, rows))
            weights = self._weights[some]
            decisions = self._sum[:, some] / weights.clamp(min=torch.finfo(torch.float32).tiny)
            yield Done(self._top + start, decisions, self._holes[some] | (weights == 0).numpy())
        for array in (self._sum, self._weights):
            _shift(array, rows)
        self._holes[: self._side - rows] = self._holes[rows:].copy()
        self._top += rows


def _shift(array: Any, rows: int) -> None:
    """Up by `rows`, zeros below; in place, so that the memory of a wide scene is taken once."""
    kept = array.shape[-2] - rows
    if kept:
        array[..., :kept, :] = array[..., rows:, :].clone()
    array[..., kept:, :] = 0
