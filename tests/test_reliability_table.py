"""docs/reliability.md names every promise, and only tests that exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
PROMISED = [
    *(f"R{n}" for n in range(1, 13)),
    "R14",
    "R17",
    "R18",
    *(f"R{n}" for n in range(20, 25)),
    "R26",
    "R27",
]


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_promise_has_its_row_and_at_least_one_test():
    rows = re.findall(r"^\| (R\d+) \| .+ \| (.+) \|$", TEXT, re.MULTILINE)
    assert [number for number, _ in rows] == PROMISED
    assert all("::test_" in proof for _, proof in rows)


def test_the_table_names_only_tests_that_exist():
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", TEXT)
    assert TEXT.count("::") == len(named)
    missing = [f"{file}::{test}" for file, test in named if test not in names_in(ROOT / file)]
    assert not missing
