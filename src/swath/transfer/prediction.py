"""One feature set, one probe: fitted on the training tiles, asked about the test tiles."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.scores.classes import best_class
from swath.scores.knn import knn_scores
from swath.scores.logistic import LogisticProbe, Task, fit_logistic
from swath.scores.strength import FOLDS, choose_strength, folds
from swath.transfer.comparison import Answers, Scores
from swath.transfer.examples import Examples

Features = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Prediction:
    """Answers for the test tiles, how the probe was set, and the probe itself where it is linear."""

    answers: Answers
    settings: dict[str, Any]
    probe: LogisticProbe | None = None
    tried: dict[float, float] = field(default_factory=dict)


def by_logistic_regression(features: Features, examples: Examples, *, seed: int) -> Prediction:
    """A linear probe on features (N, D), its strength chosen on val, or by cross-validation within train."""
    train = examples.train
    by_val = bool(examples.labels[examples.val].any())
    by, groups = examples.groups(train, at_least=FOLDS)
    if by_val:
        parts, chosen_on = [(train, examples.val)], "val"
    else:
        parts = [(train[rest], train[fold]) for rest, fold in folds(groups, seed=seed)]
        chosen_on = f"{FOLDS}-fold cross-validation in train, folds by {by}"
    choice = choose_strength(features, examples.labels, task=examples.task, parts=parts)
    probe = fit_logistic(
        features[train], examples.labels[train], strength=choice.strength, task=examples.task
    )
    settings = {"strength": choice.strength, "chosen_on": chosen_on}
    scores = probe.scores(features[examples.test])
    return Prediction(answers_of(scores, examples.task, threshold=0.0), settings, probe, choice.tried)


def by_neighbours(features: Features, examples: Examples, *, k: int, temperature: float) -> Prediction:
    """Weighted nearest neighbours by cosine on features (N, D) as they are."""
    train, test = features[examples.train], features[examples.test]
    scores = knn_scores(train, examples.labels[examples.train], test, k=k, temperature=temperature)
    answers = answers_of(scores, examples.task, threshold=0.5)
    return Prediction(answers, {"k": min(k, len(train)), "temperature": temperature})


def standardised(features: Features, examples: Examples) -> Features:
    """Features with mean 0 and spread 1 over the training tiles, for numbers of different units."""
    train = features[examples.train]
    std = train.std(axis=0)
    std[std == 0] = 1
    return np.asarray((features - train.mean(axis=0)) / std, dtype=np.float32)


def answers_of(scores: Scores, task: Task, *, threshold: float) -> Answers:
    """One label a tile: its best class; several: every class above the threshold of an even chance."""
    return Answers(scores, best_class(scores) if task == "class" else scores > threshold)
