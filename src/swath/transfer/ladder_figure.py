"""The figure of a ladder: what each rung reaches with more and more labels, as one puts it on a slide."""

import io
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from swath.files import file_aside
from swath.transfer.baselines import IMAGE_STATISTICS, RANDOM_CONVOLUTIONS, UNTRAINED
from swath.transfer.fractions import percent
from swath.transfer.ladder_table import TITLES, Ladder, points, probe_title, probes_of, rungs_of

# On a light and on a dark page. A baseline has one colour in every figure.
_NAMED = {
    IMAGE_STATISTICS: ("#8d9691", "#86918b"),
    RANDOM_CONVOLUTIONS: ("#a8825f", "#b08968"),
    UNTRAINED: ("#c9701a", "#eda04f"),
}
_BASELINES = (("#d0a15f", "#e3c08a"), ("#9c5a3c", "#c98a6b"))  # untrained networks of other shapes
_PRETRAINED = (
    ("#0b7a6b", "#4cc3ae"), ("#3f63b5", "#86a6f0"), ("#8a4bb0", "#c493e6"), ("#b3362b", "#f0867b"),
    ("#1f9d55", "#6fd39a"),
)  # fmt: skip
_TONES = ("light", "dark")
_INK = ("#17201c", "#e7ece9")
_WIDTH, _HEIGHT = 4.6, 3.4  # inches of a panel
_CHARACTER = 0.1  # inch of a legend, about


def write_figure(ladder: Ladder, folder: Path, *, name: str = "ladder") -> dict[str, bytes]:
    """Write NAME.svg and NAME.png; returns the SVG for a light and for a dark page."""
    drawn = {tone: figure_of(ladder, tone=place) for place, tone in enumerate(_TONES)}
    drawn["light"].set_facecolor("white")
    for kind in ("svg", "png"):
        with file_aside(folder / f"{name}.{kind}") as aside:
            aside.write_bytes(as_bytes(drawn["light"], kind))
    return {tone: as_bytes(figure, "svg", transparent=True) for tone, figure in drawn.items()}


def figure_of(ladder: Ladder, *, tone: int) -> Figure:
    """A panel for each probe and for its headline measure and micro AP; lines with 95 % intervals.

    `tone` is 0 for a light page, 1 for a dark one.
    """
    probes = probes_of(ladder)
    measures = list(dict.fromkeys([ladder["headline"], "map_micro"]))
    figure = Figure(figsize=(_WIDTH * len(measures), _HEIGHT * len(probes)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(probes), len(measures), squeeze=False)
    for row, probe in zip(panels, probes, strict=True):
        for panel, measure in zip(row, measures, strict=True):
            _draw(panel, ladder, probe, measure, tone=tone)
            _dress(panel, ladder, f"{probe_title(ladder, probe)}, {TITLES[measure]}", ink=_INK[tone])
    handles, names = panels[0][0].get_legend_handles_labels()
    one_line = sum(len(name) + 6 for name in names) * _CHARACTER < figure.get_figwidth()
    figure.legend(
        handles, names, loc="outside lower center", ncols=len(names) if one_line else 2, frameon=False,
        labelcolor=_INK[tone],
    )  # fmt: skip
    return figure


def colours_of(ladder: Ladder) -> dict[str, tuple[str, str]]:
    """By rung, on a light page and on a dark one."""
    kinds = {row["rung"]: row["kind"] for row in ladder["summary"]}
    found, used = dict[str, tuple[str, str]](), {"baseline": 0, "pretrained": 0}
    for rung in rungs_of(ladder):
        if rung in _NAMED:
            found[rung] = _NAMED[rung]
            continue
        group = "baseline" if kinds[rung] == "baseline" else "pretrained"
        colours = _BASELINES if group == "baseline" else _PRETRAINED
        found[rung] = colours[used[group] % len(colours)]
        used[group] += 1
    return found


def as_bytes(figure: Figure, kind: str, *, transparent: bool = False) -> bytes:
    """The picture as a file of this kind, without a date in it."""
    stream = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else None
    figure.savefig(stream, format=kind, dpi=200, transparent=transparent, metadata=metadata)
    return stream.getvalue()


def _draw(panel: Any, ladder: Ladder, probe: str, measure: str, *, tone: int) -> None:
    kinds = {row["rung"]: row["kind"] for row in ladder["summary"]}
    for rung, colours in colours_of(ladder).items():
        trained = kinds[rung] != "baseline"
        found = points(ladder, probe, rung)
        shares, values = [p["fraction"] for p in found], [p[measure][0] for p in found]
        below = [p[measure][0] - p[measure][1] for p in found]
        above = [p[measure][2] - p[measure][0] for p in found]
        errors = [[max(0.0, one) for one in side] for side in (below, above)]
        panel.errorbar(
            shares, values, yerr=errors, label=rung, color=colours[tone], marker="o", markersize=4, capsize=2,
            linewidth=2.2 if trained else 1.4, linestyle="-" if trained else "--",
        )  # fmt: skip


def _dress(panel: Any, ladder: Ladder, title: str, *, ink: str) -> None:
    shares = sorted({row["fraction"] for row in ladder["summary"]})
    panel.set_xscale("log")
    panel.set_xticks(shares, [percent(share) for share in shares])
    panel.minorticks_off()
    panel.set_title(title, fontsize=10, color=ink, loc="left")
    panel.set_xlabel("share of the training labels", fontsize=9, color=ink)
    panel.tick_params(colors=ink, labelsize=8)
    panel.grid(visible=True, axis="y", alpha=0.25)
    panel.set_facecolor("none")
    for side, spine in panel.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(ink)
