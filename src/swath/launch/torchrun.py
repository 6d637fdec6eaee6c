"""Here, as several processes: torchrun's agent starts them, and what they end with is said in one line."""

import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from swath.errors import LostRankError, MachineError, Stopped, SwathError, UsageError
from swath.runtime.last_words import LAUNCHED, words_in


def rank() -> int:
    """The number that torchrun gave this process, 0 without it."""
    return int(os.environ.get("RANK", "0"))


def is_needed(nproc: int | None) -> bool:
    """Whether processes are still to be started: not within one that was started here.

    Raises:
        UsageError: torchrun, asked for by the user, has started processes already.
    """
    if nproc is None or LAUNCHED in os.environ:
        return False
    if "WORLD_SIZE" in os.environ:
        raise UsageError(
            f"--nproc {nproc} within torchrun, which has started {os.environ['WORLD_SIZE']} processes: "
            "leave it out"
        )
    return True


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
            raise _cause(codes, words_in(Path(folder))) from error
        except SignalException as error:
            stopped = words_in(Path(folder)).get(0)
            name = signal.Signals(error.sigval).name
            raise stopped or Stopped(f"Stopped by {name}; run the same command to resume.") from error
        finally:
            del os.environ[LAUNCHED]


def _check(nproc: int, *, gpus: int, cores: int) -> None:
    most, what = (gpus, "GPUs") if gpus else (cores, "processor cores")
    if nproc > most:
        raise UsageError(f"--nproc {nproc}: this machine has {most} {what}; use --nproc {most} or less")


def _cause(codes: dict[int, int], said: dict[int, SwathError]) -> SwathError:
    """A process that a signal ended explains those that lost it, and so does one that says what it met.

    SIGTERM explains nothing: the agent sends it to the rest once one has failed.
    """
    here = socket.gethostname()
    killed = {number: -code for number, code in sorted(codes.items()) if code < 0 and -code != signal.SIGTERM}
    for number, by in killed.items():
        return MachineError(
            f"rank {number} on {here} was ended by {signal.Signals(by).name}; run the same command to resume "
            "from the last checkpoint"
        )
    words = sorted(said.items(), key=lambda item: (isinstance(item[1], LostRankError), item[0]))
    if words:
        return words[0][1]
    number = min(codes)
    return MachineError(f"rank {number} on {here} ended with code {codes[number]} and no word")
