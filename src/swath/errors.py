"""Every error a user can meet, with the exit code of the command that met it.

SwathError
|-- UsageError     2    the command or a setting cannot be carried out as asked
|-- DataError      3    a file is bad, missing, or does not fit the others
|-- TrainingError  4    the training went wrong (not finite, collapsed)
|-- MachineError   5    disk, memory, a lock, credentials
|   `-- LostRankError   another process of the same training
`-- Stopped      143    a signal asked for an orderly end, and all is saved

A message is one line: what was found, what was expected, and the next thing to type.
"""

import difflib
from collections.abc import Iterable


class SwathError(Exception):
    """The one base: `except SwathError` catches whatever swath reports on purpose."""

    exit_code = 1


class UsageError(SwathError):
    exit_code = 2


class DataError(SwathError):
    exit_code = 3


class TrainingError(SwathError):
    exit_code = 4


class MachineError(SwathError):
    exit_code = 5


class LostRankError(MachineError):
    """Another process of this training has ended or hangs; what this one holds is whole."""


class Stopped(SwathError):  # noqa: N818 -- not a fault: the run was asked to stop and did
    exit_code = 143


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """' Did you mean "B04"?' for the nearest known name, or '' where none is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{near[0]}"?' if near else ""


def is_out_of_memory(error: BaseException) -> bool:
    """Python has a type for it; torch has RuntimeErrors in the words of CUDA and of its CPU allocator."""
    words = ("out of memory", "can't allocate memory", "not enough memory", "cublas_status_alloc_failed")
    return isinstance(error, MemoryError) or any(part in str(error).lower() for part in words)
