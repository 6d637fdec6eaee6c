"""The ladder and the label-efficiency curve in the report, their figures saved beside the page."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from swath import storage
from swath.errors import DataError
from swath.location import Location
from swath.pages.markup import element, join
from swath.pages.page import Section, missing
from swath.transfer.baselines import PRETRAINED
from swath.transfer.comparison import MEASURES
from swath.transfer.ladder_figure import write_figure
from swath.transfer.ladder_page import class_table, label_lists, ladder_section, ladder_verdict, picture
from swath.transfer.report.facts import Row

log = logging.getLogger(__name__)


def read_ladder(path: Location, *, pack: str) -> Row | None:
    """What swath ladder wrote; None where there is none, or where it is of other tiles (the log says so).

    Raises:
        DataError: the file is not JSON.
    """
    if not storage.is_file(path):
        return None
    try:
        found: Row = json.loads(storage.read_bytes(path))
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}). Make it again with swath ladder.") from error
    if (found.get("digests") or {}).get("pack") != pack:
        log.warning(f"{path} is of other tiles than this page; the ladder is left out")
        return None
    return found


def report_ladder(ladder: Row | None, *, beside: Path, command: str) -> Section:
    """The section of the ladder; ladder.svg and ladder.png go into the folder `beside`."""
    if ladder is None:
        lede = "Baselines, given weights and runs, at several shares of the labels."
        return Section("ladder", "The ladder", lede, missing("No ladder of these tiles yet.", command))
    section = ladder_section(ladder, write_figure(ladder, beside))
    answer = ladder_verdict(ladder, asked="Did pretraining pay? ")
    classes = element("details", element("summary", "Class by class, every rung"), class_table(ladder))
    return replace(section, body=join([answer, section.body, classes]))


def efficiency_section(probes: dict[str, Row], ladder: Row | None, *, beside: Path, command: str) -> Section:
    """Score against share of the labels; label-efficiency.svg and .png go into the folder `beside`.

    Where only the ladder has several shares, a word that its section shows them.
    """
    title, lede = (
        "How many labels it saves",
        (
            "The same probe learned from a part of the labels, several draws of each share; bars are 95% "
            "intervals over test tiles and draws."
        ),
    )
    curves = {task: probe for task, probe in probes.items() if _shares(probe) > 1}
    if not curves and ladder and len({row["fraction"] for row in ladder["summary"]}) > 1:
        link = element("a", "the ladder", href="#ladder")
        return Section("labels", title, lede, element("p", "The curve is that of ", link, "."))
    if not curves:
        return Section("labels", title, lede, missing("All labels were used in one go.", command))
    found = as_ladder(curves)
    figures = write_figure(found, beside, name="label-efficiency")
    return Section("labels", title, lede, join([picture(figures), *label_lists(found)]))


def as_ladder(probes: dict[str, Row]) -> Row:
    """Probes with several shares of the labels in the form of ladder.json, as far as the section needs it."""
    first = next(iter(probes.values()))
    headline = "accuracy" if first.get("accuracy") else MEASURES[0]
    rows: list[dict[str, Any]] = [
        {"rung": name, "kind": "run" if name == PRETRAINED else "baseline", "probe": task, **point}
        for task, probe in probes.items()
        for name, curve in probe["label_efficiency"].items()
        for point in curve
    ]
    sentences = {task: probe["sentences"] for task, probe in probes.items()}
    settings = probes["knn"]["settings"] if "knn" in probes else {}
    return {"summary": rows, "headline": headline, "sentences": sentences, "settings": settings}


def _shares(probe: Row) -> int:
    return len((probe.get("label_efficiency") or {}).get(PRETRAINED) or [])
