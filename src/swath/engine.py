"""Where the work of a stage is done: in this process, or as tasks of ray on many machines.

A stage gives a function that yields what comes of a stretch of its parts (tiles, scenes, patches). What it
yields arrives in the order of the parts, so a result does not depend on where it was made.
"""

import contextlib
import os
import secrets
import signal
import socket
import sys
import tempfile
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Any, Protocol, TypeVar

from swath.errors import MachineError, UsageError

Given = TypeVar("Given")
Done = TypeVar("Done")
Work = Callable[[Given, range], Iterator[Done]]

_RETRIES = 3  # of a task whose worker died
_TASKS_A_WORKER = 4
_MOST_UNITS = 256  # in a task: what a killed worker costs
_REACHED_WITHIN_S = 5.0
_ENDS_WITHIN_S = 30.0
_TOKEN = secrets.token_hex(32)  # of a cluster of our own; ray keeps the first that a process names
# Read by ray once, when it is imported, and by all its processes: by this, meant for other systems, it
# listens on loopback alone. A program that has imported ray before keeps its own.
_ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
_OF_OUR_OWN = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": _TOKEN,
}


class Engine(Protocol):
    def over(self, work: Work[Given, Done], given: Given, count: int, *, at_once: int) -> Generator[Done]:
        """What `work(given, stretch)` yields for stretches that make up range(count), in their order.

        Stretches begin at multiples of `at_once`. `work` is a function of a module, and what it is given and
        yields can be pickled; it may be called again for the same stretch, where a worker died.
        """


class ThisProcess:
    """All parts are one stretch."""

    def over(
        self,
        work: Work[Given, Done],
        given: Given,
        count: int,
        *,
        at_once: int,  # noqa: ARG002 -- as Engine
    ) -> Generator[Done]:
        yield from work(given, range(count))


HERE = ThisProcess()


@contextlib.contextmanager
def engine_of(name: str, *, on_gpu: bool = False) -> Iterator[Engine]:
    """`local`, or `ray`: the cluster that RAY_ADDRESS names, else one of this machine's processors, which is
    shut down at the end. Tasks take a GPU each with `on_gpu`, where the cluster has any.

    Raises:
        UsageError: ray is not installed.
        MachineError: the cluster cannot be reached, or refuses.
    """
    if name == "local":
        yield HERE
        return
    address = os.environ.get("RAY_ADDRESS")
    with contextlib.ExitStack() as stack:
        if not address:
            if "ray" not in sys.modules:
                os.environ.update(_ON_LOOPBACK)
            stack.enter_context(_environment(_OF_OUR_OWN))
        ray = _ray()
        if not ray.is_initialized():
            where = _there(address) if address else _here(stack)
            stack.callback(ray.shutdown)
            _connect(ray, where)
        yield _Ray(ray, on_gpu=on_gpu)


class _Ray:
    """Stretches of about a quarter of what a worker does in all, a task each."""

    def __init__(self, ray: Any, *, on_gpu: bool) -> None:
        self._ray = ray
        has = ray.cluster_resources()
        self._gpus = 1 if on_gpu and has.get("GPU", 0) >= 1 else 0
        self._workers = max(1, int(has.get("GPU" if self._gpus else "CPU", 1)))

    def __reduce__(self) -> tuple[type[ThisProcess], tuple[()]]:
        """In a task, work is done where it is."""
        return ThisProcess, ()

    def over(self, work: Work[Given, Done], given: Given, count: int, *, at_once: int) -> Generator[Done]:
        task = self._ray.remote(max_retries=_RETRIES, num_gpus=self._gpus)(_all_of)
        there = self._ray.put(given)
        ahead: deque[Any] = deque()
        try:
            for stretch in stretches(count, at_once=at_once, workers=self._workers):
                ahead.append(task.remote(work, there, stretch))
                if len(ahead) > 2 * self._workers:
                    yield from self._result(ahead.popleft())
            while ahead:
                yield from self._result(ahead.popleft())
        finally:
            self._cancel(list(ahead))

    def _cancel(self, waiting: list[Any]) -> None:
        """Wait for the ends too: nobody writes once the stage removes what was written aside."""
        for reference in waiting:
            self._ray.cancel(reference, force=True)
        if waiting:
            self._ray.wait(waiting, num_returns=len(waiting), timeout=_ENDS_WITHIN_S)

    def _result(self, reference: Any) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as failed:
            if isinstance(failed.cause, Exception) and not isinstance(failed.cause, errors.RayError):
                raise failed.cause from None
            raise MachineError(
                f'a worker of ray: {_first_line(failed.cause or failed)}. All need: pip install "swath[ray]"'
            ) from failed
        except errors.RayError as failed:
            raise MachineError(
                f"ray gave up a task after {_RETRIES + 1} tries: {_first_line(failed)}. "
                "Give workers more memory, or leave out --engine ray."
            ) from failed


def stretches(count: int, *, at_once: int, workers: int) -> list[range]:
    """range(count) in pieces that begin at multiples of `at_once`, some for each worker."""
    units = -(-count // at_once)
    size = at_once * min(_MOST_UNITS, max(1, units // (_TASKS_A_WORKER * workers)))
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def _all_of(work: Work[Given, Done], given: Given, stretch: range) -> list[Done]:
    return list(work(given, stretch))


def _ray() -> Any:
    try:
        import ray  # noqa: PLC0415 -- an extra, of 2 s
        import ray.exceptions  # noqa: PLC0415 -- as above
    except ImportError:
        raise UsageError('--engine ray needs ray: pip install "swath[ray]"') from None
    return ray


def _there(address: str) -> dict[str, Any]:
    """Ray itself tries a dead address for minutes, and then ends the process."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if address != "auto":
        try:
            socket.create_connection((host, int(port)), timeout=_REACHED_WITHIN_S).close()
        except (OSError, ValueError) as error:
            raise MachineError(
                f"RAY_ADDRESS={address}: no cluster of ray answers there ({error}); expected HOST:PORT. "
                "Start one with: ray start --head, or unset RAY_ADDRESS"
            ) from error
    return {"address": address}


def _here(stack: contextlib.ExitStack) -> dict[str, Any]:
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="swath-ray-", ignore_cleanup_errors=True))
    return {"address": "local", "include_dashboard": False, "_temp_dir": folder}


def _connect(ray: Any, where: dict[str, Any]) -> None:
    try:
        with (
            _own_sigterm(),
            warnings.catch_warnings(),
        ):  # the processes that ray forks become other programs at once
            warnings.filterwarnings("ignore", "lance is not fork-safe", UserWarning)
            ray.init(**where, log_to_driver=False, configure_logging=False)
    except (ConnectionError, RuntimeError, ImportError, OSError, ValueError) as error:
        raise MachineError(
            f"no cluster of ray at {where['address']}: {_first_line(error)}. "
            "Set RAY_ADDRESS to one, or leave out --engine ray."
        ) from error


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep the handler that the command line has set: ray's own ends the process with code 15 at once."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if callable(before) and signal.getsignal(signal.SIGTERM) is not before:
            signal.signal(signal.SIGTERM, before)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
