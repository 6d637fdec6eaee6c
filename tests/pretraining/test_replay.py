"""A step that was not finite can be looked at again, with the weights that it had."""

import json

import pytest
import torch
from s3_server import put_folder

import swath
from swath.data.loader import Batch
from swath.data.store import TileStore
from swath.errors import UsageError
from swath.pretraining import replay as module
from swath.pretraining.bad_batches import read_bad_batches
from swath.pretraining.replay import watched
from swath.pretraining.trainer import Trainer
from swath.runtime.run import Run

STEPS = ("--steps", "8", "--save-every", "4")


@pytest.fixture
def skipped(pretrain, tmp_path, monkeypatch):
    """A run that skipped step 6."""
    monkeypatch.setenv("SWATH_FAULT", "nan@step=6")
    assert pretrain(tmp_path / "run", *STEPS).code == 0
    monkeypatch.setenv("SWATH_FAULT", "")
    return tmp_path / "run"


def test_a_replayed_step_has_the_loss_that_it_would_have_had(skipped, pretrain, place, tmp_path):
    assert pretrain(tmp_path / "whole", *STEPS).code == 0
    loss = {row["step"]: row["loss"] for row in Run.open(tmp_path / "whole").metrics()}[7]
    found = swath.replay(skipped)
    assert found.step == 6
    assert found.weights == "those of step 6, trained again from the checkpoint of step 4"
    assert found.loss == loss, "bitwise: the batch and the weights are the same"
    assert found.first_not_finite == ""
    assert found.gradients_not_finite == []
    assert len(found.view_losses) == 4
    assert swath.replay(put_folder(skipped, place("run"))) == found, "of the run in s3:// too"
    rows = {row["step"] for row in Run.open(skipped).metrics()}
    assert rows == set(range(1, 9)), "nothing on the disk has changed"
    (line,) = read_bad_batches(skipped)
    ids = TileStore(str(Run.open(skipped).config["tiles"])).ids()[line["sample_ids"]]
    assert list(found.tiles) == [str(name) for name in ids]


def test_the_module_and_the_tile_that_spoil_a_step_are_named(skipped, monkeypatch):
    views = Trainer.views

    def with_a_hole(trainer: Trainer, batch: Batch):
        made = views(trainer, batch)
        made.globals_[3] = torch.nan
        return made

    def spoil(*_args, **_named):
        monkeypatch.setattr(Trainer, "views", with_a_hole)
        return "spoilt on purpose"

    monkeypatch.setattr(module, "_bring_to", spoil)
    found = swath.replay(skipped, step=6)
    assert found.first_not_finite.startswith("teacher.backbone.")
    assert found.tiles_not_finite == [found.tiles[3]]
    assert found.loss == "nan"
    assert found.gradients_not_finite[0] == "backbone.cls_token"
    assert found.view_losses[0] == "nan"
    json.dumps(found.to_json(), allow_nan=False)


def test_modules_are_named_in_the_order_of_computing():
    student = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    with torch.no_grad():
        student[1].weight[0, 0] = torch.inf
    with watched(student, torch.nn.Sequential()) as found:
        student(torch.ones(1, 2))
    assert found == ["student.1", "student.2"]
    student(torch.ones(1, 2))
    assert len(found) == 2, "nothing is watched afterwards"


@pytest.mark.parametrize("method", ["dino", "simclr"])
def test_the_losses_of_the_views_average_to_the_loss(packed, tmp_path, monkeypatch, method):
    monkeypatch.setenv("SWATH_FAULT", "nan@step=1")
    small = {"model": "vit_micro", "patch_size": 16, "batch_size": 16, "steps": 3, "precision": "float32"}
    if method == "dino":
        small |= {"local_views": 0}
    swath.pretrain(packed, out=tmp_path / "run", method=method, monitor_every=0, **small)
    monkeypatch.setenv("SWATH_FAULT", "")
    found = swath.replay(tmp_path / "run")
    assert found.weights == "those of step 1, trained again from the start"
    globals_, locals_ = found.view_losses[:2], found.view_losses[2:]
    parts = [sum(part) / len(part) for part in (globals_, locals_) if part]
    assert sum(parts) / len(parts) == pytest.approx(found.loss, rel=1e-5)


def test_what_cannot_be_replayed_is_said(skipped, pretrain, tmp_path):
    with pytest.raises(UsageError, match=r"has no step 5; it has 6"):
        swath.replay(skipped, step=5)
    assert pretrain(tmp_path / "fine", "--steps", "1").code == 0
    with pytest.raises(UsageError, match="has skipped no step: there is nothing to replay"):
        swath.replay(tmp_path / "fine")
