"""The facts of a run that the page and the model card tell, read once and then plain values."""

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from swath.data.bands import TileFormat
from swath.data.store import TileStore
from swath.errors import DataError
from swath.features.backbone import Weights
from swath.runtime.run import Run

log = logging.getLogger(__name__)

Row = dict[str, Any]
PROBED = ("linear", "knn", "segmentation")  # the first that was measured is the one at the top
SPLITS = ("train", "val", "test", "gap", "")


@dataclass(frozen=True)
class TileFacts:
    """What was packed: `splits` counts tiles, `classes` counts tiles of a class in each split.

    `path` is for a reader, as it was typed.
    """

    path: str
    located: bool
    tiles: int
    labelled: int
    format: TileFormat
    task: str | None
    splits: dict[str, int]
    classes: dict[str, dict[str, int]]
    attribution: str
    licence: str
    digest: str
    index_digest: str

    @property
    def trained(self) -> int:
        """Tiles that pretraining draws from: those of the split train, and those without a split."""
        return self.splits.get("train", 0) + self.splits.get("", 0)


@dataclass(frozen=True)
class RunFacts:
    """What was done. `probes` are the JSON of probe-TASK.json by task; a run may have no checkpoint yet."""

    name: str
    path: str
    recipe: Row
    reasons: dict[str, str]
    command: str
    environment: Row
    metrics: list[Row]
    probes: dict[str, Row]
    checkpoint_step: int | None
    checkpoint_digest: str
    written: str

    @property
    def steps(self) -> int:
        return self.checkpoint_step or max((int(row["step"]) for row in self.metrics), default=0)

    @property
    def samples(self) -> int:
        return self.steps * int(self.recipe.get("batch_size", 0))

    @property
    def probe(self) -> Row | None:
        """The one that the verdict is about."""
        return next(iter(self.probes.values()), None)

    @property
    def method(self) -> str:
        """The name people write."""
        name = str(self.recipe.get("method", ""))
        return {"dino": "DINO", "simclr": "SimCLR"}.get(name, name)

    def column(self, name: str) -> list[float | None]:
        """One key of metrics.jsonl for each of its rows, None where the row lacks it."""
        return [row.get(name) for row in self.metrics]


def read_tile_facts(store: TileStore, *, path: str) -> TileFacts:
    """Count what the page says about the tiles."""
    splits, labels, labelled = store.splits(), store.labels(), store.labelled()
    present = [split for split in SPLITS if (splits == split).any()]
    classes = {
        name: {split: int(labels[splits == split, k].sum()) for split in present}
        for k, name in enumerate(store.vocabulary)
    }
    return TileFacts(
        path=path,
        located=store.located,
        tiles=len(store),
        labelled=int(labelled.sum()),
        format=store.format,
        task=store.task,
        splits={split: int(np.count_nonzero(splits == split)) for split in present},
        classes=classes,
        attribution=str(store.info.get("attribution") or ""),
        licence=str(store.info.get("licence") or ""),
        digest=store.digest,
        index_digest=store.index_digest,
    )


def read_run_facts(run: Run, weights: Weights | None) -> RunFacts:
    """Gather the settings, numbers and digests of a run."""
    stored = run.config.get("recipe")
    recipe: Row = dict(stored) if isinstance(stored, dict) else dict(run.config)
    command = run.path / "command.txt"
    return RunFacts(
        name=run.path.resolve().name,
        path=str(run.path),
        reasons=dict(recipe.pop("reasons", None) or {}),
        recipe=recipe,
        command=command.read_text(encoding="utf-8").strip() if command.exists() else "",
        environment=run.environment(),
        metrics=run.metrics(),
        probes={task: found for task in PROBED if (found := _probe(run, task)) is not None},
        checkpoint_step=weights.step if weights else None,
        checkpoint_digest=weights.checkpoint if weights else "",
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _probe(run: Run, task: str) -> Row | None:
    path = run.path / f"probe-{task}.json"
    if not path.exists():
        return None
    try:
        value: Row = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}). Make it again with swath probe.") from error
    return value
