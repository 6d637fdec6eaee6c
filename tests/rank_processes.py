"""`swath` as one or several processes that may be killed, without a start of Python and torch for each.

They are forks of a server that has imported everything and used nothing, so a process is there in a tenth of
a second. Tests of the launcher itself start real commands.
"""

import multiprocessing
import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
# The optimizer imports torch._dynamo when it is made, which takes seconds.
_CONTEXT.set_forkserver_preload(["swath.cli", "swath.pretraining.stage", "torch._dynamo"])


@dataclass
class Rank:
    """One process; `errors` is what it has said so far."""

    process: multiprocessing.Process
    said: Path

    @property
    def errors(self) -> str:
        return self.said.read_text(encoding="utf-8") if self.said.exists() else ""

    def wait(self, *, within_s: float = 150) -> int:
        """Its exit code, negative for a signal; it is killed after `within_s`, and that fails the test."""
        self.process.join(within_s)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise AssertionError(f"still there after {within_s} s; said: {self.errors}")
        return self.process.exitcode


def start(
    words: list[str], said: Path, *, world: int = 1, fault: str = "", limits: dict[str, float] | None = None
) -> list[Rank]:
    """`swath WORDS` as `world` processes; `limits` are constants of swath.runtime.watchdog to shorten."""
    environment = {"SWATH_FAULT": fault, "OMP_NUM_THREADS": "1"}
    if world > 1:
        environment |= {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _free_port()}
    said.mkdir(parents=True, exist_ok=True)
    ranks = []
    for number in range(world):
        own = {"RANK": str(number), "LOCAL_RANK": str(number)} if world > 1 else {}
        path = said / f"said{number}-{time.monotonic_ns()}"
        process = _CONTEXT.Process(target=_become, args=(words, environment | own, path, limits or {}))
        process.start()
        ranks.append(Rank(process, path))
    return ranks


def run(words: list[str], said: Path, *, world: int = 1, fault: str = "") -> list[Rank]:
    """As `start`, and wait for all of them."""
    ranks = start(words, said, world=world, fault=fault)
    for rank in ranks:
        rank.wait()
    return ranks


def wait_for(rank: Rank, path: Path, pattern: str, *, within_s: float = 150) -> None:
    """Until a file is there."""
    until_s = time.monotonic() + within_s
    while not list(path.glob(pattern)):
        assert rank.process.is_alive(), f"ended before {pattern} was there; said: {rank.errors}"
        assert time.monotonic() < until_s, f"no {pattern} after {within_s} s; said: {rank.errors}"
        time.sleep(0.02)


def _become(words: list[str], environment: dict[str, str], said: Path, limits: dict[str, float]) -> None:
    os.environ.update(environment)
    stream = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    import torch

    from swath.cli import main
    from swath.runtime import watchdog

    torch.set_num_threads(1)
    for name, value in limits.items():
        assert hasattr(watchdog, name)
        setattr(watchdog, name, value)
    sys.exit(main(words))


def _free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])
