"""Filters along the rows and columns of images: each pixel that comes out weighs a few that go in.

Legend: N views of C bands, cut from tiles (B, C, H, W); L pixels of a line go in, P come out, T taps of each.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from swath.compiled import compiled

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
_ZERO, _ONE = np.float32(0), np.float32(1)


@dataclass(frozen=True)
class LineFilter:
    """For each of N views: output pixel p is the sum of weights (N, P, T) times the pixels of the line from
    first (N, P) on.
    """

    first: Tensor
    weights: Tensor
    in_px: int

    def dense(self) -> Tensor:
        """The same as matrices (N, P, L)."""
        N, P, T = self.weights.shape
        place = self.first[:, :, None] + torch.arange(T, device=self.weights.device)
        return self.weights.new_zeros(N, P, self.in_px).scatter_(2, place, self.weights)

    @property
    def out_px(self) -> int:
        return self.first.shape[1]

    def arrays(self) -> tuple[Integers, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        return self.first.contiguous().numpy(), self.weights.contiguous().numpy()


@dataclass(frozen=True)
class Filters:
    """For N views: `rows` along each column, `columns` along each row, then transposed where `turned`."""

    rows: LineFilter
    columns: LineFilter
    turned: Flags


def line_filter(place: Tensor, weight: Tensor, *, in_px: int) -> LineFilter:
    """The filter whose output pixel p weighs by `weight` (N, P, T) the pixels `place` (N, P, T) of a line of
    in_px pixels: T neighbours in order, of which those beyond the ends are moved onto them.
    """
    taps = min(weight.shape[2], in_px)
    first = place[:, :, 0].clamp(max=in_px - taps)
    weights = weight.new_zeros(*weight.shape[:2], taps).scatter_add_(2, place - first[:, :, None], weight)
    return LineFilter(first, weights, in_px)


def filtered(tiles: Tensor, of: Integers, filters: Filters) -> Tensor:
    """View n (N, C, P, Q), clamped to [0, 1], is tile of[n] filtered as `filters` say."""
    if tiles.device.type != "cpu":
        return filtered_in_batches(tiles, of, filters)
    views = tiles.new_empty(len(of), tiles.shape[1], filters.rows.out_px, filters.columns.out_px)
    arrays = (filters.rows.arrays(), filters.columns.arrays(), filters.turned)
    _filter_views(tiles.contiguous().numpy(), of, arrays, views.numpy())
    return views


def filtered_in_batches(tiles: Tensor, of: Integers, filters: Filters) -> Tensor:
    """The same as two batched products."""
    sources = tiles.index_select(0, torch.from_numpy(of).to(tiles.device))
    narrow = torch.matmul(sources, filters.columns.dense().mT[:, None])
    views = torch.matmul(filters.rows.dense()[:, None], narrow).clamp_(0.0, 1.0)
    if filters.turned.any():
        index = torch.from_numpy(np.flatnonzero(filters.turned)).to(tiles.device)
        views.index_copy_(0, index, views.index_select(0, index).mT)
    return views


@compiled
def _filter_views(sources: Any, of: Any, filters: Any, out: Any) -> None:
    """out[n] = source of[n] filtered along its columns by rows and along its rows by columns, transposed
    where turned, and clamped to [0, 1]; `filters` are (rows, columns, turned), each of the first two
    (first (N, P), weights (N, P, T)).
    """
    rows, columns, turned = filters
    for n in range(len(of)):
        top, bottom = rows[0][n].min(), rows[0][n].max() + rows[1].shape[2]
        left, right = columns[0][n].min(), columns[0][n].max() + columns[1].shape[2]
        box = sources[of[n], :, top:bottom, left:right]
        if turned[n]:  # the same as of the transposed box, with rows and columns in each other's place
            narrow = _narrowed(box.transpose(2, 0, 1), rows[0][n] - top, rows[1][n])
            _clamp_into(out[n], _filtered(narrow, columns[0][n] - left, columns[1][n]))
        else:
            narrow = _narrowed(box.transpose(1, 0, 2), columns[0][n] - left, columns[1][n])
            _clamp_into(out[n], _filtered(narrow, rows[0][n] - top, rows[1][n]))


@compiled
def _narrowed(box: Any, first: Any, weights: Any) -> Any:
    """A box (L, bands, M), filtered to (L, bands x P)."""
    lines = _first_and_last_swapped(box)
    narrow = _filtered(lines.reshape(len(lines), -1), first, weights)
    swapped = _first_and_last_swapped(narrow.reshape(len(first), box.shape[1], -1))
    return swapped.reshape(len(swapped), -1)


@compiled
def _filtered(lines: Any, first: Any, weights: Any) -> Any:
    """(P, M) of lines (L, M): line p is the sum of weights[p] times the lines from first[p] on.

    Four lines a pass. Elements are named by all their indices: a slice costs as much as a short line.
    """
    out = np.empty((len(first), lines.shape[1]), dtype=np.float32)
    taps = weights.shape[1]
    for p in range(len(out)):
        for i in range(out.shape[1]):
            out[p, i] = _ZERO
        at, tap = first[p], 0
        while tap + 4 <= taps:
            for i in range(out.shape[1]):
                out[p, i] += (
                    weights[p, tap] * lines[at + tap, i]
                    + weights[p, tap + 1] * lines[at + tap + 1, i]
                    + weights[p, tap + 2] * lines[at + tap + 2, i]
                    + weights[p, tap + 3] * lines[at + tap + 3, i]
                )
            tap += 4
        while tap < taps:
            for i in range(out.shape[1]):
                out[p, i] += weights[p, tap] * lines[at + tap, i]
            tap += 1
    return out


@compiled
def _clamp_into(view: Any, lines: Any) -> None:
    """View (bands, P, Q) from lines (P, bands x Q)."""
    bands, height, width = view.shape
    for band in range(bands):
        for y in range(height):
            for x in range(width):
                view[band, y, x] = min(max(lines[y, band * width + x], _ZERO), _ONE)


@compiled
def _first_and_last_swapped(block: Any) -> Any:
    """(A, B, C) -> (C, B, A), lying in a row."""
    out = np.empty((block.shape[2], block.shape[1], block.shape[0]), dtype=np.float32)
    for b in range(out.shape[1]):
        for c in range(out.shape[0]):
            for a in range(out.shape[2]):
                out[c, b, a] = block[a, b, c]
    return out
