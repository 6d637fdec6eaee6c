"""What features must beat: plain image statistics, computed from the same pixels without any network."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from swath.data.normalize import to_unit
from swath.data.store import TileStore

PERCENTILES = (10, 25, 50, 75, 90)
_BATCH = 256

IMAGE_STATISTICS = "image statistics"
UNTRAINED = "untrained ViT"
PRETRAINED = "pretrained ViT"  # what they are compared with; the three names are keys of probe-TASK.json


def image_statistics(store: TileStore, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """(len(rows), 7 C) of C bands: mean, standard deviation and five percentiles, pixels in [0, 1]."""
    return np.concatenate(list(_blocks(store, rows)))


def _blocks(store: TileStore, rows: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.float32]]:
    for start in range(0, len(rows), _BATCH):
        groups = [torch.from_numpy(pixels) for pixels in store.read(rows[start : start + _BATCH])]
        pixels = to_unit(groups, store.format).flatten(2).numpy()  # (B, C, H * W)
        parts = [pixels.mean(axis=2), pixels.std(axis=2), *np.percentile(pixels, PERCENTILES, axis=2)]
        yield np.concatenate(parts, axis=1).astype(np.float32)
