"""What a head says of overlapping windows, put together to one map, strip by strip from the top.

Where windows overlap, decisions are averaged, each weighted the less the nearer the edge of its window is;
only then they become probabilities, as `swath probe --task segmentation` does within a tile. What is held
meanwhile are the maps of the windows, not their pixels.
Legend: B windows, K classes, m cells along a side of a map, S pixels along a side of a window, W columns of
the scene, h rows that are done.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from torch import Tensor

from swath.compiled import compiled
from swath.features.windows import edge_weight

_AT_ONCE = 1 << 18  # numbers; 1 MB
Floats = npt.NDArray[np.float32]
Holes = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Done:
    """Rows that no later window changes: decisions (K, h, W), and where there is nothing to say (h, W)."""

    top: int
    decisions: Floats
    blank: Holes


@dataclass(frozen=True, eq=False)
class _Windows:
    """Windows that begin in one row: their columns (B,), and their maps (B, K, m, S), as wide as windows."""

    y: int
    xs: npt.NDArray[np.int64]
    maps: Floats


class Mosaic:
    """Give it rows and windows from the top; it gives back strips that are done."""

    def __init__(self, *, num_classes: int, side_px: int, width: int) -> None:
        self._num_classes, self._side, self._width = num_classes, side_px, width
        self._edge = edge_weight(side_px).numpy()
        self._windows: list[_Windows] = []
        self._holes = np.ones((side_px, width), dtype=np.bool_)
        self._top = 0

    def begin_row(self, y: int, holes: Holes) -> Iterator[Done]:
        """Windows at `y` follow; what lies above is done, and must be taken before they come."""
        yield from self._finish(y - self._top)
        self._holes[:, : holes.shape[1]] = holes

    def add(self, y: int, xs: list[int], maps: Tensor) -> None:
        """Maps (B, K, m, m) of windows at `y` and each of `xs`."""
        assert y == self._top
        wide = F.interpolate(maps, size=(maps.shape[2], self._side), mode="bilinear", align_corners=False)
        self._windows.append(_Windows(y, np.asarray(xs, np.int64), wide.contiguous().numpy()))

    def end(self) -> Iterator[Done]:
        """The rows of the last windows."""
        return self._finish(self._side)

    def _finish(self, rows: int) -> Iterator[Done]:
        """A few rows at a time, as much as a cache holds."""
        step = max(1, _AT_ONCE // (self._num_classes * self._width))
        for start in range(0, rows, step):
            height = min(step, rows - start)
            decisions = np.zeros((self._num_classes, height, self._width), np.float32)
            weights = np.zeros((height, self._width), np.float32)
            for held in self._windows:
                first = self._top + start - held.y
                edge = self._edge[first : first + height]
                _add_windows((decisions, weights), (held.xs, held.maps), first, edge)
            _divide(decisions, weights)
            blank = self._holes[start : start + height] | (weights == 0)
            yield Done(self._top + start, decisions, blank)
        self._holes[: self._side - rows] = self._holes[rows:].copy()
        self._top += rows
        self._windows = [held for held in self._windows if held.y + self._side > self._top]


@compiled
def _add_windows(sums: Any, windows: Any, first: Any, edge: Any) -> None:
    """Add to decisions (K, h, W) and weights (h, W), which begin in row `first` of the windows at `xs`, their
    maps (B, K, m, S), which are bilinear between the middles of cells, times `edge` (h, S).
    """
    decisions, weights = sums
    xs, maps = windows
    cells, side = maps.shape[2], maps.shape[3]
    for r in range(len(edge)):
        middle = max((first + r + 0.5) * cells / side - 0.5, 0.0)
        above = int(middle)
        below = min(above + 1, cells - 1)
        share = np.float32(middle - above)
        for b in range(len(xs)):
            x = xs[b]
            for k in range(len(decisions)):
                line = decisions[k, r, x : x + side]
                for i in range(side):
                    said = maps[b, k, above, i] * (1 - share) + maps[b, k, below, i] * share
                    line[i] += said * edge[r, i]
            line = weights[r, x : x + side]
            for i in range(side):
                line[i] += edge[r, i]


@compiled
def _divide(decisions: Any, weights: Any) -> None:
    """In place; 0 where no window has said anything."""
    for k in range(decisions.shape[0]):
        for r in range(decisions.shape[1]):
            for i in range(decisions.shape[2]):
                decisions[k, r, i] /= max(weights[r, i], np.float32(1e-30))
