"""Jobs from Python or a notebook: `swath.sagemaker.pretrain(...)` sends one, `attach` finds one again.

Needs boto3 (the extra `sagemaker`). Settings are those of the stage and of `config.sagemaker.JobConfig`.
"""

import contextlib
import time
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from swath.arguments import validate
from swath.config.sagemaker import CostConfig, LogsConfig, OneJob, PlotConfig, ResultsConfig, StopConfig
from swath.launch.sagemaker import costs, curves, following
from swath.launch.sagemaker.aws import Aws, UnreachableError
from swath.launch.sagemaker.found import find_job
from swath.launch.sagemaker.stage_words import asked_model
from swath.launch.sagemaker.submit import DryRun, send

__all__ = ["Job", "attach", "embed", "finetune", "index", "ladder", "pack", "predict", "pretrain", "probe"]

_LOOK_S = 15.0


@dataclass(frozen=True)
class Job:
    """A job by its name; every method asks AWS anew."""

    name: str
    region: str | None = None

    def status(self) -> following.JobStatus:
        """How it stands now."""
        return following.status(OneJob(job=self.name, region=self.region))

    def wait(self, *, look_s: float = _LOOK_S) -> following.JobStatus:
        """Wait for its end, however long that takes and lost connections last; looks every `look_s` s."""
        aws = Aws(self.region)
        while not _has_ended(aws, self.name):
            time.sleep(look_s)
        return self.status()

    def logs(self, *, follow: bool = False) -> following.Said:
        """Say its lines to the log `swath`."""
        return following.logs(LogsConfig(job=self.name, region=self.region, follow=follow))

    def stop(self) -> following.JobStatus:
        """Ask it to save and end."""
        return following.stop(StopConfig(job=self.name, region=self.region))

    def plot(self, out: str | PathLike[str]) -> Path:
        """Draw what it measured; returns the picture."""
        curves.plot(PlotConfig(job=self.name, region=self.region, out=Path(out)))
        return Path(out)

    def cost(self) -> costs.Cost:
        """What it cost by the table of prices."""
        return costs.cost(CostConfig(job=self.name, region=self.region))

    def results(self, out: str | PathLike[str]) -> Path:
        """Fetch what it made to the folder `out`: of pretrain an ordinary run."""
        following.results(ResultsConfig(job=self.name, region=self.region, out=Path(out)))
        return Path(out)


def _has_ended(aws: Aws, name: str) -> bool:
    with contextlib.suppress(UnreachableError):
        return find_job(aws, name).has_ended
    return False


def attach(name: str, *, region: str | None = None) -> Job:
    """A job that was sent before.

    Raises:
        UsageError: there is none of that name.
    """
    job = Job(name, region)
    job.status()
    return job


def _send(verb: str, *inputs: str, **settings: Any) -> Job | DryRun:
    """Send a stage as a job: its inputs in order, then its settings and those of the job by name.

    Raises:
        UsageError: a setting is wrong; nothing was sent.
        MachineError: no credentials, no permission, no connection.
    """
    model = asked_model(verb)
    names = [name for name, field in model.model_fields.items() if field.is_required() and name != "out"]
    given = dict(zip(names, inputs, strict=False))
    sent = send(verb, validate(model, {**given, **settings}))
    return sent if isinstance(sent, DryRun) else Job(sent.job, sent.region)


index = partial(_send, "index")
pack = partial(_send, "pack")
pretrain = partial(_send, "pretrain")
embed = partial(_send, "embed")
predict = partial(_send, "predict")
probe = partial(_send, "probe")
ladder = partial(_send, "ladder")
finetune = partial(_send, "finetune")
