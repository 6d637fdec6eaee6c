"""The notebook in docs runs, cell by cell, on a bundle and a scene."""

import json
from pathlib import Path

from striped_scene import bands_of, write_bands

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "use_a_model.ipynb"


def test_the_notebook_runs_from_the_first_cell_to_the_last(bundled, tmp_path, monkeypatch, capsys):
    (tmp_path / "first-bundle").symlink_to(bundled[1])
    write_bands(tmp_path / "imagery", bands_of(64, 48))
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    names: dict[str, object] = {}
    for source in sources:
        exec(compile(source, str(NOTEBOOK), "exec"), names)  # noqa: S102 -- our own notebook, without jupyter
    said = capsys.readouterr().out
    assert "('B04', 'B03', 'B08', 'B11') 16 10.0" in said
    assert "(1, 32)" in said
