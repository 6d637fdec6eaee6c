"""Checkpoints that do not hold up training: a copy is taken, and a thread hashes, writes and renames it."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from torch import Tensor

from swath.runtime.checkpoint import TensorFiles, save_checkpoint


class CheckpointWriter:
    """Writes one checkpoint at a time into `folder`; leaving the `with` block waits for it.

    While it is written, memory holds one copy of its tensors (on the CPU), and no more.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="swath-checkpoint")
        self._saving: Future[Path] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True)

    @property
    def busy(self) -> bool:
        """Whether a checkpoint is being written at this moment."""
        return self._saving is not None and not self._saving.done()

    def start(self, *, step: int, tensors: TensorFiles, state: Mapping[str, Any]) -> None:
        """Copy `tensors` and return; they may change from here on. `collect` comes before the next one."""
        assert self._saving is None, "collect() what became of the checkpoint before"
        copy = {stem: _copied(named) for stem, named in tensors.items()}
        self._saving = self._pool.submit(
            save_checkpoint, self._folder, step=step, tensors=copy, state=dict(state)
        )

    def collect(self) -> Path | None:
        """Wait until the checkpoint is written and return where, None if none was under way.

        Raises:
            MachineError, TrainingError: as `save_checkpoint`, once for every checkpoint that failed.
        """
        saving, self._saving = self._saving, None
        return saving.result() if saving is not None else None


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}
