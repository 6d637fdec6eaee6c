"""The first process of a training container: starts the stage, hands SIGTERM on, says how it ended.

SageMaker asks for an end with SIGTERM to this process alone and kills the container 120 seconds later. What
it finds in /opt/ml/output/failure it shows as the reason; checkpoints it copies to S3 all the time, and back
before a job goes on.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from swath.errors import SwathError, UsageError
from swath.launch import torchrun
from swath.launch.sagemaker.container import PORT, Container, base_folder
from swath.launch.sagemaker.first_process import STOPPED, say, supervised
from swath.launch.sagemaker.metrics import Follower
from swath.launch.sagemaker.stage_words import VERBS
from swath.redaction import redacted
from swath.runtime.lock import LOCK_NAME

_REASON_CHARS = 1024
_STARTED = "WORLD_SIZE"  # of torchrun, which AWS's clients start with this module as its program


def main() -> int:
    """Run the stage of this container; its exit code is the container's."""
    try:
        container = Container.here()
        verb, words = container.words()
        _check_processes(verb)
    except SwathError as error:
        say(f"swath: {error}")
        _write_reason(base_folder(), str(error))
        return error.exit_code
    speaks = container.number == 0 and torchrun.rank() == 0
    run = container.base / "checkpoints" / "run"
    say(f"swath: {container.host} of {len(container.hosts)}: swath {' '.join(words)}")
    follower = Follower(run / "metrics.jsonl", say)
    if speaks:
        _prepare(container, verb)
        follower.start()
    try:
        code, last = supervised(_command(container, words))
    finally:
        if speaks:
            follower.close()
    if code not in {0, STOPPED}:
        _write_reason(container.base, last or f"swath {verb} ended with code {code}")
    if speaks and run.exists():
        _hand_over(run, container.base / "model" / "run")
    return code


def _check_processes(verb: str) -> None:
    world = os.environ.get(_STARTED, "1")
    if world != "1" and verb != "pretrain":
        raise UsageError(
            f"torchrun has started {world} processes, but {verb} runs as one: ask for no distribution"
        )


def _prepare(container: Container, verb: str) -> None:
    """The lock of a run came back with its checkpoints, and whoever held it is gone."""
    (container.base / "checkpoints" / "run" / LOCK_NAME).unlink(missing_ok=True)
    if VERBS[verb].beside_run:
        given = container.base / "input" / "data" / "run"
        shutil.copytree(given, container.base / "model" / "run", dirs_exist_ok=True)


def _command(container: Container, words: list[str]) -> list[str]:
    """One process, or one a GPU, or those of several hosts by torchrun, where no client has started them."""
    if _STARTED in os.environ:
        return [sys.executable, "-m", "swath.cli", *words]
    gpus = _gpus()
    if len(container.hosts) > 1:
        return [
            sys.executable, "-m", "torch.distributed.run",
            "--nnodes", str(len(container.hosts)), "--node-rank", str(container.number),
            "--nproc-per-node", str(max(1, gpus)), "--master-addr", container.hosts[0],
            "--master-port", str(PORT), "-m", "swath.cli", *words,
        ]  # fmt: skip
    if words[0] == "pretrain" and gpus > 1 and "--nproc" not in words:
        words = [*words, "--nproc", str(gpus)]
    return [sys.executable, "-m", "swath.cli", *words]


def _hand_over(run: Path, model: Path) -> None:
    """The run with its newest checkpoint becomes the model of the job; older ones stay where they are."""
    older = sorted(path.name for path in (run / "checkpoints").glob("step-*"))[:-1]
    shutil.copytree(run, model, ignore=lambda _, names: [n for n in names if n in older or n == LOCK_NAME])


def _write_reason(base: Path, reason: str) -> None:
    """The first process that fails knows why; those that lost it come after."""
    folder = base / "output"
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError), (folder / "failure").open("x", encoding="utf-8") as file:
        file.write(redacted(reason)[:_REASON_CHARS])


def _gpus() -> int:
    """Counted by the driver: importing torch here would cost the first process seconds and memory."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    listed = subprocess.run(  # noqa: S603 -- a tool of the image
        [tool, "--list-gpus"], capture_output=True, text=True, check=False
    )
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


if __name__ == "__main__":
    sys.exit(main())
