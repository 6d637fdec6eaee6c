"""Is it learning? A kNN check of the teacher on labelled tiles, every few steps of a run, never on the test
split.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from swath.data.normalize import resized, standardize, to_unit
from swath.data.store import TileStore
from swath.draws import uniforms
from swath.models.vit import VisionTransformer
from swath.scores.average_precision import macro
from swath.scores.knn import knn_scores

MOST_TILES = 1500
FEWEST_TILES = 10
BLOCK = 250

SCORES = ("knn_map", "knn_accuracy")  # what decides which checkpoint is the best

Rows = npt.NDArray[np.int64]


class Evaluator(Protocol):
    """Something that is measured during training: any number of names and values of the weights as they
    are.
    """

    def measure(self, backbone: VisionTransformer) -> Iterator[tuple[str, float]]:
        """Yield (name, value); each becomes a column of metrics.jsonl."""
        ...


def score_in(row: Mapping[str, float]) -> float | None:
    """The number by which checkpoints are compared, None where the row has none."""
    return next((row[name] for name in SCORES if name in row), None)


class KnnMonitor:
    """Weighted kNN (k=20, T=0.07, cosine) between two fixed sets of labelled tiles.

    The queries are validation tiles where there is a split `val`, else a seeded fifth of the labelled
    training tiles (whole blocks where they are known, as tiles may overlap). Single-label: accuracy as
    `knn_accuracy`; multi-label: macro average precision as `knn_map`.
    """

    def __init__(self, store: TileStore, *, seed: int, device: torch.device) -> None:
        self._store = store
        self._device = device
        self._labels = store.labels()
        self._bank, self._queries = monitored_rows(store, seed=seed)

    @property
    def usable(self) -> bool:
        return len(self._bank) >= FEWEST_TILES and len(self._queries) >= FEWEST_TILES

    def measure(self, backbone: VisionTransformer) -> Iterator[tuple[str, float]]:
        """Yield (name, value) for the weights as they are now."""
        scores = knn_scores(
            self._embed(backbone, self._bank), self._labels[self._bank], self._embed(backbone, self._queries)
        )
        truth = self._labels[self._queries]
        if self._store.task == "class":
            yield "knn_accuracy", float((scores.argmax(axis=1) == truth.argmax(axis=1)).mean())
        else:
            yield "knn_map", macro(scores, truth)

    @torch.no_grad()
    def _embed(self, backbone: VisionTransformer, rows: Rows) -> npt.NDArray[np.float32]:
        parts = []
        for start in range(0, len(rows), BLOCK):
            groups = [torch.from_numpy(g) for g in self._store.read(rows[start : start + BLOCK])]
            tiles = to_unit(groups, self._store.format, device=self._device)
            images = standardize(resized(tiles, backbone.shape.image_px), self._store.format)
            parts.append(backbone(images).float().cpu().numpy())
        return np.concatenate(parts)


def trainable_rows(store: TileStore) -> Rows:
    """Rows that pretraining may see: split `train`, and tiles without a split. Test, val and gap tiles stay
    unseen.
    """
    return np.flatnonzero(np.isin(store.splits(), ["train", ""])).astype(np.int64)


def monitored_rows(store: TileStore, *, seed: int) -> tuple[Rows, Rows]:
    """Bank and queries, at most 1,500 and 750 tiles, chosen by hash of (seed, row)."""
    labelled = store.labelled() & (store.labels().sum(axis=1) > 0)
    splits = store.splits()
    train = _shuffled(np.flatnonzero(labelled & np.isin(splits, ["train", ""])), seed)
    val = _shuffled(np.flatnonzero(labelled & (splits == "val")), seed)
    if len(val) == 0:
        asks = _fifth(store, train, seed)
        train, val = train[~asks], train[asks]
    return train[:MOST_TILES], val[: MOST_TILES // 2]


def _fifth(store: TileStore, rows: Rows, seed: int) -> npt.NDArray[np.bool_]:
    """(n,) about a fifth of `rows`: whole blocks where there are five and all have one, else the first."""
    names = store.columns("block")["block"].take(rows).to_pylist() if "block" in store.column_names else []
    _, blocks, sizes = np.unique([name or "" for name in names], return_inverse=True, return_counts=True)
    if not all(names) or len(sizes) < 5:
        return np.arange(len(rows)) < len(rows) // 5
    order = _shuffled(np.arange(len(sizes)), seed)
    held = order[: 1 + np.searchsorted(np.cumsum(sizes[order]), len(rows) // 5)]
    return np.isin(blocks.ravel(), held)


def _shuffled(rows: Rows, seed: int) -> Rows:
    keys = uniforms(1, seed=seed, epochs=np.zeros_like(rows), sample_ids=rows, stream="monitor")[:, 0]
    return rows[np.argsort(keys, kind="stable")]
