"""Where the probe is wrong: classes taken for each other, the worst and best tiles of a class, a map.

The answers are computed again from the kept features and the head that swath probe wrote; a head that does
not fit the run or the tiles is refused. Legend: N test tiles, K classes.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely

from swath.data.store import TileStore
from swath.errors import SwathError
from swath.features.backbone import FrozenBackbone
from swath.features.head import Contract, head_path, load_head
from swath.features.table import Origin, read_features
from swath.pages.markup import Markup, element, join
from swath.pages.page import Section, missing, table
from swath.pages.pictures import Display, tile_figure
from swath.transfer.examples import Examples, labelled_examples

_PROBED = "probe-linear.json"
_WORST, _CLASSES = 6, 24
_DARKEST = 55  # percent of the accent, so that figures on it can be read, on a light page and on a dark one
_MAP_PX = (900.0, 420.0)
log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Answered:
    """What the head says of the test tiles: `decided` and `truth` (N, K), `rows` of the pack (N,).

    `chance` (N, K) is the probability that the head gives to a class.
    """

    examples: Examples
    rows: npt.NDArray[np.int64]
    chance: npt.NDArray[np.float64]
    decided: npt.NDArray[np.bool_]
    truth: npt.NDArray[np.bool_]

    @property
    def wrong(self) -> npt.NDArray[np.float64]:
        """(N,) share of the classes that are decided wrongly; for one label 0 or 1."""
        if self.examples.task == "class":
            return np.asarray(1.0 - (self.decided & self.truth).any(axis=1))
        return np.asarray((self.decided != self.truth).mean(axis=1), dtype=np.float64)


def answer(run: Path, store: TileStore, backbone: FrozenBackbone) -> Answered:
    """Ask the head of the linear probe about the test tiles.

    Raises:
        SwathError: no labels, no features, no head, or one that does not fit.
    """
    examples = labelled_examples(store)
    wanted = Contract.of(backbone, examples.vocabulary, split=store.split_digest)
    head = load_head(head_path(run / _PROBED), wanted=wanted)
    rows = examples.rows[examples.test]
    features = read_features(run / "features.parquet", rows, origin=Origin.of(backbone, store))
    scores = head.scores(features)
    truth = examples.labels[examples.test].astype(bool)
    if examples.task == "class":
        decided = scores == scores.max(axis=1, keepdims=True)
        return Answered(examples, rows, np.exp(scores), decided, truth)
    return Answered(examples, rows, 1.0 / (1.0 + np.exp(-scores)), scores > 0.0, truth)


def mistakes_section(run: Path, display: Display, backbone: FrozenBackbone | None, *, probe: str) -> Section:
    """Confusion (single-label), worst and best tiles of each class, a map of errors; `probe` makes it."""
    title, lede = (
        "Where it is wrong",
        (
            "The linear probe on test tiles. What it misses of a class, and what it is surest of, tells if "
            "the labels or the features are to blame."
        ),
    )
    if backbone is None:
        return Section("mistakes", title, lede, missing("There is no checkpoint yet.", probe))
    try:
        found = answer(run, display.store, backbone)
    except SwathError as error:
        if head_path(run / _PROBED).exists():
            log.warning(f"{error} The page goes on without what that probe gets wrong.")
        return Section("mistakes", title, lede, missing(f"Not shown: {error}", probe))
    parts = [*_confusion(found), *_extremes(found, display), *_map(found, display.store)]
    return Section("mistakes", title, lede, join(parts))


def _confusion(found: Answered) -> list[Markup]:
    """Rows are true classes, columns decided ones; shares of the row as shades."""
    if found.examples.task != "class":
        return []
    names = found.examples.vocabulary
    counts = found.truth.astype(np.int64).T @ found.decided.astype(np.int64)  # (K, K)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    heads = [element("th", element("span", name), class_="num steep") for name in names]
    rows = []
    for k, name in enumerate(names):
        cells = [
            element(
                "td", f"{counts[k, other]:,}" if counts[k, other] else "", class_="num shade",
                style=f"--shade:{_DARKEST * shares[k, other]:.0f}%",
            )
            for other in range(len(names))
        ]  # fmt: skip
        rows.append(element("tr", element("td", name), *cells))
    note = element("p", "Rows: true class. Columns: decided class. Counts of test tiles.", class_="note")
    return [element("h3", "Confusion"), table(["", *heads], rows), note]


def _extremes(found: Answered, display: Display) -> list[Markup]:
    """Of the classes with most test tiles: those of its tiles that look least and most like it."""
    said = "Under a tile: the probability that the probe gives to the class, and what it decided on."
    strips = [element("h3", "Worst and best tiles of each class"), element("p", said, class_="note")]
    for k in np.argsort(-found.truth.sum(axis=0), kind="stable")[:_CLASSES]:
        mine = np.flatnonzero(found.truth[:, k])
        if not len(mine):
            continue
        order = mine[np.argsort(found.chance[mine, k], kind="stable")]
        sides = (
            element(
                "div",
                element("p", f"Look {words} like it to the probe:", class_="note"),
                element("div", *_tiles(found, display, places, int(k)), class_="tiles"),
            )
            for places, words in ((order[:_WORST], "least"), (order[::-1][:_WORST], "most"))
        )
        strips += [
            element("h3", found.examples.vocabulary[k]),
            element("div", *sides, class_="pair extremes"),
        ]
    if found.truth.shape[1] > _CLASSES:
        strips.append(element("p", f"The {_CLASSES} classes with most test tiles are shown.", class_="note"))
    return strips


def _tiles(found: Answered, display: Display, places: npt.NDArray[np.intp], k: int) -> list[Markup]:
    pictures = display.rgb(display.unit(found.rows[places]))
    return [
        tile_figure(
            picture,
            alt=f"tile {found.rows[place]}",
            caption=join([f"{found.chance[place, k]:.2f}", element("br"), _said(found, int(place))]),
        )
        for picture, place in zip(pictures, places, strict=True)
    ]


def _said(found: Answered, place: int) -> str:
    names = [found.examples.vocabulary[k] for k in np.flatnonzero(found.decided[place])]
    return ", ".join(names) or "nothing"


def _map(found: Answered, store: TileStore) -> list[Markup]:
    """Test tiles at their place, the wrong ones on top and in the colour of a bad result."""
    if not store.located:
        return []
    shapes = shapely.from_wkb(store.columns("geometry")["geometry"].take(found.rows).to_pylist())
    points = shapely.get_coordinates(shapely.centroid(shapes))  # (N, 2) longitude, latitude
    points[:, 0] *= np.cos(np.radians(points[:, 1].mean()))
    low, span = points.min(axis=0), np.maximum(np.ptp(points, axis=0), 1e-9)
    scale = min(_MAP_PX[0] / span[0], _MAP_PX[1] / span[1])
    placed = (points - low) * scale + 8
    height = span[1] * scale + 16
    dots = [
        element(
            "circle", cx=float(placed[i, 0]), cy=float(height - placed[i, 1]), r=3.0,
            class_="error" if found.wrong[i] > 0 else "right", opacity=float(0.35 + 0.65 * found.wrong[i]),
        )
        for i in np.argsort(found.wrong, kind="stable")
    ]  # fmt: skip
    box = f"0 0 {span[0] * scale + 16:.0f} {height:.0f}"
    right = f"{np.count_nonzero(found.wrong == 0):,} of {len(found.wrong):,} test tiles are all right (green)"
    several = found.examples.task != "class"
    words = f"{right}; {'the more classes are wrong, the stronger the red' if several else 'the others red'}."
    picture = element("svg", *dots, viewBox=box, role="img", aria_label="map of errors")
    return [
        element("h3", "Map of errors"),
        element("div", picture, element("p", words, class_="note"), class_="card"),
    ]
