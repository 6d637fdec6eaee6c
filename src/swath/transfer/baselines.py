"""What features must beat: plain image statistics, computed from the same pixels without any network."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from swath.data.bands import TileFormat
from swath.data.normalize import to_unit
from swath.data.store import TileStore
from swath.features.backbone import Weights
from swath.features.content import Pixels

PERCENTILES = (10, 25, 50, 75, 90)
_BATCH = 256

IMAGE_STATISTICS = "image statistics"
RANDOM_CONVOLUTIONS = "random convolutions"
UNTRAINED = "untrained ViT"
PRETRAINED = "pretrained ViT"  # what they are compared with; these are keys of probe-TASK.json


class ImageStatistics:
    """Mean, standard deviation and five percentiles of each of C bands: (B, 7 C), pixels in [0, 1]."""

    scale = "tiles"
    content = Pixels("statistics", "mean, standard deviation and percentiles of each band")
    weights = Weights("image statistics", 0, IMAGE_STATISTICS)

    def __init__(self, tile_format: TileFormat) -> None:
        self.trained = tile_format

    @property
    def dim(self) -> int:
        return (2 + len(PERCENTILES)) * len(self.trained.bands)

    @property
    def image_px(self) -> int:
        return self.trained.size_px

    def features(self, groups: list[Tensor], given: TileFormat) -> Tensor:
        """Stored pixels, one (B, Cg, h, w) a group of `given`, to (B, 7 C) float32."""
        pixels = to_unit(groups, given).flatten(2).numpy()  # (B, C, H * W)
        parts = [pixels.mean(axis=2), pixels.std(axis=2), *np.percentile(pixels, PERCENTILES, axis=2)]
        return torch.from_numpy(np.concatenate(parts, axis=1).astype(np.float32))

    def check_fits(self, given: TileFormat, *, where: str) -> None:
        """Statistics can be had of any tiles."""


def image_statistics(store: TileStore, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """(len(rows), 7 C) of C bands, as `ImageStatistics`."""
    return np.concatenate(list(_blocks(store, rows)))


def _blocks(store: TileStore, rows: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.float32]]:
    maker = ImageStatistics(store.format)
    for start in range(0, len(rows), _BATCH):
        groups = [torch.from_numpy(pixels) for pixels in store.read(rows[start : start + _BATCH])]
        yield maker.features(groups, store.format).numpy()
