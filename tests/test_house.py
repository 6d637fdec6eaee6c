"""The rules of the house that a machine can see: names, lengths, what compiles, what is public."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import swath

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "swath"
PYTHON_FILES = sorted(
    p for folder in ("src", "tests", "benchmarks", "tools") for p in (ROOT / folder).rglob("*.py")
)
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "common", "misc", "base", "core", "manager"}
PUBLIC = {
    "DataError", "MachineError", "Run", "Stopped", "SwathError", "TileDataset", "TrainingError", "UsageError",
    "audit", "describe", "download", "embed", "explore", "export", "finetune", "import_weights", "index",
    "ladder", "pack", "pretrain", "probe", "replay",
    "report", "split", "bundle", "verify", "load", "search", "predict",
}  # fmt: skip
INDEX_ADDRESS = re.compile(r"https?://[^\s\"']+/(simple|packages)/|index-url +http", re.IGNORECASE)


def modules() -> list[str]:
    names = [p.relative_to(SOURCE.parent).with_suffix("") for p in sorted(SOURCE.rglob("*.py"))]
    return [".".join(name.parts).removesuffix(".__init__") for name in names]


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_is_short_and_its_name_says_something(path: Path) -> None:
    assert path.stem not in NAMES_THAT_SAY_NOTHING
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= 300, f"{path} has {lines} lines: which noun is hiding in it?"
    compile(path.read_text(encoding="utf-8"), str(path), "exec")


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_functions_fit_on_a_screen_and_only_the_command_line_prints(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 60, f"{node.name} has {length} lines"
        if path.name != "cli.py" and isinstance(node, ast.Call):
            assert not (isinstance(node.func, ast.Name) and node.func.id == "print")


@pytest.mark.parametrize("module", modules())
def test_every_module_imports(module: str) -> None:
    assert importlib.import_module(module).__name__ == module


def test_public_names_are_frozen() -> None:
    assert set(swath.__all__) == PUBLIC
    for name in PUBLIC:
        assert getattr(swath, name) is not None


def test_importing_swath_needs_neither_torch_nor_pydantic() -> None:
    code = "import sys, swath, swath.cli; sys.exit(bool({'torch', 'pydantic', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_pins_have_hashes_and_no_index_address() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert not INDEX_ADDRESS.search(lock)
    assert "http" not in re.sub(r"#.*|[\w-]*http\w*(?=[=\s-])", "", lock)
    pinned = re.findall(r"^[\w.\-]+==", lock, re.MULTILINE)
    assert len(pinned) > 40
    assert lock.count("--hash=sha256:") >= len(pinned)
    assert "uv.lock" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
