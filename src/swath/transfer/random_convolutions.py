"""Random convolutional features: what pictures are worth to a network of one layer that learned nothing.

Filters are patches of training tiles, whitened; a feature is the mean over the tile of what a filter passes,
and of what its opposite passes. As MOSAIKS (Rolf et al. 2021, Nature Communications 12:4392) and torchgeo's
RCF in mode "empirical" have it; published tables use 512 numbers.
Legend: B tiles, C bands, F filters, P pixels of a filter's side.
"""

import hashlib

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from swath.data.bands import TileFormat
from swath.data.normalize import standardize, to_unit
from swath.data.store import TileStore
from swath.features.backbone import Weights
from swath.features.content import Pixels
from swath.transfer.examples import Rows

FILTERS, SIDE_PX, BIAS = 256, 3, -1.0
_WHITENING, _LEAST = 1e-3, 1e-8
_PATCHES_A_TILE = 4
# That the filters pass at a time: 8 MiB stay in the cache and in memory that is given out again. 256 tiles of
# 3x64x64 take 0.24 s of one core so, and 3.8 s at once: most of it the system's, to find new pages.
_MOST_NUMBERS = 2**21


class RandomConvolutions:
    """Filters cut from training tiles of one pack; features (B, 2 F) of any of its tiles."""

    scale = "tiles"

    def __init__(self, store: TileStore, train: Rows, *, seed: int) -> None:
        """`train` are row numbers to cut filters from."""
        self.trained = store.format
        self.filters = whitened(_patches(store, train, seed=seed))  # (F, C, P, P)
        name = hashlib.sha256(self.filters.numpy().tobytes()).hexdigest()
        self.weights = Weights(name, 0, f"random convolutions, seed {seed}")
        self.content = Pixels("random convolutions", "random convolutions, mean over the tile")

    @property
    def dim(self) -> int:
        return 2 * len(self.filters)

    @property
    def image_px(self) -> int:
        return self.trained.size_px

    @torch.inference_mode()
    def features(self, groups: list[Tensor], given: TileFormat) -> Tensor:
        """Stored pixels, one (B, Cg, h, w) a group of `given`, to (B, 2 F) float32."""
        tiles = standardize(to_unit(groups, given), given)
        at_once = max(1, _MOST_NUMBERS // (len(self.filters) * tiles.shape[2] * tiles.shape[3]))
        return torch.cat([self._of(part) for part in torch.split(tiles, at_once)])

    def _of(self, tiles: Tensor) -> Tensor:
        """(b, C, h, w) to (b, 2 F). What the opposite passes is relu(-x) = relu(x) - x."""
        passed = F.conv2d(tiles, self.filters, torch.full((len(self.filters),), BIAS))  # (b, F, h, w)
        mean = passed.mean(dim=(2, 3))
        positive = passed.relu_().mean(dim=(2, 3))
        return torch.cat([positive, (positive - mean).clamp(min=0.0)], dim=1)

    def check_fits(self, given: TileFormat, *, where: str) -> None:
        """Filters come from the very tiles they look at."""


def whitened(patches: Tensor) -> Tensor:
    """(F, C, P, P) patches to filters of length one: each without its mean, all turned to be uncorrelated."""
    flat = patches.flatten(1).double()
    flat = flat - flat.mean(dim=1, keepdim=True)
    flat = flat / flat.norm(dim=1, keepdim=True).clamp(min=_LEAST)
    spread, axes = torch.linalg.eigh(flat.T @ flat / len(flat))
    flat = flat @ (axes * (spread.clamp(min=0.0) + _WHITENING).rsqrt()) @ axes.T
    flat = flat / flat.norm(dim=1, keepdim=True).clamp(min=_LEAST)
    filters: Tensor = flat.float().view_as(patches)
    return filters


def _patches(store: TileStore, train: Rows, *, seed: int) -> Tensor:
    """(F, C, P, P) standardised pixels: a few places of tiles drawn at random."""
    generator = np.random.default_rng(seed)
    rows = generator.choice(train, size=-(-FILTERS // _PATCHES_A_TILE), replace=True)
    groups = [torch.from_numpy(pixels) for pixels in store.read(rows)]
    tiles = standardize(to_unit(groups, store.format), store.format)
    tops, lefts = (generator.integers(size - SIDE_PX + 1, size=FILTERS) for size in tiles.shape[2:])
    return torch.stack(
        [
            tiles[i // _PATCHES_A_TILE, :, top : top + SIDE_PX, left : left + SIDE_PX]
            for i, (top, left) in enumerate(zip(tops.tolist(), lefts.tolist(), strict=True))
        ]
    )
