"""The folder of a run: what was asked and resolved, on what machine, what was measured, and its checkpoints.

    runs/NAME/  config.yaml  command.txt  env.json  metrics.jsonl  checkpoints/step-00001234/  report.html ...

config.yaml is written first and begins with `swath_run`, the version of this layout: with it the folder is
a run, without it is not.
"""

import contextlib
import re
import statistics
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from swath.errors import DataError, UsageError
from swath.files import disk_errors, file_aside, read_json, write_json
from swath.kinds import RUN_MARK, is_run, mistaken
from swath.location import Location, location
from swath.runtime.checkpoint import Checkpoint, load_newest, state_hash
from swath.runtime.env import environment
from swath.runtime.lock import LOCK_NAME, RunLock
from swath.runtime.runlog import read_metrics
from swath.settings_file import plain_value, read_settings, settings_text

LAYOUT = 1
CONFIG, CHECKPOINTS = "config.yaml", "checkpoints"
ADDRESS = ".address"  # in the copy of a run that lies on S3: where that is
_MISSING = "(not set)"


class Run:
    """An existing run; made by `create` or `open`, and what `swath.pretrain` returns."""

    def __init__(self, path: Path, config: dict[str, object]) -> None:
        self.path = path
        self.config = config
        self.checkpoints = path / CHECKPOINTS

    @classmethod
    def create(cls, path: Path, resolved: Mapping[str, object], *, command: str) -> Self:
        """Start the folder of a new run; `resolved` are plain values that config.yaml gives back equal.

        Raises:
            UsageError: something else is there; it is left untouched.
            MachineError: not writable, or the disk is full.
        """
        if holds_run(path):
            raise UsageError(f"{path} holds a run already; choose another --out")
        config = plain_value(resolved)
        with _all_or_nothing(path):
            with disk_errors(path):
                (path / "checkpoints").mkdir(parents=True, exist_ok=True)
            with file_aside(path / "config.yaml") as aside:
                aside.write_text(settings_text({RUN_MARK: LAYOUT, **config}), encoding="utf-8")
            with file_aside(path / "command.txt") as aside:
                aside.write_text(command + "\n", encoding="utf-8")
            write_json(path / "env.json", environment())
        return cls(path, config)

    @classmethod
    def elsewhere(cls, path: Path, resolved: Mapping[str, object], *, command: str) -> Self:  # noqa: ARG003 -- as `create`
        """A run that another process writes: the same object as from `create`, and nothing is written."""
        return cls(path, plain_value(resolved))

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the folder of a run.

        Raises:
            UsageError: there is no run at `path`.
            DataError: it was written by a swath of another layout.
        """
        with disk_errors(path):
            if not is_run(path):
                raise UsageError(mistaken(path, "run"))
        config = read_settings(path / "config.yaml")
        layout = config.pop(RUN_MARK, None)
        if layout != LAYOUT:
            raise DataError(f"{path} is a run of layout {layout}; this swath reads layout {LAYOUT}")
        return cls(path, config)

    @property
    def address(self) -> Location:
        """Where the run lies, as `address_of` says."""
        return address_of(self.path)

    @property
    def asked(self) -> dict[str, object]:
        """What the user asked for when the run was started, and what identifies its tiles."""
        return self._section("asked")

    @property
    def recipe(self) -> dict[str, object]:
        """What was resolved from it: every value of the training."""
        return self._section("recipe")

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl, each step once."""
        return read_metrics(self.path / "metrics.jsonl")

    def environment(self) -> dict[str, Any]:
        """What the run was started on, {} where the start was cut short before that was written."""
        path = self.path / "env.json"
        value: dict[str, Any] = read_json(path) if path.exists() else {}
        return value

    def checkpoint(self) -> Checkpoint:
        """The newest whole checkpoint; reads only, so that it may be asked for while the run goes on.

        Raises:
            DataError: there is none, or none is whole.
        """
        checkpoint = load_newest(self.checkpoints, repair=False)
        if checkpoint is None:
            raise DataError(f"{self.path} has no checkpoint yet; let `swath pretrain` run to its first save")
        return checkpoint

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Where the run stands: steps, samples, loss, median images/s and data wait, classes of
        the labels of its tiles, hash of its state.
        """
        rows, checkpoint = self.metrics(), self.checkpoint()
        last = rows[-1] if rows else {}
        return {
            "run": str(self.address),
            "method": checkpoint.state.get("method"),
            "steps": checkpoint.step,
            "samples": checkpoint.state.get("samples"),
            "loss": last.get("loss"),
            "images_per_s": _median(rows, "images_per_s"),
            "data_wait_share": _median(rows, "wait_share"),
            "classes": len(checkpoint.state.get("vocabulary", ())),
            "state_hash": state_hash(checkpoint.tensors),
        }

    @property
    def next_command(self) -> str | None:
        """As of a `Result`: a probe where the tiles of a training have labels."""
        if "tiles" not in self.config:
            return None
        if self.summary["classes"]:
            return f"swath probe {self.address} {self.config['tiles']}"
        return f"swath report {self.address}"

    def _section(self, name: str) -> dict[str, object]:
        section = self.config.get(name)
        if not isinstance(section, dict):
            raise DataError(
                f"{self.path}/config.yaml has no section {name}; it was not written by swath pretrain"
            )
        return section

    def to_json(self) -> dict[str, Any]:
        return dict(self.summary)

    def lines(self) -> list[str]:
        """The summary for a reader."""
        s = self.summary
        rate = "" if s["images_per_s"] is None else f", {s['images_per_s']:.0f} images/s"
        wait = "" if s["data_wait_share"] is None else f" ({s['data_wait_share']:.1%} waiting for data)"
        loss = "" if s["loss"] is None else f", loss {s['loss']:.4f}"
        return [f"{s['run']}: {s['steps']} steps, {s['samples']} samples{loss}{rate}{wait}"]


def address_of(path: Path) -> Location:
    """Where the run in a folder lies: on S3, where the folder is a copy for this while."""
    stored = path / ADDRESS
    return location(stored.read_text(encoding="utf-8")) if stored.is_file() else path


def holds_run(path: Path) -> bool:
    """True for the folder of a run, False where one can be started (nothing there, or an empty folder).

    Raises:
        UsageError: a file, or a folder that holds something else.
    """
    if path.is_symlink() and not path.exists():
        raise UsageError(f"{path} is a link to nothing; choose another --out")
    if not path.exists():
        return False
    if not path.is_dir():
        raise UsageError(f"{path} is a file, not a folder; choose another --out")
    with disk_errors(path):
        names = [entry.name for entry in path.iterdir()]
        if is_run(path):
            return True
    foreign = sorted(name for name in names if not _is_left_by_start(path / name))
    if foreign:
        raise UsageError(
            f'{path} is not a run and not empty (it holds "{foreign[0]}"); nothing was touched. '
            "Choose another --out."
        )
    return False


@contextlib.contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Hold the lock of a run's folder, made where missing; gives True where a run is there to go on with.

    The folder is looked at before the lock is written, so that a foreign one stays untouched, and once
    more under the lock. One that was made for the lock goes with it where nothing else was written.

    Raises:
        UsageError: as `holds_run`.
        MachineError: another process has the run, or the folder cannot be written.
    """
    holds_run(path)
    is_new = not path.exists()
    try:
        with RunLock(path):
            yield holds_run(path)
    finally:
        if is_new:
            with contextlib.suppress(OSError):  # it is not empty: the run was started
                path.rmdir()


def check_same(
    stored: Mapping[str, object], asked: Mapping[str, object], *, run: Path, safe_keys: Collection[str] = ()
) -> dict[str, tuple[object, object]]:
    """Compare the settings a run was started with to those asked for now; nested names are joined by dots.

    Returns the changes of `safe_keys` (old, new), which may be applied and should be logged.

    Raises:
        UsageError: any other setting differs; every difference is shown.
    """
    old, new = _flat(plain_value(stored)), _flat(plain_value(asked))
    changes = {
        name: (old.get(name, _MISSING), new.get(name, _MISSING))
        for name in [*old, *(name for name in new if name not in old)]
        if old.get(name, _MISSING) != new.get(name, _MISSING)
    }
    refused = {name: change for name, change in changes.items() if name not in safe_keys}
    if refused:
        shown = ", ".join(
            f"{name}: {_short(before)} -> {_short(after)}" for name, (before, after) in refused.items()
        )
        raise UsageError(
            f"{run} was started with other settings: {shown}; repeat the old ones or choose another --out"
        )
    return changes


@contextlib.contextmanager
def _all_or_nothing(path: Path) -> Iterator[None]:
    """Where a run cannot be started whole, take away what was written of it."""
    try:
        yield
    except BaseException:
        for name in ("config.yaml", "command.txt", "env.json"):
            (path / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            (path / "checkpoints").rmdir()
        raise


def _is_left_by_start(path: Path) -> bool:
    """What a start that was killed before config.yaml was in place leaves behind."""
    if path.name == "checkpoints":
        return path.is_dir() and not any(path.iterdir())
    if path.name == "logs":  # stacks of ranks that hung before there was a run
        return path.is_dir() and all(re.fullmatch(r"rank\d+\.err", file.name) for file in path.iterdir())
    if path.name in {LOCK_NAME, ADDRESS}:
        return True
    return re.fullmatch(r"\.config\.yaml\.\d+\.tmp", path.name) is not None


def _flat(settings: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _short(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _median(rows: list[dict[str, Any]], name: str) -> float | None:
    values = [row[name] for row in rows if row.get(name) is not None]
    return statistics.median(values) if values else None
