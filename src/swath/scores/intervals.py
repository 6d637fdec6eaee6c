"""95 % intervals by the percentile bootstrap, over tiles or over groups of tiles that belong together.

Neighbouring tiles look alike, so resampling them one by one gives intervals that are too narrow; where the
place (block) of a tile is known, whole blocks are drawn. A round is a weight a tile (how often it was drawn),
never a copy of scores. Several statistics are computed on the same rounds, so that the rounds of a
difference are the differences of the rounds: its interval and its test are paired.
Legend: N tiles, S statistics, R rounds.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.errors import DataError
from swath.scores.average_precision import Numbers, Weights, once

Statistics = Callable[[Weights], Numbers]
_AT_ONCE = 16  # rounds: 64 bytes of float32 a tile, which is what a processor fetches at a time


@dataclass(frozen=True)
class Interval:
    """A value on the whole set and the bounds that 95 % of the rounds lie between."""

    value: float
    low: float
    high: float

    def to_json(self) -> list[float]:
        return [self.value, self.low, self.high]


@dataclass(frozen=True, eq=False)
class Estimate:
    """A number on the whole set, and on each round (R,); NaN in a round where it is not defined."""

    value: float
    rounds: Numbers

    def minus(self, other: "Estimate") -> "Estimate":
        """The paired difference, of two estimates on the same rounds."""
        return Estimate(self.value - other.value, self.rounds - other.rounds)

    @property
    def interval(self) -> Interval:
        low, high = np.nanpercentile(self.rounds, [2.5, 97.5])
        return Interval(self.value, float(low), float(high))

    @property
    def p_value(self) -> float:
        """Two-sided, that the number is 0: twice the share of rounds on the far side of 0, ties on both
        sides, the whole set counted as a round of its own. It cannot be below 2 / (R + 1).
        """
        rounds = self.rounds[~np.isnan(self.rounds)]
        below, above = int((rounds <= 0).sum()), int((rounds >= 0).sum())
        return min(1.0, 2 * (min(below, above) + 1) / (len(rounds) + 1))


def mean_estimate(estimates: Sequence[Estimate], *, seed: int) -> Estimate:
    """The mean of one number over several draws of the training labels.

    A round takes as many draws as there are, with repeats, so the interval holds the chance of the draw of
    labels as well as that of the test tiles.
    """
    rounds = np.stack([one.rounds for one in estimates])  # (draws, R)
    chosen = np.random.default_rng(seed).integers(len(rounds), size=rounds.shape)
    return Estimate(
        float(np.mean([one.value for one in estimates])),
        np.take_along_axis(rounds, chosen, axis=0).mean(axis=0),
    )


@dataclass(frozen=True, eq=False)
class Resampling:
    """How to draw: `groups` (N,) is the group 0..G-1 of each tile; a round draws G groups, with repeats."""

    groups: npt.NDArray[np.intp]
    rounds: int
    seed: int

    @classmethod
    def of_tiles(cls, count: int, *, rounds: int, seed: int) -> "Resampling":
        return cls(groups=np.arange(count), rounds=rounds, seed=seed)

    @classmethod
    def of_groups(cls, names: npt.NDArray[Any], *, rounds: int, seed: int) -> "Resampling":
        """Draw whole groups; `names` (N,) is the group of each tile."""
        return cls(groups=np.unique(names, return_inverse=True)[1].ravel(), rounds=rounds, seed=seed)

    @property
    def num_groups(self) -> int:
        return int(self.groups.max()) + 1

    def weights(self, rounds: Sequence[int]) -> Weights:
        """(N, len(rounds)) how often each tile is drawn in these rounds; a function of seed and round."""
        total = self.num_groups
        drawn = np.empty((total, len(rounds)), dtype=np.float32)
        for column, number in enumerate(rounds):
            generator = np.random.default_rng([self.seed, number])
            drawn[:, column] = np.bincount(generator.integers(total, size=total), minlength=total)
        return drawn[self.groups]


def bootstrap(statistics: Statistics, resampling: Resampling) -> list[Estimate]:
    """The S numbers that `statistics` gives, (S, R) for weights (N, R), on the whole set and on each round.

    Rounds are shared out to a thread a processor; which thread computes a round does not change it.

    Raises:
        DataError: a number is not defined on the whole set.
    """
    value = statistics(once(len(resampling.groups)))[:, 0]
    if np.isnan(value).any():
        raise DataError(
            "no class has a positive test tile, so nothing can be scored. Look at the labels and the split."
        )
    parts = [
        range(start, min(start + _AT_ONCE, resampling.rounds))
        for start in range(0, resampling.rounds, _AT_ONCE)
    ]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        rounds = np.concatenate(
            list(pool.map(lambda part: statistics(resampling.weights(part)), parts)), axis=1
        )
    return [Estimate(float(v), row) for v, row in zip(value, rounds, strict=True)]
