"""What a process of several says at its end, where torchrun's agent and our launcher look for it."""

import json
import os
from pathlib import Path

from swath.errors import (
    DataError,
    LostRankError,
    MachineError,
    Stopped,
    SwathError,
    TrainingError,
    UsageError,
)
from swath.redaction import redacted

LAUNCHED = "SWATH_LAUNCHED"  # tells a process that its launcher speaks for it
_FILE = "TORCHELASTIC_ERROR_FILE"
_KINDS = {
    kind.__name__: kind
    for kind in (SwathError, UsageError, DataError, TrainingError, MachineError, LostRankError, Stopped)
}


def leave(error: SwathError) -> bool:
    """Write an error where torchrun's agent told this process to; True where the launcher will say it."""
    path = os.environ.get(_FILE)
    if path:
        extra = {"py_callstack": "", "timestamp": "0", "kind": type(error).__name__}
        about = {"message": redacted(str(error)), "errorCode": error.exit_code, "extraInfo": extra}
        Path(path).write_text(json.dumps({"message": about}), encoding="utf-8")
    return bool(path) and LAUNCHED in os.environ


def words_in(folder: Path) -> dict[int, SwathError]:
    """The errors that the processes of one launch left below the agent's folder, by rank."""
    said: dict[int, SwathError] = {}
    for path in folder.rglob("error.json"):
        about = json.loads(path.read_text(encoding="utf-8"))["message"]
        kind = _KINDS.get(about["extraInfo"].get("kind", ""), SwathError)
        said[int(path.parent.name)] = kind(about["message"])
    return said
