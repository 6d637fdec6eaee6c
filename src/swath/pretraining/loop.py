"""The training loop, on one page: read a batch, take a step, log it, check it, save it, stop when asked."""

import logging
import time
from collections.abc import Callable, Sequence

import torch

from swath.data.loader import Loader
from swath.errors import Stopped, TrainingError
from swath.pretraining.bad_batches import BadBatches
from swath.pretraining.collapse import Watch
from swath.pretraining.monitor import Evaluator, score_in
from swath.pretraining.saver import Saver
from swath.pretraining.state import restore
from swath.pretraining.trainer import Trainer
from swath.runtime.checkpoint import load_newest
from swath.runtime.machine import MachineSampler
from swath.runtime.progress import Progress
from swath.runtime.retention import discard_after
from swath.runtime.run import Run
from swath.runtime.runlog import MetricsLog
from swath.runtime.signals import StopFlag

BAD_STEPS_IN_A_ROW = 3
MOST_ROLLBACKS = 3

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
    """Runs a trainer to the last step of its recipe and keeps the run folder true to it."""

    def __init__(
        self, trainer: Trainer, run: Run, evaluators: Sequence[Evaluator], *, saver: Saver, on_collapse: str
    ) -> None:
        self.trainer = trainer
        self.ranks = trainer.ranks
        self.recipe = trainer.recipe
        self.run = run
        self.evaluators = evaluators
        self.saver = saver
        self.on_collapse = on_collapse  # "warn" or "stop"
        self.metrics = MetricsLog(run.path / "metrics.jsonl")
        self.bad = BadBatches(run.path, seed=trainer.recipe.seed, writes=trainer.ranks.first)
        self.watch = Watch(self.recipe)
        self._collapsed = ""  # why to stop, once the watch has said so
        self.clock = Clock()
        self.machine = MachineSampler(trainer.device)
        self._began_s = 0.0
        self._best = float("-inf")

    def go(self, batches_from: Callable[[int], Loader], *, start_step: int) -> None:
        """Train from `start_step` to the end; `batches_from(step)` are the batches of the steps from there.

        Raises:
            Stopped: a signal came; the state is saved.
            TrainingError: steps were not finite, again after rolling back; or a collapse, where that stops.
            MachineError: three checkpoints in a row, or the last one, could not be written.
        """
        self._start_log(start_step)
        step, size = start_step, self.recipe.batch_size
        with StopFlag() as stop, self.saver, self.machine, Progress(
            self.recipe.steps * size, unit="images", label="pretraining", start=start_step * size
        ) as progress:  # fmt: skip
            while step < self.recipe.steps:
                step = self._train(step, batches_from(step), stop, progress)
        self.metrics.flush()

    def _train(self, step: int, batches: Loader, stop: StopFlag, progress: Progress) -> int:
        """Train to the last step, or until the steps are not finite; returns the step to go on from."""
        pulse = self.ranks.pulse
        pulse.at("reading tiles")
        for batch in batches:
            row = self.trainer.step(batch, step)
            self.bad.see(step, batch, row, rollbacks=self.trainer.rollbacks)
            step += 1
            pulse.at("checking and logging")
            self.clock.count(batch.of, waited_s=batch.wait_s)
            score = self._record(step, row)
            progress.advance(batch.of, **self.watch.shown(row))
            good = self.bad.in_a_row == 0 and self.watch.alarm is None
            if self.ranks.any(here=bool(stop) or bool(self._collapsed)):
                if self._collapsed:
                    raise TrainingError(self._collapsed)
                by = stop.signal or "another rank"
                log.info(f"{by}: saving ...")
                with pulse.saving():
                    self.saver.finish(step, good=good, score=score)
                raise Stopped(f"Stopped by {by} at step {step}; saved; run the same command to resume.")
            if self.bad.in_a_row >= BAD_STEPS_IN_A_ROW:
                back = self._roll_back(step)
                progress.advance((back - step) * self.recipe.batch_size)
                return back
            if step == self.recipe.steps:
                with pulse.saving():
                    self.saver.finish(step, good=good, score=score)
            elif self.saver.due(step) or self._is_best(score):
                pulse.at("saving")
                self.saver.save(step, good=good, score=score)
            pulse.at("reading tiles")
        return step

    def _start_log(self, step: int) -> None:
        """Rows after the step from which training goes on are of a way that was not taken."""
        if not self.ranks.first:
            return
        self.metrics.truncate_after(step)
        rows = self.run.metrics()
        self._began_s = time.perf_counter() - (rows[-1].get("seconds", 0.0) if rows else 0.0)
        scores = [score for row in rows if (score := score_in(row)) is not None]
        self._best = max(scores, default=float("-inf"))
        self.watch = Watch(self.recipe)
        for row in rows:
            self.watch.see(row["step"], row)

    def _record(self, step: int, row: dict[str, float]) -> float | None:
        """One row of metrics.jsonl every `log_every` steps, and at every check and skipped step.

        Returns the score of the check, None where there was none. The first rank does it for all.
        """
        if not self.ranks.first:
            return None
        every = self.recipe.monitor_every
        check = bool(self.evaluators) and every > 0 and (step % every == 0 or step == self.recipe.steps)
        with torch.compiler.set_stance("force_eager"):  # batches of other sizes than those it is compiled for
            for evaluator in self.evaluators if check else ():
                row |= dict(evaluator.measure(self.trainer.method.teacher.backbone))
        if check or "skipped" in row or self.recipe.is_logged(step):
            said = self.watch.see(step, row)
            collapse = {"collapse": self.watch.alarm.name} if self.watch.alarm else {}
            self.metrics.append({"step": step, **self._reached(step), **row, **collapse, **self._spent()})
            if said and self.watch.alarm and self.on_collapse == "stop":
                self._collapsed = f"{said} Stopped (--on-collapse stop); the last good checkpoint is kept."
            elif said:
                log.warning(said)
        return score_in(row)

    def _reached(self, step: int) -> dict[str, float]:
        """Samples and seconds of training up to here, those before a resume included."""
        seconds = time.perf_counter() - self._began_s
        return {"samples": step * self.recipe.batch_size, "seconds": round(seconds, 3)}

    def _spent(self) -> dict[str, float]:
        """What the time since the last row went into."""
        return self.clock.read() | self.machine.read()

    def _is_best(self, score: float | None) -> bool:
        if score is None or score <= self._best:
            return False
        self._best = score
        return True

    def _roll_back(self, step: int) -> int:
        """Return to the last good checkpoint with half the learning rate, a bounded number of times."""
        self.saver.settle()
        checkpoint = self.ranks.from_first(
            load_newest(self.run.checkpoints, good=True) if self.ranks.first else None
        )
        which = f"{BAD_STEPS_IN_A_ROW} steps in a row up to step {step - 1} were not finite"
        if checkpoint is None or self.trainer.rollbacks >= MOST_ROLLBACKS:
            tried = f", after {self.trainer.rollbacks} roll-backs too" if self.trainer.rollbacks else ""
            kept = f"step {checkpoint.step} is kept" if checkpoint else "there is no good checkpoint yet"
            raise TrainingError(
                f"{which}{tried}; {kept}. Look at the batch: swath replay {self.run.path} --step {step - 1}; "
                "then try --precision float32, or a lower --lr, in a new --out."
            )
        restore(checkpoint.tensors, self.trainer.method, self.trainer.optimizer)
        if self.ranks.first:
            discard_after(self.run.checkpoints, checkpoint.step)
        self.trainer.rollbacks += 1
        self.bad.in_a_row = 0
        self._start_log(checkpoint.step)
        log.warning(
            f"{which}: back to the last good checkpoint, step {checkpoint.step}, and on from there with half "
            f"the learning rate ({self.trainer.rollbacks} of {MOST_ROLLBACKS} roll-backs)"
        )
        return checkpoint.step
