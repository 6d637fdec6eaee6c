"""What a stage returns: values for a program (`to_json`) and lines for a reader (`lines`)."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from swath.location import S3Path


@dataclass(frozen=True)
class Result:
    """Base of the frozen dataclasses that stages return."""

    @property
    def exit_code(self) -> int:
        """Of the command: 0, but where some of the work could not be done and the rest was."""
        return 0

    @property
    def next_command(self) -> str | None:
        """What most people type after it, where that can be known."""
        return None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; paths as text."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    def lines(self) -> list[str]:
        """One aligned line a value, those that are absent left out."""
        shown = {name: value for name, value in self.to_json().items() if value not in (None, "", {}, [])}
        width = max(map(len, shown), default=0)
        return [f"{name.replace('_', ' '):{width}}  {_in_words(value)}" for name, value in shown.items()]


def _plain(value: Any) -> Any:
    if isinstance(value, Path | S3Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_in_words(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_in_words(item) for item in value)
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)
