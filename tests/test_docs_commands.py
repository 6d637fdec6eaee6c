"""Every command that README.md and docs/ show is one that swath understands."""

import re
import shlex
from pathlib import Path

import pytest

import swath.config
from swath import arguments
from swath.cli import VERBS
from swath.launch.sagemaker.verbs import model_of

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands_of(page):
    text = page.read_text().replace("\\\n", " ")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("swath ")]
    return [*lines, *re.findall(r"\| `(swath \w+ [^`]+)` \|", text)]


COMMANDS = [(str(page.relative_to(ROOT)), line) for page in PAGES for line in commands_of(page)]


@pytest.mark.parametrize("command", sorted({line for _, line in COMMANDS}))
def test_a_command_shown_is_understood(command, tmp_path, monkeypatch):
    _, verb, *words = shlex.split(command, comments=True)
    if verb == "sagemaker":
        monkeypatch.chdir(tmp_path)
        (tmp_path / "job.yaml").write_text("role: arn:aws:iam::1:role/swath\n")
        arguments.parse(model_of(words[0]), words[1:])
        return
    assert verb in VERBS
    arguments.parse(getattr(swath.config, VERBS[verb].settings), words)


def test_commands_are_found_in_blocks_and_tables():
    shown = {page for page, _ in COMMANDS}
    assert {"README.md", "docs/README.md", "docs/demo.md", "docs/s3.md"} <= shown
