"""Batches of packed tiles in a shuffled order, one thread ahead of the training loop.

Packed tiles need no decoding, so there are no worker processes: one thread reads while the device computes.
"""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from swath.data.sampler import Order, sample_at
from swath.data.store import TileStore
from swath.errors import DataError

_READS_AHEAD = 2
_ROWS_A_READ = 512
_BYTES_A_READ = 32 * 2**20


@dataclass(frozen=True)
class Batch:
    """Stored pixels of B tiles: `groups` holds one tensor (B, Cg, h, w) a band group.

    `rows` (B,) are row numbers of the pack (sample ids), `epochs` (B,) their epochs. They are a share of
    those of the whole step, `step_rows` and `step_epochs`. `wait_s` is how long the consumer stood still for
    this batch.
    """

    rows: npt.NDArray[np.int64]
    epochs: npt.NDArray[np.int64]
    groups: list[Tensor]
    step_rows: npt.NDArray[np.int64]
    step_epochs: npt.NDArray[np.int64]
    wait_s: float

    @property
    def of(self) -> int:
        """Number of tiles in the whole step."""
        return len(self.step_rows)

    def parts(self, tiles: int) -> Iterator["Batch"]:
        """The same tiles in order, at most `tiles` at a time."""
        for start in range(0, len(self.rows), tiles):
            cut = slice(start, start + tiles)
            yield replace(
                self, rows=self.rows[cut], epochs=self.epochs[cut], groups=[g[cut] for g in self.groups]
            )


class Loader:
    """The `steps` batches that follow after `cursor` samples of the stream over `rows` (n,).

    `batch_size` tiles make a step; of them this loader reads only the `share`, which is all where not given.
    Iterating twice gives the same batches twice. An error of the reading thread is raised where its batch is
    asked for.

    Raises:
        DataError: `rows` is empty, or (while iterating) a tile does not match its checksum.
    """

    def __init__(
        self,
        store: TileStore,
        *,
        rows: npt.NDArray[np.int64],
        batch_size: int,
        seed: int,
        steps: int,
        cursor: int = 0,
        share: slice = slice(None),
        order: Order = "shuffled",
    ) -> None:
        if not len(rows):
            raise DataError(f"{store.path} has no tiles to load: none is in the split that was asked for")
        self._store = store
        self._rows = rows
        self._batch_size = batch_size
        self._seed = seed
        self._steps = steps
        self._cursor = cursor
        self._share = share
        self._order: Order = order
        tiles = len(range(*share.indices(batch_size)))
        rows_a_read = min(_ROWS_A_READ, _BYTES_A_READ // store.tile_bytes)
        self._batches_a_read = max(1, rows_a_read // tiles)

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[Batch]:
        with ThreadPoolExecutor(1, thread_name_prefix="swath-loader") as pool:
            ahead: deque[Future[list[Batch]]] = deque()
            try:
                for first, until in self._reads():
                    ahead.append(pool.submit(self._read, first, until))
                    if len(ahead) > _READS_AHEAD:
                        yield from _wait_for(ahead.popleft())
                while ahead:
                    yield from _wait_for(ahead.popleft())
            finally:
                for read in ahead:
                    read.cancel()

    def _reads(self) -> Iterator[tuple[int, int]]:
        """First step and end of each read: cut where the stream cuts its windows, wherever the cursor is."""
        before = self._cursor // self._batch_size % self._batches_a_read
        for first in range(-before, self._steps, self._batches_a_read):
            yield max(first, 0), min(first + self._batches_a_read, self._steps)

    def _read(self, first: int, until: int) -> list[Batch]:
        """Batches `first` to `until`, from one call of the store: 512 rows at once cost half of 8 x 64."""
        steps = until - first
        positions, epochs = sample_at(
            self._cursor + first * self._batch_size,
            steps * self._batch_size,
            n=len(self._rows),
            seed=self._seed,
            order=self._order,
        )
        if self._order == "blocks":  # in a step neighbours side by side, so that a share is few stretches too
            order = np.lexsort((positions, epochs, np.arange(len(positions)) // self._batch_size))
            positions, epochs = positions[order], epochs[order]
        step_rows = self._rows[positions].reshape(steps, -1)
        step_epochs = epochs.reshape(steps, -1)
        rows = step_rows[:, self._share]
        pixels = [_for_device(group) for group in self._store.read(rows.ravel())]
        return [
            Batch(
                rows=rows[step],
                epochs=step_epochs[step, self._share],
                groups=[group.view(steps, -1, *group.shape[1:])[step] for group in pixels],
                step_rows=step_rows[step],
                step_epochs=step_epochs[step],
                wait_s=0.0,
            )
            for step in range(steps)
        ]


def _for_device(pixels: npt.NDArray[np.generic]) -> Tensor:
    """As a tensor; in pinned memory where there is a GPU, which then fetches it while the host goes on."""
    tensor = torch.from_numpy(pixels)
    return tensor.pin_memory() if torch.cuda.is_available() else tensor


def _wait_for(reading: Future[list[Batch]]) -> Iterator[Batch]:
    started = time.perf_counter()
    first, *others = reading.result()
    yield replace(first, wait_s=time.perf_counter() - started)
    yield from others
