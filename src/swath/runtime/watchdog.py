"""A thread that ends this process where it would hang for ever, and says where it hung.

Two cases. A signal asked for an orderly stop, and the main thread reaches no point at which it can save. Or,
of several ranks, this one stands still while another waits for it, or another has fallen silent for which
this one waits. Both are seen while the main thread is deep in a library: signals arrive by a file descriptor,
not by Python's handlers, and ranks tell each other by torch's store where they are.
"""

import contextlib
import faulthandler
import os
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from swath.errors import LostRankError, MachineError, Stopped, SwathError
from swath.runtime import last_words
from swath.runtime.peers import Peers
from swath.runtime.pulse import Pulse

GRACE_S = 20.0  # to the safe point: torchrun kills after 30 s, SageMaker after 120 s
SAVE_S = 100.0  # from there
HANG_S = 100.0
_POLL_S = 1.0


class Watchdog:
    """Watches over the thread that enters the `with` block.

    `peers` are the other ranks, None for a process alone. Stacks go to RUN/logs/rankN.err.
    """

    def __init__(self, pulse: Pulse, *, rank: int = 0, peers: Peers | None = None, run: Path | None) -> None:
        self._pulse = pulse
        self._rank = rank
        self._peers = peers
        self._run = run
        self._watched = threading.get_ident()
        self._thread = threading.Thread(target=self._watch, name="swath-watchdog", daemon=True)
        self._signals_before: int | None = None
        self._stop: tuple[str, float] | None = None  # the first signal, and when it came
        self._saves_since: float | None = None
        self._still = _Still()
        self._launcher = os.getppid() if last_words.LAUNCHED in os.environ else None

    def __enter__(self) -> Self:
        self._woken, self._wake = socket.socketpair()
        self._wake.setblocking(False)
        if threading.current_thread() is threading.main_thread():
            self._signals_before = signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._signals_before is not None:
            signal.set_wakeup_fd(self._signals_before)
        self._wake.close()  # ends the thread
        self._thread.join()
        self._woken.close()

    def _watch(self) -> None:
        now, before = 0.0, time.monotonic()
        while True:
            ready, _, _ = select.select([self._woken], [], [], _POLL_S)
            numbers = self._woken.recv(64) if ready else None
            if numbers == b"":
                return
            moment = time.monotonic()
            # Time in which this thread itself was stopped (Ctrl-Z, a paused machine) is nobody's hang.
            now, before = now + min(moment - before, 2 * _POLL_S), moment
            if numbers and self._stop is None:
                self._stop = signal.Signals(numbers[0]).name, now
            if self._launcher is not None and os.getppid() != self._launcher:
                self._launcher = None  # it was killed, and nobody else would ask this process to stop
                os.kill(os.getpid(), signal.SIGTERM)
            error = self._overdue(now) or self._hanging(now)
            if error:
                self._end(error)

    def _overdue(self, now: float) -> SwathError | None:
        """Whether a signal has waited too long."""
        if self._stop is None:
            return None
        if self._pulse.saves and self._saves_since is None:
            self._saves_since = now
        name, came = self._stop
        since, limit = came, max(GRACE_S, 2 * self._pulse.longest_step_s)
        if self._saves_since is not None:
            since, limit = self._saves_since, SAVE_S
        if now - since < limit:
            return None
        return Stopped(
            f"{name} came {now - came:.0f} s ago and {self._who()} does not stop ({self._pulse}): ended, not "
            f"saved; {self._look()}run the same command to resume from the last checkpoint"
        )

    def _hanging(self, now: float) -> SwathError | None:
        """Whether this rank or another has stood still too long."""
        if self._peers is None:
            return None
        self._still.see(self._pulse, self._watched, now)
        still_s, waits_s = self._still.still_s(now), self._still.waits_s(now)
        self._peers.exchange({"waits_s": waits_s, "at": str(self._pulse)}, now)
        if still_s >= HANG_S and self._peers.longest_wait_s() >= HANG_S:
            return MachineError(
                f"{self._who()} hangs at {self._pulse}: no progress in {still_s:.0f} s, and the others wait; "
                f"{self._look()}run the same command to resume from the last checkpoint"
            )
        if waits_s >= HANG_S and (silent := self._peers.silent(now, HANG_S)):
            return LostRankError(
                f"{silent}: nothing heard of it for {HANG_S:.0f} s; run the same command to resume from the "
                "last checkpoint"
            )
        return None

    def _who(self) -> str:
        return f"rank {self._rank} on {socket.gethostname()}"

    def _look(self) -> str:
        return f"its stack is in {self._stack_file()}; " if self._run else ""

    def _stack_file(self) -> Path:
        assert self._run is not None
        return self._run / "logs" / f"rank{self._rank}.err"

    def _end(self, error: SwathError) -> None:
        """Say it, leave the stacks of all threads, and end the process from here: its main thread cannot."""
        with contextlib.suppress(OSError):  # a full disk must not keep it from ending
            self._leave_stacks(error)
            if not last_words.leave(error):
                _say(f"swath: {error}\n")
        os._exit(error.exit_code)

    def _leave_stacks(self, error: SwathError) -> None:
        if self._run is None:
            return
        path = self._stack_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as stream:
            stream.write(f"{error}\n\n")
            stream.flush()
            faulthandler.dump_traceback(stream, all_threads=True)


class _Still:
    """How long a thread has stood at one place, and how long it has waited for others."""

    def __init__(self) -> None:
        self._place = 0
        self._beats = -1
        self._waits_since: float | None = None
        self._still_since: float | None = None

    def see(self, pulse: Pulse, thread: int, now: float) -> None:
        place = _place_of(thread)
        moved = pulse.beats != self._beats
        if moved or not pulse.waits:
            self._waits_since = None
        if moved or pulse.waits or place != self._place:
            self._still_since = None
        self._place, self._beats = place, pulse.beats
        if pulse.waits:
            self._waits_since = now if self._waits_since is None else self._waits_since
        else:
            self._still_since = now if self._still_since is None else self._still_since

    def waits_s(self, now: float) -> float:
        return 0.0 if self._waits_since is None else now - self._waits_since

    def still_s(self, now: float) -> float:
        return 0.0 if self._still_since is None else now - self._still_since


def _place_of(thread: int) -> int:
    """A number for the Python instructions that a thread stands at, from the innermost outwards."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001 -- documented
    places = []
    while frame is not None:
        places.append((id(frame.f_code), frame.f_lasti))
        frame = frame.f_back
    return hash(tuple(places))


def _say(line: str) -> None:
    """To standard error, unless whoever reads it has stopped reading: then this would hang as well."""
    _, writable, _ = select.select([], [2], [], 1.0)
    if writable:
        os.write(2, line.encode())
