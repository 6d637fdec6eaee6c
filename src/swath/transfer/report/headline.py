"""At a glance: one sentence on what pretraining bought, or that it did not, and the numbers behind it."""

import statistics
from dataclasses import dataclass

from swath.pages.charts import Estimate, intervals
from swath.pages.markup import Markup, element, join, number
from swath.transfer.baselines import IMAGE_STATISTICS, PRETRAINED, UNTRAINED
from swath.transfer.ladder_table import probe_title
from swath.transfer.report.facts import Row, RunFacts, TileFacts

METRICS = {
    "map_macro": "macro average precision",
    "map_micro": "micro average precision",
    "accuracy": "accuracy",
    "miou": "mean IoU",
    "pixel_accuracy": "pixel accuracy",
}
TONES = {PRETRAINED: 1, UNTRAINED: 2, IMAGE_STATISTICS: 5}


@dataclass(frozen=True)
class Verdict:
    """`kind` is better, flat, worse or unknown; `claim` the short answer, `detail` the numbers behind it."""

    kind: str
    claim: str
    detail: str

    @property
    def text(self) -> str:
        return f"{self.claim} {self.detail}".strip()


def metric_of(probe: Row) -> str:
    """Mean IoU for masks, accuracy for single labels, macro average precision otherwise."""
    return next((name for name in ("miou", "accuracy") if probe.get(name)), "map_macro")


def heading(metric: str) -> str:
    """The name of a measure, as a heading begins."""
    return METRICS[metric][0].upper() + METRICS[metric][1:]


def baseline(probe: Row, name: str) -> Row:
    return dict((probe.get("baselines") or {}).get(name) or {})


def verdict(probe: Row | None) -> Verdict:
    """What pretraining bought over the same network untrained; an interval that holds 0 shows nothing."""
    if not probe:
        return Verdict("unknown", "What these features are worth has not been measured yet.", "")
    metric = metric_of(probe)
    words, value = METRICS[metric], probe[metric][0]
    untrained = baseline(probe, UNTRAINED).get(metric)
    gain = (probe.get("gain_over_untrained") or {}).get(metric)
    if not untrained or not gain:
        detail = f"A {probe_name(probe)} reaches {words} {value:.3f} on {probe['n_test']:,} held-out tiles."
        return Verdict("unknown", "There is no untrained network to compare with.", detail)
    numbers = (
        f"{words} on {probe['n_test']:,} held-out tiles is {value:.3f}, against {untrained[0]:.3f} for the "
        f"same network untrained: {gain[0]:+.3f}, 95% interval {gain[1]:+.3f} to {gain[2]:+.3f}."
    )
    statistics = baseline(probe, IMAGE_STATISTICS).get(metric)
    kind, claim = (
        ("worse", "Pretraining made the features worse:") if gain[2] < 0
        else ("flat", "No gain from pretraining could be shown:") if gain[1] <= 0
        else ("flat", "Better than untrained, not better than image statistics:")
        if statistics and statistics[0] > value
        else ("better", "Pretraining paid off:")
    )  # fmt: skip
    return Verdict(kind, claim, f"{numbers} {_against_statistics(probe, metric)}".strip())


def masthead(run: RunFacts, tiles: TileFacts, *, banner: Markup | None = None) -> Markup:
    """The top of the page; `banner` is what must be read before the scores."""
    probe, answer = run.probe, verdict(run.probe)
    title = f"What {run.method or 'a network'} learned from {tiles.trained:,} tiles"
    lead = element("p", element("strong", answer.claim), f" {answer.detail}", class_=f"verdict {answer.kind}")
    cards = [element("div", *_numbers(run, tiles), class_="card numbers")]
    if probe:
        cards.append(_comparison(probe))
    return element(
        "header",
        banner,
        element("div", f"swath report / {run.name}", class_="eyebrow"),
        element("h1", title),
        lead,
        element("div", *cards, class_="glance"),
        class_="masthead",
    )


def estimates(probe: Row, metric: str) -> list[Estimate]:
    """The rows of the comparison: baselines first, as far as they were measured."""
    named = [(name, baseline(probe, name).get(metric)) for name in (IMAGE_STATISTICS, UNTRAINED)]
    rows = [Estimate(name, value[0], value[1], value[2], tone=TONES[name]) for name, value in named if value]
    value, low, high = probe[metric]
    return [*rows, Estimate(PRETRAINED, value, low, high, tone=1, main=True)]


def _comparison(probe: Row) -> Markup:
    metric = metric_of(probe)
    what = f"{heading(metric)}, {probe_name(probe)}, {probe['n_test']:,} test tiles"
    note = f"{what}; bars are 95% intervals."
    return element(
        "div", intervals(estimates(probe, metric)), element("p", note, class_="note"), class_="card"
    )


def _numbers(run: RunFacts, tiles: TileFacts) -> list[Markup]:
    size = tiles.format
    gsd = f", {size.gsd_m:g} m a pixel" if size.gsd_m else ""
    rates = _rates(run)
    model = str(run.recipe.get("model", "ViT")).replace("vit_", "ViT-")
    return [
        _number(f"{tiles.trained:,}", "tiles trained on, labels unseen", f"{size.size_px} px{gsd}"),
        _number(str(len(size.bands)), "bands" if len(size.bands) > 1 else "band", _few(size.bands)),
        _number(
            f"{run.steps:,}",
            f"steps of {run.recipe.get('batch_size', '?')}",
            f"{model}, patch {run.recipe.get('patch_size', '?')}",
        ),
        _number(duration(run), "of training", f"{number(_median(rates), 0)} images/s"),
    ]


def _number(value: str, label: str, small: str) -> Markup:
    words = element("div", label, element("small", small), class_="label")
    return element("div", element("div", value, class_="value"), words)


def duration(run: RunFacts) -> str:
    """In words, as the run counted it with its checks and saves; where it did not, from its speed."""
    rates = _rates(run)
    counted = [value for value in run.column("seconds") if value is not None]
    if not counted and not (rates and run.samples):
        return "-"
    seconds = max(counted) if counted else run.samples / _median(rates)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _rates(run: RunFacts) -> list[float]:
    return [value for value in run.column("images_per_s") if value]


def _median(values: list[float]) -> float:
    return statistics.median(values) if values else float("nan")


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{names[0]} to {names[-1]}"


def probe_name(probe: Row) -> str:
    """As in a ladder: kNN with k and temperature; for masks with the head."""
    if probe.get("task") == "segmentation":
        return f"segmentation, {probe['settings']['head']} head"
    return probe_title(probe, "knn" if probe.get("probe") == "knn" else "linear")


def _against_statistics(probe: Row, metric: str) -> str:
    value = baseline(probe, IMAGE_STATISTICS).get(metric)
    if not value:
        return ""
    if value[0] > probe[metric][0]:
        return f"Image statistics alone (mean and spread of each band) reach more: {value[0]:.3f}."
    return f"Image statistics alone (mean and spread of each band) reach {value[0]:.3f}."


def footer(run: RunFacts, tiles: TileFacts) -> Markup:
    """Whose data is shown, and what wrote the page."""
    parts = [f"Imagery and labels: {tiles.attribution}"] if tiles.attribution else []
    parts += [f"Licence of the data: {tiles.licence}"] if tiles.licence else []
    version = run.environment.get("swath") or "?"
    parts.append(
        f"Written by swath {version} on {run.written}. This page is one file and loads nothing from anywhere."
    )
    return join(element("p", part) for part in parts)
