"""The antialiased bicubic resize of Pillow, for many boxes at once, as filters along rows and columns.

Shapes: tiles (B, C, H, W); views (N, C, P, P), N = views x B, view-major: view n is cut from tile n mod B.
A crop, its resize and its flips are one pair of filters a view.
"""

import math

import numpy as np
import torch
from torch import Tensor

from swath.augment.crop import Crops, Span
from swath.data.line_filter import Filters, LineFilter, filtered

_CUBIC_A = -0.5  # as Pillow and torch's antialiased bicubic; torch without antialiasing has -0.75
_CUBIC_REACH = 2.0


def cut(tiles: Tensor, crops: Crops, *, out_px: int) -> Tensor:
    """The views, clamped to [0, 1]: bicubic weights overshoot at sharp edges."""
    B, _, H, W = tiles.shape
    filters = Filters(
        rows=resize_filter(crops.rows, in_px=H, out_px=out_px, device=tiles.device),
        columns=resize_filter(crops.columns, in_px=W, out_px=out_px, device=tiles.device),
        turned=crops.transpose,
    )
    return filtered(tiles, np.arange(len(crops.transpose)) % B, filters)


def resize_filter(span: Span, *, in_px: int, out_px: int, device: torch.device) -> LineFilter:
    """Resizes each of N spans of a line of in_px pixels to out_px, as Pillow does."""
    start, length, reverse = (
        torch.from_numpy(part).to(device)[:, None] for part in (span.start, span.length, span.reverse)
    )
    step = length.float() / out_px
    stretch = step.clamp(min=1.0)  # a reduction widens the kernel: this is the antialiasing
    cell = torch.arange(out_px, device=device)
    centre = (torch.where(reverse, out_px - 1 - cell, cell) + 0.5) * step
    num_taps = min(in_px, math.ceil(2 * _CUBIC_REACH * max(1.0, int(span.length.max()) / out_px)))
    nearest = torch.floor(centre - _CUBIC_REACH * stretch + 0.5).long()
    first = (nearest.clamp_(min=0) + start).clamp_(max=in_px - num_taps)
    place = (first - start)[:, :, None] + torch.arange(num_taps, device=device)
    inside = (place >= 0) & (place < length[:, :, None])
    weight = _cubic((place + 0.5 - centre[:, :, None]) / stretch[:, :, None]) * inside
    return LineFilter(first, weight / weight.sum(dim=2, keepdim=True), in_px)


def _cubic(distance: Tensor) -> Tensor:
    """Keys' kernel, without a choice between its two pieces: x beyond 1 adds nothing to the first."""
    x, a = distance.abs(), _CUBIC_A
    near, far = x.clamp(max=1.0), x.clamp(max=_CUBIC_REACH)
    return (1 - near).square() * (2 * near + (4 * a + 1)) + a * (far - 1) * (2 - far).square()
