"""Several sets of scores judged on the same test tiles and the same resamples: differences are paired."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.errors import DataError
from swath.scores.average_precision import ClassRankings, Weights
from swath.scores.classes import hits
from swath.scores.inputs import Labels
from swath.scores.intervals import Interval, Resampling, bootstrap

_FEW_BLOCKS = 10
log = logging.getLogger(__name__)

Scores = npt.NDArray[np.float64]


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
        return ("map_macro", "map_micro", "accuracy") if self.single_label else ("map_macro", "map_micro")


@dataclass(frozen=True)
class Judgement:
    """Intervals by measure, AP by class, and by measure the paired difference from the reference."""

    intervals: dict[str, Interval]
    per_class: dict[str, dict[str, Any]]
    gain: dict[str, Interval]

    def to_json(self) -> dict[str, Any]:
        values = {name: interval.to_json() for name, interval in self.intervals.items()}
        return {"accuracy": None, **values, "per_class": self.per_class}


def judge(scores: dict[str, Scores], exam: Exam, *, against: str) -> dict[str, Judgement]:
    """Judge scores (N, K) by name; each is also compared with the scores named `against`, round by round."""
    if exam.by == "block" and exam.resampling.num_groups < _FEW_BLOCKS:
        log.warning(
            f"test tiles lie in {exam.resampling.num_groups} blocks only: intervals are rough. Smaller "
            "blocks, with swath split --block-m, make them better"
        )
    judged = {name: _Candidate(values, exam) for name, values in scores.items()}
    measures, names = exam.measures, list(scores)

    def statistics(weights: Weights) -> npt.NDArray[np.float64]:
        values = np.stack([one.statistics(weights) for one in judged.values()])  # (names, measures)
        return np.concatenate([values, values - values[names.index(against)]]).ravel()

    found = bootstrap(statistics, exam.resampling)
    rows = [
        dict(zip(measures, found[i : i + len(measures)], strict=True))
        for i in range(0, len(found), len(measures))
    ]
    return {
        name: Judgement(rows[i], judged[name].per_class(exam), rows[len(names) + i])
        for i, name in enumerate(names)
    }


class _Candidate:
    """One set of scores, sorted once."""

    def __init__(self, scores: Scores, exam: Exam) -> None:
        self._rankings = ClassRankings(scores[:, exam.kept], exam.labels[:, exam.kept])
        self._hits = hits(scores, exam.labels) if exam.single_label else None

    def statistics(self, weights: Weights) -> npt.NDArray[np.float64]:
        values = [self._rankings.macro(weights), self._rankings.micro(weights)]
        if self._hits is not None:
            values.append(float(self._hits @ weights / weights.sum()))
        return np.asarray(values)

    def per_class(self, exam: Exam) -> dict[str, dict[str, Any]]:
        """AP, share of test tiles with the class, and their number, by class name."""
        precisions = self._rankings.per_class(np.ones(len(exam.labels)))
        counts = exam.labels[:, exam.kept].sum(axis=0, dtype=np.int64)
        return {
            exam.vocabulary[k]: {"ap": float(ap), "prevalence": float(n / len(exam.labels)), "n": int(n)}
            for k, ap, n in zip(exam.kept, precisions, counts, strict=True)
        }
