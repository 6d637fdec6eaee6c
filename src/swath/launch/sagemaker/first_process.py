"""What every first process of a container does: run the stage, pass its words and SIGTERM on."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import IO

from swath.redaction import redacted

STOPPED = 143
_GRACE_S = 105.0


def supervised(command: list[str]) -> tuple[int, str]:
    """Exit code and last word of a command whose output is passed on, line by line, each in one write."""
    last = ""
    with subprocess.Popen(  # noqa: S603 -- our own command, settings validated
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        with _handing_on_sigterm(process) as asked_to_stop:
            for line in _lines(process.stdout):
                say(line)
                if line.startswith("swath: "):
                    last = line.removeprefix("swath: ")
            code = process.wait()
    if asked_to_stop and code:
        return STOPPED, last
    return code, last


@contextlib.contextmanager
def _handing_on_sigterm(process: subprocess.Popen[bytes]) -> Iterator[list[bool]]:
    """Pass SIGTERM to the stage; it is killed where it has not saved in time, so that what is there is
    copied.
    """
    asked: list[bool] = []

    def hand_on(*_: object) -> None:
        if asked:
            return
        asked.append(True)
        say(f"swath: SIGTERM; the stage has {_GRACE_S:.0f} s to save")
        process.send_signal(signal.SIGTERM)
        signal.setitimer(signal.ITIMER_REAL, _GRACE_S)

    before = signal.signal(signal.SIGTERM, hand_on), signal.signal(signal.SIGALRM, lambda *_: process.kill())
    try:
        yield asked
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGALRM, before[1])


def _lines(stream: IO[bytes]) -> Iterator[str]:
    for line in stream:
        yield line.decode(errors="replace").rstrip("\r\n")


def say(line: str) -> None:
    """To the log of the job, which is kept: without secrets."""
    sys.stdout.write(redacted(line) + "\n")
    sys.stdout.flush()
