"""Trainings that are killed, stopped, damaged and starved at random, and must end as if nothing had been.

    python tools/soak.py --minutes 20 [--seed N]

Each round trains one run to its end in many starts, each with a fault drawn at random, with one or two
processes. At the end the hash of its state must be that of the same training without those faults. Every
training, with faults or not, skips one step that is not finite and halves its micro-batch once: those change
numbers, in the same way each time.
"""

import argparse
import collections
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

import swath
from swath.runtime.retention import newest_first
from swath.runtime.run import Run

STEPS, SAVE_EVERY = 60, 5
ALWAYS = "nan@step=7;oom@part>=9"
FLAGS = (
    "--model", "vit_micro", "--patch-size", "16", "--batch-size", "32", "--out-dim", "64", "--local-views",
    "2", "--local-px", "16", "--monitor-every", "20", "--precision", "float32",
)  # fmt: skip
DONE, STOPPED, LOST = 0, 143, 5
LONGEST_WAIT_S = 20  # before a start is killed or stopped from outside


@dataclass
class Soak:
    """What the rounds share: tiles, where runs go, the draws, and what was done."""

    tiles: Path
    folder: Path
    draw: random.Random
    whole: dict[int, str] = field(default_factory=dict)  # state without faults, by number of processes
    done: collections.Counter[str] = field(default_factory=collections.Counter)

    def round(self, number: int) -> None:
        """One run to its end, through faults.

        Raises:
            SystemExit: it ended in another state, or an exit code was not one of those promised.
        """
        world = self.draw.choice((1, 2))
        if world not in self.whole:
            self.whole[world] = self._unbroken(world)
        out = self.folder / f"round-{number}"
        starts = 0
        while True:
            starts += 1
            if self._start(out, world) == DONE:
                break
            if self.draw.random() < 0.3:
                self._damage(out)
        state = Run.open(out).summary["state_hash"]
        steps = [row["step"] for row in Run.open(out).metrics()]
        if steps != list(range(1, STEPS + 1)):
            sys.exit(f"{out}: metrics.jsonl does not have each step once")
        if state != self.whole[world]:
            sys.exit(f"{out}: ended as {state[:12]}, without faults as {self.whole[world][:12]}")
        print(
            f"round {number}: {world} processes, {starts} starts, state {state[:12]} as without faults",
            flush=True,
        )

    def words(self, out: Path) -> list[str]:
        length = ["--steps", str(STEPS), "--save-every", str(SAVE_EVERY)]
        return ["pretrain", str(self.tiles), "--out", str(out), *FLAGS, *length]

    def _unbroken(self, world: int) -> str:
        out = self.folder / f"whole-{world}"
        if (code := self._wait(self._begin(out, world, ALWAYS))) != DONE:
            sys.exit(f"the training without faults ended with code {code}")
        return str(Run.open(out).summary["state_hash"])

    def _start(self, out: Path, world: int) -> int:
        """One start of the run, with a fault of its own; its exit code."""
        name = self.draw.choice(("sigkill", "save", "step", "stop", "term", "full", "slow", "second", "none"))
        self.done[name] += 1
        step = self.draw.randrange(STEPS)
        save = self.draw.randrange(SAVE_EVERY, STEPS, SAVE_EVERY)
        rank = self.draw.randrange(world)
        faults = {
            "save": f";sigkill@save={save}",
            "step": f";sigkill@step={step},rank={rank}",
            "stop": f";stop@step={step},rank={rank}",
            "full": f";enospc@save={save}",
            "slow": f";slow@save={save};stop@step={save}",
        }
        processes = self._begin(out, world, ALWAYS + faults.get(name, ""))
        if name in {"sigkill", "term", "second"}:
            time.sleep(self.draw.uniform(0.1, 1) * LONGEST_WAIT_S)
        if name == "second":
            self._wait(self._begin(out, world, ALWAYS))
        if name == "term":
            for process in processes:
                process.terminate()
        if name == "sigkill":
            processes[rank].kill()
        return self._wait(processes)

    def _begin(self, out: Path, world: int, fault: str) -> list[subprocess.Popen[bytes]]:
        """Without a launcher, so that one that stops this process group for a while stops them too."""
        command = [sys.executable, "-m", "swath.cli", *self.words(out)]
        environment = {**os.environ, "SWATH_FAULT": fault, "OMP_NUM_THREADS": "1"}
        if world > 1:
            environment |= {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
        with out.with_suffix(".log").open("ab") as said:
            return [
                subprocess.Popen(command, env=environment | {"RANK": str(rank)}, stdout=said, stderr=said)
                for rank in range(world)
            ]

    def _wait(self, processes: list[subprocess.Popen[bytes]]) -> int:
        """The exit code of the first rank; all are of those that are promised, or of a signal."""
        codes = [process.wait() for process in processes]
        if not set(codes) <= {DONE, STOPPED, LOST, -signal.SIGKILL, -signal.SIGTERM}:
            sys.exit(f"ended with codes {codes}; the log is in {self.folder}")
        return codes[0]

    def _damage(self, out: Path) -> None:
        """To the newest checkpoint, where there is another to fall back to."""
        whole = newest_first(out / "checkpoints") if out.exists() else []
        if len(whole) < 2:
            return
        path = self.draw.choice(sorted(whole[0].iterdir()))
        how = self.draw.choice(("flip", "cut", "remove"))
        self.done[how] += 1
        content = bytearray(path.read_bytes())
        if how == "remove":
            path.unlink()
        elif how == "cut":
            path.write_bytes(content[: len(content) // 2])
        else:
            content[self.draw.randrange(len(content))] ^= 1 << self.draw.randrange(8)
            path.write_bytes(content)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--minutes", type=float, default=20)
    arguments.add_argument("--seed", type=int, default=None)
    asked = arguments.parse_args()
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}", flush=True)
    until_s = time.monotonic() + 60 * asked.minutes
    folder = Path(tempfile.mkdtemp(prefix="swath-soak-"))
    soak = Soak(packed_noise(folder), folder, random.Random(seed))  # noqa: S311 -- faults, not secrets
    rounds = 0
    while rounds == 0 or time.monotonic() < until_s:
        rounds += 1
        soak.round(rounds)
    said = ", ".join(f"{name} {count}" for name, count in sorted(soak.done.items()))
    resumed = sum(len(re.findall("Resuming", path.read_text())) for path in folder.glob("*.log"))
    print(f"{rounds} rounds, all ended as without faults; starts and damages: {said}; {resumed} resumed")


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def packed_noise(folder: Path) -> Path:
    image = np.random.default_rng(0).integers(0, 256, (3, 384, 384), dtype=np.uint8)
    profile = {
        "driver": "GTiff",
        "width": 384,
        "height": 384,
        "count": 3,
        "dtype": "uint8",
        "crs": "EPSG:32633",
    }
    with rasterio.open(folder / "noise.tif", "w", **profile, transform=from_origin(0, 0, 10, 10)) as target:
        target.write(image)
    swath.index(folder / "noise.tif", out=folder / "index.parquet", layout="scenes", tile_px=32)
    swath.pack(folder / "index.parquet", out=folder / "tiles.lance")
    return folder / "tiles.lance"


if __name__ == "__main__":
    main()
