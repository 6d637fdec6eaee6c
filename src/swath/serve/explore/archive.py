"""An archive as a run sees it, opened once for the page: pixels, features, plots, ground, colours.

Legend: N tiles, D features.
"""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from swath.data.store import TileStore
from swath.errors import DataError, SwathError, UsageError
from swath.features.backbone import FrozenBackbone, open_backbone
from swath.features.content import Content
from swath.features.embedding import kept_features
from swath.features.head import Contract, head_path, load_head
from swath.features.table import Origin, origin_of
from swath.location import Location, location
from swath.pages.pictures import Display, column
from swath.runtime.run import Run
from swath.scores.classes import best_class
from swath.scores.knn import nearest
from swath.serve.explore import colouring
from swath.serve.explore.arrangement import Arrangement, kept_arrangement
from swath.serve.explore.colouring import Colouring
from swath.serve.explore.ground import Ground, read_ground
from swath.serve.explore.thumbnails import Thumbnails

FOLDER = "explore"  # of what explore keeps beside the run

log = logging.getLogger(__name__)
Features = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Archive:
    """What the page shows; `features` (N, D) have length one, `keys` are the same memory for torch."""

    run: Path
    store: TileStore
    features: Features
    keys: torch.Tensor
    arrangement: Arrangement
    ground: Ground
    thumbnails: Thumbnails
    colourings: tuple[Colouring, ...]
    ids: tuple[str, ...]
    columns: dict[str, list[Any]]

    def __len__(self) -> int:
        return len(self.ids)

    def neighbours(self, row: int, count: int) -> tuple[list[int], list[float]]:
        """The tiles nearest to one by cosine similarity, exact, the tile itself left out."""
        similarity, rows = nearest(self.keys, self.keys[row : row + 1], k=min(count + 1, len(self)))
        found = [(r, s) for r, s in zip(rows[0].tolist(), similarity[0].tolist(), strict=True) if r != row]
        return [r for r, _ in found[:count]], [round(s, 4) for _, s in found[:count]]

    def about(self, row: int) -> dict[str, Any]:
        """What is known of one tile, in plain values."""
        lonlat = self.ground.lonlat[row]
        acquired = self.columns["acquired"][row]
        return {
            "row": row,
            "id": self.ids[row],
            "labels": self.columns["labels"][row],
            "split": self.columns["split"][row],
            "acquired": None if acquired is None else str(acquired),
            "lonlat": None if np.isnan(lonlat[0]) else [round(float(degree), 6) for degree in lonlat],
        }


def open_archive(run: Run, tiles: Location | None) -> Archive:
    """Open everything; features and plots that are not there yet are made, which the log says.

    Raises:
        UsageError: the run does not say its tiles.
        DataError: tiles that are missing, damaged or do not fit; a run without a whole checkpoint.
        MachineError: the disk is full.
    """
    store = _store(run, tiles)
    path = _features_path(run, store)
    backbone = _as_kept(open_backbone(run), path)
    backbone.check_fits(store.format, where=str(store.path))
    origin = Origin.of(backbone, store)
    values = kept_features(path, store, backbone, np.arange(len(store), dtype=np.int64))
    decided = _answers(run, store, backbone, values)
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    kept = run.path / FOLDER / f"arrangement-{origin.checkpoint[:8]}-{store.digest[:8]}.parquet"
    arrangement = kept_arrangement(kept, values, origin)
    seen = replace(backbone.trained, groups=store.format.groups, gsd_m=store.format.gsd_m)
    return Archive(
        run=run.path,
        store=store,
        features=values,
        keys=torch.from_numpy(values),
        arrangement=arrangement,
        ground=read_ground(store),
        thumbnails=Thumbnails(Display.of(store, seen)),
        colourings=tuple(_colourings(store, arrangement, decided)),
        ids=tuple(store.ids().tolist()),
        columns={name: column(store, name) for name in ("labels", "split", "acquired")},
    )


def _store(run: Run, tiles: Location | None) -> TileStore:
    stored = run.config.get("tiles")
    if tiles is None and not isinstance(stored, str):
        raise UsageError(f"{run.path} does not say which tiles it was trained on; give them: --tiles TILES")
    return TileStore(tiles or location(str(stored)))


def _features_path(run: Run, store: TileStore) -> Path:
    """Those that swath embed and probe keep; of other tiles than the run's, a file of their own."""
    asked = run.config.get("asked")
    trained_on = asked.get("pack") if isinstance(asked, dict) else None
    if trained_on in {None, store.digest}:
        return run.path / "features.parquet"
    return run.path / FOLDER / f"features-{store.digest[:8]}.parquet"


def _as_kept(backbone: FrozenBackbone, path: Path) -> FrozenBackbone:
    """Features of other tokens or blocks that are there already are as good."""
    with contextlib.suppress(DataError):
        found = origin_of(path) if path.exists() else None
        if found and found.checkpoint == backbone.weights.checkpoint and found.tokens in {"cls", "mean"}:
            tokens: Any = found.tokens
            return backbone.with_content(Content(tokens, found.blocks))
    return backbone


def _answers(
    run: Run, store: TileStore, backbone: FrozenBackbone, values: Features
) -> npt.NDArray[np.bool_] | None:
    """(N, K) what the linear probe of the run decides, where there is one that fits."""
    path = head_path(run.path / "probe-linear.json")
    if not path.exists() or not (store.splits() == "test").any():
        return None
    try:
        wanted = Contract.of(backbone, store.vocabulary, split=store.split_digest)
        head = load_head(path, wanted=wanted)
    except SwathError as error:
        log.info(f"no colours by error: {error}")
        return None
    scores = head.scores(values)
    return best_class(scores) if store.task == "class" else np.asarray(scores > 0.0)


def _colourings(
    store: TileStore, arrangement: Arrangement, decided: npt.NDArray[np.bool_] | None
) -> Iterator[Colouring]:
    found = (colouring.by_label(store), colouring.by_split(store), colouring.by_date(store))
    yield from (each for each in found if each is not None)
    if decided is not None:
        yield colouring.by_error(store, decided)
    yield colouring.by_cluster(arrangement.cluster)
