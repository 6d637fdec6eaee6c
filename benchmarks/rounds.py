"""Two ways of doing the same, in turn: the ratio is taken within a round, so a busy machine slows both."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

Work = Callable[[], int]  # does something a number of times, and says how many


@dataclass(frozen=True)
class Race:
    """Things a second of theirs and ours, a round each."""

    theirs: tuple[float, ...]
    ours: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        return [ours / theirs for theirs, ours in zip(self.theirs, self.ours, strict=True)]

    def show(self, what: str, unit: str, *, bar: float) -> None:
        """One line: median ratio, its lowest and highest, the bar, and both figures."""
        ratio = statistics.median(self.ratios)
        print(
            f"{what:44} {ratio:6.2f}x ({min(self.ratios):.2f} to {max(self.ratios):.2f}), bar {bar:g}x  "
            f"theirs {statistics.median(self.theirs):,.2f} {unit}, ours {statistics.median(self.ours):,.2f}"
            + ("" if ratio >= bar else "  MISSED"),
            flush=True,
        )


def race(theirs: Work, ours: Work, *, rounds: int) -> Race:
    """After one round to warm up, which compiles and fills caches."""
    rates = [(rate(theirs), rate(ours)) for _ in range(rounds + 1)][1:]
    return Race(tuple(their for their, _ in rates), tuple(our for _, our in rates))


def rate(work: Work) -> float:
    started = time.perf_counter()
    done = work()
    return done / (time.perf_counter() - started)
