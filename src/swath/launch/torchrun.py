"""Here, as several processes: torchrun's agent starts them, and what they end with is said in one line."""

import json
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from swath.errors import DataError, MachineError, Stopped, SwathError, TrainingError, UsageError

LAUNCHED = "SWATH_LAUNCHED"  # tells a process that its launcher speaks for it
_ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
_KINDS = {kind.exit_code: kind for kind in (UsageError, DataError, TrainingError, MachineError, Stopped)}


def rank() -> int:
    """The number that torchrun gave this process, 0 without it."""
    return int(os.environ.get("RANK", "0"))


def is_needed(nproc: int | None) -> bool:
    """Whether processes are still to be started: not within one that torchrun started."""
    return nproc is not None and nproc > 1 and "WORLD_SIZE" not in os.environ


def run(nproc: int, words: Sequence[str]) -> None:
    """Run `swath WORDS` as `nproc` processes and wait for them.

    Raises:
        UsageError: more processes than GPUs (or processor cores, without GPUs).
        SwathError: what the first process that failed said, or how it ended.
    """
    import torch  # noqa: PLC0415 -- seconds that only a launch pays
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException  # noqa: PLC0415
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError  # noqa: PLC0415
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch  # noqa: PLC0415

    gpus, cores = torch.cuda.device_count(), os.cpu_count() or 1
    _check(nproc, gpus=gpus, cores=cores)
    logging.getLogger("torch.distributed.elastic.agent.server.api").setLevel(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // nproc)))
    os.environ[LAUNCHED] = "1"
    with tempfile.TemporaryDirectory(prefix="swath-ranks-") as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=nproc,
            run_id="swath",
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
            signals_to_handle="SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1",
        )
        try:
            elastic_launch(config, sys.executable)("-m", "swath.cli", *words)
        except ChildFailedError as error:
            codes = {number: failure.exitcode for number, failure in error.failures.items()}
            raise _cause(codes, _said(Path(folder))) from error
        except SignalException as error:
            stopped = _said(Path(folder)).get(0)
            name = signal.Signals(error.sigval).name
            raise stopped or Stopped(f"Stopped by {name}; run the same command to resume.") from error
        finally:
            del os.environ[LAUNCHED]


def note(message: str, code: int) -> bool:
    """Leave an error where torchrun's agent looks for it; True where the launcher will say it."""
    path = os.environ.get(_ERROR_FILE)
    if path:
        about = {"message": message, "errorCode": code, "extraInfo": {"py_callstack": "", "timestamp": "0"}}
        Path(path).write_text(json.dumps({"message": about}), encoding="utf-8")
    return bool(path) and LAUNCHED in os.environ


def _check(nproc: int, *, gpus: int, cores: int) -> None:
    most, what = (gpus, "GPUs") if gpus else (cores, "processor cores")
    if nproc > most:
        raise UsageError(f"--nproc {nproc}: this machine has {most} {what}; use --nproc {most} or less")


def _said(folder: Path) -> dict[int, SwathError]:
    """The errors that processes noted, by rank."""
    said: dict[int, SwathError] = {}
    for path in folder.rglob("error.json"):
        about = json.loads(path.read_text(encoding="utf-8"))["message"]
        said[int(path.parent.name)] = _KINDS.get(about["errorCode"], MachineError)(about["message"])
    return said


def _cause(codes: dict[int, int], said: dict[int, SwathError]) -> SwathError:
    """A process that a signal ended explains those that lost it; else the first that said something."""
    for number, code in sorted(codes.items()):
        if code < 0:
            name = signal.Signals(-code).name
            return MachineError(
                f"rank {number} on {socket.gethostname()} was ended by {name}; run the same command to "
                "resume from the last checkpoint"
            )
    number = min(codes)
    return said.get(number) or MachineError(f"rank {number} ended with code {codes[number]} and no word")
