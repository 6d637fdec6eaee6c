"""Heads that read a map of tokens and say a class for every pixel.

Legend: B images, D numbers a token, n tokens along a side, K classes.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swath.errors import DataError

HIDDEN = 128


class LinearDenseHead(nn.Module):
    """One linear map a token: what a linear probe of a classification is, for every place of the image."""

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_classes, dim))
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, D, n, n) -> logits (B, K, n, n)."""
        return F.conv2d(tokens, self.weight[:, :, None, None], self.bias)


class ConvDenseHead(nn.Module):
    """Two 3x3 convolutions, the second on twice the resolution: tokens see their neighbours, edges sharpen.

    Tokens are standardised by `mean` and `std` (D,), buffers that are saved with the weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int, num_classes: int, *, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))
        self.gather = nn.Conv2d(dim, hidden, kernel_size=3, padding=1)
        self.refine = nn.Conv2d(hidden, hidden, kernel_size=3, padding=1)
        self.classify = nn.Conv2d(hidden, num_classes, kernel_size=1)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, D, n, n) -> logits (B, K, 2n, 2n)."""
        standard = (tokens - self.mean[:, None, None]) / self.std[:, None, None]
        gathered = F.gelu(self.gather(standard))  # (B, hidden, n, n)
        finer = F.interpolate(gathered, scale_factor=2, mode="bilinear", align_corners=False)
        logits: Tensor = self.classify(F.gelu(self.refine(finer)))
        return logits


DenseHead = LinearDenseHead | ConvDenseHead


def dense_head_of(tensors: Mapping[str, Tensor]) -> DenseHead:
    """The head whose `state_dict` these are; which of the two, and its sizes, are read off their shapes.

    Raises:
        DataError: they are of neither.
    """
    try:
        if "gather.weight" in tensors:
            hidden, dim = tensors["gather.weight"].shape[:2]
            head: DenseHead = ConvDenseHead(dim, len(tensors["classify.bias"]), hidden=hidden)
        else:
            num_classes, dim = tensors["weight"].shape
            head = LinearDenseHead(dim, num_classes)
        head.load_state_dict(dict(tensors))
    except (KeyError, ValueError, RuntimeError) as error:
        raise DataError(f"no head of a segmentation: {', '.join(list(tensors)[:5])}") from error
    return head


def enlarged(logits: Tensor, size_px: int) -> Tensor:
    """(B, K, m, m) -> (B, K, size_px, size_px), bilinear: logits at the pixels of the image."""
    return F.interpolate(logits, size=(size_px, size_px), mode="bilinear", align_corners=False)


def pixel_loss(logits: Tensor, masks: Tensor, *, ignore: int) -> Tensor:
    """Mean cross-entropy of (B, K, m, m) logits, enlarged to the (B, H, H) masks, over pixels not ignored.

    0 (with a gradient of 0) where every pixel is ignored.
    """
    sums = F.cross_entropy(
        enlarged(logits, masks.shape[-1]), masks.long(), ignore_index=ignore, reduction="sum"
    )
    return sums / (masks != ignore).sum().clamp(min=1)
