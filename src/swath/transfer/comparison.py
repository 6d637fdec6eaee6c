"""Answers to an exam, judged on the same test tiles and the same resamples: differences are paired."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.errors import DataError
from swath.scores.average_precision import ClassRankings, Numbers, Weights, mean_of_defined
from swath.scores.classes import Decisions, F1Counts, hits
from swath.scores.inputs import Labels
from swath.scores.intervals import Estimate, Resampling, bootstrap

MEASURES = ("map_macro", "map_micro", "f1_macro", "f1_micro")
_FEW_BLOCKS = 10
log = logging.getLogger(__name__)

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answers:
    """What a probe says of the test tiles: scores (N, K) to rank them by, and decisions (N, K) for F1."""

    scores: Scores
    decided: Decisions


@dataclass(frozen=True, eq=False)
class Exam:
    """Labels (N, K) of the test tiles, and how they are resampled: by "block" or by "tile".

    Classes with fewer than `min_positives` positives are left out of the averages.

    Raises:
        DataError: that leaves no class.
    """

    labels: Labels
    vocabulary: tuple[str, ...]
    single_label: bool
    resampling: Resampling
    by: str
    min_positives: int

    def __post_init__(self) -> None:
        if not len(self.kept):
            raise DataError(
                f"no class has {self.min_positives} positive tiles among {len(self.labels)} test tiles: "
                "nothing can be scored. Use a lower --min-positives, or another split."
            )
        if self.by == "block" and self.resampling.num_groups < _FEW_BLOCKS:
            log.warning(
                f"test tiles lie in {self.resampling.num_groups} blocks only: intervals are rough. More of "
                "them in test, or smaller ones, make them better: swath split --test-share, --block-m"
            )

    @property
    def kept(self) -> npt.NDArray[np.intp]:
        """Classes with enough positives to be scored."""
        return np.flatnonzero(self.labels.sum(axis=0, dtype=np.int64) >= self.min_positives)

    @property
    def left_out(self) -> tuple[str, ...]:
        kept = set(self.kept.tolist())
        return tuple(name for k, name in enumerate(self.vocabulary) if k not in kept)

    @property
    def measures(self) -> tuple[str, ...]:
        return (*MEASURES, "accuracy") if self.single_label else MEASURES

    @property
    def headline(self) -> str:
        """The one number to compare by: accuracy for single labels, macro AP for several."""
        return "accuracy" if self.single_label else "map_macro"

    def describe(self) -> dict[str, Any]:
        """How the intervals come about: a round draws `groups` times `by` (block or tile)."""
        return {
            "min_positives": self.min_positives,
            "by": self.by,
            "groups": self.resampling.num_groups,
            "rounds": self.resampling.rounds,
            "seed": self.resampling.seed,
        }


@dataclass(frozen=True)
class Judgement:
    """Estimates by measure, and AP by class with its interval, its share of test tiles and their number."""

    estimates: dict[str, Estimate]
    per_class: dict[str, dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        values = {name: estimate.interval.to_json() for name, estimate in self.estimates.items()}
        return {"accuracy": None, **values, "per_class": self.per_class}

    def gain_over(self, other: "Judgement") -> dict[str, Estimate]:
        """By measure the paired difference from another judgement of the same exam."""
        return {name: found.minus(other.estimates[name]) for name, found in self.estimates.items()}


def judge(answers: Answers, exam: Exam) -> Judgement:
    """Score answers; two judgements of the same exam are on the same rounds."""
    kept = exam.kept
    rankings = ClassRankings(answers.scores[:, kept], exam.labels[:, kept])
    f1 = F1Counts(answers.decided[:, kept], exam.labels[:, kept])
    right = hits(answers.scores, exam.labels).astype(np.float32) if exam.single_label else None

    def statistics(weights: Weights) -> Numbers:
        per_class = rankings.per_class(weights)
        rows = [mean_of_defined(per_class), rankings.micro(weights), f1.macro(weights), f1.micro(weights)]
        if right is not None:
            rows.append((right @ weights) / weights.sum(axis=0, dtype=np.float64))
        return np.vstack([*rows, per_class])

    found = bootstrap(statistics, exam.resampling)
    named = dict(zip(exam.measures, found, strict=False))
    return Judgement(named, _by_class(found[len(named) :], exam))


def _by_class(estimates: list[Estimate], exam: Exam) -> dict[str, dict[str, Any]]:
    counts = exam.labels[:, exam.kept].sum(axis=0, dtype=np.int64)
    rows = {}
    for k, estimate, n in zip(exam.kept, estimates, counts, strict=True):
        value, low, high = estimate.interval.to_json()
        rows[exam.vocabulary[k]] = {
            "ap": value,
            "interval": [low, high],
            "prevalence": float(n / len(exam.labels)),
            "n": int(n),
        }
    return rows
