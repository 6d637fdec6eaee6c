"""How it learned: the numbers of metrics.jsonl as curves."""

import itertools
import math

from swath.pages.charts import SMALL, Line, line_chart
from swath.pages.markup import Markup, element, join
from swath.pages.page import Section, missing
from swath.transfer.report.facts import RunFacts
from swath.transfer.report.machine import machine_charts

_CHECKS = (
    ("Macro average precision", (("knn_map", "kNN", 1), ("linear_map", "linear", 2))),
    ("Accuracy", (("knn_accuracy", "kNN", 1), ("linear_accuracy", "linear", 2))),
    ("Views found again, without labels", (("retrieval", "retrieval", 1),)),
)
_SCHEDULES = {
    "lr": "Learning rate", "weight_decay": "Weight decay", "momentum": "Teacher momentum",
    "teacher_temp": "Teacher temperature",
}  # fmt: skip
_HEALTH = {
    "feature_std": "Spread of features", "effective_rank": "Effective rank of features",
    "hit_rate": "Right partner found", "prototypes": "Prototypes in use", "grad_norm": "Gradient norm",
}  # fmt: skip


def learning_section(run: RunFacts) -> Section:
    """Loss, monitors, schedules and speed; a curve that a method does not have is left out."""
    title, anchor = "How it learned", "learning"
    if not any(run.column("loss")):
        again = missing("Nothing was logged yet.", f"swath pretrain TILES --out {run.path}")
        return Section(anchor, title, "The curves of the training.", again)
    small = [_single(run, key, name) for key, name in (_HEALTH | _SCHEDULES).items()]
    body = join(
        [
            _collapses(run),
            element("div", _loss(run), _checks(run), class_="grid"),
            element("div", *_speed(run), class_="grid"),
            element("h3", "Health and schedules"),
            element("div", *small, class_="grid small"),
            _skipped(run),
            *machine_charts(run),
        ]
    )
    return Section(anchor, title, _lede(run), body)


def _lede(run: RunFacts) -> str:
    if any(value is not None for value in run.column("entropy")):
        return (
            "The loss is the sum of two parts: the entropy of the teacher's answers, and how far the student "
            "is from them (KL). Entropy that falls to zero, or a loss that stays at its start with KL near "
            "zero, would be a collapse."
        )
    return (
        "The loss asks which of all other views in the batch shows the same tile. It has no teacher "
        "distribution, so there is no entropy and no KL to show."
    )


def _loss(run: RunFacts) -> Markup:
    names = (("loss", "loss", 1), ("entropy", "entropy", 3), ("kl", "KL", 2))
    lines = [_line(run, key, name, tone) for key, name, tone in names]
    out_dim = run.recipe.get("out_dim")
    if out_dim and any(value is not None for value in run.column("entropy")):
        top = math.log(int(out_dim))
        lines.append(Line("ln(out_dim)", run_steps(run), [top] * len(run.metrics), 5))
    return line_chart("Loss", lines, from_zero=True)


def _checks(run: RunFacts) -> Markup:
    for title, columns in _CHECKS:
        drawn = [_line(run, key, name, tone) for key, name, tone in columns]
        if chart := line_chart(f"{title} during training", drawn):
            return chart
    return missing("No check during training: it was switched off.", "swath pretrain ... --monitor-every 50")


def _speed(run: RunFacts) -> list[Markup]:
    waits = [None if value is None else 100 * value for value in run.column("wait_share")]
    wait = Line("waiting", run_steps(run), waits, 2)
    return [
        line_chart("Images per second", [_line(run, "images_per_s", "images/s", 3)], from_zero=True),
        line_chart("Share of time waiting for data, %", [wait], from_zero=True),
    ]


def _single(run: RunFacts, key: str, name: str) -> Markup:
    return line_chart(name, [_line(run, key, name, 4 if key in _SCHEDULES else 3)], size=SMALL)


def _collapses(run: RunFacts) -> Markup | None:
    """A sentence for every stretch of rows with an alarm."""
    sentences = []
    for name, rows in itertools.groupby(run.metrics, key=lambda row: row.get("collapse")):
        if name:
            steps = [row["step"] for row in rows]
            sentences.append(
                f"Collapse from step {steps[0]:,} to {steps[-1]:,}: {name}. "
                "The log of the run says what is worth trying. "
            )
    return element("p", element("strong", *sentences), class_="missing") if sentences else None


def _skipped(run: RunFacts) -> Markup | None:
    skipped = sum(bool(value) for value in run.column("skipped"))
    words = f"{skipped} steps were skipped, changing nothing: their loss or gradient was not finite."
    return element("p", words, class_="note") if skipped else None


def run_steps(run: RunFacts) -> list[float]:
    return [float(row["step"]) for row in run.metrics]


def _line(run: RunFacts, key: str, name: str, tone: int) -> Line:
    return Line(name, run_steps(run), run.column(key), tone)
