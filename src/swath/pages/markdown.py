"""Words, lists and tables in Markdown; what comes from outside cannot become markup."""

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|!&~$])")


def text(value: str) -> str:
    """One line in which Markdown and HTML are only characters."""
    return _SPECIAL.sub(r"\\\1", " ".join(value.split()))


def bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def indented(command: str) -> str:
    """Indented rather than fenced, so that no text inside can end it."""
    return "\n".join(f"    {line}" for line in command.splitlines())
