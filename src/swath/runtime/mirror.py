"""A run in s3://: worked on in a folder of this machine, and copied there after each checkpoint.

S3 holds the truth. Files go first, each with its hash, then the list of checkpoints (lease.py); so what is
listed is whole. A connection that is lost costs the copy under way, which is made again.
"""

import contextlib
import hashlib
import logging
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from swath import storage
from swath.copies import copy_of, fetch_file, put_file
from swath.errors import DataError, MachineError, Stopped, UsageError
from swath.files import disk_errors, folder_aside
from swath.kinds import mistaken
from swath.location import Location, S3Path
from swath.runtime.lease import HEAD, Lease, read_head
from swath.runtime.retention import newest_first, step_of
from swath.runtime.run import ADDRESS, CHECKPOINTS, CONFIG

LOOK_S = 2.0
log = logging.getLogger(__name__)


def work_folder(out: Location) -> Path:
    """Where a run is worked on: there; of one on S3, a folder for temporary files, always the same."""
    if isinstance(out, Path):
        return out
    name = hashlib.sha256(str(out).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"swath-runs-{os.getuid()}" / name


def _keep_private(runs: Path) -> None:
    """Make the folder of this user's runs, where nobody else can look.

    Raises:
        MachineError: somebody else has made it.
    """
    with disk_errors(runs):
        runs.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = runs.lstat()
    if made.st_uid != os.getuid() or not stat.S_ISDIR(made.st_mode):
        raise MachineError(f"{runs} is not a folder of yours; set TMPDIR to one")
    runs.chmod(0o700)


@contextlib.contextmanager
def mirrored(out: Location) -> Iterator[None]:
    """While the block trains in the work folder, keep what is on S3 up to date; nothing to do for a folder.

    Raises:
        MachineError: another process has the run, or has taken it over; S3 cannot be reached at the start or
            at the end. What was not copied is in the work folder, and the next start here goes on from it.
        DataError: a file of the run on S3 is damaged.
    """
    if isinstance(out, Path):
        yield
        return
    with Lease(out) as lease:
        folder = work_folder(out)
        _keep_private(folder.parent)
        _bring(out, folder, lease.checkpoints)
        with _Mirror(out, folder, lease):
            yield


@contextlib.contextmanager
def run_here(run: Location, *, newest: int | None = 1) -> Iterator[Path]:
    """A run to be read: its folder, or a copy of that on S3 with the `newest` checkpoints (None: all); what a
    stage adds to the copy is put to S3.

    Raises:
        UsageError: there is no run on S3.
        DataError: a file of it is damaged.
    """
    if isinstance(run, Path):
        yield run
        return
    head, names = read_head(run), set(storage.list_files(run))
    if CONFIG not in names:
        raise UsageError(mistaken(run, "run"))
    steps = {name.split("/")[1] for name in names if name.startswith(f"{CHECKPOINTS}/step-")}
    whole = steps.intersection(head.checkpoints) if head else steps
    with copy_of(run) as folder:
        _fetch(run, folder, sorted(whole)[-(newest or 0) :])
        before = _stamps(folder)
        yield folder
        for name, stamp in _stamps(folder).items():
            if before.get(name) != stamp:
                put_file(folder / name, run / name)


@contextlib.contextmanager
def runs_here(runs: Iterable[Location]) -> Iterator[tuple[Path, ...]]:
    """As `run_here`, of several."""
    with contextlib.ExitStack() as stack:
        yield tuple(stack.enter_context(run_here(run)) for run in runs)


class _Mirror:
    """Looks at the work folder and copies what is new, in a thread of its own."""

    def __init__(self, out: S3Path, folder: Path, lease: Lease) -> None:
        self._out, self._folder, self._lease = out, folder, lease
        self._sent: dict[str, tuple[int, int]] = {}
        self._listed = set(lease.checkpoints)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="swath-mirror", daemon=True)

    def __enter__(self) -> None:
        listed = tuple(f"{CHECKPOINTS}/{name}/" for name in self._listed)
        self._sent = {name: at for name, at in _stamps(self._folder).items() if name.startswith(listed)}
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """Whatever the end, what is there is copied; that it could not be is an error of its own."""
        self._closing.set()
        self._thread.join()
        if not (self._folder / CONFIG).exists():  # no run came of it
            return
        try:
            self._copy(self._checkpoints())
        except MachineError as failed:
            said = f"{failed} What was not copied is in {self._folder}; the same command here goes on."
            if error is None or isinstance(error, Stopped):
                raise MachineError(said) from failed
            log.warning(said)

    def _watch(self) -> None:
        is_begun = False
        while not self._closing.wait(LOOK_S):
            now = self._checkpoints()
            if set(now) == self._listed and is_begun:
                continue
            try:
                if (self._folder / CONFIG).exists():
                    self._copy(now)
                    is_begun = True
            except FileNotFoundError:  # a checkpoint that was given up meanwhile
                continue
            except MachineError as error:
                if self._lease.is_lost:
                    return
                log.warning(f"{error} Training goes on; the copy is made again.")

    def _checkpoints(self) -> list[str]:
        return sorted(path.name for path in newest_first(self._folder / CHECKPOINTS))

    def _copy(self, checkpoints: list[str]) -> None:
        """Checkpoints, then what tells of them, then the list; what is no longer listed goes last."""
        self._lease.check()
        names = sorted(_stamps(self._folder), key=lambda name: not name.startswith(f"{CHECKPOINTS}/"))
        for name in names:
            path = self._folder / name
            if _is_sent_with(checkpoints, name) and self._sent.get(name) != (stamp := _stamp(path)):
                put_file(path, self._out / name)
                self._sent[name] = stamp
        self._lease.publish(checkpoints)
        for given_up in self._listed.difference(checkpoints):
            if not any((self._folder / CHECKPOINTS).glob(f"{given_up}.damaged*")):
                storage.remove(self._out / CHECKPOINTS / given_up)
        self._listed = set(checkpoints)


def _bring(out: S3Path, folder: Path, checkpoints: Iterable[str]) -> None:
    """Make the work folder what is on S3, unless it is the same run and further."""
    there = storage.is_file(out / CONFIG)
    if there and (folder / CONFIG).exists():
        is_same = (folder / CONFIG).read_bytes() == storage.read_bytes(out / CONFIG)
        newest = max((step_of(path) for path in newest_first(folder / CHECKPOINTS)), default=-1)
        if is_same and newest >= max((step_of(Path(name)) for name in checkpoints), default=-1):
            log.info("%s: %s is as new, or newer", out, folder)
            return
    shutil.rmtree(folder, ignore_errors=True)
    if there:
        _fetch(out, folder, checkpoints)
    else:
        folder.mkdir(parents=True)
        (folder / ADDRESS).write_text(str(out), encoding="utf-8")


def _fetch(out: S3Path, folder: Path, checkpoints: Iterable[str]) -> None:
    """A damaged file of a checkpoint is left out: whoever opens it takes the one before."""
    wanted = list(checkpoints)
    with folder_aside(folder) as aside:
        for name in storage.list_files(out):
            if not _is_sent_with(wanted, name):
                continue
            try:
                fetch_file(out / name, aside / name)
            except DataError as error:
                if not name.startswith(f"{CHECKPOINTS}/"):
                    raise
                log.warning(str(error))
        (aside / ADDRESS).write_text(str(out), encoding="utf-8")


def _is_sent_with(checkpoints: Iterable[str], name: str) -> bool:
    """Whether a file goes with these checkpoints: one of theirs, or of none."""
    first, *rest = name.split("/")
    if first == CHECKPOINTS:
        return bool(rest) and rest[0] in checkpoints
    return name != HEAD and not any(part.startswith(".") for part in (first, *rest))


def _stamps(folder: Path) -> dict[str, tuple[int, int]]:
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {
        name.as_posix(): _stamp(folder / name)
        for name in names
        if not any(part.startswith(".") or ".damaged" in part for part in name.parts)
    }


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
