"""Gaussian blur as filters along rows and columns; edges are repeated, as Pillow does.

The blur could be multiplied into the filters of the resize, but then it would come before the colour changes.
"""

import math

import numpy as np
import torch
from torch import Tensor

from swath.augment.crop import Flags, Floats
from swath.augment.kernels import blur_views
from swath.data.line_filter import Filters, LineFilter, filtered_in_batches, line_filter

_REACH = 4.0  # in sigmas; the weight beyond is 6e-5


def blur(views: Tensor, sigma_px: Floats, *, where: Flags) -> Tensor:
    """Blur the views (N, C, P, P) chosen by `where` (N,), in place, by their own sigma_px (N,)."""
    chosen = np.flatnonzero(where)
    if views.device.type == "cpu":
        blur_views(views.numpy(), chosen, sigma_px[chosen], np.float32(_REACH))
        return views
    return blur_in_batches(views, sigma_px, where=where) if len(chosen) else views


def blur_in_batches(views: Tensor, sigma_px: Floats, *, where: Flags) -> Tensor:
    """The same as two batched products."""
    chosen = np.flatnonzero(where)
    gaussian = _gaussian(sigma_px[chosen], px=views.shape[-1], device=views.device)
    filters = Filters(gaussian, gaussian, turned=np.zeros(len(chosen), dtype=np.bool_))
    blurred = filtered_in_batches(views, chosen, filters)
    return views.index_copy_(0, torch.from_numpy(chosen).to(views.device), blurred)


def _gaussian(sigma_px: Floats, *, px: int, device: torch.device) -> LineFilter:
    reach = math.ceil(_REACH * float(sigma_px.max()))
    distance = torch.arange(-reach, reach + 1, device=device)
    sigma = torch.from_numpy(sigma_px).to(device)[:, None]
    kernel = torch.exp(-0.5 * (distance / sigma).square())
    kernel /= kernel.sum(dim=1, keepdim=True)
    place = (torch.arange(px, device=device)[:, None] + distance).clamp_(0, px - 1)
    shape = (len(sigma_px), *place.shape)
    return line_filter(place.expand(shape), kernel[:, None].expand(shape), in_px=px)
