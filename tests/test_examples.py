"""The commands that the examples and the page on BigEarthNet show are commands of this swath."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from swath.arguments import parse
from swath.cli import VERBS
from swath.errors import UsageError

ROOT = Path(__file__).parents[1]
SHOWN = [*sorted((ROOT / "examples").glob("*.sh")), ROOT / "docs" / "bigearthnet.md"]
VARIABLES = {"GPUS": "8", "BANDS": "B04,B03,B02"}


def commands(text):
    """Words of every line that begins with swath; lines that end in a backslash go on."""
    joined = re.sub(r"\\\n\s*", " ", text)
    lines = (line.strip() for line in joined.splitlines())
    shown = [line[line.index("swath ") :] for line in lines if re.match(r"(\[.*\|\| )?swath ", line)]
    filled = [re.sub(r"\$\{?(\w+)\}?", lambda m: VARIABLES.get(m[1], m[1].lower()), line) for line in shown]
    return [shlex.split(line, comments=True)[1:] for line in filled]


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: path.name)
def test_every_command_shown_is_understood(path):
    found = commands(path.read_text(encoding="utf-8"))
    assert len(found) > 5
    for verb, *words in found:
        assert verb in VERBS, verb
        parse(getattr(importlib.import_module("swath.config"), VERBS[verb].settings), words)


def test_a_command_that_is_none_would_be_seen():
    ((verb, *words),) = commands("swath pack a.parquet \\\n  --out b.lance --bandz B04  # a comment\n")
    with pytest.raises(UsageError, match="unknown flag --bandz"):
        parse(getattr(importlib.import_module("swath.config"), VERBS[verb].settings), words)
