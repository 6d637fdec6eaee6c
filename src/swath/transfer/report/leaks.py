"""Does test touch train? The audit of the split, and a banner for the top of the page where it does."""

import logging

import numpy as np
import pyarrow as pa

from swath.data.store import TileStore
from swath.geography.leaks import AUDITED, COLUMNS, Leaks, find_leaks
from swath.pages.leak_map import leak_map
from swath.pages.markup import Markup, element, join
from swath.pages.page import Section, table
from swath.pages.pictures import picture_figure

log = logging.getLogger(__name__)

_ROWS = {
    "overlapping": "overlap a training tile",
    "touching": "touch or overlap one",
    "within": "within {within_m:,.0f} m of one",
    "same_place": "have the footprint of one",
}


def read_leaks(store: TileStore) -> Leaks | None:
    """None where the pack has no locations, or no split to compare with train."""
    splits = store.splits()
    if not store.located or "crs" not in store.column_names:
        return None
    if not (splits == "train").any() or not np.isin(splits, AUDITED).any():
        return None
    log.info("comparing test and val with train on the ground")
    known = store.columns(*(name for name in COLUMNS if name in store.column_names))
    if "acquired" not in known.column_names:
        known = known.append_column("acquired", pa.nulls(len(store), pa.date32()))
    return find_leaks(known)


def leak_sentence(leaks: Leaks | None) -> str:
    """How much of test touches train; empty where nothing does or nothing is known."""
    found = leaks.splits.get("test") if leaks else None
    if found is None or not found.touching:
        return ""
    return (
        f"{found.touching:,} of {found.located:,} test tiles ({found.share_touching:.1%}) touch or overlap "
        "a training tile: scores on test are too good"
    )


def leak_banner(leaks: Leaks | None) -> Markup | None:
    """For the top of the page, where a score on test would say how well the network remembers."""
    if not (said := leak_sentence(leaks)):
        return None
    link = element("a", "The audit", href="#leaks")
    return element(
        "p", element("strong", "Test leaks into train."), f" {said}. ", link, class_="banner", role="alert"
    )


def leaks_section(leaks: Leaks, store: TileStore) -> Section:
    """Counts of each split, the distance to train, and the map."""
    heads = [element("th", name, class_="num") for name in leaks.splits]
    rows = [_row("tiles", [f"{found.located:,}" for found in leaks.splits.values()])]
    for name, words in _ROWS.items():
        counts = [(getattr(found, name), max(found.located, 1)) for found in leaks.splits.values()]
        cells = [f"{count:,} ({count / total:.1%})" for count, total in counts]
        rows.append(_row(words.format(within_m=leaks.within_m), cells))
    for name in ("min", "median", "max"):
        cells = [f"{found.gap_m[name]:,.0f} m" for found in leaks.splits.values()]
        rows.append(_row(f"gap to train, {name}", cells))
    picture = picture_figure(
        leak_map(leaks, leaks.places.of(store.splits() == "train")),
        title="Near and far.",
        caption="All places on the left, the worst of them enlarged on the right.",
        alt="map of places that train and that are scored",
    )
    clean = not any(found.touching for found in leaks.splits.values())
    lede = (
        "Clean: no tile touches a training tile."
        if clean
        else "Not clean: a tile beside a training tile, or on it, looks like it, and its score says how well "
        "the network remembers. Split by blocks: swath split --by blocks, with --gap-m where tiles touch."
    )
    body = join([table(["", *heads], rows, fit=True), element("div", picture, class_="card")])
    return Section("leaks", "Whether test touches train", lede, body)


def _row(words: str, cells: list[str]) -> Markup:
    return element("tr", element("td", words), *(element("td", cell, class_="num") for cell in cells))
