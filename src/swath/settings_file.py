"""YAML for settings, strictly: the ambiguous is refused by file and line, what is written loads back equal.

Plain YAML reads `1e-3` as text, `no` as false, keeps the last of two equal keys and can blow up through
aliases; here only true, false, null, numbers, text, lists and named values exist.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from swath.errors import UsageError
from swath.location import S3Path

MAX_BYTES = 1_000_000
MAX_DEPTH = 20

_FLOAT = re.compile(r"[-+]?(?:(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.inf)$|\.nan$")
_IN_WORDS = {
    "found character '\\t' that cannot start any token": "a tab indents this line; use spaces",
    "found character '%' that cannot start any token": "% cannot start a value; put it in quotes",
    "but found another document": "a second document starts here (---); keep one",
}


def read_settings(path: Path) -> dict[str, object]:
    """The settings in a YAML file, by name.

    Raises:
        UsageError: the file is missing, too large, or not plain `name: value` lines; says which line.
    """
    text = _text_of(path)
    try:
        value = yaml.load(text, _StrictLoader)  # noqa: S506 -- a SafeLoader that allows less
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "not YAML"
        line = mark.line + 1 if mark else 1
        raise UsageError(f"{path}:{line}: {_IN_WORDS.get(problem, problem)}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UsageError(
            f"{path}:{line}: control character #x{error.character:02x}; expected plain text"
        ) from None
    if not isinstance(value, dict):
        found = "is empty" if value is None else f"has a {_kind(value)} at the top"
        raise UsageError(f"{path} {found}; expected lines such as `batch_size: 64`")
    return value


def settings_lines(path: Path) -> dict[str, int]:
    """The line, from 1, of each setting in a file that `read_settings` has read."""
    top: Any = yaml.compose(_text_of(path), _StrictLoader)
    return {name.value: name.start_mark.line + 1 for name, _ in top.value}


def settings_text(settings: Mapping[str, object]) -> str:
    """YAML that `read_settings` loads back equal, but for tuples (lists) and paths (text); order is kept."""
    plain = plain_value(settings)
    text: str = yaml.dump(
        plain, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110
    )
    return text


def plain_value(value: object) -> Any:
    """`value` as a settings file can hold it: mappings, lists, text, numbers, booleans, None."""
    if isinstance(value, Mapping):
        return {str(name): plain_value(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    return str(value) if isinstance(value, Path | S3Path) else value


def _text_of(path: Path) -> str:
    if not path.exists():
        raise UsageError(f"{path}: no such file")
    if not path.is_file():
        raise UsageError(f"{path} is not a regular file; expected a YAML file of settings")
    if path.stat().st_size > MAX_BYTES:
        raise UsageError(f"{path} has {path.stat().st_size:,} bytes; settings are at most {MAX_BYTES:,}")
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})") from None
    if text.startswith("\ufeff"):
        raise UsageError(f"{path}:1: starts with a byte order mark; save it as UTF-8 without BOM")
    return text


def _kind(value: object) -> str:
    return "list" if isinstance(value, list) else "single value"


class _StrictLoader(yaml.SafeLoader):
    """No aliases, no tags, no equal keys, no keys but words, bounded depth."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 -- the parent's name; filled below with the few types of settings
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's parser has no annotations
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise _refusal(
                "anchors and aliases (& and *) are not read; write the value out", event.start_mark
            )
        if event.tag is not None:
            raise _refusal(f"the tag {event.tag} is not read; write a plain value", event.start_mark)
        if self.depth >= MAX_DEPTH:
            raise _refusal(f"nested more than {MAX_DEPTH} deep", event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.tag != "tag:yaml.org,2002:str":
                raise _refusal("a name must be a word; put it in quotes", key.start_mark)
            if key.value in seen:
                raise _refusal(f'"{key.value}" is set on line {seen[key.value]} already', key.start_mark)
            seen[key.value] = line
        return super().construct_mapping(node, deep=deep)


class _PlainDumper(yaml.SafeDumper):
    """Puts text in quotes where this reader or a usual one would misread it; writes no aliases."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 -- the parent's signature
        return True

    def serialize(self, node: yaml.Node) -> None:
        """A line a setting at the top, also where all of them would fit on one."""
        node.flow_style = False  # type: ignore[attr-defined]  # the top is a mapping, which has one
        super().serialize(node)


def _refusal(problem: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


_StrictLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|false)$"), list("tf"))
_StrictLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:null|~|)$"), ["n", "~", ""])
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?(?:0|[1-9]\d{0,30})$"), list("-+0123456789")
)
_StrictLoader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
_PlainDumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
