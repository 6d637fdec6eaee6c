"""What saving and watching cost a training: ViT-S/16 with 65,536 prototypes, the default interval.

    python benchmarks/checkpoint.py

Run it on an idle machine. The steps are of small views, so that there are many of them in a minute; the
checkpoint is that of the large ones.
"""

import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from noise import packed_noise
from parity import paper_recipe

from swath.data.loader import Loader
from swath.pretraining.health import MOST_ROWS, feature_health
from swath.pretraining.recipe import Recipe
from swath.pretraining.saver import SAVE_EVERY_S
from swath.pretraining.state import gather
from swath.pretraining.trainer import Trainer
from swath.runtime.checkpoint_writer import CheckpointWriter
from swath.runtime.machine import _processor_look
from swath.runtime.ranks import joined

SAVES, STEPS, BATCH = 3, 6, 4


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, joined(torch.device("cpu")) as ranks:
        store = packed_noise(Path(folder), side_px=512, tile_px=64)
        trainer = Trainer(small_views(), store.format, ranks=ranks)
        batches = enumerate(Loader(store, rows=np.arange(len(store)), batch_size=BATCH, seed=0, steps=1000))
        saving(trainer, batches, Path(folder) / "checkpoints")
    watching()


def small_views() -> Recipe:
    recipe = paper_recipe("vit_small", BATCH, 65_536, frozen=False)
    return recipe.model_copy(update={"global_px": 64, "local_px": 32, "local_views": 2})


def saving(trainer: Trainer, batches: enumerate, folder: Path) -> None:
    """The hold-up of one save: the copy, and what steps lose while the thread writes."""
    steps(trainer, batches, 2)
    plain = steps(trainer, batches, STEPS)
    before_mib = peak_mib()
    size_mib = sum(t.nbytes for named in gathered(trainer).values() for t in named.values()) / 2**20
    copies, writes, meanwhile = [], [], []
    with CheckpointWriter(folder) as writer:
        for save in range(SAVES):
            started = time.perf_counter()
            writer.start(step=save, tensors=gathered(trainer), state={})
            copies.append(time.perf_counter() - started)
            taken = []
            while writer.busy:
                taken += steps(trainer, batches, 1)
            writes.append(time.perf_counter() - started - copies[-1])
            meanwhile.append(taken)
            writer.collect()
            plain += steps(trainer, batches, STEPS)
    plain_s = statistics.median(plain)
    losses = [sum(taken) - plain_s * len(taken) for taken in meanwhile]
    hold_ups = [copy + max(0.0, loss) for copy, loss in zip(copies, losses, strict=True)]
    print(f"checkpoint                 {size_mib:8,.0f} MiB; a step {spread(plain)} without a save")
    print(f"copy, training stands      {spread(copies)}")
    print(f"written in                 {spread(writes)} (to the end of the step it ends in)")
    print(f"lost by the steps meanwhile {spread(losses)}")
    print(
        f"hold-up of a save          {spread(hold_ups)}, {statistics.median(hold_ups) / SAVE_EVERY_S:.2%} of"
    )
    print(f"                           the default interval of {SAVE_EVERY_S:.0f} s")
    print(f"peak memory                {before_mib:,.0f} MiB before, {peak_mib():,.0f} MiB with saves")


def watching() -> None:
    """Health of a logged row, and one look at the machine."""
    features, look = torch.randn(MOST_ROWS, 384), _processor_look()
    health = [timed(lambda: feature_health(features)) for _ in range(50)]
    looks = [timed(look) for _ in range(50)]
    print(f"feature health, 128 x 384  {1000 * statistics.median(health):.2f} ms a logged row")
    print(f"a look at the machine      {1000 * statistics.median(looks):.2f} ms every two seconds")


def gathered(trainer: Trainer) -> dict[str, dict[str, torch.Tensor]]:
    return gather(trainer.method, trainer.optimizer)


def steps(trainer: Trainer, batches: enumerate, count: int) -> list[float]:
    """Seconds of each of the next steps."""
    seconds = []
    for _ in range(count):
        step, batch = next(batches)
        seconds.append(timed(lambda step=step, batch=batch: trainer.step(batch, step)))
    return seconds


def timed(work) -> float:  # noqa: ANN001 -- anything that can be called
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


if __name__ == "__main__":
    main()
