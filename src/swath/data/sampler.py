"""Which tile comes when: a pure function of the seed and of how many tiles came before."""

from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from swath.draws import permutation

Order = Literal["shuffled", "sequential"]


def sample_at(
    cursor: int, count: int, *, n: int, seed: int, order: Order = "shuffled"
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The `count` samples that follow after `cursor` samples: positions (B,) in 0..n-1, and epochs (B,).

    The stream is endless: epoch e visits every position once, in the order permutation(n, seed, e) (or 0..n-1
    for "sequential"), and a batch may begin in one epoch and end in the next, so no sample is dropped.
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
        positions[here] = _order(n, seed, int(epoch))[places[here]]
    return positions, epochs


@lru_cache(maxsize=2)
def _order(n: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Kept: sorting 590,000 hashes takes as long as many batches. A batch touches one epoch or two."""
    return permutation(n, seed=seed, epoch=epoch)
