"""Label by example: a few marked tiles -> a logistic probe -> a score for every tile of the archive.

Legend: N tiles, D features.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.special

from swath.scores.logistic import fit_logistic

# Chosen among a few by labelling EuroSAT's classes; benchmarks/label_by_example.py measures what it gives.
_BACKGROUND = 50
_STRENGTH = 0.01
_MARK_WEIGHT = 10  # what one mark counts beside a tile of the background

Features = npt.NDArray[np.float32]


class ExampleProbe:
    """Scores in (0, 1) of the tiles (N, D) for marks that change; the same marks give the same scores.

    A few marks alone say little about which features matter, and nothing while all of them are positive. So a
    fixed random background of the archive counts as negative too, each of its tiles less than a mark: most
    tiles are not what one looks for.
    """

    def __init__(self, features: Features, *, seed: int = 0) -> None:
        self._features = features
        order = np.random.default_rng(seed).permutation(len(features))
        self._background = np.sort(order[:_BACKGROUND])

    def scores(self, positive: Sequence[int], negative: Sequence[int]) -> npt.NDArray[np.float32]:
        """(N,) for at least one positive tile."""
        marked = np.asarray([*positive, *negative], dtype=np.int64)
        background = np.setdiff1d(self._background, marked)
        rows = np.concatenate([np.repeat(marked, _MARK_WEIGHT), background])
        labels = np.zeros((len(rows), 1), dtype=np.uint8)
        labels[: len(positive) * _MARK_WEIGHT] = 1
        if labels.all():  # every tile of a tiny archive is marked as positive
            return np.ones(len(self._features), dtype=np.float32)
        probe = fit_logistic(self._features[rows], labels, strength=_STRENGTH, task="multilabel")
        weights = np.asarray(probe.weights[:, 0] / probe.std, dtype=np.float32)
        logits = self._features @ weights + np.float32(probe.bias[0] - probe.mean @ weights)
        return np.asarray(scipy.special.expit(logits), dtype=np.float32)
