"""What tiles can be coloured by: a code a tile and the words for the codes, ready for the page.

Legend: N tiles, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swath.data.store import TileStore
from swath.pages.pictures import column

NOTHING = 255  # code of a tile of which the value is not known
_MOST = 12  # colours that an eye tells apart

Codes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Colouring:
    """`values` (N,): uint8 codes of `names`, NOTHING where unknown; or float32 numbers, NaN where unknown.

    `about` is the sentence under the legend.
    """

    key: str
    title: str
    values: Codes | Numbers
    names: tuple[str, ...] = ()
    about: str = ""


def by_label(store: TileStore) -> Colouring | None:
    """The label of each tile; of several the rarest, which tells most."""
    labels = store.labels()
    if not labels.any():
        return None
    counts = labels.sum(axis=0, dtype=np.int64)
    rarity = np.where(labels > 0, counts, np.iinfo(np.int64).max)
    chosen = np.where(labels.any(axis=1), rarity.argmin(axis=1), -1)
    about = "Of a tile with several labels, the rarest." if store.task == "multilabel" else ""
    return _frequent(chosen, counts, store.vocabulary, about)


def by_split(store: TileStore) -> Colouring | None:
    """In the order train, val, test, gap."""
    splits = store.splits()
    names = tuple(name for name in ("train", "val", "test", "gap") if (splits == name).any())
    if not names:
        return None
    codes = np.full(len(splits), NOTHING, dtype=np.uint8)
    for code, name in enumerate(names):
        codes[splits == name] = code
    return Colouring("split", "split", codes, names)


def by_date(store: TileStore) -> Colouring | None:
    """Days since 1970 where tiles were not all acquired on one day."""
    dates = column(store, "acquired")
    days = [np.nan if date is None else np.datetime64(date, "D").astype(int) for date in dates]
    values = np.asarray(days, dtype=np.float32)
    if len(np.unique(values[~np.isnan(values)])) < 2:
        return None
    return Colouring("date", "date", values)


def by_cluster(cluster: Codes) -> Colouring:
    """k-means, the largest cluster first."""
    names = tuple(f"cluster {number + 1}" for number in range(int(cluster.max()) + 1))
    return Colouring("cluster", "cluster", cluster, names, "k-means of the features, the largest first.")


def by_error(store: TileStore, decided: npt.NDArray[np.bool_]) -> Colouring:
    """How many classes the probe's answers (N, K) have wrong, of labelled test tiles alone: it was fitted on
    the others.
    """
    wrong = (decided != store.labels().astype(bool)).sum(axis=1)
    scored = store.labelled() & (store.splits() == "test")
    several = ("right", "1 wrong", "2 wrong", "3 or more wrong")
    names = ("right", "wrong") if store.task == "class" else several
    codes = np.where(scored, np.minimum(wrong, len(names) - 1), NOTHING).astype(np.uint8)
    return Colouring("error", "error", codes, names, "Answers of the linear probe for the test tiles.")


def label_bits(store: TileStore) -> Codes:
    """(N, ceil(K / 8)): which labels a tile has, the first of the vocabulary in the lowest bit."""
    return np.packbits(store.labels(), axis=1, bitorder="little")


def _frequent(
    chosen: npt.NDArray[np.int64], counts: npt.NDArray[np.integer], names: Sequence[str], about: str
) -> Colouring:
    """Labels by frequency; beyond what an eye tells apart, one colour for the others."""
    order = [k for k in np.argsort(-counts, kind="stable").tolist() if counts[k]]
    kept = order if len(order) <= _MOST else order[: _MOST - 1]
    codes = np.full(len(names) + 1, len(kept), dtype=np.uint8)  # the last for tiles without one: chosen -1
    codes[kept] = np.arange(len(kept))
    codes[-1] = NOTHING
    shown = [names[k] for k in kept] + ([f"{len(order) - len(kept)} other labels"] if kept != order else [])
    return Colouring("label", "label", codes[chosen], tuple(shown), about)
