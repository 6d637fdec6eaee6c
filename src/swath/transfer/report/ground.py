"""What it was trained on: maps, tiles of each class in each split, and some tiles close up."""

import numpy as np

from swath.data.store import TileStore
from swath.pages.maps import COLOURS
from swath.pages.markup import Markup, element, join
from swath.pages.page import Section, missing, table
from swath.pages.pictures import Display, Rows, column, tile_figure
from swath.transfer.report.facts import SPLITS, TileFacts

SAMPLES = 20
_NAMES = {"gap": "gap (not used)", "": "no split"}
_SEED = 0


def ground_section(tiles: TileFacts, display: Display, *, maps: list[Markup]) -> Section:
    """`maps` are those that could be drawn."""
    shown = element("div", *maps, _legend(tiles), class_="card") if maps else _no_map(tiles)
    samples = element("div", *_samples(display), class_="tiles")
    note = element("p", f"Sample tiles show {display.words}", class_="note")
    parts = [element("div", element("h3", "Sample tiles"), samples, note)]
    if tiles.classes:
        parts.insert(0, element("div", element("h3", "Tiles of each class"), _classes(tiles)))
    body = join([shown, element("div", *parts, class_="beside")])
    return Section("ground", "What it was trained on", _lede(tiles), body)


def sample_rows(store: TileStore, count: int) -> Rows:
    """Tiles in a fixed shuffled order, those with labels first."""
    order = np.random.default_rng(_SEED).permutation(len(store))
    described = store.labels().sum(axis=1)[order] > 0
    return np.concatenate([order[described], order[~described]])[:count].astype(np.int64)


def _lede(tiles: TileFacts) -> str:
    px, gsd_m = tiles.format.size_px, tiles.format.gsd_m
    side = f", {px * gsd_m:,.4g} m a side on the ground" if gsd_m else ""
    if not tiles.labelled:
        labels = "None carries a label."
    else:
        how_many = "All" if tiles.labelled == tiles.tiles else f"{tiles.labelled:,}"
        labels = f"{how_many} carry labels, which pretraining did not see."
    bands = ", ".join(tiles.format.bands)
    return f"{tiles.tiles:,} tiles of {px} x {px} px{side}; bands {bands}. {labels}"


def _legend(tiles: TileFacts) -> Markup:
    chips = (
        element(
            "span",
            element("span", f"{_name(split)}: {count:,}"),
            class_="box",
            style=f"--swatch:rgb({','.join(map(str, COLOURS[split]))})",
        )
        for split, count in tiles.splits.items()
    )
    return element("div", *chips, class_="legend")


def _no_map(tiles: TileFacts) -> Markup:
    command = "swath index SCENES --layout scenes --out index.parquet"
    return join([missing("These tiles have no location, so there is no map.", command), _legend(tiles)])


def _classes(tiles: TileFacts) -> Markup:
    splits = [split for split in SPLITS if tiles.splits.get(split)]
    heads = [element("th", _name(split), class_="num") for split in splits]
    ordered = sorted(tiles.classes.items(), key=lambda item: -sum(item[1].values()))
    rows = []
    for name, counts in ordered:
        cells = (element("td", f"{counts.get(split, 0):,}", class_="num") for split in splits)
        rows.append(element("tr", element("td", name), *cells))
    return table(["Class", *heads], rows, fit=True)


def _samples(display: Display) -> list[Markup]:
    rows = sample_rows(display.store, SAMPLES)
    names = column(display.store, "labels")
    pictures = display.rgb(display.unit(rows))
    return [
        tile_figure(picture, alt=f"tile {row}", caption=join([", ".join(names[row] or [])]))
        for row, picture in zip(rows.tolist(), pictures, strict=True)
    ]


def _name(split: str) -> str:
    return _NAMES.get(split, split)
