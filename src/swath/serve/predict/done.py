"""Is a scene done already? Its folder says what its prediction was made of."""

import json
import logging
import re
import shutil
from pathlib import Path
from typing import Any

from swath.errors import UsageError
from swath.runtime.lock import is_alive

NAME = "prediction.json"
MARK, FORMAT = "swath_prediction", 1
log = logging.getLogger(__name__)


def is_done(folder: Path, asked: dict[str, Any]) -> bool:
    """Whether `folder` holds just this prediction; what a killed process left beside it is removed.

    Raises:
        UsageError: it holds something else, or a prediction of another bundle, other files or other settings.
    """
    _remove_leftovers(folder)
    if not folder.exists():
        return False
    try:
        found = json.loads((folder / NAME).read_bytes())
        is_ours = found[MARK] == FORMAT
        before: dict[str, Any] = found["asked"]
    except (OSError, ValueError, KeyError, TypeError):
        is_ours, before = False, {}
    if not is_ours:
        raise UsageError(f"{folder} exists and is no prediction; it was not touched. Choose another --out.")
    differing = [name for name in asked if before.get(name) != asked[name]]
    if differing:
        what = " and ".join(differing)
        raise UsageError(
            f"{folder} was predicted with another {what}; it was not touched. "
            "Choose another --out, or remove it."
        )
    return True


def _remove_leftovers(folder: Path) -> None:
    for path in folder.parent.glob(f".{folder.name}.*.tmp"):
        pid = re.fullmatch(r"\.(\d+)\.tmp", path.name.removeprefix(f".{folder.name}"))
        if pid and not is_alive(int(pid[1])):
            log.info("removing %s, left by a prediction that was killed", path)
            shutil.rmtree(path, ignore_errors=True)
