"""Filters along the rows and columns of images: each pixel that comes out weighs a few that go in.

Legend: N views of C bands, cut from tiles (B, C, H, W); L pixels of a line go in, P come out, T taps of each.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from swath.augment.crop import Flags, Integers
from swath.augment.kernels import filter_views


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
    filter_views(tiles.contiguous().numpy(), of, arrays, views.numpy())
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
