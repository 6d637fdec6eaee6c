"""metrics.jsonl: one JSON object a line, each step once, also after a resume."""

import json
import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swath.errors import DataError, MachineError
from swath.files import disk_errors, file_aside

log = logging.getLogger(__name__)


class MetricsLog:
    """Appends rows with a rising `step`; what was written stays when the process dies.

    Rows that a full disk does not take wait in memory and are written with a later one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        rows = read_metrics(path)
        self._last_step: int = rows[-1]["step"] if rows else -1
        self._waiting: list[tuple[int, str]] = []

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row; numbers that are not finite become null, since JSON has none."""
        step = row["step"]
        assert step > self._last_step, f"step {step} after step {self._last_step}: truncate_after first"
        line = json.dumps({name: _finite(value) for name, value in row.items()}, allow_nan=False) + "\n"
        self._last_step = step
        self._waiting.append((step, line))
        try:
            self.flush()
        except MachineError as error:
            if len(self._waiting) == 1:
                log.warning(f"{error} Rows wait in memory; training goes on and tries again.")

    def flush(self) -> None:
        """Write the rows that wait.

        Raises:
            MachineError: the disk is still full; the file is as it was before.
        """
        if not self._waiting:
            return
        text = "".join(line for _, line in self._waiting).encode()
        with disk_errors(self._path), self._path.open("ab", buffering=0) as stream:
            end = stream.tell()
            try:
                if stream.write(text) != len(text):
                    stream.write(b"\n")  # asks again for what did not fit, so that the disk says why
            except OSError:
                os.ftruncate(stream.fileno(), end)
                raise
        self._waiting = []

    def truncate_after(self, step: int) -> int:
        """Keep the rows up to `step`, from which the run goes on, and return how many were dropped."""
        self._waiting = [(at, line) for at, line in self._waiting if at <= step]
        rows = read_metrics(self._path)
        kept = [row for row in rows if row["step"] <= step]
        if self._path.exists():
            with file_aside(self._path) as aside:
                aside.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        steps = [*(row["step"] for row in kept), *(at for at, _ in self._waiting)]
        self._last_step = steps[-1] if steps else -1
        return len(rows) - len(kept)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows, [] where there is no file; a last line cut short by a crash is left out.

    Raises:
        DataError: another line is not a JSON object with a step.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    whole, rows = lines[:-1], []
    for number, line in enumerate(whole, start=1):
        try:
            row = json.loads(line)
            _ = row["step"] + 0
        except (ValueError, TypeError, KeyError):
            raise DataError(
                f'{path}:{number}: expected a JSON object with a "step"; remove that line'
            ) from None
        rows.append(row)
    return rows


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
