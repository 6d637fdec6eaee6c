"""Stage: is a bundle, or a run, still what was written?"""

from dataclasses import dataclass
from pathlib import Path

from swath import storage
from swath.config import VerifyConfig
from swath.errors import DataError, UsageError
from swath.location import Location
from swath.models.weights import check_finite
from swath.results import Result
from swath.runtime.checkpoint import digest, read_checkpoint
from swath.runtime.mirror import run_here
from swath.runtime.retention import newest_first
from swath.runtime.run import Run
from swath.serve.bundle import folder
from swath.serve.bundle.model import load


@dataclass(frozen=True)
class VerifyResult(Result):
    """What was looked at; `digest` stands for all bytes of a bundle, or of the newest checkpoint of a run."""

    path: Location
    kind: str
    files: int
    bytes: int
    digest: str
    checked: tuple[str, ...]


def run(config: VerifyConfig) -> VerifyResult:
    """Read every byte, and for a bundle load it too.

    Raises:
        UsageError: neither a bundle nor a run.
        DataError: files that are missing, changed or strange; a line for each.
    """
    if folder.is_bundle(config.path):
        with folder.bundle_here(config.path) as here:
            return _bundle(here, config.path)
    if not storage.is_file(config.path / "config.yaml"):
        raise UsageError(f"{config.path} is neither a bundle nor a run; give the folder of one")
    with run_here(config.path, newest=None) as here:
        return _run(here, config.path)


def _bundle(here: Path, path: Location) -> VerifyResult:
    """`here` is the folder `path`, or a copy, which has no strangers."""
    contents = folder.read_bundle(here)
    strange = folder.strangers(path, contents)
    if strange:
        raise DataError(
            f"{path} holds what was not bundled: {', '.join(strange[:5])}. swath reads none of it; remove it "
            "before you pass the bundle on."
        )
    model = load(here)
    return VerifyResult(
        path=path,
        kind="bundle",
        files=len(contents),
        bytes=sum(map(len, contents.values())),
        digest=model.digest,
        checked=("sha256 of every file", "contract", "shapes and finite values of all tensors"),
    )


def _run(here: Path, path: Location) -> VerifyResult:
    found = newest_first(Run.open(here).checkpoints)
    if not found:
        raise DataError(f"{path} has no checkpoint yet; let `swath pretrain` run to its first save")
    wrong: list[str] = []
    for checkpoint in found:
        try:
            for name, tensors in read_checkpoint(checkpoint).tensors.items():
                check_finite(tensors, where=f"{checkpoint.name}: {name}")
        except DataError as error:
            wrong.append(str(error))
    if wrong:
        head = f"{path}: {len(wrong)} of {len(found)} checkpoints are damaged:"
        raise DataError("\n".join([head, *wrong, "Training goes on from the newest whole one."]))
    files = [file for checkpoint in found for file in checkpoint.iterdir()]
    return VerifyResult(
        path=path,
        kind="run",
        files=len(files),
        bytes=sum(file.stat().st_size for file in files),
        digest=digest(found[0]),
        checked=(f"sha256 of {len(found)} checkpoints", "finite values of all tensors"),
    )
