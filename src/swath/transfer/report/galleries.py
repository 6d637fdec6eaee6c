"""More like this: tiles, each beside the tiles whose features are nearest to its own."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans

from swath.pages.markup import Markup, element, join
from swath.pages.mosaic import Boxes
from swath.pages.page import Section, missing
from swath.pages.pictures import Display, Rows, column, spread_rows, tile_figure

QUERIES, NEIGHBOURS = 6, 8
_CANDIDATES = 20_000
_SEED = 0
_DIGITS = 4  # of features of length 1: what differs less is one
_HAIR = 0.1  # of a side: boxes of tiles that only touch overlap a little once they are in degrees

Floats = npt.NDArray[np.float32]
Labels = list[list[str] | None]


@dataclass(frozen=True)
class Likeness:
    """A tile and its nearest neighbours, as row numbers, with their cosine similarities."""

    query: int
    rows: tuple[int, ...]
    similarities: tuple[float, ...]


def more_like_this(features: Floats, boxes: Boxes, eligible: Rows) -> list[Likeness]:
    """Six tiles that are unlike each other, each the nearest to a k-means centre, with their eight nearest.

    Tiles that share ground with the query or with a nearer neighbour are passed over: that they look alike
    is no news. Queries are taken from the rows `eligible`.
    """
    unit = features - features.mean(axis=0)  # what all tiles share would make every pair look alike
    unit /= np.maximum(np.sqrt(np.einsum("nd,nd->n", unit, unit)), 1e-12)[
        :, None
    ]  # in place: it may be large
    pool = eligible[spread_rows(len(eligible), _CANDIDATES)]
    distinct = len(np.unique(unit[pool].round(_DIGITS), axis=0))  # of a collapsed network, or of equal tiles
    found = KMeans(min(QUERIES, distinct), n_init=4, random_state=_SEED).fit(unit[pool])
    queries = [int(pool[np.argmin(distances)]) for distances in found.transform(unit[pool]).T]
    return [_nearest(unit, boxes, query) for query in dict.fromkeys(queries)]


def gallery_section(display: Display, likenesses: list[Likeness] | None, *, command: str) -> Section:
    """Rows of query and neighbours; `command` makes the features where there are none."""
    title, anchor = "More like this", "search"
    lede = (
        "Six tiles, each followed by the eight that the network finds most like it, by cosine of frozen "
        "features less their mean. No label was used, and tiles that overlap are left out."
    )
    if likenesses is None:
        return Section(anchor, title, lede, missing("No features of this checkpoint yet.", command))
    labels: Labels = column(display.store, "labels")
    strips = [_strip(display, likeness, labels) for likeness in likenesses]
    words = "Numbers are similarities (1: the same)." + (
        " Labels in bold are those of the query." if display.store.vocabulary else ""
    )
    body = [element("div", *strips, class_="card"), element("p", words, class_="note")]
    return Section(anchor, title, lede, join(body))


def _nearest(unit: Floats, boxes: Boxes, query: int) -> Likeness:
    similarity = unit @ unit[query]
    taken = [query]
    for row in np.argsort(-similarity, kind="stable").tolist():
        if len(taken) > NEIGHBOURS:
            break
        if row != query and not _share_ground(boxes[taken], boxes[row]):
            taken.append(row)
    return Likeness(query, tuple(taken[1:]), tuple(similarity[taken[1:]].tolist()))


def _share_ground(several: Boxes, one: npt.NDArray[np.float64]) -> bool:
    """Whether `one` overlaps any of (n, 4) boxes; NaN, which is no location, overlaps none."""
    hair = _HAIR * (one[2:] - one[:2])
    inside = (several[:, 2:] > one[:2] + hair) & (several[:, :2] < one[2:] - hair)
    return bool(inside.all(axis=1).any())


def _strip(display: Display, likeness: Likeness, labels: Labels) -> Markup:
    rows = np.asarray([likeness.query, *likeness.rows], dtype=np.int64)
    words = ["query", *(f"{similarity:.2f}" for similarity in likeness.similarities)]
    own = set(labels[likeness.query] or [])
    figures = [
        tile_figure(picture, alt=f"tile {row}, {word}", caption=_caption(word, labels[row], own))
        for row, word, picture in zip(rows.tolist(), words, display.rgb(display.unit(rows)), strict=True)
    ]
    return element("div", *figures, class_="strip neighbours")


def _caption(word: str, names: list[str] | None, own: set[str]) -> Markup:
    known = names or []
    shown = [element("b", name) if name in own else name for name in known[:3]]
    more = f" +{len(known) - 3}" if len(known) > 3 else None
    return join([word, element("br"), join(shown, ", "), more])
