"""The tiles with masks that a segmentation probe learns from and is tested on."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from swath.data.masks import IGNORE
from swath.data.normalize import to_unit
from swath.data.store import TileStore
from swath.errors import DataError, UsageError
from swath.transfer.examples import blocks_of, check_splits

Rows = npt.NDArray[np.int64]
_PIXELS_A_BATCH = 2**22


@dataclass(frozen=True, eq=False)
class MaskedTiles:
    """Rows of a pack, by split, whose mask names a class; `blocks` as in `Examples`, of all rows."""

    store: TileStore
    train: Rows
    val: Rows
    test: Rows
    blocks: Rows | None

    @property
    def vocabulary(self) -> tuple[str, ...]:
        return self.store.mask_vocabulary

    def groups(self, rows: Rows, *, at_least: int) -> tuple[str, Rows]:
        """("block", block of each row), or ("tile", 0..n-1) where fewer than `at_least` blocks are known."""
        if self.blocks is not None and len(np.unique(self.blocks[rows])) >= at_least:
            return "block", self.blocks[rows]
        return "tile", np.arange(len(rows))

    def batches(self, rows: Rows) -> Iterator[tuple[Rows, Tensor, Tensor]]:
        """(rows, images (B, C, H, H) in [0, 1], masks (B, H, H) uint8), in the order of `rows`."""
        bands, side = len(self.store.format.bands), self.store.format.size_px
        size = max(1, _PIXELS_A_BATCH // (bands * side**2))
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            groups = [torch.from_numpy(pixels) for pixels in self.store.read(part)]
            masks = torch.from_numpy(self.store.masks(part))
            yield part, to_unit(groups, self.store.format), masks


def masked_tiles(store: TileStore) -> MaskedTiles:
    """The tiles with masks of the splits train, val and test.

    Raises:
        UsageError: no masks, or no split `test` or `train`; the message says which command makes it.
        DataError: no tile of a needed split has a pixel with a class.
    """
    if not store.mask_vocabulary:
        raise UsageError(
            f"{store.path} holds no masks, and a segmentation probe needs some: "
            "swath index SOURCE --masks FOLDER --mask-classes FILE --out index.parquet"
        )
    splits = store.splits()
    check_splits(store, splits)
    named = _has_class(store)
    parts = {name: np.flatnonzero((splits == name) & named) for name in ("train", "val", "test")}
    for name in ("train", "test"):
        if not len(parts[name]):
            raise DataError(
                f'{store.path}: no mask of the {int((splits == name).sum())} tiles in split "{name}" names '
                "a class; look at the masks, or split again with another --seed"
            )
    everywhere = np.arange(len(store), dtype=np.int64)
    return MaskedTiles(store, **parts, blocks=blocks_of(store, everywhere))


def _has_class(store: TileStore) -> npt.NDArray[np.bool_]:
    """(N,) whether a mask has a pixel that is not to be ignored."""
    parts = [
        (store.masks(np.arange(start, min(start + 1024, len(store)))) != IGNORE).any(axis=(1, 2))
        for start in range(0, len(store), 1024)
    ]
    return np.concatenate(parts)
