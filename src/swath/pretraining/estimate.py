"""Time, memory and disk of a training before it starts, from a few measured steps on throw-away weights."""

import resource
import sys
import time
from dataclasses import dataclass

import torch

from swath.data.loader import Loader
from swath.pretraining.state import gather
from swath.pretraining.trainer import Trainer
from swath.results import Result

WARM_STEPS = 2
CHECKPOINTS = 5  # at most on the disk: the newest two, the last good, the best, and the one being saved
TIMED_S = 4.0


@dataclass(frozen=True)
class Estimate(Result):
    """What a run would cost on this machine; `gpu_memory_mib` is None without CUDA."""

    steps: int
    images_per_s: float
    minutes: float
    checkpoint_mib: float
    disk_mib: float
    peak_memory_mib: float
    gpu_memory_mib: float | None


def measure_rate(trainer: Trainer, loader: Loader) -> float:
    """Images a second over about four seconds of real steps. The trainer's weights change: throw it away."""
    warm_steps = min(WARM_STEPS, len(loader) - 1)
    started, tiles = 0.0, 0
    for step, batch in enumerate(loader):
        if step == warm_steps:
            started, tiles = time.perf_counter(), 0
        trainer.step(batch, step)
        tiles += batch.of
        enough = step > warm_steps and time.perf_counter() - started > TIMED_S
        if trainer.ranks.any(here=enough):
            break
    return tiles / (time.perf_counter() - started)


def estimate(trainer: Trainer, loader: Loader, *, steps: int) -> Estimate:
    """Cost of `steps` steps."""
    rate = measure_rate(trainer, loader)
    files = gather(trainer.method, trainer.optimizer)
    checkpoint = (
        sum(t.numel() * t.element_size() for tensors in files.values() for t in tensors.values()) / 2**20
    )
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
    return Estimate(
        steps=steps,
        images_per_s=round(rate, 1),
        minutes=round(steps * trainer.recipe.batch_size / rate / 60, 2),
        checkpoint_mib=round(checkpoint, 1),
        disk_mib=round(CHECKPOINTS * checkpoint, 1),
        peak_memory_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (unit / 2**20), 0),
        gpu_memory_mib=_gpu_memory_mib(),
    )


def _gpu_memory_mib() -> float | None:
    return round(torch.cuda.max_memory_reserved() / 2**20, 0) if torch.cuda.is_available() else None
