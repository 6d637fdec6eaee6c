"""Which checkpoints of a run stay: the newest two, the last good one, and the best.

Good: the step before it was taken (its loss and gradient were finite) and no collapse was in sight. Best: the
highest `score`, the check on labelled tiles, where there is one. state.json of each says `good` and `score`.
"""

import logging
import re
import shutil
from pathlib import Path
from typing import Any

from swath import files

log = logging.getLogger(__name__)

STATE = "state.json"


def newest_first(folder: Path) -> list[Path]:
    """The folders that are named as checkpoints, whole or not."""
    found = [path for path in folder.glob("step-*") if re.fullmatch(r"step-\d{8,}", path.name)]
    return sorted(found, key=step_of, reverse=True)


def step_of(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def is_good(path: Path) -> bool:
    """What state.json says; a checkpoint that does not say is good, one that cannot be read is not."""
    state = _state(path)
    return state is not None and bool(state.get("good", True))


def purge(folder: Path, *, keep: int, new: Path) -> None:
    """Remove all but `new`, the newest others up to `keep` in all, the last good one and the best.

    What cannot be removed is logged, and training goes on.
    """
    others = [path for path in newest_first(folder) if path != new]
    stay = {new, *others[: keep - 1], *_last_good(folder), *_best(folder)}
    _remove([path for path in others if path not in stay])


def discard_after(folder: Path, step: int) -> None:
    """Remove the checkpoints after `step`: training goes on from there, on another way."""
    _remove([path for path in newest_first(folder) if step_of(path) > step])


def _last_good(folder: Path) -> list[Path]:
    return next(([path] for path in newest_first(folder) if is_good(path)), [])


def _best(folder: Path) -> list[Path]:
    """The newest of the highest score; none where none was scored."""
    scores = {path: (_state(path) or {}).get("score") for path in newest_first(folder)}
    scored = {path: float(score) for path, score in scores.items() if score is not None}
    return [max(scored, key=scored.__getitem__)] if scored else []


def _state(path: Path) -> dict[str, Any] | None:
    try:
        state = files.read_json(path / STATE)
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def _remove(paths: list[Path]) -> None:
    for path in paths:
        try:
            shutil.rmtree(path)
        except OSError as error:
            log.warning("%s could not be removed (%s); training goes on", path, error)
