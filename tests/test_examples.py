"""The commands that the examples and the page on BigEarthNet show are commands of this swath."""

import importlib
import json
import re
import shlex
import subprocess
import sys
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


@pytest.mark.parametrize("given", [1, 2])
def test_the_table_of_two_rows_stands_beside_the_published_numbers(tmp_path, given):
    """With one result the row of the weights of ImageNet is not there."""
    script = (ROOT / "examples" / "bigearthnet.sh").read_text(encoding="utf-8")
    program = script.split("<<'PYTHON'\n")[1].removesuffix("PYTHON\n")
    paths = [tmp_path / f"{n}.json" for n in range(2)][-given:]
    for path in paths:
        macro, micro = float(path.stem) / 10 + 0.5, float(path.stem) / 10 + 0.6
        path.write_text(json.dumps({"map_macro": [macro, 0.1, 0.9], "map_micro": [micro, 0.2, 0.8]}))
    said = subprocess.run([sys.executable, "-c", program, *paths], capture_output=True, text=True, check=True)
    rows = [line.split() for line in said.stdout.splitlines() if "[" in line]
    assert [[row[-7], row[-4], row[-1]] for row in rows] == [
        ["0.500", "0.600", "0.685"],
        ["0.600", "0.700", "0.732"],
    ][-given:]
