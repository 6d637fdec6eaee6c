"""What AWS would refuse of a request, said before anything is sent: lengths, patterns and choices.

They stand in botocore's own model of the operation. botocore itself checks names, types and lower limits and
leaves these to the server.
"""

import re
from collections.abc import Iterator
from typing import Any

from swath.errors import UsageError, did_you_mean

_SHOWN = 60
# Letters, numbers and spaces, as Python writes them within [...].
_CLASSES = {r"\p{L}": r"\w", r"\p{N}": r"\d", r"\p{Z}": r"\s"}


def check_limits(request: dict[str, Any], shape: Any) -> None:
    """Compare a request with the input shape of its operation.

    Raises:
        UsageError: a line for each value that AWS would refuse.
    """
    problems = list(_problems(request, shape, ""))
    if problems:
        raise UsageError("\n".join(problems))


def _problems(value: Any, shape: Any, at: str) -> Iterator[str]:
    """Over all depths; `at` is the place of the value in the request."""
    if shape.type_name == "structure":
        for name, inner in value.items():
            yield from _problems(inner, shape.members[name], f"{at}.{name}".lstrip("."))
        return
    if shape.type_name == "list":
        for item in value:
            yield from _problems(item, shape.member, at)
    elif shape.type_name == "map":
        for key, item in value.items():
            yield from _problems(key, shape.key, f"{at}, name {key}")
            yield from _problems(item, shape.value, f"{at}.{key}")
    elif shape.type_name == "string":
        yield from _of_text(value, shape, at)
    yield from _too_much(value, shape, at)


def _too_much(value: Any, shape: Any, at: str) -> Iterator[str]:
    most = shape.metadata.get("max")
    if most is None:
        return
    if isinstance(value, int | float):
        size, what = value, ""
    else:
        size, what = len(value), " characters" if shape.type_name == "string" else " values"
    if size > most:
        yield f"{at}: {size:,}{what}; AWS takes {most:,} at most"


def _of_text(value: str, shape: Any, at: str) -> Iterator[str]:
    if shape.enum and value not in shape.enum:
        yield f'{at} "{value}" is none that AWS knows.{did_you_mean(value, shape.enum)}'
    pattern = shape.metadata.get("pattern")
    if pattern and not re.fullmatch(_of_python(pattern), value):
        yield f'{at} "{value[:_SHOWN]}" is not of the form {pattern}'


def _of_python(pattern: str) -> str:
    for theirs, ours in _CLASSES.items():
        pattern = pattern.replace(theirs, ours)
    return pattern
