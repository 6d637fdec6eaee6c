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
import rasterio
import torch

import swath
from swath.data.loader import Loader
from swath.data.store import TileStore
from swath.pretraining.health import MOST_ROWS, feature_health
from swath.pretraining.recipe import Recipe
from swath.pretraining.saver import SAVE_EVERY_S
from swath.pretraining.state import gather
from swath.pretraining.trainer import Trainer
from swath.runtime.checkpoint_writer import CheckpointWriter
from swath.runtime.machine import _processor_look
from swath.runtime.ranks import joined

SAVES, STEPS = 3, 6
RECIPE = {
    "method": "dino", "preset": "overhead", "model": "vit_small", "patch_size": 16, "position": "timm",
    "drop_path": 0.0, "global_px": 64, "local_px": 32, "local_views": 2, "batch_size": 4, "steps": 1000,
    "warmup_steps": 2, "lr": 1e-4, "min_lr": 1e-6, "weight_decay": 0.04, "weight_decay_end": 0.04,
    "clip_grad": 3.0, "momentum": 0.9, "out_dim": 65_536, "head_hidden": 2048, "norm_last_layer": True,
    "freeze_last_layer_steps": 0, "teacher_temp": 0.04, "monitor_every": 0, "log_every": 1000, "seed": 0,
    "precision": "float32", "reasons": {},
}  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, joined(torch.device("cpu")) as ranks:
        store = packed_noise(Path(folder))
        trainer = Trainer(Recipe.model_validate(RECIPE), store.format, ranks=ranks)
        batches = enumerate(Loader(store, rows=np.arange(len(store)), batch_size=4, seed=0, steps=1000))
        saving(trainer, batches, Path(folder) / "checkpoints")
    watching()


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


def packed_noise(folder: Path) -> TileStore:
    image = np.random.default_rng(0).integers(0, 256, (3, 512, 512), dtype=np.uint8)
    profile = {"driver": "GTiff", "width": 512, "height": 512, "count": 3, "dtype": "uint8"}
    with rasterio.open(folder / "noise.tif", "w", **profile, crs="EPSG:32633") as target:
        target.write(image)
    swath.index(folder / "noise.tif", out=folder / "index.parquet", layout="scenes", tile_px=64)
    swath.pack(folder / "index.parquet", out=folder / "tiles.lance")
    return TileStore(folder / "tiles.lance")


if __name__ == "__main__":
    main()
