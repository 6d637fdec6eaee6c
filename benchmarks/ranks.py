"""Two processes on a core each, against twice one process on one core: what sharing a batch costs.

    python benchmarks/ranks.py [--setups tiny demo] [--rounds 3]

A round is, in turn: one process on one core with the whole batch; two processes on a core each that share it;
and two processes on a core each that know nothing of each other, with half of the batch each. The last says
what the machine itself loses when both cores work and batches are smaller. Linux; run it alone.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

import numpy as np
import torch
from noise import packed_noise

from swath.config import PretrainConfig
from swath.data.loader import Loader
from swath.data.store import TileStore
from swath.pretraining.recipe import Archive, resolve
from swath.pretraining.trainer import Trainer
from swath.runtime.ranks import joined

WARM_STEPS, TIMED_S = 3, 5.0
SETUPS = {
    "tiny": {"model": "vit_tiny", "patch_size": 16, "out_dim": 8192, "batch_size": 16, "size_px": 128},
    "demo": {"preset": "demo", "batch_size": 128, "size_px": 64},
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--setups", nargs="+", default=list(SETUPS), choices=tuple(SETUPS))
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--process", nargs=3, metavar=("SETUP", "TILES", "BATCH"), help="for itself")
    asked = arguments.parse_args()
    if asked.process:
        print(rate(asked.process[0], Path(asked.process[1]), int(asked.process[2])))
        return
    for name in asked.setups:
        with tempfile.TemporaryDirectory() as folder:
            store = packed_noise(Path(folder), side_px=4096, tile_px=int(str(SETUPS[name]["size_px"])))
            compare(name, Path(store.path), asked.rounds)


def compare(name: str, tiles: Path, rounds: int) -> None:
    batch = int(str(SETUPS[name]["batch_size"]))
    alone, shared, apart = [], [], []
    for _ in range(rounds):
        alone += started(name, tiles, [batch], together=False)
        shared.append(started(name, tiles, [batch, batch], together=True)[0])
        apart.append(sum(started(name, tiles, [batch // 2] * 2, together=False)))
    print(f"{name}, batch {batch}: one process {spread(alone)} tiles/s")
    for what, rates in (("two that share each batch", shared), ("two apart, half a batch each", apart)):
        ratios = [both / (2 * one) for both, one in zip(rates, alone, strict=True)]
        print(f"  {what:30} {spread(rates)} tiles/s, of twice one {spread(ratios, digits=3)}", flush=True)


def started(name: str, tiles: Path, batches: list[int], *, together: bool) -> list[float]:
    """Rates of as many processes as batches, each on a core of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if together:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        environment |= {"WORLD_SIZE": str(len(batches)), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = [
        subprocess.Popen(
            ["taskset", "-c", str(core), sys.executable, __file__, "--process", name, str(tiles), str(batch)],
            env=environment | {"RANK": str(core)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for core, batch in enumerate(batches)
    ]
    said = [process.communicate()[0] for process in processes]
    return [float(text) for text in said]


def rate(name: str, tiles: Path, batch_size: int) -> float:
    """Tiles a second of whole steps, reading included, over about five seconds."""
    store = TileStore(tiles)
    asked = {key: value for key, value in SETUPS[name].items() if key != "size_px"}
    config = PretrainConfig(
        **{"tiles": tiles, "out": tiles, "monitor_every": 0, **asked, "batch_size": batch_size}
    )
    archive = Archive(tiles=len(store), size_px=store.format.size_px, bands=len(store.format.bands))
    recipe = resolve(config, archive, steps=10_000, precision="float32", accelerated=True)
    with joined(torch.device("cpu")) as ranks:
        trainer = Trainer(recipe, store.format, ranks=ranks)
        loader = Loader(
            store,
            rows=np.arange(len(store)),
            batch_size=batch_size,
            seed=0,
            steps=recipe.steps,
            share=ranks.share(batch_size),
        )
        began = 0.0
        for step, batch in zip(count(), loader, strict=False):
            if step == WARM_STEPS:
                began = time.perf_counter()
            trainer.step(batch, step)
            done = step >= WARM_STEPS and time.perf_counter() - began > TIMED_S
            if ranks.any(here=done):
                break
        return (step - WARM_STEPS + 1) * batch_size / (time.perf_counter() - began)


def spread(values: list[float], *, digits: int = 1) -> str:
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


if __name__ == "__main__":
    main()
