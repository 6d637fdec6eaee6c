"""Average precision: per class, macro (mean over classes) and micro (all tile-class pairs in one ranking).

The definition is scikit-learn's: AP = sum over distinct thresholds, best first, of (R_n - R_{n-1}) P_n, so
that tied scores count as one threshold and the order of rows never matters. A `Ranking` is sorted once; AP
under R weightings of the tiles (the multiplicities of R bootstrap rounds) is then two sparse products and
two running sums. Legend: N tiles, K classes, T thresholds, R weightings.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse
import torch

from swath.scores.inputs import Floats, Labels, check_finite, check_rows

Weights = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]

# Thresholds at a time. A block of it by 16 rounds stays in the cache and below the size at which torch would
# start threads of its own: 0.4 ms for the running sums of 434,000 thresholds and a round, not 10 at once.
_BLOCK = 2048


@dataclass(frozen=True, eq=False)
class Ranking:
    """Thresholds from the highest score to the lowest, in blocks.

    A block is two sparse (t, N) tables that say how often each tile comes in at each of its thresholds, and
    how often as a positive. Thresholds that add no positive are one with the next that does: they change
    nothing.
    """

    blocks: tuple[tuple[Any, Any], ...]

    @classmethod
    def of(cls, scores: Floats, labels: Labels, tiles: npt.NDArray[np.intp], *, count: int) -> Self:
        """Rank M scores with 0/1 labels; `tiles` (M,) says which of `count` tiles each belongs to."""
        order = np.argsort(-scores, kind="stable")
        ranked, positive = scores[order], labels[order].astype(bool)
        ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1) + 1  # (T',)
        found = np.cumsum(positive)[ends - 1]
        adds = np.diff(found, prepend=0) > 0
        rows = tiles[order].astype(np.int32)
        return cls(
            tuple(
                zip(
                    _tables(rows, ends[adds], count=count),
                    _tables(rows[positive], found[adds], count=count),
                    strict=True,
                )
            )
        )

    def average_precision(self, weights: Weights) -> Numbers:
        """(R,) AP with tile i counted weights[i] times, weights (N, R); NaN where the positives weigh
        nothing.
        """
        rounds = weights.shape[1]
        seen, found, gained = (torch.zeros(rounds, dtype=torch.float64) for _ in range(3))
        for members, positives in self.blocks:
            gain = torch.from_numpy(positives @ weights)  # (t, R)
            at_seen = torch.from_numpy(members @ weights).cumsum(0, dtype=torch.float64).add_(seen)
            at_found = gain.cumsum(0, dtype=torch.float64).add_(found)
            seen, found = at_seen[-1].clone(), at_found[-1].clone()
            # Nothing seen yet means nothing gained either: 0 / 1 there instead of 0 / 0.
            gained += at_found.div_(at_seen.clamp_(min=1.0)).mul_(gain).sum(0)
        return (gained / found).numpy()  # 0 / 0 is NaN


def _tables(rows: npt.NDArray[np.int32], ends: npt.NDArray[np.intp], *, count: int) -> Iterator[Any]:
    """(t, count) tables of ones: row i holds the tiles rows[ends[i - 1]:ends[i]]."""
    starts = np.concatenate([[0], ends])
    for first in range(0, len(ends), _BLOCK):
        bounds = starts[first : first + _BLOCK + 1]
        inside = rows[bounds[0] : bounds[-1]]
        ones = np.ones(len(inside), dtype=np.float32)
        pointers = (bounds - bounds[0]).astype(np.int32)
        yield scipy.sparse.csr_array((ones, inside, pointers), shape=(len(bounds) - 1, count))


class ClassRankings:
    """The rankings of K classes and the one of all N x K pairs, for many weightings of the same tiles."""

    def __init__(self, scores: Floats, labels: Labels) -> None:
        """`scores` and 0/1 `labels` are (N, K).

        Raises:
            DataError: a score is not finite, or the shapes differ.
        """
        check_rows(scores, labels, what="scores")
        check_finite(scores, what="scores")
        count, num_classes = labels.shape
        tiles = np.arange(count)
        self._classes = [
            Ranking.of(scores[:, k], labels[:, k], tiles, count=count) for k in range(num_classes)
        ]
        self._pairs = Ranking.of(scores.ravel(), labels.ravel(), np.repeat(tiles, num_classes), count=count)

    def per_class(self, weights: Weights) -> Numbers:
        """(K, R) AP a class; NaN where a class has no positive among the tiles of these weights (N, R)."""
        return np.stack([ranking.average_precision(weights) for ranking in self._classes])

    def macro(self, weights: Weights) -> Numbers:
        """(R,) mean AP over the classes that have a positive; NaN where none has."""
        return mean_of_defined(self.per_class(weights))

    def micro(self, weights: Weights) -> Numbers:
        """(R,) AP of the ranking of all pairs."""
        return self._pairs.average_precision(weights)


def mean_of_defined(values: Numbers) -> Numbers:
    """(K, R) -> (R,) mean of what is not NaN; NaN where nothing is left."""
    defined = ~np.isnan(values)
    count = defined.sum(axis=0)
    total = np.where(defined, values, 0.0).sum(axis=0)
    undefined = np.full(values.shape[1], np.nan)
    return np.asarray(np.divide(total, count, out=undefined, where=count > 0))


def once(count: int) -> Weights:
    """(N, 1) weights that count every tile once."""
    return np.ones((count, 1), dtype=np.float32)


def average_precisions(scores: Floats, labels: Labels) -> Numbers:
    """(K,) AP of scores (N, K) against 0/1 labels (N, K); NaN, never 0, where a class has no positive."""
    return ClassRankings(scores, labels).per_class(once(len(scores)))[:, 0]


def macro(scores: Floats, labels: Labels) -> float:
    """Mean AP over the classes with a positive; NaN where none has."""
    return float(mean_of_defined(average_precisions(scores, labels)[:, None])[0])


def micro(scores: Floats, labels: Labels) -> float:
    """AP of all N x K pairs in one ranking: frequent classes weigh more."""
    return float(ClassRankings(scores, labels).micro(once(len(scores)))[0])
