"""Is it learning? Checks of the teacher every few steps of a run, never on the test split.

An evaluator yields names and values; a new one is a class with `measure`, and a line in `checks`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from swath.augment.views import ViewPolicy, make_views
from swath.data.normalize import resized, standardize, to_unit
from swath.data.store import TileStore
from swath.draws import uniforms
from swath.models.vit import VisionTransformer
from swath.scores.average_precision import macro
from swath.scores.classes import accuracy
from swath.scores.inputs import has_contrast
from swath.scores.knn import knn_scores
from swath.scores.logistic import FOR_CHOOSING, Task, fit_path

MOST_TILES = 1500
FEWEST_TILES = 10
BLOCK = 250
STRENGTH = 0.01  # one of those that swath probe tries
RETRIEVED_TILES = 500
NEVER = 2**31  # an epoch that no training reaches

SCORES = ("knn_map", "knn_accuracy")  # what decides which checkpoint is the best

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


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


class MonitoredTiles:
    """Labelled tiles for checks: a bank to learn from and queries to ask, chosen once, never of split `test`.

    The queries are validation tiles where there is a split `val`, else a seeded fifth of the labelled
    training tiles (whole blocks where they are known, as tiles may overlap).
    """

    def __init__(self, store: TileStore, *, seed: int, device: torch.device) -> None:
        self._pixels = Pixels(store, device)
        self.task = store.task
        bank, queries = monitored_rows(store, seed=seed)
        self._rows, self._split = np.concatenate([bank, queries]), len(bank)
        self.labels = store.labels()[bank]
        self.truth = store.labels()[queries]
        self._embedded: tuple[tuple[int, int], Floats] | None = None

    @property
    def usable(self) -> bool:
        return len(self.labels) >= FEWEST_TILES and len(self.truth) >= FEWEST_TILES

    def features(self, backbone: VisionTransformer) -> tuple[Floats, Floats]:
        """Class tokens of the bank (N, D) and of the queries (Q, D); computed once for the same weights."""
        changes = sum(parameter._version for parameter in backbone.parameters())  # noqa: SLF001 -- counts changes in place
        version = (id(backbone), changes)
        if self._embedded is None or self._embedded[0] != version:
            parts = [
                backbone(images).float().cpu().numpy() for images in self._pixels.seen(self._rows, backbone)
            ]
            self._embedded = version, np.concatenate(parts)
        every = self._embedded[1]
        return every[: self._split], every[self._split :]

    def score(self, name: str, scores: npt.NDArray[np.float64]) -> tuple[str, float]:
        """`name_accuracy` for one label a tile, `name_map` (macro average precision) for several."""
        if self.task == "class":
            return f"{name}_accuracy", accuracy(scores, self.truth)
        return f"{name}_map", macro(scores, self.truth)


class KnnCheck:
    """Weighted kNN (k=20, T=0.07, cosine) from the bank to the queries."""

    def __init__(self, tiles: MonitoredTiles) -> None:
        self._tiles = tiles

    @torch.no_grad()
    def measure(self, backbone: VisionTransformer) -> Iterator[tuple[str, float]]:
        bank, queries = self._tiles.features(backbone)
        yield self._tiles.score("knn", knn_scores(bank, self._tiles.labels, queries))


class LinearCheck:
    """A linear probe fitted on the bank at one strength, to a loose tolerance: to follow, not to report."""

    def __init__(self, tiles: MonitoredTiles) -> None:
        self._tiles = tiles

    @torch.no_grad()
    def measure(self, backbone: VisionTransformer) -> Iterator[tuple[str, float]]:
        tiles = self._tiles
        task: Task = "class" if tiles.task == "class" else "multilabel"
        if not has_contrast(tiles.labels):
            return
        bank, queries = tiles.features(backbone)
        fits = fit_path(bank, tiles.labels, strengths=(STRENGTH,), task=task, tolerance=FOR_CHOOSING)
        yield tiles.score("linear", next(fits).scores(queries))


class RetrievalCheck:
    """Without labels: is the nearest of all second views the one of the same tile? `retrieval` is how often.

    Two global views of at most 500 tiles that are trained on, drawn as for an epoch that never comes; by
    chance it is one in as many as there are tiles.
    """

    def __init__(self, store: TileStore, policy: ViewPolicy, *, seed: int, device: torch.device) -> None:
        self._pixels = Pixels(store, device)
        self._policy = replace(policy, local_views=0)
        self._seed = seed
        self._rows = np.sort(_shuffled(trainable_rows(store), seed)[:RETRIEVED_TILES])

    @torch.no_grad()
    def measure(self, backbone: VisionTransformer) -> Iterator[tuple[str, float]]:
        firsts, seconds = [], []
        for rows in _blocks(self._rows):
            epochs = np.full(len(rows), NEVER, dtype=np.int64)
            views = make_views(
                self._pixels.unit(rows), self._policy, seed=self._seed, epochs=epochs, sample_ids=rows
            )
            found = backbone(standardize(views.globals_, self._pixels.store.format))
            first, second = torch.nn.functional.normalize(found.float(), dim=1).chunk(2)
            firsts.append(first)
            seconds.append(second)
        nearest = (torch.cat(firsts) @ torch.cat(seconds).T).argmax(dim=1).cpu()
        yield "retrieval", float((nearest == torch.arange(len(nearest))).float().mean())


class Pixels:
    """Tiles by row number, as a network sees them."""

    def __init__(self, store: TileStore, device: torch.device) -> None:
        self.store = store
        self._device = device

    def unit(self, rows: Rows) -> torch.Tensor:
        """(B, C, H, W) in unit scale, on the device."""
        groups = [torch.from_numpy(group) for group in self.store.read(rows)]
        return to_unit(groups, self.store.format, device=self._device)

    def seen(self, rows: Rows, backbone: VisionTransformer) -> Iterator[torch.Tensor]:
        """Standardised whole tiles, a block at a time, of the side that the network's positions are for."""
        for block in _blocks(rows):
            yield standardize(resized(self.unit(block), backbone.shape.image_px), self.store.format)


def checks(store: TileStore, policy: ViewPolicy, *, seed: int, device: torch.device) -> list[Evaluator]:
    """Neighbours and a linear probe where enough tiles are labelled, else the retrieval of views."""
    tiles = MonitoredTiles(store, seed=seed, device=device) if store.vocabulary else None
    if tiles and tiles.usable:
        return [KnnCheck(tiles), LinearCheck(tiles)]
    return [RetrievalCheck(store, policy, seed=seed, device=device)]


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


def _blocks(rows: Rows) -> Iterator[Rows]:
    for start in range(0, len(rows), BLOCK):
        yield rows[start : start + BLOCK]
