"""When a checkpoint is due, and what a failed one means: a full disk is survived twice in a row."""

import logging
import time
from types import TracebackType
from typing import Self

from swath.errors import MachineError
from swath.pretraining.state import gather
from swath.pretraining.trainer import Trainer
from swath.runtime.checkpoint_writer import CheckpointWriter
from swath.runtime.run import Run

SAVE_EVERY_S = 120.0
FAILED_SAVES = 3

log = logging.getLogger(__name__)


class Saver:
    """Saves a trainer into its run while training goes on; leaving the `with` block waits for the disk.

    `about` is what every checkpoint says besides tensors: shape, tile format, digests. `every` is in steps;
    None is about every two minutes, and never while the one before is still being written.
    """

    def __init__(self, trainer: Trainer, run: Run, *, about: dict[str, object], every: int | None) -> None:
        self._trainer = trainer
        self._about = about
        self._every = every
        self._writer = CheckpointWriter(run.checkpoints)
        self._saved_at = time.perf_counter()
        self._failed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    def due(self, step: int) -> bool:
        """Whether to save after `step` steps; says as soon as it is known if the one before failed."""
        if not self._writer.busy:
            self.settle()
        if self._every:
            return step % self._every == 0
        return not self._writer.busy and time.perf_counter() - self._saved_at > SAVE_EVERY_S

    def save(self, step: int, *, good: bool, score: float | None) -> None:
        """Copy the state after `step` steps, to be written; `good` and `score` decide how long it stays.

        Raises:
            MachineError: the third failure in a row, or not a matter of the disk being full.
            TrainingError: a number of the checkpoint before is not finite.
        """
        self.settle()
        self._start(step, good=good, score=score)

    def finish(self, step: int, *, good: bool, score: float | None) -> None:
        """Save, and return when it is on the disk; now any failure is raised."""
        self.settle()
        self._start(step, good=good, score=score)
        self._writer.collect()

    def settle(self) -> None:
        """Wait for the checkpoint under way, if there is one, and count failures."""
        try:
            if self._writer.collect():
                self._failed = 0
        except MachineError as error:
            self._failed += 1
            if self._failed >= FAILED_SAVES:
                raise
            log.warning(f"{error} Training goes on and tries again.")

    def _start(self, step: int, *, good: bool, score: float | None) -> None:
        trainer = self._trainer
        if not trainer.ranks.first:  # all ranks hold the same state
            return
        state = {
            **self._about,
            "step": step,
            "samples": step * trainer.recipe.batch_size,
            "good": good,
            "score": score,
            "rollbacks": trainer.rollbacks,
            "world": trainer.ranks.world,
            "micro_batch": trainer.gradient.micro_batch,
        }
        self._writer.start(step=step, tensors=gather(trainer.method, trainer.optimizer), state=state)
        self._saved_at = time.perf_counter()
