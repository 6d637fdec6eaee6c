"""The ten lines of a notebook, against a SageMaker on loopback."""

import json
from pathlib import Path

import pytest

import swath.sagemaker
from swath.errors import UsageError
from swath.runtime.run import Run

ROLE = {"role": "arn:aws:iam::123456789012:role/swath", "store": "s3://bucket/notebook"}
NOTEBOOK = Path(__file__).parents[2] / "docs/notebooks/sagemaker.ipynb"
SMALL = {
    "model": "vit_micro", "patch_size": 16, "batch_size": 16, "local_views": 2, "local_px": 16,
    "monitor_every": 0, "steps": 4,
}  # fmt: skip


def test_the_notebook_of_the_recipe_runs_from_the_first_cell_to_the_last(
    on_s3, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("swath.launch.sagemaker.following._LOOK_S", 0.1)
    names = {}
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if cell["metadata"].get("tags") == ["parameters"]:
            names |= {"TILES": on_s3, "RECIPE": SMALL, "JOB": ROLE}
        elif cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), str(NOTEBOOK), "exec"), names)  # noqa: S102 -- our own
    said = capsys.readouterr().out
    assert "nothing was sent; leave out --dry-run" in said
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert Run.open(names["run"]).checkpoint().step == SMALL["steps"]
    assert json.loads(names["scores"].read_text())["map_macro"]
    again = swath.sagemaker.attach(names["job"].name)
    assert again.wait(look_s=0.1).status == "Completed"
    assert again.cost().billable_s > 0


def test_a_dry_run_sends_nothing(on_s3):
    tried = swath.sagemaker.pretrain(on_s3, **SMALL, **ROLE, dry_run=True)
    assert tried.request["HyperParameters"]["steps"] == "4"


@pytest.mark.usefixtures("aws")
def test_mistakes_are_told_before_anything_is_sent():
    with pytest.raises(UsageError, match='Did you mean "preset"'):
        swath.sagemaker.pretrain("s3://bucket/tiles.lance", presett="demo", **ROLE)
    with pytest.raises(UsageError, match="no job nothing-here"):
        swath.sagemaker.attach("nothing-here")
