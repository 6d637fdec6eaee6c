"""Stage: run -> where a skipped step first was not finite: it is taken again, with every module watched."""

import functools
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swath.config import ReplayConfig
from swath.data.loader import Batch, Loader
from swath.data.store import TileStore
from swath.errors import DataError, UsageError
from swath.location import location
from swath.pretraining.bad_batches import NAME, read_bad_batches
from swath.pretraining.dino import STUDENT_TEMP, Dino
from swath.pretraining.method import Contrast, by_size
from swath.pretraining.monitor import trainable_rows
from swath.pretraining.recipe import Recipe
from swath.pretraining.simclr import TEMPERATURE, local_loss
from swath.pretraining.state import restore
from swath.pretraining.trainer import Trainer
from swath.results import Result
from swath.runtime.checkpoint import read_checkpoint
from swath.runtime.device import choose_device
from swath.runtime.mirror import run_here
from swath.runtime.ranks import joined
from swath.runtime.retention import newest_first, step_of
from swath.runtime.run import Run

MOST_STEPS = 2000  # that are trained again to have the weights of the very step

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Replay(Result):
    """A step taken again; a number that is not finite is a word, as JSON has none.

    `first_not_finite` is the module whose output first held NaN or infinity, in the order of computing, ''
    where none did; `gradients_not_finite` are the first parameters of those whose gradient did.
    """

    step: int
    weights: str
    loss: float | str
    grad_norm: float | str
    view_losses: list[float | str]
    first_not_finite: str
    gradients_not_finite: list[str]
    tiles_not_finite: list[str]
    tiles: list[str]


def run(config: ReplayConfig) -> Replay:
    """Take a skipped step again, in this process, and change nothing on the disk.

    Raises:
        UsageError: no run is there, or it skipped no such step.
        DataError: the tiles are not those of the run.
    """
    with run_here(config.run, newest=None) as folder:
        return _replayed(config, folder)


def _replayed(config: ReplayConfig, folder: Path) -> Replay:
    """`folder` is that of the run, or a copy."""
    opened = Run.open(folder)
    line = _line(config, folder)
    store = TileStore(config.tiles or location(str(opened.config["tiles"])))
    if store.digest != opened.asked["pack"]:
        raise DataError(f"{store.path} is not the pack that {config.run} was trained on; give it by --tiles")
    with joined(choose_device()) as ranks:
        trainer = Trainer(Recipe.model_validate(opened.recipe), store.format, ranks=ranks)
        trainer.rollbacks = int(line["rollbacks"])
        weights = _bring_to(trainer, store, opened, step=int(line["step"]))
        batch = next(iter(_batches(trainer, store, int(line["step"]), count=1)))
        return _take(trainer, batch, int(line["step"]), weights=weights, store=store)


def _line(config: ReplayConfig, folder: Path) -> dict[str, Any]:
    lines = read_bad_batches(folder)
    chosen = [line for line in lines if config.step is None or line["step"] == config.step]
    if chosen:
        return chosen[-1]
    known = ", ".join(str(step) for step in sorted({line["step"] for line in lines})[:10])
    raise UsageError(
        f"{config.run}/{NAME} has no step {config.step}; it has {known}"
        if lines
        else f"{config.run} has skipped no step: there is nothing to replay"
    )


def _bring_to(trainer: Trainer, store: TileStore, run: Run, *, step: int) -> str:
    """Give the trainer the weights of `step`, or the nearest there are, and say which."""
    paths = newest_first(run.checkpoints)
    before = next((path for path in paths if step_of(path) <= step), None)
    start = step_of(before) if before else 0
    exact = (before is not None or run.asked.get("init") is None) and step - start <= MOST_STEPS
    if not exact:
        before = min(paths, key=lambda path: abs(step_of(path) - step), default=None)
    if before:
        restore(read_checkpoint(before).tensors, trainer.method, trainer.optimizer)
    source = f"the checkpoint of step {step_of(before)}" if before else "the start"
    if not exact:
        return f"those of {source}; the ones of step {step} are gone"
    if step > start:
        log.info(f"taking steps {start} to {step - 1} again, from {source}")
        for at, batch in enumerate(_batches(trainer, store, start, count=step - start), start):
            trainer.step(batch, at)
    return f"those of step {step}, trained again from {source}"


def _batches(trainer: Trainer, store: TileStore, step: int, *, count: int) -> Loader:
    recipe = trainer.recipe
    return Loader(
        store,
        rows=trainable_rows(store),
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        cursor=step * recipe.batch_size,
        steps=count,
        order=recipe.order,
    )


def _take(trainer: Trainer, batch: Batch, step: int, *, weights: str, store: TileStore) -> Replay:
    losses = view_losses(trainer, batch, step)
    with watched(trainer.method.student, trainer.method.teacher) as found:
        row = trainer.step(batch, step)
    gradients = [
        name
        for name, parameter in trainer.method.student.named_parameters()
        if parameter.grad is not None and not parameter.grad.isfinite().all()
    ]
    ids = store.ids()[batch.rows]
    views = trainer.views(batch)
    spoilt = [~part.flatten(1).isfinite().all(dim=1) for part in (views.globals_, views.locals_) if len(part)]
    spoilt_tiles = torch.cat(spoilt).view(-1, len(ids)).any(dim=0).tolist()
    return Replay(
        step=step,
        weights=weights,
        loss=_said(row["loss"]),
        grad_norm=_said(row["grad_norm"]),
        view_losses=[_said(loss) for loss in losses],
        first_not_finite=found[0] if found else "",
        gradients_not_finite=gradients[:5],
        tiles_not_finite=[str(name) for name, bad in zip(ids, spoilt_tiles, strict=True) if bad],
        tiles=[str(name) for name in ids],
    )


@contextmanager
def watched(student: nn.Module, teacher: nn.Module) -> Iterator[list[str]]:
    """Gives a list that fills with the names of modules whose output is not finite, in the order of
    computing.
    """
    found: list[str] = []

    def look(_module: nn.Module, _inputs: object, output: object, *, name: str) -> None:
        if isinstance(output, Tensor) and not output.isfinite().all():
            found.append(name)

    named = [(f"{whose}.{n}", m) for whose, net in (("student", student), ("teacher", teacher))
             for n, m in net.named_modules() if n]  # fmt: skip
    hooks = [m.register_forward_hook(functools.partial(look, name=name)) for name, m in named]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def view_losses(trainer: Trainer, batch: Batch, step: int) -> list[float]:
    """The loss of each student view alone, in float32 and without drop path, global views first."""
    views, method, tiles = trainer.views(batch), trainer.method, len(batch.rows)
    student_out = torch.cat([method.student(images)[1] for images, _ in by_size(views, None)])
    if isinstance(method, Contrast):
        by_view = student_out.view(-1, tiles, student_out.shape[1])  # (V, B, P)
        rows = by_view[:2].flatten(0, 1)  # (2 * B, P)
        similarity = (rows @ rows.T / TEMPERATURE).fill_diagonal_(-math.inf)
        partner = (torch.arange(len(rows), device=rows.device) + len(rows) // 2) % len(rows)
        each = F.cross_entropy(similarity, partner, reduction="none").view(2, -1)
        locals_ = [local_loss(view[None], by_view[:2], temperature=TEMPERATURE) for view in by_view[2:]]
        return [float(value) for value in (*each.mean(dim=1), *locals_)]
    assert isinstance(method, Dino), "a new method says its loss a view here"
    temperature = trainer.values_at(step).teacher_temp
    _, teacher_out = method.teacher(views.globals_)
    targets = torch.split(F.softmax((teacher_out - method.centre) / temperature, dim=-1), tiles)
    log_student = F.log_softmax(student_out / STUDENT_TEMP, dim=-1)
    losses = []
    for number, log_p in enumerate(torch.split(log_student, tiles)):
        pairs = [-(q * log_p).sum(dim=-1).mean() for i, q in enumerate(targets) if i != number]
        losses.append(float(torch.stack(pairs).mean()))
    return losses


def _said(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
