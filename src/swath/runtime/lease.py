"""One process a run in s3://, where nothing can be locked: an object that its owner keeps changing.

    RUN/head.json   {"swath_run_on_s3": 1, "owner": {...}, "beat": 7, "checkpoints": ["step-00000020"]}

Only who knows the newest state can change it (a conditional put), and the list of whole checkpoints stands in
the same object: who was taken for dead and was not can no longer say that anything of it is there.
"""

import datetime as dt
import json
import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from types import TracebackType
from typing import Any, Self

from swath.copies import Version, read_version, swap
from swath.errors import DataError, MachineError
from swath.location import S3Path

HEAD = "head.json"
MARK, LAYOUT = "swath_run_on_s3", 1
BEAT_S = 10.0
SILENT_S = 45.0  # without a beat, its owner is gone; it may miss four
LOOK_S = 1.0
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Head:
    """What stands in head.json."""

    owner: dict[str, Any] | None
    beat: int
    checkpoints: tuple[str, ...]

    def to_bytes(self) -> bytes:
        return json.dumps({MARK: LAYOUT, **asdict(self)}).encode()


def read_head(run: S3Path) -> Head | None:
    """The head of a run, None where no process has written there."""
    found = read_version(run / HEAD)
    return None if found is None else _parsed(run, found)


class Lease:
    """The right to write to `run`, held while the `with` block runs.

    A process that lost it is stopped as by SIGTERM; what it publishes is refused.

    Raises:
        MachineError: another process has the run, or S3 cannot be reached.
    """

    def __init__(self, run: S3Path) -> None:
        self._run = run
        self._path = run / HEAD
        self._owner = {
            "token": uuid.uuid4().hex,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        }
        self._closing = threading.Event()
        self._changing = threading.Lock()
        self._thread = threading.Thread(target=self._beat, name="swath-lease", daemon=True)
        self.is_lost = False

    def __enter__(self) -> Self:
        before = read_version(self._path)
        if before is not None and (owner := _parsed(self._run, before).owner):
            before = self._silent(before, owner)
        head = Head(None, 0, ()) if before is None else _parsed(self._run, before)
        self._head = replace(head, owner=self._owner)
        taken = swap(self._path, self._head.to_bytes(), after=before)
        if taken is None:
            raise self._in_use()
        self._version = taken
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join()
        try:
            if not self.is_lost:
                self._change(owner=None)
        except MachineError as failed:
            log.warning(f"{failed} The next command waits {SILENT_S:.0f} s to see that nobody writes there.")

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """Those that are whole on S3, by name."""
        return self._head.checkpoints

    def check(self) -> None:
        """Raise MachineError where another process has taken over, or S3 cannot be reached."""
        self._change()

    def publish(self, checkpoints: Sequence[str]) -> None:
        """Say that these are whole.

        Raises:
            MachineError: another process has taken over; or S3 cannot be reached.
        """
        self._change(checkpoints=tuple(checkpoints))

    def _change(self, **values: Any) -> None:
        with self._changing:
            head = replace(self._head, beat=self._head.beat + 1, **values)
            changed = None if self.is_lost else swap(self._path, head.to_bytes(), after=self._version)
            if changed is None:
                self.is_lost = True
                raise self._in_use()
            self._head, self._version = head, changed

    def _beat(self) -> None:
        while not self._closing.wait(BEAT_S):
            try:
                self._change()
            except MachineError as error:
                if self.is_lost:
                    log.warning(str(error))
                    os.kill(os.getpid(), signal.SIGTERM)
                    return
                log.info("%s: no beat (%s)", self._run, error)

    def _silent(self, before: Version, owner: dict[str, Any]) -> Version | None:
        """The state of a run whose owner has not said a word for a while."""
        log.info(
            f"{self._run}: pid {owner['pid']} on {owner['host']} writes there, or did not end well; looking "
            f"for {SILENT_S:.0f} s whether it is still there"
        )
        until_s = time.monotonic() + SILENT_S
        while time.monotonic() < until_s:
            time.sleep(LOOK_S)
            now = read_version(self._path)
            if now is None or _parsed(self._run, now).owner is None:
                return now
            if now.tag != before.tag:
                raise self._in_use()
        log.info("taking over from pid %s on %s, which has ended", owner["pid"], owner["host"])
        return before

    def _in_use(self) -> MachineError:
        head = read_head(self._run)
        owner = (head.owner if head else None) or {"pid": "?", "host": "?", "since": "?"}
        return MachineError(
            f"{self._run} is in use by pid {owner['pid']} on host {owner['host']} since {owner['since']}. "
            "Wait for it or choose another --out."
        )


def _parsed(run: S3Path, version: Version) -> Head:
    try:
        found = json.loads(version.content)
        if found[MARK] == LAYOUT:
            return Head(found["owner"], int(found["beat"]), tuple(map(str, found["checkpoints"])))
    except (ValueError, KeyError, TypeError):
        pass
    raise DataError(f"{run / HEAD} is not what this swath writes there; choose another --out")
