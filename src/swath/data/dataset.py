"""Packed tiles as an ordinary torch Dataset, for those who bring their own training loop."""

import os

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from swath.data.normalize import to_unit
from swath.data.store import TileStore
from swath.errors import UsageError, did_you_mean
from swath.location import Location


class TileDataset(Dataset[tuple[Tensor, Tensor]]):
    """(tile (C, H, W) float32 in [0, 1], labels (K,) float32 of 0 and 1), of all tiles or of one `split`.

    `row_numbers` (N,) says which row of the pack an item is. Tiles that nobody labelled have zeros;
    `labelled` (N,) tells them apart. With worker processes use DataLoader(multiprocessing_context="spawn"),
    because Lance cannot be forked.

    Raises:
        DataError: `tiles` is no complete pack, or (when read) a tile does not match its checksum.
        UsageError: no such split; when read: in a process that was forked, where reading would hang.
    """

    def __init__(self, tiles: Location | str, *, split: str | None = None) -> None:
        store = TileStore(tiles)
        self.path = store.path
        self.vocabulary = store.vocabulary
        self.bands = store.format.bands
        self.row_numbers = _rows_of_split(store, split)
        self.labelled = store.labelled()[self.row_numbers]
        self._labels = torch.from_numpy(store.labels()[self.row_numbers]).to(torch.float32)
        self._store: TileStore | None = store
        self._opened_in = os.getpid()

    def __len__(self) -> int:
        return len(self.row_numbers)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        return self.__getitems__([item])[0]

    def __getitems__(self, items: list[int]) -> list[tuple[Tensor, Tensor]]:
        """A whole batch at once: DataLoader calls this, and it is many times faster than tile by tile."""
        if self._store is None:
            self._store, self._opened_in = TileStore(self.path), os.getpid()
        if self._opened_in != os.getpid():
            raise UsageError(
                f"{self.path} was opened before this process was forked, and Lance would hang; "
                'use DataLoader(..., multiprocessing_context="spawn")'
            )
        groups = [torch.from_numpy(pixels) for pixels in self._store.read(self.row_numbers[items])]
        unit = to_unit(groups, self._store.format)
        return [(unit[place], self._labels[item]) for place, item in enumerate(items)]

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_store": None}


def _rows_of_split(store: TileStore, split: str | None) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    if split is None:
        return np.arange(len(store), dtype=np.int64)
    splits = store.splits()
    known = sorted(set(splits.tolist()) - {""})
    if split not in known:
        raise UsageError(
            f'{store.path} has no split "{split}"; splits here: {", ".join(known) or "none"}.'
            f"{did_you_mean(split, known)}"
        )
    return np.flatnonzero(splits == split).astype(np.int64)
