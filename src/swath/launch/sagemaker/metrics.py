"""Rows of metrics.jsonl -> log lines that CloudWatch reads as metrics, and the definitions that read them."""

import json
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

MARK = "swath metric:"
# What is worth a curve; SageMaker takes 40 definitions a job.
NAMES = (
    "loss", "entropy", "kl", "hit_rate", "prototypes", "feature_std", "effective_rank", "knn_map",
    "knn_accuracy", "linear_map", "linear_accuracy", "retrieval", "lr", "grad_norm", "images_per_s",
    "wait_share", "cpu_percent", "memory_percent", "process_mib", "gpu_percent", "gpu_memory_mib",
)  # fmt: skip
_NUMBER = r"([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)"
_LOOK_S = 1.0


def definitions() -> list[dict[str, str]]:
    """MetricDefinitions: each name with a regular expression that finds its number in a line of `line_of`."""
    return [{"Name": f"swath:{name}", "Regex": rf"{MARK} .*\b{name}={_NUMBER}"} for name in ("step", *NAMES)]


def line_of(row: Mapping[str, object]) -> str | None:
    """One line with all that is known at a step; None where nothing of it is a metric."""
    known = {name: row[name] for name in NAMES if isinstance(row.get(name), int | float)}
    if not known:
        return None
    return " ".join(
        [MARK, f"step={row.get('step')}", *(f"{name}={value:.6g}" for name, value in known.items())]
    )


def read_line(line: str) -> dict[str, float]:
    """The numbers of a line of `line_of`; {} for any other line."""
    _, mark, rest = line.partition(MARK)
    if not mark:
        return {}
    return {name: float(value) for name, value in re.findall(rf"(\w+)={_NUMBER}", rest)}


class Follower(threading.Thread):
    """Says each new row of a run's metrics.jsonl as a line, until `close`.

    A run that goes on after an interruption rewrites the file up to its checkpoint; steps that were said are
    not said again.
    """

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        super().__init__(daemon=True, name="swath-metrics")
        self._path, self._say = path, say
        self._closing = threading.Event()
        self._last_step = _last_step(path)

    def run(self) -> None:
        while not self._closing.wait(_LOOK_S):
            self._look()
        self._look()

    def close(self) -> None:
        self._closing.set()
        self.join()

    def _look(self) -> None:
        for row in _rows(self._path):
            if row["step"] > self._last_step:
                self._last_step = row["step"]
                line = line_of(row)
                if line:
                    self._say(line)


def _last_step(path: Path) -> int:
    rows = _rows(path)
    return int(rows[-1]["step"]) if rows else -1


def _rows(path: Path) -> list[dict[str, int]]:
    """Whole lines only: the last may still be being written."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1] if line.startswith(b'{"step"')]
