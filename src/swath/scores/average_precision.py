"""Average precision: per class, macro (mean over classes) and micro (all tile-class pairs in one ranking).

The definition is scikit-learn's: AP = sum over distinct thresholds, best first, of (R_n - R_{n-1}) P_n, so
that tied scores count as one threshold and the order of rows never matters. A `Ranking` is sorted once; with
any weights on the tiles (a bootstrap's multiplicities) its AP then costs O(N). Legend: N tiles, K classes.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from swath.scores.inputs import Floats, Labels, check_finite, check_rows

Weights = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ranking:
    """Tiles from the highest score to the lowest.

    `rows` (M,) is the tile of each place, `positives` (P,) the tile of each positive place. Thresholds matter
    only where they add a positive: for these T, `ends` (T,) is the last place and `last_positives` (T,) the
    last positive.
    """

    rows: npt.NDArray[np.intp]
    positives: npt.NDArray[np.intp]
    ends: npt.NDArray[np.intp]
    last_positives: npt.NDArray[np.intp]

    @classmethod
    def of(cls, scores: Floats, labels: Labels, tiles: npt.NDArray[np.intp]) -> Self:
        """Rank M scores with 0/1 labels; `tiles` (M,) says which tile each belongs to."""
        order = np.argsort(-scores, kind="stable")
        ranked, positive = scores[order], labels[order].astype(bool)
        ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
        count_at_ends = np.cumsum(positive)[ends]
        holds_positive = np.diff(count_at_ends, prepend=0) > 0
        return cls(
            rows=tiles[order],
            positives=tiles[order][positive],
            ends=ends[holds_positive],
            last_positives=count_at_ends[holds_positive] - 1,
        )

    def average_precision(self, weights: Weights) -> float:
        """AP with tile i counted weights[i] times; NaN where the positives weigh nothing."""
        found = np.cumsum(weights[self.positives])[self.last_positives]
        if not len(found) or found[-1] == 0:
            return float("nan")
        seen = np.cumsum(weights[self.rows])[self.ends]
        gained = np.diff(found, prepend=0.0)
        precision = np.divide(found, seen, out=np.zeros_like(found), where=seen > 0)
        return float((gained * precision).sum() / found[-1])


class ClassRankings:
    """The rankings of K classes and the one of all N x K pairs, for many weightings of the same tiles."""

    def __init__(self, scores: Floats, labels: Labels) -> None:
        """`scores` and 0/1 `labels` are (N, K).

        Raises:
            DataError: a score is not finite, or the shapes differ.
        """
        check_rows(scores, labels, what="scores")
        check_finite(scores, what="scores")
        tiles = np.arange(len(scores))
        self._classes = [Ranking.of(scores[:, k], labels[:, k], tiles) for k in range(labels.shape[1])]
        self._pairs = Ranking.of(scores.ravel(), labels.ravel(), np.repeat(tiles, labels.shape[1]))

    def per_class(self, weights: Weights) -> npt.NDArray[np.float64]:
        """(K,) AP a class; NaN where a class has no positive among the tiles of these weights."""
        return np.asarray([ranking.average_precision(weights) for ranking in self._classes], dtype=np.float64)

    def macro(self, weights: Weights) -> float:
        """Mean AP over the classes that have a positive; NaN where none has."""
        present = self.per_class(weights)
        present = present[~np.isnan(present)]
        return float(present.mean()) if len(present) else float("nan")

    def micro(self, weights: Weights) -> float:
        return self._pairs.average_precision(weights)


def average_precisions(scores: Floats, labels: Labels) -> npt.NDArray[np.float64]:
    """(K,) AP of scores (N, K) against 0/1 labels (N, K); NaN, never 0, where a class has no positive."""
    return ClassRankings(scores, labels).per_class(np.ones(len(scores)))


def macro(scores: Floats, labels: Labels) -> float:
    """Mean AP over the classes with a positive; NaN where none has."""
    return ClassRankings(scores, labels).macro(np.ones(len(scores)))


def micro(scores: Floats, labels: Labels) -> float:
    """AP of all N x K pairs in one ranking: frequent classes weigh more."""
    return ClassRankings(scores, labels).micro(np.ones(len(scores)))
