"""95 % intervals by the percentile bootstrap, over tiles or over groups of tiles that belong together.

Neighbouring tiles look alike, so resampling them one by one gives intervals that are too narrow; where the
place (block) of a tile is known, whole blocks are drawn. A round is a weight a tile (how often it was drawn),
never a copy of scores. Several statistics are computed on the same rounds, which makes the interval of a
difference a paired one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.errors import DataError
from swath.scores.average_precision import Weights

Statistics = Callable[[Weights], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Interval:
    """A value on the whole set and the bounds that 95 % of the rounds lie between."""

    value: float
    low: float
    high: float

    def to_json(self) -> list[float]:
        return [self.value, self.low, self.high]


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

    def weights(self) -> Iterator[Weights]:
        """How often each tile is drawn, (N,) whole numbers, round by round; the same for the same seed."""
        generator = np.random.default_rng(self.seed)
        total = self.num_groups
        for _ in range(self.rounds):
            drawn = np.bincount(generator.integers(total, size=total), minlength=total)
            yield drawn[self.groups].astype(np.float64)


def bootstrap(statistics: Statistics, resampling: Resampling) -> list[Interval]:
    """Intervals of the S numbers that `statistics` gives for weights (N,).

    The values are those of the whole set, each tile once. A round in which a number is not defined (NaN) does
    not count for that number.

    Raises:
        DataError: a number is not defined on the whole set.
    """
    value = statistics(np.ones(len(resampling.groups)))
    if np.isnan(value).any():
        raise DataError(
            "no class has a positive test tile, so nothing can be scored. Look at the labels and the split."
        )
    rounds = np.stack([statistics(weights) for weights in resampling.weights()])
    low, high = np.nanpercentile(rounds, [2.5, 97.5], axis=0)
    return [Interval(float(v), float(lo), float(hi)) for v, lo, hi in zip(value, low, high, strict=True)]
