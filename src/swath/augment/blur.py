"""Gaussian blur as two products with a band matrix; edges are repeated, as Pillow does.

The blur could be multiplied into the matrices of the resize, but then it would come before the colour
changes. That saves 2 of 25 ms (64 tiles of 3x64x64, views of 2x64 and 4x32 px), which is not worth a second
order of things.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from swath.augment.crop import Flags, Floats
from swath.augment.resize import separable

_REACH = 4.0  # in sigmas; the weight beyond is 6e-5


def blur(views: Tensor, sigma_px: Floats, *, where: Flags, most_px: float) -> Tensor:
    """Blur the views (N, C, P, P) chosen by `where` (N,), in place, by their own sigma_px (N,) <= most_px."""
    chosen = np.flatnonzero(where)
    if not len(chosen):
        return views
    index = torch.from_numpy(chosen).to(views.device)
    sigma = torch.from_numpy(sigma_px[chosen]).to(views.device)
    matrices = _blur_matrices(sigma, px=views.shape[-1], reach=math.ceil(_REACH * most_px))
    blurred = separable(views.index_select(0, index), matrices, matrices)
    return views.index_copy_(0, index, blurred.clamp_(0.0, 1.0))  # the weights sum to 1 but for rounding


def _blur_matrices(sigma_px: Tensor, *, px: int, reach: int) -> Tensor:
    """(n, px, px): row i holds the weights of all pixels of a line in the blurred pixel i."""
    distance = torch.arange(-reach, reach + 1, device=sigma_px.device)
    kernel = torch.exp(-0.5 * (distance / sigma_px[:, None]).square())
    kernel /= kernel.sum(dim=1, keepdim=True)
    # Row i is the kernel moved i pixels to the right, over a line `reach` pixels longer on both sides.
    band = F.pad(kernel, (px - 1, px - 1)).unfold(1, px + 2 * reach, 1).flip(1)
    matrices = band[:, :, reach : reach + px]
    matrices[:, :, 0] += band[:, :, :reach].sum(dim=2)
    matrices[:, :, -1] += band[:, :, reach + px :].sum(dim=2)
    return matrices
