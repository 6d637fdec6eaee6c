"""Stage: run + tiles with labels or masks -> a run whose network was trained on them, end to end.

It begins with the head that a probe of the frozen network gives, so step 0 is as good as the probe, and what
is gained after it is what fine-tuning is worth. The weights of the best epoch on the split `val` are kept,
the start being epoch 0 (the last epoch where there is no `val`), and tested once.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from swath.arguments import command_line
from swath.config import FinetuneConfig
from swath.data.store import TileStore
from swath.errors import UsageError
from swath.features.backbone import FrozenBackbone, open_backbone
from swath.features.unseen import check_unseen
from swath.files import write_json
from swath.location import Location
from swath.results import Result
from swath.runtime.checkpoint import load_newest
from swath.runtime.device import choose_device, choose_precision
from swath.runtime.mirror import mirrored, run_here, work_folder
from swath.runtime.run import Run, check_same, claim
from swath.transfer.finetune.labels import LabelTask
from swath.transfer.finetune.loop import Loop
from swath.transfer.finetune.masks import MaskTask
from swath.transfer.finetune.recipe import FinetuneRecipe, resolve
from swath.transfer.finetune.task import FROZEN, Task
from swath.transfer.finetune.trainer import Trainer

ROUNDS = 1000
FREE_TO_CHANGE = frozenset({"save_every", "out", "run", "tiles"})
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinetuneResult(Result):
    """Scores on the test tiles as [value, low, high] (95 %), of the frozen network and of the tuned one."""

    task: str
    n_train: int
    n_test: int
    steps: int
    best_epoch: int
    scores: dict[str, dict[str, Any]]
    gain_over_frozen: dict[str, list[float]]
    digests: dict[str, str]
    out: Location

    def lines(self) -> list[str]:
        """The table for a reader."""
        measures = list(self.gain_over_frozen)
        first = measures[0]
        gain = self.gain_over_frozen[first]
        return [
            f"fine-tuned on {self.n_train:,} tiles, tested on {self.n_test:,} [95 % interval]",
            f"  {'':16} " + " ".join(f"{name.replace('_', ' '):21}" for name in measures),
            *(
                f"  {name:16} " + " ".join(f"{_words(row[measure]):21}" for measure in measures)
                for name, row in self.scores.items()
            ),
            f"  gain over {FROZEN}, paired: {gain[0]:+.3f} [{gain[1]:+.3f}, {gain[2]:+.3f}] {first}",
            f"  {self.out}",
        ]


def run(config: FinetuneConfig) -> FinetuneResult:
    """Train to the end, or go on from the newest good checkpoint, and write OUT/finetune.json.

    Raises:
        UsageError: `run` is not a run, the folder holds something else, or the tiles have no labels, masks or
            splits.
        DataError: the tiles do not fit the run or are damaged.
        TrainingError: the loss is not finite, step after step.
        MachineError, Stopped: as in pretraining; what is saved stays saved.
    """
    with run_here(config.run) as folder, mirrored(config.out):
        return _run(config, folder)


def _run(config: FinetuneConfig, folder: Path) -> FinetuneResult:
    """`folder` is that of the run to begin with, or a copy."""
    store, out = TileStore(config.tiles), work_folder(config.out)
    start = Run.open(folder)
    backbone = open_backbone(start)
    backbone.check_fits(store.format, where=str(store.path))
    check_unseen(start, backbone, store)
    asked = config.model_dump(mode="json") | {
        "pack": store.digest,
        "checkpoint": backbone.weights.checkpoint,
    }
    with claim(out) as exists:
        found = Run.open(out) if exists else None
        if found is not None:
            check_same(found.asked, asked, run=out, safe_keys=FREE_TO_CHANGE)
        task = _task(config, store, backbone, folder)
        recipe = FinetuneRecipe.model_validate(found.recipe) if found else _resolve(config, task, backbone)
        if found is None:
            task.begin()
            resolved = {"tiles": str(config.tiles), "recipe": recipe.model_dump(), "asked": asked}
            found = Run.create(out, resolved, command=command_line("finetune", config))
            task.save_frozen(out / "frozen.safetensors")
        else:
            task.load_frozen(out / "frozen.safetensors")
        trainer = Trainer(recipe, task, tile_format=backbone.trained)
        loop = Loop(trainer, found, store, state=_checkpoint_state(backbone, store, task))
        loop.go(load_newest(found.checkpoints), save_every=config.save_every)
        return _finish(config, task, trainer, backbone)


def _task(config: FinetuneConfig, store: TileStore, backbone: FrozenBackbone, run: Path) -> Task:
    held = [name for name, is_held in _held(store).items() if is_held]
    if not held:
        raise UsageError(f"{store.path} holds neither labels nor masks; fine-tuning needs one of them")
    if config.task is None and len(held) == 2:
        raise UsageError(f"{store.path} holds labels and masks; choose with --task labels or --task masks")
    chosen = config.task or held[0]
    if chosen not in held:
        raise UsageError(f"{store.path} holds no {chosen}, only {held[0]}: use --task {held[0]}")
    if chosen == "labels":
        return LabelTask(store, backbone, features=run / "features.parquet", seed=config.seed)
    return MaskTask(store, backbone, seed=config.seed)


def _held(store: TileStore) -> dict[str, bool]:
    return {"labels": bool(store.vocabulary), "masks": bool(store.mask_vocabulary)}


def _resolve(config: FinetuneConfig, task: Task, backbone: FrozenBackbone) -> FinetuneRecipe:
    precision = choose_precision(config.precision, choose_device()).dtype
    recipe = resolve(
        config,
        tiles=len(task.train),
        precision=str(precision).removeprefix("torch."),
    )
    log.info(
        f"fine-tuning on {task.name}: {recipe.steps:,} steps of {recipe.batch_size} from {len(task.train):,} "
        f"tiles, {recipe.precision}; layers learn at {recipe.lr:.2g} (head) down to "
        f"{recipe.lr * recipe.layer_decay ** (backbone.network.shape.depth + 1):.2g} (first)"
    )
    return recipe


def _checkpoint_state(backbone: FrozenBackbone, store: TileStore, task: Task) -> dict[str, object]:
    return {
        "method": f"finetune on {task.name}",
        "task": store.task if task.name == "labels" else "segmentation",
        "vit": backbone.network.shape.to_json(),
        "tiles": backbone.trained.to_json(),
        "vocabulary": list(task.vocabulary),
        "pack_digest": store.digest,
        "split_digest": store.split_digest,
        "started_from": backbone.weights.checkpoint,
    }


def _finish(config: FinetuneConfig, task: Task, trainer: Trainer, backbone: FrozenBackbone) -> FinetuneResult:
    trainer.network.load_state_dict(trainer.best)
    with torch.no_grad():
        scores, gain = task.judged(trainer.network.eval(), rounds=ROUNDS, seed=config.seed)
    result = FinetuneResult(
        task=task.name,
        n_train=len(task.train),
        n_test=len(task.test),
        steps=trainer.recipe.steps,
        best_epoch=trainer.best_epoch,
        scores=scores,
        gain_over_frozen=gain,
        digests={"checkpoint": backbone.weights.checkpoint, "pack": task.pack},
        out=config.out / "finetune.json",
    )
    write_json(work_folder(config.out) / "finetune.json", result.to_json())
    return result


def _words(value: list[float]) -> str:
    return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"
