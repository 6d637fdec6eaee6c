"""Where a process is in its training: written by its main thread, read by its watchdog."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Pulse:
    """The step, what is done in it, and whether it waits for other ranks; `beats` counts changes."""

    step: int | None = None
    doing: str = "starting"
    waits: bool = False
    saves: bool = False
    beats: int = 0
    longest_step_s: float = 0.0
    _began: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        return self.doing if self.step is None else f"step {self.step}, {self.doing}"

    def begin(self, step: int) -> None:
        """A step begins; the longest of those before says how long one may well take."""
        now = time.monotonic()
        if self.step is not None:
            self.longest_step_s = max(self.longest_step_s, now - self._began)
        self.step, self._began = step, now

    def at(self, doing: str) -> None:
        self.doing = doing
        self.beats += 1

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Within it this process may stand still because others do."""
        before, self.waits = self.waits, True
        self.beats += 1
        try:
            yield
        finally:
            self.waits = before

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Within it a checkpoint is awaited: the safe point that a signal asks for."""
        self.at("saving")
        self.saves = True
        try:
            yield
        finally:
            self.saves = False
