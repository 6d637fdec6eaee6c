"""The training step of swath against that of facebookresearch/dino, in turn, in one process.

    python benchmarks/training.py --peer CHECKOUT [--setups small tiny] [--rounds 4]

A round is one step of main_dino.py in float32, one of swath in float32 and one in bfloat16, on the same
views, 2 of 224 px and 8 of 96 px; its ratios are taken within the round. Views are given to all: what is
timed is the mathematics of a step, from standardised views to updated student, teacher and centre, drop path
included. Beside the time by the clock stands the processor's, of all threads, which other programs on the
machine disturb less. The first round warms up. All steps share the process, so the peer has the use of
`keep_freed_memory` too. Peak memory is that of a fresh process of two steps each, imports included; Linux.
"""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from parity import RGB, GivenViews, paper_recipe, rates_at, some_views
from peer import Checkout, PeerTraining
from torch import Tensor

from swath.augment.views import Views
from swath.data.loader import Batch
from swath.runtime.allocator import keep_freed_memory
from swath.runtime.ranks import Ranks

THREADS = 2
PEER = "main_dino.py float32"
OURS = ("float32", "bfloat16")

Step = Callable[[list[Tensor], int], object]


@dataclass(frozen=True)
class Setup:
    """A network and its batch, as in the table of rivals."""

    model: str
    out_dim: int
    batch_size: int


SETUPS = {"small": Setup("vit_small", 65_536, 8), "tiny": Setup("vit_tiny", 8_192, 16)}


@dataclass(frozen=True)
class Seconds:
    """Time by the clock, and of the processor in all threads of this process."""

    clock: float
    processor: float

    @classmethod
    def now(cls) -> "Seconds":
        return cls(time.perf_counter(), time.process_time())

    def __sub__(self, earlier: "Seconds") -> "Seconds":
        return Seconds(self.clock - earlier.clock, self.processor - earlier.processor)


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--peer", type=Path, required=True, help="a checkout of facebookresearch/dino")
    arguments.add_argument("--setups", nargs="+", default=list(SETUPS), choices=tuple(SETUPS))
    arguments.add_argument("--rounds", type=int, default=4, help="timed rounds, after one to warm up")
    asked = arguments.parse_args()
    for name in asked.setups:
        setup = SETUPS[name]
        print(f"{setup.model}/16, out_dim {setup.out_dim}, batch {setup.batch_size}, {THREADS} threads")
        memory = {who: peak_memory(setup, asked.peer, who) for who in (PEER, *OURS)}
        show(setup, step_times(setup, asked.peer, asked.rounds), memory)


def step_times(setup: Setup, peer: Path, rounds: int) -> dict[str, list[Seconds]]:
    """What a step took by who took it, a round each; the first round is dropped."""
    torch.set_num_threads(THREADS)
    keep_freed_memory()
    steps = {who: build(setup, peer, who) for who in (PEER, *OURS)}
    taken: dict[str, list[Seconds]] = {who: [] for who in steps}
    for number, views in enumerate(given_views(setup, rounds + 1)):
        for who, step in steps.items():
            started = Seconds.now()
            step(views, number)
            taken[who].append(Seconds.now() - started)
    return {who: seconds[1:] for who, seconds in taken.items()}


def peak_memory(setup: Setup, peer: Path, who: str) -> float:
    """GB, in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(two_steps, setup, peer, who).result()


def two_steps(setup: Setup, peer: Path, who: str) -> float:
    """Peak memory of this process after them, in GB."""
    torch.set_num_threads(THREADS)
    if who != PEER:
        keep_freed_memory()
    step = build(setup, peer, who)
    for number, views in enumerate(given_views(setup, 2)):
        step(views, number)
    # Not ru_maxrss: a new program inherits that from the process that started it.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e9


def build(setup: Setup, peer: Path, who: str) -> Step:
    torch.manual_seed(0)
    return peer_step(setup, peer) if who == PEER else our_step(setup, who)


def peer_step(setup: Setup, peer: Path) -> Step:
    recipe = paper_recipe(setup.model, setup.batch_size, setup.out_dim, frozen=False)
    checkout = Checkout(peer)
    args = checkout.args(out_dim=setup.out_dim, freeze_last_layer=0)
    training = PeerTraining(checkout, args, setup.model)
    return lambda views, number: training.step(views, rates_at(number, training, recipe))


def our_step(setup: Setup, precision: str) -> Step:
    recipe = paper_recipe(setup.model, setup.batch_size, setup.out_dim, frozen=False, precision=precision)
    trainer = GivenViews(recipe, RGB, ranks=Ranks())
    rows, epochs = np.arange(setup.batch_size), np.zeros(setup.batch_size, dtype=np.int64)
    batch = Batch(rows, epochs, [], rows, epochs, 0.0)

    def step(views: list[Tensor], number: int) -> None:
        trainer.given = Views(torch.cat(views[:2]), torch.cat(views[2:]))
        trainer.step(batch, number)

    return step


def given_views(setup: Setup, count: int) -> list[list[Tensor]]:
    recipe = paper_recipe(setup.model, setup.batch_size, setup.out_dim, frozen=False)
    return list(islice(some_views(recipe, torch.float32), count))


def show(setup: Setup, taken: dict[str, list[Seconds]], memory: dict[str, float]) -> None:
    """A line each: tiles/s, ratio of every round to the peer's step, peak memory and its ratio."""
    for who, steps in taken.items():
        pairs = list(zip(taken[PEER], steps, strict=True))
        ratios = [theirs.clock / ours.clock for theirs, ours in pairs]
        by_processor = [theirs.processor / ours.processor for theirs, ours in pairs]
        clock, processor = (statistics.median(getattr(s, n) for s in steps) for n in ("clock", "processor"))
        print(
            f"  {who:22}{setup.batch_size / clock:6.2f} tiles/s  "
            f"{statistics.median(ratios):5.2f}x ({min(ratios):.2f} to {max(ratios):.2f})  "
            f"processor {processor:5.2f} s, {statistics.median(by_processor):5.2f}x "
            f"({min(by_processor):.2f} to {max(by_processor):.2f})  "
            f"peak {memory[who]:5.2f} GB, {memory[who] / memory[PEER]:.2f}x",
            flush=True,
        )


if __name__ == "__main__":
    main()
