"""The labelled tiles of a pack that a probe learns from and is tested on."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from swath.data.store import TileStore
from swath.errors import DataError, UsageError
from swath.scores.inputs import check_contrast
from swath.scores.logistic import Task

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Examples:
    """Tiles in order of `rows` (N,), which ascend; `train`, `val`, `test` are places in rows and labels.

    `labels` is (N, K). `blocks` (N,) are the numbers of the places on the ground that tiles lie in; None
    where not every tile has one.
    """

    rows: Rows
    labels: npt.NDArray[np.uint8]
    vocabulary: tuple[str, ...]
    task: Task
    train: Rows
    val: Rows
    test: Rows
    blocks: Rows | None

    def with_labels_of(self, places: Rows) -> "Examples":
        """The same examples with fewer labels to learn from: those of some places of `train`, none of val.

        Labels of val would choose the strength of the probe, and so be labels that were not counted.
        """
        return replace(self, train=self.train[places], val=self.val[:0])

    @property
    def absent(self) -> tuple[str, ...]:
        """Classes without a positive training tile: they are scored, and cannot be learned."""
        positives = self.labels[self.train].sum(axis=0, dtype=np.int64)
        return tuple(name for name, count in zip(self.vocabulary, positives, strict=True) if not count)

    def groups(self, part: Rows, *, at_least: int) -> tuple[str, Rows]:
        """("block", block of each tile), or ("tile", 0..n-1) where fewer than `at_least` blocks are known."""
        if self.blocks is not None and len(np.unique(self.blocks[part])) >= at_least:
            return "block", self.blocks[part]
        return "tile", np.arange(len(part))


def labelled_examples(store: TileStore) -> Examples:
    """The labelled tiles of the splits train, val and test.

    Raises:
        UsageError: no labels, or no split `test` or `train`; the message says which command makes it.
        DataError: no tile of a needed split is labelled, or all training tiles are labelled alike.
    """
    if not store.vocabulary:
        raise UsageError(
            f"{store.path} holds no labels, and a probe needs some: "
            "swath index SOURCE --labels FILE --out index.parquet"
        )
    splits, labels = store.splits(), store.labels()
    check_splits(store, splits)
    task: Task = "class" if store.task == "class" else "multilabel"
    usable = store.labelled() & ((labels.sum(axis=1) == 1) if task == "class" else True)
    rows = np.flatnonzero(usable & np.isin(splits, ("train", "val", "test")))
    train, val, test = (np.flatnonzero(splits[rows] == name) for name in ("train", "val", "test"))
    for name, part in (("train", train), ("test", test)):
        if not len(part):
            raise DataError(
                f'{store.path}: none of the {int((splits == name).sum())} tiles in split "{name}" is '
                "labelled; label some, or split again with another --seed"
            )
    _check_apart(store, rows[train], rows[test])
    check_contrast(labels[rows][train], what=f"{store.path}, split train")
    return Examples(
        rows.astype(np.int64), labels[rows], store.vocabulary, task, train, val, test, blocks_of(store, rows)
    )


def _check_apart(store: TileStore, train: Rows, test: Rows) -> None:
    """Refuse one and the same tile on both sides; overlaps on the ground are for `swath audit`."""
    ids = store.ids()
    both = np.intersect1d(ids[train], ids[test])
    if len(both):
        raise DataError(
            f'{store.path}: {len(both):,} tiles are in both train and test, such as "{both[0]}"; a score '
            "on them says nothing. Index the archive again, each tile once, and split it."
        )


def check_splits(store: TileStore, splits: npt.NDArray[np.str_]) -> None:
    """Refuse tiles without a split `train` or `test`; the UsageError says which command makes it."""
    missing = [name for name in ("test", "train") if not (splits == name).any()]
    if missing:
        known = ", ".join(sorted(set(splits.tolist()) - {""})) or "none"
        by = "blocks" if store.located else "random"
        raise UsageError(
            f'{store.path} has no tiles in split "{missing[0]}" (splits here: {known}). Make it: '
            f"swath split index.parquet --out split.parquet --by {by}, then "
            f"swath pack split.parquet --out {store.path.with_name('split.lance')}"
        )


def blocks_of(store: TileStore, rows: Rows) -> Rows | None:
    """(len(rows),) the number of the place on the ground of each tile; None where not every tile has one."""
    if "block" not in store.column_names:
        return None
    names = store.columns("block")["block"].take(rows).to_pylist()
    if not all(names):
        return None
    return np.unique(np.asarray(names, dtype=np.str_), return_inverse=True)[1].ravel().astype(np.int64)
