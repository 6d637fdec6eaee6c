"""What a head says of whole tiles, and how it compares with their masks."""

import numpy as np
import torch
from torch import Tensor, nn

from swath.data.masks import IGNORE
from swath.features.token_maps import TokenMaps
from swath.features.windows import Windows
from swath.models.dense_head import enlarged
from swath.runtime.progress import Progress
from swath.scores.segmentation import Counts, confusions
from swath.transfer.segmentation.examples import MaskedTiles, Rows

OVERLAP = 0.5


def predicted(images: Tensor, head: nn.Module, maps: TokenMaps) -> Tensor:
    """(B, C, H, H) in [0, 1] -> (B, H, H) uint8: the likeliest class of each pixel, from blended windows."""
    windows = Windows.over(images.shape[-1], maps.window_px, overlap=OVERLAP)
    with torch.no_grad():
        logits = windows.blended(images, lambda window: enlarged(head(maps(window)), window.shape[-1]))
    return logits.argmax(dim=1).to(torch.uint8)


def tested(name: str, head: nn.Module, maps: TokenMaps, tiles: MaskedTiles, rows: Rows) -> Counts:
    """(len(rows), K, K) pixels of each tile by true and predicted class."""
    parts = []
    with Progress(len(rows), unit="tiles", label=f"masks ({name})") as progress:
        for _, images, masks in tiles.batches(rows):
            found = predicted(images, head, maps).numpy()
            parts.append(confusions(found, masks.numpy(), num_classes=len(tiles.vocabulary), ignore=IGNORE))
            progress.advance(len(masks))
    return np.concatenate(parts)
