"""Single-label scores: is the class with the highest score the right one. Legend: N tiles, K classes."""

import numpy as np
import numpy.typing as npt

from swath.scores.average_precision import Weights
from swath.scores.inputs import Floats, Labels, check_finite, check_rows


def hits(scores: Floats, labels: Labels) -> npt.NDArray[np.bool_]:
    """(N,) whether the highest of scores (N, K) is the class of one-hot labels (N, K); first of a tie.

    Raises:
        DataError: a score is not finite, or the shapes differ.
    """
    check_rows(scores, labels, what="scores")
    check_finite(scores, what="scores")
    best = scores.argmax(axis=1)
    return np.asarray(labels[np.arange(len(labels)), best], dtype=np.bool_)


def accuracy(scores: Floats, labels: Labels, weights: Weights | None = None) -> float:
    """Share of the tiles whose highest score is the right class, tile i counted weights[i] times."""
    return float(np.average(hits(scores, labels), weights=weights))
