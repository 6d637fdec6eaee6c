"""Stage: is a bundle, or a run, still what was written?"""

from dataclasses import dataclass
from pathlib import Path

from swath.config import VerifyConfig
from swath.errors import DataError, UsageError
from swath.models.weights import check_finite
from swath.results import Result
from swath.runtime.checkpoint import digest, read_checkpoint
from swath.runtime.retention import newest_first
from swath.runtime.run import Run
from swath.serve.bundle import folder
from swath.serve.bundle.model import load


@dataclass(frozen=True)
class VerifyResult(Result):
    """What was looked at; `digest` stands for all bytes of a bundle, or of the newest checkpoint of a run."""

    path: Path
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
        return _bundle(config.path)
    if not (config.path / "config.yaml").is_file():
        raise UsageError(f"{config.path} is neither a bundle nor a run; give the folder of one")
    return _run(config.path)


def _bundle(path: Path) -> VerifyResult:
    contents = folder.read_bundle(path)
    strange = folder.strangers(path)
    if strange:
        raise DataError(
            f"{path} holds what was not bundled: {', '.join(strange[:5])}. swath reads none of it; remove it "
            "before you pass the bundle on."
        )
    model = load(path)
    return VerifyResult(
        path=path,
        kind="bundle",
        files=len(contents),
        bytes=sum(map(len, contents.values())),
        digest=model.digest,
        checked=("sha256 of every file", "contract", "shapes and finite values of all tensors"),
    )


def _run(path: Path) -> VerifyResult:
    found = newest_first(Run.open(path).checkpoints)
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
