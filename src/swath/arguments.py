"""The words of a command line -> one validated settings model, with every mistake reported at once; and back.

Required settings stand without a flag, in the order of the model (only `--out` always has its flag), the last
of them any number of times where it is a list; the others are `--name value` or `--name=value`, switches are
`--name` and `--no-name`. A `--config FILE` gives values that the command line overrides.
"""

import inspect
import shlex
import shutil
import string
import textwrap
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from swath.config import Settings
from swath.errors import UsageError, did_you_mean
from swath.settings_file import read_settings, settings_lines

S = TypeVar("S", bound=Settings)


def parse(model: type[S], words: Sequence[str]) -> S:
    """Read the words that follow a verb.

    Raises:
        UsageError: one line for each unknown flag, missing value, missing setting and value out of range.
    """
    given, problems = _pair(model, list(words))
    config_file = given.pop("config", None)
    from_file = read_settings(Path(config_file)) if config_file else {}
    lines = settings_lines(Path(config_file)) if config_file else {}
    places = {name: f"{config_file}:{line}: " for name, line in lines.items() if name not in given}
    try:
        return validate(model, {**from_file, **given}, problems=problems, places=places)
    except UsageError as error:
        is_said = config_file is None or str(config_file) in str(error)
        raise UsageError(str(error) if is_said else f"{error} (settings from {config_file})") from None


def validate(
    model: type[S],
    values: Mapping[str, object],
    *,
    problems: Sequence[str] = (),
    places: Mapping[str, str] = MappingProxyType({}),
) -> S:
    """Make settings from plain values; `problems` found earlier are reported in the same breath.

    `places` says where values were written ("my.yaml:3: "), to begin a line about them.

    Raises:
        UsageError: a line for each problem.
    """
    lines = list(problems)
    lines += [
        f'{places.get(name, "")}unknown setting "{name}".{did_you_mean(name, model.model_fields)}'
        for name in values
        if name not in model.model_fields
    ]
    try:
        config = model.model_validate({name: v for name, v in values.items() if name in model.model_fields})
    except ValidationError as error:
        lines += [
            places.get(str((*problem["loc"], "")[0]), "") + _in_words(model, dict(problem))
            for problem in error.errors()
        ]
    else:
        if not lines:
            return config
    raise UsageError("\n".join(lines))


def command_line(verb: str, settings: Settings) -> str:
    """The command that gives these settings again, whether they came as words, from a file or in Python."""
    positional = positional_names(type(settings))
    values = [getattr(settings, name) for name in positional]
    words = ["swath", verb]
    words += [str(word) for value in values for word in (value if isinstance(value, tuple) else (value,))]
    for name in type(settings).model_fields:
        if name in settings.model_fields_set and name not in positional:
            words += _flag_and_value(name, getattr(settings, name))
    return shlex.join(words)


def usage(model: type[Settings], verb: str) -> str:
    """The help page of one verb."""
    positional = positional_names(model)
    shown = [f"{name.upper()}{'...' * _is_list(model, name)}" for name in positional]
    shown += ["--out PATH"] * ("out" in model.model_fields and model.model_fields["out"].is_required())
    lines = [" ".join(["swath", verb, *shown, "[--flag value ...]"]), ""]
    lines += [inspect.cleandoc(model.__doc__ or ""), ""]
    width = min(shutil.get_terminal_size().columns, 100)
    for name in (*positional, *(name for name in model.model_fields if name not in positional)):
        field = model.model_fields[name]
        lines.append(f"  {_left(name, field, positional=name in positional)}")
        about = " ".join(part for part in (field.description, _default(field)) if part)
        lines += textwrap.wrap(about, width, initial_indent=_INDENT, subsequent_indent=_INDENT)
    lines += ["  --config FILE", "      Settings from a YAML file; the command line wins.", *_EVERYWHERE]
    return "\n".join(lines)


_INDENT = " " * 6
_LIST = "A,B,..."
_EVERYWHERE = (
    "  --json",
    "      Print one JSON object as the last line of standard output.",
    "  --quiet / --debug",
    "      Only warnings and the result / tracebacks of errors.",
)


def positional_names(model: type[Settings]) -> list[str]:
    return [name for name, field in model.model_fields.items() if field.is_required() and name != "out"]


def _flag_and_value(name: str, value: object) -> list[str]:
    flag = name.replace("_", "-")
    if value is None:
        return []
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]


def _pair(model: type[Settings], words: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Names with their words, and what could not be paired."""
    given: dict[str, Any] = {}
    problems: list[str] = []
    waiting = positional_names(model)
    flags = {f"--{name.replace('_', '-')}": name for name in (*model.model_fields, "config")}
    switches = {name for name, field in model.model_fields.items() if field.annotation is bool}
    while words:
        word = words.pop(0)
        flag, equals, value = word.partition("=")
        flag = flag.replace("_", "-")
        if not _is_flag(word):
            if waiting and _is_list(model, waiting[0]):
                given.setdefault(waiting[0], []).append(word)
            elif waiting:
                given[waiting.pop(0)] = word
            else:
                problems.append(f'"{word}" is one word too many')
        elif (switch := flag.removeprefix("--no-").removeprefix("--").replace("-", "_")) in switches:
            given[switch] = not flag.startswith("--no-")
            if equals:
                name = switch.replace("_", "-")
                problems.append(f"{flag} takes no value, found {word}; say --{name} or --no-{name}")
        elif flag not in flags:
            problems.append(f"unknown flag {flag}.{_nearest_flag(flag, flags)}")
            if not equals and words and not _is_flag(words[0]):
                words.pop(0)
        elif equals or (words and not _is_flag(words[0])):
            given[flags[flag]] = value if equals else _value(model, flags[flag], words, waiting)
        else:
            problems.append(f"{flag} needs a value")
    return given, problems


def _is_flag(word: str) -> bool:
    """--name, and -name by mistake; a negative number is a value."""
    return word.startswith("-") and word[1:2] not in {"", ".", *string.digits}


def _nearest_flag(flag: str, known: Iterable[str]) -> str:
    """Compared without dashes, which every flag has."""
    names = [name.removeprefix("--") for name in (*known, "--json", "--quiet", "--debug")]
    return did_you_mean(flag.lstrip("-"), names).replace('"', '"--', 1)


def _value(model: type[Settings], name: str, words: list[str], waiting: list[str]) -> str:
    """The next word, taken away; of a list all words up to the next flag, once none stands for a setting."""
    taken = [words.pop(0)]
    if not waiting and name in model.model_fields and _is_list(model, name):
        while words and not _is_flag(words[0]):
            taken.append(words.pop(0))
    return ",".join(taken)


def _is_list(model: type[Settings], name: str) -> bool:
    return _kind(model.model_fields[name].annotation) == _LIST


def _in_words(model: type[Settings], problem: dict[str, Any]) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not problem["loc"]:
        return message
    name = str(problem["loc"][0])
    shown = name.upper() if name in positional_names(model) else f"--{name.replace('_', '-')}"
    if problem["type"] == "missing":
        about = " ".join((model.model_fields[name].description or "").split()).rstrip(".")
        return f"{shown} is missing: {about[:1].lower()}{about[1:]}"
    return f"{shown} {problem['input']}: {message[0].lower()}{message[1:]}"


def _left(name: str, field: FieldInfo, *, positional: bool) -> str:
    if positional:
        return name.upper()
    flag = f"--{name.replace('_', '-')}"
    if field.annotation is bool:
        return flag
    return f"{flag} {_kind(field.annotation)}"


def _kind(annotation: Any) -> str:
    """The words a value may be: 'N', 'FILE', 'A,B,...' or the choices."""
    origin, options = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return "|".join(str(option) for option in options)
    if origin in {types.UnionType, typing.Union}:
        return _kind(next(option for option in options if option is not type(None)))
    if origin is typing.Annotated:
        return _kind(options[0])
    if origin is tuple:
        return _LIST
    return {int: "N", float: "X", Path: "PATH", str: "TEXT", date: "YYYY-MM-DD"}.get(annotation, "VALUE")


def _default(field: FieldInfo) -> str:
    value = field.default
    if field.is_required() or value is None or value is False or value in ((), ""):
        return ""
    if isinstance(value, tuple):
        return f"[{','.join(map(str, value))}]"
    return "[on]" if value is True else f"[{value}]"
