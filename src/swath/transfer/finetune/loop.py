"""The loop of a fine-tuning: read a batch, take a step, and at the end of an epoch score, save, go on."""

import logging

from swath.data.loader import Loader
from swath.data.store import TileStore
from swath.errors import Stopped
from swath.runtime.checkpoint import Checkpoint, save_checkpoint
from swath.runtime.progress import Progress
from swath.runtime.run import Run
from swath.runtime.runlog import MetricsLog
from swath.runtime.signals import StopFlag
from swath.transfer.finetune.trainer import Trainer

log = logging.getLogger(__name__)


class Loop:
    """Takes a trainer to the last step of its recipe and keeps the run folder true to it."""

    def __init__(self, trainer: Trainer, run: Run, store: TileStore, *, state: dict[str, object]) -> None:
        self.trainer = trainer
        self.recipe = trainer.recipe
        self.run = run
        self.store = store
        self.state = state
        self.metrics = MetricsLog(run.path / "metrics.jsonl")

    def go(self, checkpoint: Checkpoint | None, *, save_every: int | None) -> None:
        """Train from `checkpoint`, or from the start, to the end.

        Raises:
            Stopped: a signal came; the state is saved.
            TrainingError: the loss is not finite, step after step.
            MachineError: a checkpoint could not be written.
        """
        step = 0
        if checkpoint is not None:
            self.trainer.restore(checkpoint.tensors, checkpoint.state)
            step = checkpoint.step
            log.info(f"Resuming from step {step}")
        else:
            self.trainer.end_epoch(0)  # where training does not help, the start is the best
        self.metrics.truncate_after(step)
        size, each = self.recipe.batch_size, self.recipe.steps_per_epoch
        total = self.recipe.steps * size
        with StopFlag() as stop, Progress(
            total, unit="images", label="fine-tuning", start=step * size
        ) as progress:  # fmt: skip
            for batch in self._loader(step):
                row = self.trainer.step(batch, step)
                step += 1
                if step % each == 0:
                    row |= self.trainer.end_epoch(step // each)
                self.metrics.append({"step": step, "samples": step * size, **row})
                progress.advance(len(batch.rows), **{"loss": row["loss"]} if "loss" in row else {})
                if stop or step % (save_every or each) == 0 or step == self.recipe.steps:
                    self._save(step)
                if stop:
                    raise Stopped(
                        f"Stopped by {stop.signal} at step {step}; saved; run the same command to resume."
                    )

    def _loader(self, start: int) -> Loader:
        return Loader(
            self.store,
            rows=self.trainer.task.train,
            batch_size=self.recipe.batch_size,
            seed=self.recipe.seed,
            cursor=start * self.recipe.batch_size,
            steps=self.recipe.steps - start,
        )

    def _save(self, step: int) -> None:
        state = {
            **self.state,
            "step": step,
            "samples": step * self.recipe.batch_size,
            "best_score": self.trainer.best_score,
            "best_epoch": self.trainer.best_epoch,
        }
        save_checkpoint(self.run.checkpoints, step=step, tensors=self.trainer.gather(), state=state)
