"""Steps whose loss or gradient was not finite: what was in them, so that they can be looked at again."""

import json
import logging
import math
from pathlib import Path
from typing import Any

from swath.data.loader import Batch
from swath.errors import MachineError
from swath.files import disk_errors

log = logging.getLogger(__name__)

NAME = "bad_batches.jsonl"


class BadBatches:
    """RUN/bad_batches.jsonl: one line for every step that was skipped, and how many came in a row."""

    def __init__(self, run: Path, *, seed: int, writes: bool = True) -> None:
        self._path = run / NAME
        self._run = run
        self._seed = seed
        self._writes = writes  # of several ranks the first
        self._known = {(line["step"], line["rollbacks"]) for line in read_bad_batches(run)}
        self.in_a_row = 0

    def see(self, step: int, batch: Batch, row: dict[str, float], *, rollbacks: int) -> None:
        """Count a step; note the batch of a skipped one."""
        if "skipped" not in row:
            self.in_a_row = 0
            return
        self.in_a_row += 1
        if not self._writes:
            return
        log.warning(
            f"step {step}: loss or gradient is not finite (tiles {batch.step_rows[:4].tolist()} ...); "
            f"step skipped, nothing changed. To see where: swath replay {self._run} --step {step}"
        )
        if (step, rollbacks) in self._known:  # a resumed run comes by here again
            return
        self._known.add((step, rollbacks))
        self._append(
            {
                "step": step,
                "rollbacks": rollbacks,
                "seed": self._seed,
                "loss": _finite(row["loss"]),
                "grad_norm": _finite(row["grad_norm"]),
                "sample_ids": batch.step_rows.tolist(),
                "epochs": batch.step_epochs.tolist(),
            }
        )

    def _append(self, line: dict[str, Any]) -> None:
        try:
            with disk_errors(self._path), self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line, allow_nan=False) + "\n")
        except MachineError as error:
            log.warning(f"{error} The batch of step {line['step']} is not noted; training goes on.")


def read_bad_batches(run: Path) -> list[dict[str, Any]]:
    """The lines of RUN/bad_batches.jsonl, [] where no step was ever skipped; a line cut short is left out."""
    path = run / NAME
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            log.warning(f"{path}: a line that is not JSON is left out")
    return lines


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
