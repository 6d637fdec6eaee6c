"""One probe on one set of features, at every share of the labels: rows that a table, a curve and a sentence
are made of. Used by `swath probe` and `swath ladder` alike.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from swath.errors import UsageError
from swath.scores.intervals import Estimate, mean_estimate
from swath.scores.logistic import LogisticProbe
from swath.transfer.comparison import Exam, Judgement, judge
from swath.transfer.examples import Examples
from swath.transfer.fractions import draw_labelled, label_sentence, percent
from swath.transfer.prediction import Prediction

log = logging.getLogger(__name__)

Learn = Callable[[Examples], Prediction]


@dataclass(frozen=True)
class Labels:
    """Shares of the labels, ascending, and how many times each below 1 is drawn."""

    fractions: tuple[float, ...]
    draws: int
    seed: int

    def __iter__(self) -> Any:
        """(fraction, draw): all labels can be drawn in one way only."""
        return iter((f, draw) for f in self.fractions for draw in range(1 if f == 1.0 else self.draws))


@dataclass(frozen=True, eq=False)
class Measured:
    """One probe on one draw of the labels; `absent` are the classes without a positive among them."""

    fraction: float
    draw: int
    n_train: int
    absent: tuple[str, ...]
    settings: dict[str, Any]
    tried: dict[float, float]
    probe: LogisticProbe | None
    judgement: Judgement

    def to_json(self) -> dict[str, Any]:
        values = {name: one.interval.to_json() for name, one in self.judgement.estimates.items()}
        return {
            "fraction": self.fraction,
            "draw": self.draw,
            "n_train": self.n_train,
            "classes_without_positive": list(self.absent),
            "settings": self.settings,
            "values": values,
        }


def measure(learn: Learn, examples: Examples, exam: Exam, labels: Labels) -> list[Measured]:
    """Learn from every draw of the labels and answer the exam; below 1, val is not used (see Examples)."""
    rows = []
    train = examples.labels[examples.train]
    for fraction, draw in labels:
        places = draw_labelled(train, fraction, seed=labels.seed + draw)
        part = examples if fraction == 1.0 else examples.with_labels_of(places)
        made = learn(part)
        found = judge(made.answers, exam)  # the answers themselves are not kept: 19 MB each on BigEarthNet
        rows.append(
            Measured(
                fraction, draw, len(part.train), part.absent, made.settings, made.tried, made.probe, found
            )
        )
    return rows


def say_absent(examples: Examples, labels: Labels) -> None:
    """Log the draws that leave a class without a positive: it cannot be learned from them, and is scored as
    chance.
    """
    train = examples.labels[examples.train]
    for fraction, draw in labels:
        part = examples.with_labels_of(draw_labelled(train, fraction, seed=labels.seed + draw))
        if part.absent:
            which = f"{percent(fraction)} of the labels" + (f", draw {draw}" if fraction < 1 else "")
            lost = ", ".join(part.absent)
            log.warning(f"{which}: {len(part.train):,} tiles hold no positive of {lost}; scored as chance")


def check_neighbours(asked: int, examples: Examples) -> None:
    """Raises UsageError where more neighbours are asked for than training tiles are labelled."""
    count = len(examples.train)
    if asked > count:
        raise UsageError(
            f"--k {asked} is more than the {count:,} labelled training tiles; give at most --k {count}"
        )


def say_few_neighbours(k: int, examples: Examples, labels: Labels) -> None:
    """Log where fewer than k training tiles were labelled, so that all of them voted."""
    train = examples.labels[examples.train]
    for fraction in labels.fractions:
        few = len(draw_labelled(train, fraction, seed=labels.seed))
        if few < k:
            log.warning(f"{percent(fraction)} of the labels: {few:,} tiles, fewer than --k {k}; all voted")


@dataclass(frozen=True, eq=False)
class Curve:
    """What a set of features reaches with more and more labels: a mean over draws at each fraction."""

    name: str
    rows: tuple[Measured, ...]
    seed: int

    @property
    def fractions(self) -> list[float]:
        return sorted({row.fraction for row in self.rows})

    def at(self, fraction: float) -> list[Measured]:
        return [row for row in self.rows if row.fraction == fraction]

    def estimate(self, measure_name: str, fraction: float) -> Estimate:
        """The mean over draws; curves of the same exam and labels pair round by round."""
        return mean_estimate(
            [row.judgement.estimates[measure_name] for row in self.at(fraction)], seed=self.seed
        )

    def points(self, measures: Sequence[str]) -> list[dict[str, Any]]:
        """Plain values for each fraction: [value, low, high] by measure, and the value of each draw."""
        return [
            {
                "fraction": fraction,
                "n_train": self.at(fraction)[0].n_train,
                "draws": len(self.at(fraction)),
                **{name: self.estimate(name, fraction).interval.to_json() for name in measures},
                "by_draw": {
                    name: [row.judgement.estimates[name].value for row in self.at(fraction)]
                    for name in measures
                },
            }
            for fraction in self.fractions
        ]


def sentences(curve: Curve, rival: Curve, *, measure_name: str) -> list[str]:
    """A sentence for each fraction below the largest, or none where there is but one."""
    if len(curve.fractions) < 2:
        return []
    values = [rival.estimate(measure_name, fraction).value for fraction in rival.fractions]
    return [
        label_sentence(
            curve.name,
            curve.estimate(measure_name, fraction).value,
            fraction,
            rival=rival.name,
            curve=(rival.fractions, values),
        )
        for fraction in curve.fractions[:-1]
    ]
