"""How far along: a bar on a terminal, a plain line every ten seconds elsewhere."""

import logging
import sys
import time
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

log = logging.getLogger(__name__)

LINE_EVERY_S = 10.0
RATE_OVER_S = 60.0  # what is done lately says when the rest will be; the first steps of a training are slow


class Progress:
    """Counts what is done: `with Progress(100, unit="tiles", label="packing") as p: p.advance(64, loss=5.1)`.

    `start` is what was done before (a resumed run): it counts as done, not toward the rate. `total` is None
    where unknown.
    """

    def __init__(self, total: int | None, *, unit: str, label: str, start: int = 0) -> None:
        self.done = start
        self._total, self._unit, self._label, self._start = total, unit, label, start
        self._shown: dict[str, object] = {}
        self._bar: RichProgress | None = None
        self._began_s = self._line_s = time.monotonic()
        self._marks: deque[tuple[float, int]] = deque()  # what was done when, a mark a second

    def __enter__(self) -> Self:
        self._began_s = self._line_s = time.monotonic()
        self._marks.append((self._began_s, self.done))
        if sys.stderr.isatty() and logging.getLogger("swath").level <= logging.INFO:  # more is --quiet
            self._bar = _rich_bar()
            self._bar.add_task(self._label, total=self._total, completed=self.done, note="")
            self._bar.start()
        return self

    def advance(self, count: int = 1, **shown: object) -> None:
        """Count what was done; `shown` (numbers or words) stands behind the rate until it is given anew."""
        self.done += count
        self._shown.update(shown)
        self._mark(time.monotonic())
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self.done, note=self._note())
        elif time.monotonic() - self._line_s >= LINE_EVERY_S:
            self._line_s = time.monotonic()
            log.info("%s %s", self._label, self._note())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], note=self._note(ended=True))
            self._bar.stop()
            self._bar = None
        elif kind is None:
            log.info("%s %s", self._label, self._note(ended=True))

    def _mark(self, now_s: float) -> None:
        if now_s - self._marks[-1][0] >= 1:
            self._marks.append((now_s, self.done))
        while now_s - self._marks[0][0] > RATE_OVER_S and len(self._marks) > 2:
            self._marks.popleft()

    def _note(self, *, ended: bool = False) -> str:
        now_s = time.monotonic()
        spent_s = max(now_s - self._began_s, 1e-9)
        since_s, before = (self._began_s, self._start) if ended else self._marks[0]
        rate = (self.done - before) / max(now_s - since_s, 1e-9)
        of_total = "" if self._total is None else f"/{self._total}"
        parts = [f"{self.done}{of_total} {self._unit}", f"{_rounded(rate)} {self._unit}/s"]
        if ended:
            parts.append(f"took {duration(spent_s)}")
        elif self._total is not None and rate > 0:
            parts.append(f"{duration((self._total - self.done) / rate)} left")
        return ", ".join(parts + [f"{name} {_rounded(value)}" for name, value in self._shown.items()])


def duration(seconds: float) -> str:
    """Seconds in words: '7 s', '3 min 20 s', '2 h 5 min'."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole < 600 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _rounded(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)


def _rich_bar() -> "RichProgress":
    from rich import progress  # noqa: PLC0415 -- 0.15 s that only a terminal pays
    from rich.console import Console  # noqa: PLC0415 -- as above

    columns: tuple[Any, ...] = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=30),
        progress.TextColumn("{task.fields[note]}"),
    )
    return progress.Progress(*columns, console=Console(stderr=True))
