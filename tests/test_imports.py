"""The room rule: rooms import only downward, and stages never import each other (docs/architecture.md)."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "swath"
# Single files that every room may use.
GROUND = {
    "compiled",
    "copies",
    "errors",
    "files",
    "kinds",
    "draws",
    "engine",
    "location",
    "products",
    "redaction",
    "results",
    "settings_file",
    "storage",
}
BELOW = {
    "config": {"errors"},
    "arguments": {"config"},
    "runtime": set(),
    "data": set(),
    "datasets": {"data"},
    "pages": {"data", "geography"},
    "geography": set(),
    "prepare": {"config", "runtime", "data", "datasets", "geography", "pages"},
    "augment": {"data.bands", "data.line_filter"},
    "models": set(),
    "scores": set(),
    "features": {"runtime", "data", "models", "scores"},
    "pretraining": {"arguments", "config", "runtime", "data", "augment", "models", "scores"},
    "transfer": {
        "arguments",
        "config",
        "runtime",
        "data",
        "augment",
        "features",
        "geography",
        "models",
        "pages",
        "scores",
    },
    "serve": {"config", "runtime", "data", "datasets", "features", "geography", "models", "pages", "scores"},
    "launch": {"config", "arguments", "runtime.lock", "runtime.last_words"},
    "stages": {"launch", "arguments", "config", "prepare", "pretraining", "transfer", "serve", "runtime"},
    "sagemaker": {"arguments", "config", "launch"},
    "demo": {"config", "stages"},
    "doctor": {"config", "runtime", "data", "launch"},
    "errors": set(),
    "compiled": set(),
    "copies": {"errors", "files", "location", "storage"},
    "files": {"errors", "location", "storage"},
    "draws": set(),
    "engine": {"errors"},
    "kinds": {"errors", "location", "storage"},
    "location": {"errors"},
    "products": set(),
    "results": {"location"},
    "settings_file": {"errors", "location"},
    "redaction": set(),
    "storage": {"errors", "location", "redaction"},
}
EVERYTHING = {"__init__", "cli"}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def imports_of(path: Path) -> list[str]:
    """Every `swath...` module a file imports, also inside functions."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports are not used here"
            if node.module == "swath":
                found += [f"swath.{alias.name}" for alias in node.names]
            else:
                found.append(node.module or "")
    return [name for name in found if name == "swath" or name.startswith("swath.")]


def allowed(room: str, module: str) -> bool:
    target = module.removeprefix("swath.")
    top = target.split(".")[0]
    if room in EVERYTHING or top == room or (top in GROUND and room not in GROUND):
        return True
    return any(target == below or target.startswith(f"{below}.") for below in BELOW[room])


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_file_imports_only_rooms_below_its_own(path: Path) -> None:
    relative = path.relative_to(SOURCE)
    room = relative.parts[0].removesuffix(".py")
    assert room in BELOW or room in EVERYTHING, (
        f"{relative}: a new room needs its line in this test and in docs/architecture.md"
    )
    wrong = [module for module in imports_of(path) if not allowed(room, module)]
    assert not wrong, f"{relative} ({room}) imports {wrong}"


def names_of(module: str) -> set[str]:
    """What a file defines at its top, and the files beside it where it is a package."""
    folder = SOURCE.parent / module.replace(".", "/")
    path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    names = {found.stem for found in folder.glob("*") if folder.is_dir()}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        else:
            names |= {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return names


def test_scripts_beside_the_package_import_names_that_are_there() -> None:
    root = SOURCE.parents[1]
    for path in (*root.glob("benchmarks/*.py"), *root.glob("tools/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("swath."):
                missing = {alias.name for alias in node.names} - names_of(str(node.module))
                assert not missing, f"{path.name}: {node.module} has no {missing}"


def test_the_rule_would_see_a_stage_that_imports_another() -> None:
    assert not allowed("pretraining", "swath.transfer.embed")
    assert not allowed("augment", "swath.data.store")
    assert not allowed("models", "swath.config")
    assert allowed("augment", "swath.data.bands")
