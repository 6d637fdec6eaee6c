"""Faults on purpose, for tests of what a run survives; nothing happens unless SWATH_FAULT is set.

SWATH_FAULT="sigkill@step=12;nan@step>=6;enospc@save=4": at a named point and number, do this.
The points are `step` (the number of the step) and `save` (the step whose checkpoint is half written).
"""

import errno
import functools
import operator
import os
import re
import signal
import time
from collections.abc import Callable

from swath.errors import UsageError

SLOW_S = 3.0
POINTS = ("step", "save")


def fire(point: str, number: int) -> frozenset[str]:
    """Do what SWATH_FAULT asks for here; the names are returned for what only the caller can do (`nan`)."""
    text = os.environ.get("SWATH_FAULT", "")
    names = [name for name, at, matches, value in _parse(text) if at == point and matches(number, value)]
    for name in names:
        _ACTIONS[name]()
    return frozenset(names)


@functools.cache
def _parse(text: str) -> tuple[tuple[str, str, Callable[[int, int], bool], int], ...]:
    faults = []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        match = re.fullmatch(r"(\w+)@(\w+)(>?=)(\d+)", part)
        if not match or match[1] not in _ACTIONS or match[2] not in POINTS:
            names, points = "|".join(_ACTIONS), "|".join(POINTS)
            raise UsageError(f'SWATH_FAULT "{part}" is unknown; expected {names}@{points}=N or >=N')
        matches = operator.eq if match[3] == "=" else operator.ge
        faults.append((match[1], match[2], matches, int(match[4])))
    return tuple(faults)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def _exit() -> None:
    os._exit(1)


def _disk_full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


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
    "nan": _by_the_caller,
}
