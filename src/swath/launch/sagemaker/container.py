"""What a container finds under /opt/ml: its hosts, its data, what it was told to do.

The JSON files are read, never the SM_* variables: they are the same under SageMaker itself, its training
toolkit and the driver of its SDK.
"""

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import swath.config
from swath.arguments import command_line, validate
from swath.errors import MachineError, UsageError
from swath.launch.sagemaker.stage_words import BASE, VERB, VERBS

PORT = 7777
# What clients of AWS add to the hyperparameters of a script.
_OF_CLIENTS = ("sagemaker_", "sm_")


@dataclass(frozen=True)
class Container:
    """Where this container is among those of its job, and what it was told to do."""

    base: Path
    host: str
    hosts: tuple[str, ...]
    hyperparameters: dict[str, str]

    @classmethod
    def here(cls) -> Self:
        """Read the files of this container.

        Raises:
            MachineError: they are missing: this is no container of SageMaker.
        """
        folder = base_folder() / "input" / "config"
        return cls._among(folder, told=_read(folder / "hyperparameters.json"))

    @classmethod
    def of_processing(cls, arguments: Sequence[str]) -> Self:
        """That of a processing job, which is told what to do by the arguments NAME=VALUE of its command.

        Raises:
            MachineError: its files are missing: this is no container of SageMaker.
        """
        told = {name: text for name, _, text in (word.partition("=") for word in arguments)}
        return cls._among(base_folder() / "config", told=told)

    @classmethod
    def _among(cls, folder: Path, *, told: dict[str, str]) -> Self:
        resources = _read(folder / "resourceconfig.json")
        hosts = tuple(sorted(resources["hosts"]))
        return cls(base=base_folder(), host=resources["current_host"], hosts=hosts, hyperparameters=told)

    @property
    def number(self) -> int:
        return self.hosts.index(self.host)

    def words(self) -> tuple[str, list[str]]:
        """The verb, and the whole command after `swath`.

        Raises:
            UsageError: no verb, or settings that the stage refuses, nearest names included.
        """
        verb, values = self.told()
        return verb, words_of(verb, values)

    def told(self) -> tuple[str, dict[str, Any]]:
        """The verb and its settings, paths as they are here.

        Raises:
            UsageError: no verb.
        """
        told = {
            name: _value(text)
            for name, text in self.hyperparameters.items()
            if not name.lower().startswith(_OF_CLIENTS)
        }
        verb = str(told.pop(VERB, ""))
        if verb not in VERBS:
            raise UsageError(f'hyperparameter {VERB} is "{verb}"; expected one of {", ".join(VERBS)}')
        return verb, {name: self._placed(value) for name, value in told.items() if value is not None}

    def _placed(self, value: Any) -> Any:
        """/opt/ml is where SageMaker puts it; elsewhere a container has another base."""
        if isinstance(value, list):
            return tuple(self._placed(item) for item in value)
        if isinstance(value, str) and value.startswith(f"{BASE}/"):
            return str(self.base / value.removeprefix(f"{BASE}/"))
        return value


def base_folder() -> Path:
    """/opt/ml, but for clients and tests that have it elsewhere."""
    return Path(os.environ.get("SAGEMAKER_BASE_DIR", BASE))


def words_of(verb: str, values: Mapping[str, Any]) -> list[str]:
    """The command after `swath`.

    Raises:
        UsageError: settings that the stage refuses, nearest names included.
    """
    settings = validate(getattr(swath.config, VERBS[verb].settings), values)
    return shlex.split(command_line(verb, settings))[1:]


def _value(text: str) -> Any:
    """Hyperparameters are text; clients write them plain ("64", "True") or as JSON ('"demo"', "true")."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, int | float | dict) and not isinstance(value, bool) else value


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MachineError(
            f"{path}: {error}; this is no container of SageMaker, which alone starts this module"
        ) from error
