"""Faults on purpose, for tests of what a run survives; nothing happens unless SWATH_FAULT is set.

SWATH_FAULT="sigkill@step=12;nan@step>=6;enospc@save=4": at a named point and number, do this.
The points are `step` (the number of the step), `save` (the step whose checkpoint is half written) and `part`
(the number of tiles that go through the networks at once). "hang@step=8,rank=1" is for one rank alone.
"""

import errno
import functools
import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from swath.errors import UsageError

SLOW_S = 3.0
HANG_S = 3600.0
POINTS = ("step", "save", "part")


@dataclass(frozen=True)
class Fault:
    """One part of SWATH_FAULT: what happens, at which point, at a number or from it on, on which rank."""

    name: str
    point: str
    number: int
    lasting: bool
    rank: str | None

    def is_at(self, point: str, number: int) -> bool:
        here = self.rank in {None, os.environ.get("RANK", "0")}
        return (
            here
            and self.point == point
            and (number == self.number or (self.lasting and number > self.number))
        )


def fire(point: str, number: int) -> frozenset[str]:
    """Do what SWATH_FAULT asks for here; the names are returned for what only the caller can do (`nan`)."""
    names = [f.name for f in _parse(os.environ.get("SWATH_FAULT", "")) if f.is_at(point, number)]
    for name in names:
        _ACTIONS[name]()
    return frozenset(names)


@functools.cache
def _parse(text: str) -> tuple[Fault, ...]:
    faults = []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        match = re.fullmatch(r"(\w+)@(\w+)(>?)=(\d+)(?:,rank=(\d+))?", part)
        if not match or match[1] not in _ACTIONS or match[2] not in POINTS:
            names, points = "|".join(_ACTIONS), "|".join(POINTS)
            raise UsageError(f'SWATH_FAULT "{part}" is unknown; expected {names}@{points}=N or >=N (,rank=R)')
        faults.append(Fault(match[1], match[2], int(match[4]), match[3] == ">", match[5]))
    return tuple(faults)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def _exit() -> None:
    os._exit(1)


def _disk_full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _out_of_memory() -> None:
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: a fault on purpose")


def _hang() -> None:
    time.sleep(HANG_S)


def _slow() -> None:
    time.sleep(SLOW_S)


def _by_the_caller() -> None:
    """The caller looks for this name in what `fire` returns."""


_ACTIONS: dict[str, Callable[[], None]] = {
    "sigkill": _kill,
    "exit": _exit,
    "stop": _stop,
    "enospc": _disk_full,
    "slow": _slow,
    "hang": _hang,
    "oom": _out_of_memory,
    "nan": _by_the_caller,
}
