"""Maps of tokens: what a window looks like to a network, or to plain statistics, at a grid of places.

Legend: B windows, C bands, W pixels a side, n tokens a side, D numbers a token.
"""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from swath.data.normalize import resized, standardize
from swath.features.backbone import FrozenBackbone
from swath.models.vit import VisionTransformer


class TokenMaps(Protocol):
    """Something that describes windows; `window_px` is the side it was made for, at the pack's pixels."""

    window_px: int

    def __call__(self, unit: Tensor) -> Tensor:
        """(B, C, W, W) in [0, 1] -> (B, D, n, n) float32."""
        ...


class BackboneTokens:
    """The patch tokens of a frozen network after its last block.

    A window has the side of the tiles that the network was trained on, so the ground resolution that its
    positions were learned for is kept, however large the tiles of the pack are.
    """

    def __init__(self, backbone: FrozenBackbone) -> None:
        self._backbone = backbone
        self.window_px = backbone.trained.size_px

    @torch.no_grad()
    def __call__(self, unit: Tensor) -> Tensor:
        network = self._backbone.network
        images = resized(unit.to(self._backbone.device), network.shape.image_px)
        return tokens_of(network, standardize(images, self._backbone.trained), None).float()


def tokens_of(network: VisionTransformer, images: Tensor, keep: Tensor | None) -> Tensor:
    """Standardised (B, C, S, S) -> the patch tokens after the last block, as a map (B, D, n, n)."""
    tokens = network.tokens(images, keep)[:, 1:]  # (B, n * n, D)
    side = images.shape[-1] // network.shape.patch_size
    return tokens.mT.reshape(len(images), -1, side, side)


class CellStatistics:
    """What the tokens must beat: mean, spread, least and most of each band in every cell of the same grid."""

    def __init__(self, backbone: FrozenBackbone) -> None:
        self.window_px = backbone.trained.size_px
        self._shape = backbone.network.shape

    def __call__(self, unit: Tensor) -> Tensor:
        side, patch = self._shape.side, self._shape.patch_size
        images = resized(unit, self._shape.image_px)
        cells = F.unfold(images, kernel_size=patch, stride=patch)  # (B, C * P * P, n * n)
        cells = cells.view(len(unit), unit.shape[1], patch**2, -1)
        parts = (cells.mean(2), cells.std(2), cells.amin(2), cells.amax(2))
        return torch.cat(parts, dim=1).view(len(unit), -1, side, side)
