"""One process a run: an exclusive lock that ends with its process, however that ends."""

import contextlib
import datetime as dt
import fcntl
import json
import logging
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from swath.errors import MachineError
from swath.files import check_parent, disk_errors

LOCK_NAME = ".lock"
log = logging.getLogger(__name__)


class RunLock:
    """Holds RUN/.lock while the `with` block runs; the folder is made where it is missing.

    The kernel's file lock decides between processes of one machine, so the lock of a dead process is free.
    The owner written in the file says who holds it, and decides where a lock elsewhere cannot be seen.

    Raises:
        MachineError: another process has the run, or the folder cannot be written.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._path = run / LOCK_NAME
        self._descriptor = -1

    def __enter__(self) -> Self:
        check_parent(self._path)
        while self._descriptor < 0:
            with disk_errors(self._path):
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                self._claim(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            if _is_still_at(self._path, descriptor):
                self._descriptor = descriptor
            else:  # the owner removed it between our open and our lock
                os.close(descriptor)
        try:
            with disk_errors(self._path):
                _write_owner(self._descriptor)
        except BaseException:
            self._free()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._free()

    def _free(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)
        self._descriptor = -1

    def _claim(self, descriptor: int) -> None:
        owner = _owner_in(descriptor)
        here = owner.get("host") == socket.gethostname()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = bool(owner) and not here
        except BlockingIOError:
            held, here = True, True
        except OSError:  # a file system without locks (Lustre without -o flock): the owner's word has to do
            held = bool(owner) and (not here or is_alive(owner["pid"]))
        if held:
            raise MachineError(self._in_use(owner, here=here))
        if owner:
            log.info("%s: taking over the lock of pid %s, which has ended", self._run, owner["pid"])

    def _in_use(self, owner: dict[str, Any], *, here: bool) -> str:
        who = "another process"
        if owner:
            who = f"pid {owner['pid']} on host {owner['host']} since {owner['since']}"
        advice = "Wait for it" if here else f"Wait for it (if that machine is gone: rm {self._path})"
        return f"{self._run} is in use by {who}. {advice} or choose another --out."


def _owner_in(descriptor: int) -> dict[str, Any]:
    """Who wrote the file, or {} for a new or unreadable one."""
    with contextlib.suppress(ValueError):
        owner = json.loads(os.pread(descriptor, 4096, 0))
        if (
            isinstance(owner, dict)
            and isinstance(owner.get("pid"), int)
            and {"host", "since"} <= owner.keys()
        ):
            return owner
    return {}


def _write_owner(descriptor: int) -> None:
    since = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(owner).encode(), 0)


def _is_still_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def is_alive(pid: int) -> bool:
    """Whether a process of this machine has that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
