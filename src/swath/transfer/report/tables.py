"""What it is worth: the probes beside their baselines, as a table and class by class."""

import base64

from swath.pages.charts import Bar, bars
from swath.pages.markup import Markup, element, join, number
from swath.pages.page import Section, missing, table
from swath.transfer.baselines import IMAGE_STATISTICS, PRETRAINED, UNTRAINED
from swath.transfer.report.facts import Row, RunFacts, TileFacts
from swath.transfer.report.headline import METRICS, TONES, baseline, heading, probe_name

_MOST_CLASSES = 60
_GUESSING = "share of tiles with the class (what guessing gets)"


def probe_section(run: RunFacts, tiles: TileFacts, *, masks: bytes | None = None) -> Section:
    """The table of all probes there are, and per-class bars of the first; `masks` is the PNG of test tiles,
    their masks and what the segmentation probe said.
    """
    title, anchor = "What it is worth", "worth"
    lede = (
        "Frozen features, one simple classifier on top, scored on tiles that neither the network nor the "
        "classifier trained on. The same classifier on an untrained network of the same shape and on plain "
        "image statistics says how much of it is owed to pretraining."
    )
    if not run.probes:
        return Section(anchor, title, lede, _how_to_probe(run, tiles))
    first, stale = next(iter(run.probes.values())), _stale(run, tiles)
    shown = [_masks(masks)] if masks and "segmentation" in run.probes else []
    body = [_table(run.probes), *_notes(first, stale), *_per_class(first), *shown]
    return Section(anchor, title, lede, join(body))


def _masks(png: bytes) -> Markup:
    image = element(
        "img", src=f"data:image/png;base64,{base64.b64encode(png).decode()}", alt="tiles, masks, predicted"
    )
    words = element("figcaption", element("b", "Test tiles."), " Their masks, and what the probe says.")
    return element("div", element("figure", image, words, class_="picture"), class_="card masks")


def _stale(run: RunFacts, tiles: TileFacts) -> list[str]:
    """Probes that are of another checkpoint or pack than the run has now."""
    now = {"checkpoint": run.checkpoint_digest, "pack": tiles.digest}
    return [
        probe_name(probe)
        for probe in run.probes.values()
        if any((probe.get("digests") or {}).get(name, value) != value for name, value in now.items())
    ]


def _how_to_probe(run: RunFacts, tiles: TileFacts) -> Markup:
    if not tiles.labelled:
        return missing(
            "The tiles have no labels.", "swath index SOURCE --labels labels.csv --out index.parquet"
        )
    if not tiles.splits.get("test"):
        by = "blocks" if tiles.located else "random"
        return missing(
            "The tiles have no test split.", f"swath split index.parquet --by {by} --out split.parquet"
        )
    return missing("No probe yet.", f"swath probe {run.path} {tiles.path}")


def _table(probes: dict[str, Row]) -> Markup:
    metrics = [name for name in METRICS if any(probe.get(name) for probe in probes.values())]
    rows: list[Markup] = []
    for probe in probes.values():
        methods = [(name, baseline(probe, name), False) for name in (IMAGE_STATISTICS, UNTRAINED)]
        for name, scores, main in [*methods, (PRETRAINED, probe, True)]:
            if scores:
                cells = (_interval_cell(scores.get(metric)) for metric in metrics)
                rows.append(
                    element(
                        "tr",
                        element("td", probe_name(probe)),
                        element("td", name),
                        *cells,
                        class_="main" if main else None,
                    )
                )
        rows += _gain_row(probe, metrics)
    heads = (element("th", heading(m), class_="num") for m in metrics)
    return table(["Probe", "Features", *heads], rows)


def _gain_row(probe: Row, metrics: list[str]) -> list[Markup]:
    gain = probe.get("gain_over_untrained") or {}
    if not gain:
        return []
    cells = (_interval_cell(gain.get(metric), sign="+") for metric in metrics)
    return [element("tr", element("td"), element("td", "gain over untrained, paired"), *cells)]


def _interval_cell(value: list[float] | None, *, sign: str = "") -> Markup:
    if not value or value[0] is None:
        return element("td", "-", class_="num")
    middle, low, high = (f"{part:{sign}.3f}" for part in value)
    return element("td", middle, element("small", f"{low} to {high}"), class_="num")


def _notes(probe: Row, stale: list[str]) -> list[Markup]:
    settings = ", ".join(
        f"{name.replace('_', ' ')} {_setting(value)}" for name, value in (probe.get("settings") or {}).items()
    )
    notes = [
        f"Trained on {probe['n_train']:,} tiles, tested on {probe['n_test']:,}; 95% intervals by bootstrap."
    ]
    if settings:
        notes.append(f"Settings: {settings}.")
    if stale:
        notes.insert(0, f"Measured on another checkpoint or pack than this page shows ({', '.join(stale)}).")
    if probe.get("left_out"):
        notes.append(
            f"Left out of the averages (too few positive test tiles): {', '.join(probe['left_out'])}."
        )
    return [element("p", note, class_="note") for note in notes]


def _setting(value: object) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _per_class(probe: Row) -> list[Markup]:
    classes: dict[str, Row] = probe.get("per_class") or {}
    score, title = ("iou", "IoU") if "miou" in probe else ("ap", "Average precision")
    known = [(name, row) for name, row in classes.items() if row.get(score) is not None]
    if not known:
        return []
    known.sort(key=lambda item: -item[1][score])
    others = {name: baseline(probe, name).get("per_class") or {} for name in (UNTRAINED, IMAGE_STATISTICS)}
    rows = [_class_bar(name, row, others, score=score) for name, row in known[:_MOST_CLASSES]]
    legend = element(
        "div",
        *(element("span", element("span", name), class_=f"chip t{tone}") for name, tone in TONES.items()),
        element("span", element("span", _GUESSING), class_="chip t4") if score == "ap" else None,
        class_="legend",
    )
    small = "positive test tiles" if score == "ap" else "share of the test pixels"
    cut = f" The {_MOST_CLASSES} best of {len(known)} are shown." if len(known) > _MOST_CLASSES else ""
    return [
        element("h3", f"{title} of each class"),
        element(
            "div",
            bars(rows),
            legend,
            element("p", f"Small numbers: {small}.{cut}", class_="note"),
            class_="card",
        ),
    ]


def _class_bar(name: str, row: Row, others: dict[str, dict[str, Row]], *, score: str) -> Bar:
    marks = [(float(row["prevalence"]), 4)] if row.get("prevalence") is not None else []
    for method, classes in others.items():
        value = (classes.get(name) or {}).get(score)
        marks += [(float(value), TONES[method])] if value is not None else []
    small = f"n = {row.get('n', '?')}" if score == "ap" else f"{row['share']:.1%}"
    return Bar(name, float(row[score]), tuple(marks), join([f"{row[score]:.3f}", element("small", small)]))
