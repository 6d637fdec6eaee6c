"""Which tile comes when: a pure function of the seed and of how many tiles came before."""

from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from swath.draws import permutation

Order = Literal["shuffled", "blocks", "sequential"]
# Neighbours in the pack that "blocks" reads together, and samples that it shuffles among each other: S3 is
# asked for 32 to 34 stretches, not for 512 tiles. Longer ones cost accuracy (docs/results/cloud.md).
_BLOCK, _WINDOW = 16, 512


def sample_at(
    cursor: int, count: int, *, n: int, seed: int, order: Order = "shuffled"
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The `count` samples that follow after `cursor` samples: positions (B,) in 0..n-1, and epochs (B,).

    The stream is endless: epoch e visits every position once, in the order permutation(n, seed, e) (or 0..n-1
    for "sequential"; for "blocks" blocks of neighbours in such an order, shuffled within each window of the
    stream), and a batch may begin in one epoch and end in the next, so no sample is dropped.
    """
    if n < 1 or cursor < 0 or count < 0:
        raise ValueError(f"cannot take {count} samples after {cursor} of a stream over {n}")
    steps = np.arange(cursor, cursor + count, dtype=np.int64)
    epochs, places = np.divmod(steps, n)
    if order == "sequential":
        return places, epochs
    positions = np.empty_like(places)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        in_order = _in_blocks if order == "blocks" else _order
        positions[here] = in_order(n, seed, int(epoch))[places[here]]
    return positions, epochs


@lru_cache(maxsize=2)
def _order(n: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Kept: sorting 590,000 hashes takes as long as many batches. A batch touches one epoch or two."""
    return permutation(n, seed=seed, epoch=epoch)


@lru_cache(maxsize=2)
def _in_blocks(n: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Blocks in the order of their own permutation; in each window, the tiles in that of all.

    Windows are counted from the start of the stream: a read of the loader holds whole ones in every epoch.
    """
    blocks = permutation(-(-n // _BLOCK), seed=seed, epoch=epoch)
    tiles = (blocks[:, None] * _BLOCK + np.arange(_BLOCK)).ravel()
    tiles = tiles[tiles < n]
    rank = np.argsort(_order(n, seed, epoch))
    return tiles[np.lexsort((rank[tiles], (epoch * n + np.arange(n)) // _WINDOW))]
