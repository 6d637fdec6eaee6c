"""`swath sagemaker WORD ...`: a stage as a job, or what is done with jobs."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from swath import arguments
from swath.config import Settings
from swath.config import sagemaker as settings
from swath.errors import UsageError, did_you_mean
from swath.launch.sagemaker.stage_words import VERBS, asked_model
from swath.launch.sagemaker.submit import send
from swath.results import Result


@dataclass(frozen=True)
class Action:
    """`function` of a module of this folder takes the settings and returns a Result."""

    settings: str
    module: str
    function: str
    about: str


ACTIONS = {
    "status": Action("OneJob", "following", "status", "how a job stands"),
    "logs": Action("LogsConfig", "following", "logs", "what it said; --follow until it ends"),
    "stop": Action("StopConfig", "following", "stop", "save and end"),
    "list": Action("ListConfig", "following", "jobs", "the newest jobs"),
    "results": Action("ResultsConfig", "following", "results", "fetch what it made: a run, features, tables"),
    "plot": Action("PlotConfig", "curves", "plot", "its loss, checks, rate and machine in one picture"),
    "cost": Action("CostConfig", "costs", "cost", "what it cost"),
    "policy": Action("PolicyConfig", "policy", "policy", "least-privilege policies for caller and role"),
    "cleanup": Action(
        "CleanupConfig", "cleanup", "cleanup", "what jobs left, its price; delete what you confirm"
    ),
    "tables": Action("TablesConfig", "tables", "shown", "the tables of images and prices"),
}


def overview() -> str:
    """The help page of `swath sagemaker`."""
    rows = [
        *((verb, f"swath {verb} as a job") for verb in VERBS),
        *((name, action.about) for name, action in ACTIONS.items()),
    ]
    return "\n".join(
        [
            "swath sagemaker WORD: stages as Amazon SageMaker jobs, and what is done with jobs.",
            "",
            *(f"  swath sagemaker {name:9} {about}" for name, about in rows),
            "",
            "swath sagemaker WORD --help tells more. --dry-run prints a request and sends nothing.",
        ]
    )


def model_of(word: str) -> type[Settings]:
    """The settings that a word takes.

    Raises:
        UsageError: no such word.
    """
    if word in VERBS:
        return asked_model(word)
    if word in ACTIONS:
        model: type[Settings] = getattr(settings, ACTIONS[word].settings)
        return model
    near = did_you_mean(word, [*VERBS, *ACTIONS])
    raise UsageError(f'no command "sagemaker {word}".{near} `swath sagemaker --help` lists them.')


def answer(word: str, words: Sequence[str]) -> Result:
    """Carry out one command."""
    asked: Any = arguments.parse(model_of(word), words)
    if word in VERBS:
        return send(word, asked)
    action = ACTIONS[word]
    module = importlib.import_module(f"swath.launch.sagemaker.{action.module}")
    done: Result = getattr(module, action.function)(asked)
    return done
