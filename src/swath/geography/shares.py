"""Which tiles or blocks test and validate, so that splits have the sizes asked for and the labels of all.

Shapes: B blocks, K labels, S splits in the order of `SPLITS`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swath.draws import permutation

SPLITS = ("train", "val", "test")
_DRAWS = 16
_MOST_MOVES = 300

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Shares:
    """Of the tiles; what is left trains."""

    test: float
    val: float

    @property
    def wanted(self) -> Floats:
        """(S,) of all three."""
        return np.asarray([1 - self.test - self.val, self.val, self.test])


def random_split(ids: Sequence[str], shares: Shares, *, seed: int) -> npt.NDArray[np.str_]:
    """(N,) train, val or test; a function of the seed and the set of ids, whatever their order."""
    n = len(ids)
    num_test, num_val = round(shares.test * n), round(shares.val * n)
    shuffled = np.argsort(np.asarray(ids), kind="stable")[permutation(n, seed=seed, epoch=0)]
    splits = np.full(n, "train", dtype="<U5")
    splits[shuffled[:num_test]] = "test"
    splits[shuffled[num_test : num_test + num_val]] = "val"
    return splits


def share_out(tiles: Numbers, positives: Numbers, shares: Shares, *, seed: int) -> Numbers:
    """(B,) the split of each block, a number in `SPLITS`, from its tiles (B,) and positive tiles (B, K).

    The best of 16 seeded draws; then one block after the other goes where it brings all shares nearer, each
    time the one that does most.
    """
    counts = np.concatenate([tiles[:, None], positives], axis=1).astype(np.float64)
    draws = (_draw(permutation(len(tiles), seed=seed, epoch=draw), tiles, shares) for draw in range(_DRAWS))
    splits = min(draws, key=lambda drawn: float(_cost(_held(drawn, counts), counts, shares)))
    for _ in range(_MOST_MOVES):
        block, target = _best_move(splits, counts, shares)
        if target < 0:
            break
        splits[block] = target
    return splits


def label_shares(splits: npt.NDArray[np.str_], labels: npt.NDArray[np.uint8]) -> dict[str, Floats]:
    """Share (K,) of the tiles with each label: of "all" tiles, and of those of each split that has any."""
    found = {"all": labels.mean(axis=0)}
    return found | {name: labels[splits == name].mean(axis=0) for name in SPLITS if (splits == name).any()}


def divergence(shares: dict[str, Floats]) -> Floats:
    """(K,) mean over the splits of |sqrt(share in the split) - sqrt(share of all)|; 0 where all agree.

    Square roots, so that a rare label that a split lost counts as it should.
    """
    gaps = [np.abs(np.sqrt(of) - np.sqrt(shares["all"])) for name, of in shares.items() if name != "all"]
    return np.asarray(np.mean(gaps, axis=0))


def _draw(order: Numbers, tiles: Numbers, shares: Shares) -> Numbers:
    """Walk through the blocks; each goes to test, else to val, where that brings it nearer to its share."""
    splits = np.zeros(len(tiles), dtype=np.int64)
    held = np.zeros(len(SPLITS))
    wanted = shares.wanted * tiles.sum()
    for block in order.tolist():
        size = float(tiles[block])
        for split in (2, 1):
            nearer = held[split] + size / 2 < wanted[split]
            if size > 0 and (nearer or (held[split] == 0 and wanted[split] > 0)):
                splits[block] = split
                held[split] += size
                break
    return splits


def _held(splits: Numbers, counts: Floats) -> Floats:
    """(S, 1 + K) tiles and positive tiles of each split."""
    held = np.zeros((len(SPLITS), counts.shape[1]))
    np.add.at(held, splits, counts)
    return held


def _cost(held: Floats, counts: Floats, shares: Shares) -> Floats:
    """(...,) of splits that hold (..., S, 1 + K): how far sizes and label shares are from what was asked.

    Squares, which single moves can follow downhill where absolute values would stop them.
    """
    total = counts.sum(axis=0)
    size = held[..., 0]
    off_size = np.square(size / total[0] - shares.wanted).mean(axis=-1)
    if counts.shape[1] == 1:
        return np.asarray(off_size)
    share = np.sqrt(np.maximum(held[..., 1:], 0) / np.maximum(size, 1)[..., None])
    apart = np.square(share - np.sqrt(total[1:] / total[0])).mean(axis=-1)
    return np.asarray(off_size + apart[..., shares.wanted > 0].mean(axis=-1))


def _best_move(splits: Numbers, counts: Floats, shares: Shares) -> tuple[int, int]:
    """The block and split that lower the cost most; split -1 where none does. No split loses its last one."""
    held = _held(splits, counts)
    best, block, target = float(_cost(held, counts, shares)) * (1 - 1e-6), 0, -1
    lonely = np.bincount(splits, minlength=len(SPLITS))[splits] == 1
    for split in np.flatnonzero(shares.wanted > 0).tolist():
        movable = np.flatnonzero((splits != split) & ~lonely & (counts[:, 0] > 0))
        after = np.repeat(held[None], len(movable), axis=0)  # (M, S, 1 + K)
        after[np.arange(len(movable)), splits[movable]] -= counts[movable]
        after[:, split] += counts[movable]
        cost = _cost(after, counts, shares)
        if len(cost) and cost.min() < best:
            best, block, target = float(cost.min()), int(movable[cost.argmin()]), split
    return block, target
