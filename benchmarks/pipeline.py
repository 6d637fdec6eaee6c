"""Patches on disk to updated weights, beside main_dino.py with its published dataset class and lightly-train.

    python benchmarks/pipeline.py [--peer CHECKOUT] [--lightly-python PYTHON] [--rounds 3] [--steps 8]

Patches of 3x120x120, ten views (2 of 224 px, 8 of 96 px), 2 cores. Ours: the pack of the patches in 8 bits,
read and augmented as `swath pretrain --preset paper` does, the step in bfloat16. main_dino.py, ViT-Ti/16,
out_dim 8192, batch 16: three rasterio opens a patch, reflectance / 2000 * 255, DataAugmentationDINO on Pillow
in a worker a core, the step in float32. lightly-train, ViT-S/16, out_dim 65536, batch 8: its `pretrain` in
bf16-mixed on PNG files of the same pixels; PYTHON has it. A round is a process of either, in turn;
its first steps are not counted.
"""

import argparse
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from parity import paper_recipe, rates_at
from peer import Checkout, PeerTraining
from PIL import Image
from recipe_tiles import PatchFolder, RecipeTiles, make_tiles
from rounds import Race
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from training import SETUPS, Setup

from swath.data.loader import Loader
from swath.data.store import TileStore
from swath.pretraining.trainer import Trainer
from swath.runtime.allocator import keep_freed_memory
from swath.runtime.ranks import Ranks

CORES = 2
PATCHES, WARM_STEPS = 256, 3


class Patches(Dataset[list[Tensor]]):
    """Views of a patch, read as the published class reads it."""

    def __init__(self, folder: PatchFolder, views: Any) -> None:
        self.folder, self.views = folder, views

    def __len__(self) -> int:
        return len(self.folder.patches)

    def __getitem__(self, number: int) -> list[Tensor]:
        return self.views(Image.fromarray(self.folder.read_8bit(number).transpose(1, 2, 0)))


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--peer", type=Path, help="a checkout of facebookresearch/dino")
    arguments.add_argument("--lightly-python", type=Path, help="a Python with lightly-train")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--steps", type=int, default=8, help="timed steps a round")
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tiles = make_tiles(Path(folder), PATCHES)
        if asked.peer:
            beside(
                "main_dino.py, ViT-Ti/16",
                lambda: alone(their_rate, tiles, asked.peer, asked.steps),
                lambda: alone(our_rate, tiles, SETUPS["tiny"], asked.steps),
                asked.rounds,
                bar=2.5,
            )
        if asked.lightly_python:
            pictures = as_png(tiles, Path(folder) / "pictures")
            beside(
                "lightly-train, ViT-S/16",
                lambda: lightly_rate(asked.lightly_python, pictures, asked.steps),
                lambda: alone(our_rate, tiles, SETUPS["small"], asked.steps),
                asked.rounds,
                bar=1.5,
            )


def beside(
    what: str, theirs: Callable[[], float], ours: Callable[[], float], rounds: int, *, bar: float
) -> None:
    rates = [(theirs(), ours()) for _ in range(rounds)]
    Race(*zip(*rates, strict=True)).show(f"disk to update, beside {what}", "tiles/s", bar=bar)


def alone(measure: Any, *given: Any) -> float:
    """What `measure` returns in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return float(pool.submit(measure, *given).result())


def their_rate(tiles: RecipeTiles, peer: Path, steps: int) -> float:
    torch.set_num_threads(CORES)
    checkout = Checkout(peer)
    setup = SETUPS["tiny"]
    args = checkout.args(out_dim=setup.out_dim, freeze_last_layer=0)
    training = PeerTraining(checkout, args, setup.model)
    recipe = paper_recipe(setup.model, setup.batch_size, setup.out_dim, frozen=False)
    loader = DataLoader(
        Patches(tiles.files, checkout.views(args)),
        batch_size=setup.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=CORES,
        persistent_workers=True,
        multiprocessing_context="fork",
    )
    return rate(training_steps(training, recipe, loader), steps) * setup.batch_size


def training_steps(training: PeerTraining, recipe: Any, loader: DataLoader[list[Tensor]]) -> Iterator[None]:
    for step, views in enumerate(chain.from_iterable(repeat(loader))):
        training.step(views, rates_at(step, training, recipe))
        yield


def our_rate(tiles: RecipeTiles, setup: Setup, steps: int) -> float:
    torch.set_num_threads(CORES)
    keep_freed_memory()
    store = TileStore(tiles.scaled)
    recipe = paper_recipe(setup.model, setup.batch_size, setup.out_dim, frozen=False, precision="bfloat16")
    trainer = Trainer(recipe, store.format, ranks=Ranks())
    loader = Loader(
        store, rows=np.arange(len(store)), batch_size=setup.batch_size, seed=0, steps=WARM_STEPS + steps
    )
    return rate((trainer.step(batch, step) for step, batch in enumerate(loader)), steps) * setup.batch_size


def as_png(tiles: RecipeTiles, folder: Path) -> Path:
    folder.mkdir()
    for number in range(PATCHES):
        picture = tiles.files.read_8bit(number).transpose(1, 2, 0)
        Image.fromarray(picture).save(folder / f"{number}.png")
    return folder


def lightly_rate(python: Path, pictures: Path, steps: int) -> float:
    command = [python, Path(__file__).with_name("peer_lightly.py"), pictures, WARM_STEPS + steps, WARM_STEPS]
    said = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if said.returncode:
        sys.exit(f"lightly-train failed:\n{said.stderr}")
    return float(said.stdout.splitlines()[-1])


def rate(taken: Iterator[Any], steps: int) -> float:
    """Steps a second of `steps` steps, after those that warm up."""
    for _ in range(WARM_STEPS):
        next(taken)
    started = time.perf_counter()
    for _ in range(steps):
        next(taken)
    return steps / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
