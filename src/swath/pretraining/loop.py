"""The training loop, on one page: read a batch, take a step, log it, check it, save it, stop when asked."""

import logging
import time

from swath.data.loader import Batch, Loader
from swath.errors import MachineError, Stopped, TrainingError
from swath.pretraining.monitor import KnnMonitor
from swath.pretraining.state import gather
from swath.pretraining.trainer import Trainer
from swath.runtime.checkpoint import save_checkpoint
from swath.runtime.progress import Progress
from swath.runtime.run import Run
from swath.runtime.runlog import MetricsLog
from swath.runtime.signals import StopFlag

SAVE_EVERY_S = 120.0
FAILED_SAVES = 3
BAD_STEPS_IN_A_ROW = 3

log = logging.getLogger(__name__)


class Clock:
    """Tiles and seconds since the last row of metrics.jsonl, checks and saves included."""

    def __init__(self) -> None:
        self._start()

    def count(self, tiles: int, *, waited_s: float) -> None:
        self._tiles += tiles
        self._waited_s += waited_s

    def read(self) -> dict[str, float]:
        """Rates of the time since the last call."""
        seconds = max(1e-9, time.perf_counter() - self._started)
        rates = {"images_per_s": self._tiles / seconds, "wait_share": self._waited_s / seconds}
        self._start()
        return rates

    def _start(self) -> None:
        self._started, self._tiles, self._waited_s = time.perf_counter(), 0, 0.0


class Loop:
    """Runs a trainer from `start_step` to the last step of its recipe and keeps the run folder true to it."""

    def __init__(
        self, trainer: Trainer, run: Run, monitor: KnnMonitor | None, *, state: dict[str, object]
    ) -> None:
        self.trainer = trainer
        self.recipe = trainer.recipe
        self.run = run
        self.monitor = monitor
        self.state = state  # what every checkpoint says besides tensors: shape, tile format, digests
        self.metrics = MetricsLog(run.path / "metrics.jsonl")
        self.clock = Clock()
        self._failed_saves = 0
        self._bad_in_a_row = 0

    def go(self, loader: Loader, *, start_step: int, save_every: int | None) -> None:
        """Train to the end.

        Raises:
            Stopped: a signal came; the state is saved.
            TrainingError: the loss is not finite, step after step.
            MachineError: three checkpoints in a row, or the last one, could not be written.
        """
        self.metrics.truncate_after(start_step)
        saved_at, step, size = time.perf_counter(), start_step, self.recipe.batch_size
        with StopFlag() as stop, Progress(
            self.recipe.steps * size, unit="images", label="pretraining", start=start_step * size
        ) as progress:  # fmt: skip
            for batch in loader:
                row = self.trainer.step(batch, step)
                self._watch_for_bad_steps(step, batch, row)
                step += 1
                self.clock.count(len(batch.rows), waited_s=batch.wait_s)
                self._record(step, row)
                progress.advance(len(batch.rows), loss=row["loss"])
                due = step % save_every == 0 if save_every else time.perf_counter() - saved_at > SAVE_EVERY_S
                if stop:
                    log.info(f"{stop.signal}: saving ...")
                    self._save(step, last=True)
                    raise Stopped(
                        f"Stopped by {stop.signal} at step {step}; saved; run the same command to resume."
                    )
                if due and step < self.recipe.steps:
                    self._save(step, last=False)
                    saved_at = time.perf_counter()
        self._save(step, last=True)

    def _record(self, step: int, row: dict[str, float]) -> None:
        """One row of metrics.jsonl every `log_every` steps, and at every check and skipped step."""
        every = self.recipe.monitor_every
        check = self.monitor is not None and every > 0 and (step % every == 0 or step == self.recipe.steps)
        if check and self.monitor is not None:
            row |= dict(self.monitor.measure(self.trainer.method.teacher.backbone))
        if check or "skipped" in row or self.recipe.is_logged(step):
            samples = step * self.recipe.batch_size
            self.metrics.append({"step": step, "samples": samples, **row, **self.clock.read()})

    def _watch_for_bad_steps(self, step: int, batch: Batch, row: dict[str, float]) -> None:
        self._bad_in_a_row = self._bad_in_a_row + 1 if "skipped" in row else 0
        if self._bad_in_a_row:
            log.warning(
                f"step {step}: loss or gradient is not finite (tiles {batch.rows[:4].tolist()} ...); "
                "step skipped, nothing changed"
            )
        if self._bad_in_a_row >= BAD_STEPS_IN_A_ROW:
            raise TrainingError(
                f"{BAD_STEPS_IN_A_ROW} steps in a row up to step {step} were not finite; the last checkpoint "
                "is good. Try --precision float32, or a lower --lr, in a new --out."
            )

    def _save(self, step: int, *, last: bool) -> None:
        """Write a checkpoint; a full disk is survived twice, as the previous checkpoint is whole."""
        tensors = gather(self.trainer.method, self.trainer.optimizer)
        state = {**self.state, "step": step, "samples": step * self.recipe.batch_size}
        try:
            save_checkpoint(self.run.checkpoints, step=step, tensors=tensors, state=state)
            self._failed_saves = 0
        except MachineError as error:
            self._failed_saves += 1
            if last or self._failed_saves >= FAILED_SAVES:
                raise
            log.warning(f"{error} Training goes on and tries again.")
