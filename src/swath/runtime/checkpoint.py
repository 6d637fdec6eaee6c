"""Checkpoints: folders written aside, hashed, fsynced and renamed, with MANIFEST.json last; never pickle.

    step-00001234/  student.safetensors  teacher.safetensors  ...  state.json  MANIFEST.json

No tensor format notices a flipped byte by itself, so the manifest holds the size and sha256 of every file.
A folder without a whole manifest is not a checkpoint.
"""

import hashlib
import json
import logging
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from swath import files
from swath.errors import DataError, MachineError, TrainingError
from swath.runtime import faults
from swath.runtime.retention import STATE, is_good, newest_first, purge, step_of
from swath.runtime.tensor_file import write_hashed, write_tensors

log = logging.getLogger(__name__)

FORMAT = 1
MANIFEST = "MANIFEST.json"

TensorFiles = Mapping[str, Mapping[str, torch.Tensor]]


@dataclass(frozen=True)
class Checkpoint:
    """What `save_checkpoint` was given: `tensors` by file and name (on the CPU), `state` of JSON values."""

    step: int
    tensors: dict[str, dict[str, torch.Tensor]]
    state: dict[str, Any]
    path: Path


def save_checkpoint(
    folder: Path, *, step: int, tensors: TensorFiles, state: Mapping[str, Any], keep: int = 2
) -> Path:
    """Write folder/step-N and then remove all but the newest `keep`, the last good one and the best.

    A whole checkpoint of this step is left as it is: a step has one state.

    Raises:
        MachineError: the disk is full or not writable; earlier checkpoints are untouched, training can go on.
        TrainingError: a number is not finite; nothing is written.
    """
    assert keep >= 2, "with one checkpoint kept, a fault while saving could lose all"
    path = folder / f"step-{step:08d}"
    _check_finite(tensors, step)
    if path.exists():
        damage = _damage(path)
        if not damage:
            return path
        log.warning("%s; writing it again", damage)
        _set_aside(path)
    try:
        with files.folder_aside(path) as aside:
            _write(aside, step=step, tensors=tensors, state=state)
    except MachineError as error:
        raise MachineError(_failure(folder, step, tensors, error)) from error
    if not _damage(path, sizes_only=True):
        purge(folder, keep=keep, new=path)
    return path


def load_newest(folder: Path, *, repair: bool = True, good: bool = False) -> Checkpoint | None:
    """The newest whole checkpoint (with `good`, the newest good one), or None where there is none at all.

    With `repair`, for the process that holds the run's lock, newer damaged ones are renamed *.damaged and
    what an interrupted save left behind is removed; a mere reader passes False and changes nothing.

    Raises:
        DataError: there are checkpoints and all are damaged; each is listed with its damage.
    """
    if repair:
        _remove_strays(folder)
    damaged: dict[Path, str] = {}
    for path in newest_first(folder):
        if good and not is_good(path):
            continue
        try:
            checkpoint = read_checkpoint(path)
        except DataError as error:
            damaged[path] = str(error)
            continue
        _report(damaged, checkpoint, repair=repair)
        return checkpoint
    if damaged:
        tried = "; ".join(damaged.values())
        raise DataError(f"{folder}: no checkpoint is whole: {tried}. Restore one or choose another --out.")
    return None


def read_checkpoint(path: Path) -> Checkpoint:
    """Read one checkpoint folder, checking every byte against its manifest.

    Raises:
        DataError: 'step-00000020: student.safetensors sha256 mismatch', or whatever else is wrong with it.
    """
    entries = _manifest(path)
    contents = {name: _checked(path, name, entry) for name, entry in entries.items()}
    state = json.loads(contents.pop(STATE))
    tensors = {Path(name).stem: safetensors.torch.load(content) for name, content in contents.items()}
    return Checkpoint(step=step_of(path), tensors=tensors, state=state, path=path)


def state_hash(tensors: TensorFiles) -> str:
    """Sha256 over the names, types, shapes and bytes of all tensors, in the order of their names."""
    sha256 = hashlib.sha256()
    for stem in sorted(tensors):
        for name, tensor in sorted(tensors[stem].items()):
            sha256.update(json.dumps([stem, name, str(tensor.dtype), list(tensor.shape)]).encode())
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            sha256.update(flat.view(torch.uint8).numpy().data)
    return sha256.hexdigest()


def digest(path: Path) -> str:
    """The sha256 of a checkpoint's manifest, which stands for all its bytes."""
    return files.sha256_of(path / MANIFEST)


def _write(folder: Path, *, step: int, tensors: TensorFiles, state: Mapping[str, Any]) -> None:
    entries = {}
    for stem, named in tensors.items():
        here = {name: tensor.detach().cpu() for name, tensor in named.items()}
        entries[f"{stem}.safetensors"] = write_tensors(folder / f"{stem}.safetensors", here)
    faults.fire("save", step)
    text = json.dumps(dict(state), indent=1, allow_nan=False) + "\n"
    entries[STATE] = write_hashed(folder / STATE, text.encode())
    files.write_json(folder / MANIFEST, {"format": FORMAT, "step": step, "files": entries})


def _check_finite(tensors: TensorFiles, step: int) -> None:
    for stem, named in tensors.items():
        for name, tensor in named.items():
            # A sum is one pass without a mask of the same shape; only a huge finite one needs a second look.
            if not math.isfinite(tensor.sum()) and not tensor.isfinite().all():
                raise TrainingError(
                    f"Checkpoint at step {step} was not written: {stem} {name} holds NaN or infinity. "
                    "Try --precision float32, or a lower --lr, in a new --out."
                )


def _manifest(path: Path) -> dict[str, dict[str, Any]]:
    try:
        manifest = files.read_json(path / MANIFEST)
        entries: dict[str, dict[str, Any]] = manifest["files"]
        named_plainly = all(name == Path(name).name for name in entries)
        typed = all(
            isinstance(entry["size"], int) and isinstance(entry["sha256"], str) for entry in entries.values()
        )
    except FileNotFoundError:
        raise DataError(f"{path.name}: {MANIFEST} is missing") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"{path.name}: {MANIFEST} is not readable") from None
    if not (named_plainly and typed and STATE in entries):
        raise DataError(f"{path.name}: {MANIFEST} is not readable")
    if manifest.get("format") != FORMAT or manifest.get("step") != step_of(path):
        raise DataError(f"{path.name}: {MANIFEST} is of another format or step")
    return entries


def _checked(path: Path, name: str, entry: Mapping[str, Any]) -> bytes:
    try:
        content = (path / name).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path.name}: {name} is missing") from None
    except OSError as error:
        raise DataError(f"{path.name}: {name} cannot be read ({error.strerror})") from None
    if len(content) != entry["size"]:
        raise DataError(f"{path.name}: {name} has {len(content):,} of {entry['size']:,} bytes")
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise DataError(f"{path.name}: {name} sha256 mismatch")
    return content


def _damage(path: Path, *, sizes_only: bool = False) -> str:
    """What is wrong with a checkpoint, '' where nothing is."""
    try:
        for name, entry in _manifest(path).items():
            if not sizes_only:
                _checked(path, name, entry)
            elif (path / name).stat().st_size != entry["size"]:
                return f"{path.name}: {name} has another size than {MANIFEST} says"
    except DataError as error:
        return str(error)
    except OSError as error:
        return f"{path.name}: {error}"
    return ""


def _report(damaged: Mapping[Path, str], used: Checkpoint, *, repair: bool) -> None:
    for path, damage in damaged.items():
        lost = step_of(path) - used.step
        log.warning("%s; using %s (%d steps lost)", damage, used.path.name, lost)
        if repair:
            _set_aside(path)


def _set_aside(path: Path) -> None:
    """Rename a damaged checkpoint, which somebody may want to look at; never delete it."""
    target, number = path.with_name(f"{path.name}.damaged"), 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.damaged-{number}")
    with files.disk_errors(path):
        path.rename(target)
    log.warning("%s: renamed to %s", path.name, target.name)


def _remove_strays(folder: Path) -> None:
    for stray in folder.glob(".step-*.tmp"):
        log.info("removing %s, left by an interrupted save", stray.name)
        shutil.rmtree(stray, ignore_errors=True)


def _failure(folder: Path, step: int, tensors: TensorFiles, error: MachineError) -> str:
    before = newest_first(folder)
    kept = (
        f"previous checkpoint step {step_of(before[0])} kept." if before else "no earlier checkpoint exists."
    )
    if not str(error).startswith("no space left"):
        return f"Checkpoint at step {step} failed: {error} {kept}"
    needed = sum(tensor.nbytes for named in tensors.values() for tensor in named.values()) / 1e6
    free = shutil.disk_usage(folder if folder.exists() else folder.parent).free / 1e6
    room = f"needs {needed:.1f} MB, {free:.1f} MB free"
    if free > needed:
        room = f"needs {needed:.1f} MB, more than a quota or file size limit allows"
    return f"Checkpoint at step {step} failed: no space left on {folder} ({room}); {kept}"
