"""Which strength of the linear probe: the one that scores best on tiles that it was not fitted on."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swath.errors import DataError
from swath.scores.average_precision import macro
from swath.scores.classes import accuracy
from swath.scores.inputs import Floats, Labels, has_contrast
from swath.scores.logistic import FOR_CHOOSING, Task, fit_path

# scikit-learn's C on standardised features, a decade a step. Measured on EuroSAT and UC Merced, by
# cross-validation of four kinds of features: with 13 labels to 17,299 the best lies between 1e-3 and 1e3, and
# steps of half a decade gain 0.001 (docs/results/proof.md).
STRENGTHS = tuple(10.0**exponent for exponent in range(-4, 4))
FOLDS = 5

Rows = npt.NDArray[np.intp]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StrengthChoice:
    """The best strength, and the score of each: accuracy for single-label, macro AP for multi-label."""

    strength: float
    tried: dict[float, float]


def choose_strength(
    features: Floats, labels: Labels, *, task: Task, parts: Sequence[tuple[Rows, Rows]]
) -> StrengthChoice:
    """Fit every strength on the first rows of each part and score it on the second; the best mean wins.

    Of equals the smallest wins. Parts whose rows hold no contrast (all tiles alike) say nothing and are
    passed over.

    Raises:
        DataError: no part can be fitted and scored.
    """
    scored = []
    for fitted, held in parts:
        if not (has_contrast(labels[fitted]) and labels[held].any()):
            continue
        path = fit_path(
            features[fitted], labels[fitted], strengths=STRENGTHS, task=task, tolerance=FOR_CHOOSING
        )
        scored.append([_score(probe.scores(features[held]), labels[held], task) for probe in path])
    if not scored:
        count = len(np.unique(np.concatenate([rows for part in parts for rows in part])))
        raise DataError(
            f"{count} labelled tiles are too few or too much alike to choose the strength of a linear probe. "
            "Label more tiles, learn from a larger share, or use: swath probe --task knn"
        )
    mean = np.mean(scored, axis=0)
    best = int(mean.argmax())
    beside = {0: 1, len(STRENGTHS) - 1: len(STRENGTHS) - 2}.get(best)
    if beside is not None and mean[best] > mean[beside]:
        count = sum(map(len, parts[0]))
        log.warning(
            f"of {count:,} labels: the best strength {STRENGTHS[best]:g} is at the end of those tried; "
            "one beyond may be better"
        )
    return StrengthChoice(STRENGTHS[best], dict(zip(STRENGTHS, mean.tolist(), strict=True)))


def folds(groups: npt.NDArray[np.intp], *, seed: int, count: int = FOLDS) -> list[tuple[Rows, Rows]]:
    """Parts (rest, fold) of rows; a group (N,) lies in one fold. Large groups first, to the emptiest."""
    names, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold_of, filled = np.zeros(len(names), dtype=np.intp), np.zeros(count, dtype=np.intp)
    for group in order:
        fold_of[group] = filled.argmin()
        filled[fold_of[group]] += sizes[group]
    fold = fold_of[group_of.ravel()]
    return [(np.flatnonzero(fold != part), np.flatnonzero(fold == part)) for part in range(count)]


def _score(scores: Floats, labels: Labels, task: Task) -> float:
    return accuracy(scores, labels) if task == "class" else macro(scores, labels)
