"""Scores of decisions: the best class of a tile (single-label), or each class yes or no (multi-label).

Legend: N tiles, K classes, R weightings of the tiles.
"""

import numpy as np
import numpy.typing as npt

from swath.scores.average_precision import Numbers, Weights, mean_of_defined
from swath.scores.inputs import Floats, Labels, check_finite, check_rows

Decisions = npt.NDArray[np.bool_]


def hits(scores: Floats, labels: Labels) -> npt.NDArray[np.bool_]:
    """(N,) whether the highest of scores (N, K) is the class of one-hot labels (N, K); first of a tie.

    Raises:
        DataError: a score is not finite, or the shapes differ.
    """
    check_rows(scores, labels, what="scores")
    check_finite(scores, what="scores")
    best = scores.argmax(axis=1)
    return np.asarray(labels[np.arange(len(labels)), best], dtype=np.bool_)


def accuracy(scores: Floats, labels: Labels) -> float:
    """Share of the tiles whose highest score is the right class."""
    return float(hits(scores, labels).mean())


def best_class(scores: Floats) -> Decisions:
    """(N, K) true at the highest score of each tile alone, the first of a tie."""
    decided = np.zeros(scores.shape, dtype=np.bool_)
    decided[np.arange(len(scores)), scores.argmax(axis=1)] = True
    return decided


class F1Counts:
    """F1 = 2 TP / (decided + positive), as scikit-learn has it, for many weightings of the same tiles."""

    def __init__(self, decided: Decisions, labels: Labels) -> None:
        """`decided` and 0/1 `labels` are (N, K)."""
        check_rows(decided, labels, what="decisions")
        positive = labels.astype(bool)
        self._right = np.ascontiguousarray((decided & positive).T, dtype=np.float32)  # (K, N)
        self._named = np.ascontiguousarray(decided.T.astype(np.float32) + positive.T)  # (K, N)

    def macro(self, weights: Weights) -> Numbers:
        """(R,) mean over the classes; one that is neither on a tile nor decided for any is left out."""
        right, named = self._counts(weights)
        return mean_of_defined(np.divide(2 * right, named, out=np.full(right.shape, np.nan), where=named > 0))

    def micro(self, weights: Weights) -> Numbers:
        """(R,) of all tile-class pairs; NaN where there is neither a positive nor a decision."""
        right, named = (part.sum(axis=0) for part in self._counts(weights))
        undefined = np.full(right.shape, np.nan)
        return np.asarray(np.divide(2 * right, named, out=undefined, where=named > 0))

    def _counts(self, weights: Weights) -> tuple[Numbers, Numbers]:
        """(K, R) of each: decided rightly, and decided plus positive."""
        return (self._right @ weights).astype(np.float64), (self._named @ weights).astype(np.float64)
