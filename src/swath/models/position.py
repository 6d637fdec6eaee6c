"""Learned positions of a square grid, resampled for another grid in the two ways released weights expect.

Legend: S side of the learned grid, R rows and L columns of the grid asked for, D width; position 0 is that of
the class token.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from swath.models.precision import at_least_float32

PositionMode = Literal["timm", "dino"]


def resample_positions(positions: Tensor, grid: tuple[int, int], mode: PositionMode) -> Tensor:
    """(1, 1 + S * S, D) -> (1, 1 + R * L, D); the class token's position is kept as it is.

    timm: bicubic to the exact size with antialiasing (timm's `resample_abs_pos_embed`). dino: bicubic without
    antialiasing, 0.1 added to the sizes before they become scale factors (facebookresearch/dino issue 8);
    every sample is shifted a little, and weights trained that way need it. Both are linear and separable, so
    they are two small matrix products: the same numbers, and a backward pass that adds in a fixed order (that
    of bicubic interpolation on CUDA does not).
    """
    side = math.isqrt(positions.shape[1] - 1)
    if grid == (side, side):
        return positions
    with torch.autocast(positions.device.type, enabled=False):
        learned = at_least_float32(positions[0, 1:]).reshape(side, -1)  # (S, S * D)
        by_rows = _kernel(side, grid[0], mode, learned) @ learned  # (R, S * D)
        by_rows = by_rows.reshape(grid[0], side, -1)  # (R, S, D)
        patches = _kernel(side, grid[1], mode, learned) @ by_rows  # (R, L, D)
    patches = patches.reshape(1, grid[0] * grid[1], -1).to(positions.dtype)  # (1, R * L, D)
    return torch.cat([positions[:, :1], patches], dim=1)


def _kernel(side: int, size: int, mode: PositionMode, like: Tensor) -> Tensor:
    """(size, side): the weight of every learned position in each resampled one, read off the unit vectors."""
    units = torch.eye(side, device=like.device, dtype=like.dtype)[None, None]
    if mode == "timm":
        return F.interpolate(units, size=(size, side), mode="bicubic", antialias=True)[0, 0]
    return F.interpolate(units, scale_factor=((size + 0.1) / side, 1.0), mode="bicubic")[0, 0]
