"""Fine-tuning: it starts at the probe, resumes bitwise, decays by layer, and gives a run that probes open."""

import json

import numpy as np
import pytest
import torch
from masked_tiles import SHAPE, make_pack, make_run

import swath
from swath.config import FinetuneConfig
from swath.errors import DataError, Stopped, UsageError
from swath.runtime.checkpoint import load_newest, state_hash
from swath.transfer.finetune.recipe import lr_at, resolve
from swath.transfer.finetune.trainer import layer_groups, layer_of

SMALL = {"epochs": 3, "batch_size": 10, "precision": "float32"}


@pytest.fixture
def labelled(tmp_path):
    make_pack(tmp_path / "tiles.lance", labels=True)
    make_run(tmp_path / "run")
    return tmp_path


def tune(folder, out="tuned", **settings):
    given = {"task": "labels"} | SMALL | settings
    return swath.finetune(folder / "run", folder / "tiles.lance", out=folder / out, **given)


def test_labels_are_learned_from_where_the_probe_ends(labelled):
    result = tune(labelled, epochs=15, lr=5e-3)
    frozen, tuned = result.scores["frozen + probe"], result.scores["fine-tuned"]
    assert tuned["accuracy"][0] >= frozen["accuracy"][0]
    assert result.gain_over_frozen["accuracy"][0] == pytest.approx(
        tuned["accuracy"][0] - frozen["accuracy"][0]
    )
    assert 0 <= result.best_epoch <= 15
    rows = [json.loads(line) for line in (labelled / "tuned" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, result.steps + 1))
    assert sum("val_score" in row for row in rows) == 15


@pytest.mark.parametrize("task", ["labels", "masks"])
def test_a_processor_that_multiplies_bfloat16_learns_too(labelled, task):
    assert tune(labelled, task=task, epochs=1, precision="bfloat16").steps > 0


def test_before_the_first_step_the_network_says_what_the_probe_says(labelled):
    result = tune(labelled, lr=1e-12, epochs=1)
    assert result.gain_over_frozen["map_macro"][0] == pytest.approx(0, abs=1e-6)


def test_a_training_that_only_harms_ends_where_it_began(labelled):
    result = tune(labelled, lr=50.0, epochs=1)
    assert result.best_epoch == 0
    assert result.gain_over_frozen["map_macro"][0] == pytest.approx(0, abs=1e-6)


def test_a_fine_tuned_run_is_opened_as_any_other(labelled):
    tune(labelled)
    tuned = swath.probe(labelled / "tuned", labelled / "tiles.lance")
    pretrained = swath.probe(labelled / "run", labelled / "tiles.lance")
    assert tuned.digests["checkpoint"] != pretrained.digests["checkpoint"]


@pytest.mark.parametrize("task", ["labels", "masks"])
def test_a_stopped_run_that_goes_on_is_bitwise_the_run_that_never_stopped(labelled, monkeypatch, task):
    whole = tune(labelled, out="whole", task=task)
    monkeypatch.setenv("SWATH_FAULT", "stop@step=4")
    with pytest.raises(Stopped, match="at step 5; saved"):
        tune(labelled, out="parts", task=task)
    monkeypatch.delenv("SWATH_FAULT")
    parts = tune(labelled, out="parts", task=task)
    hashes = [
        state_hash(load_newest(labelled / name / "checkpoints", repair=False).tensors)
        for name in ("whole", "parts")
    ]
    assert hashes[0] == hashes[1]
    assert parts.scores == whole.scores


def test_masks_are_learned_end_to_end(tmp_path):
    make_pack(tmp_path / "tiles.lance", size_px=24)
    make_run(tmp_path / "run")
    result = swath.finetune(tmp_path / "run", tmp_path / "tiles.lance", out=tmp_path / "tuned", **SMALL)
    assert result.task == "masks"
    assert result.scores["fine-tuned"]["miou"][0] > 0.6


def test_layers_learn_slower_the_deeper_they_lie():
    from swath.models.dense_head import ConvDenseHead
    from swath.models.vit import VisionTransformer
    from swath.transfer.finetune.task import TaskNetwork

    network = TaskNetwork(VisionTransformer(SHAPE), ConvDenseHead(SHAPE.width, 2))
    asked = FinetuneConfig(run="r", tiles="t", out="o", layer_decay=0.5)
    groups = layer_groups(network, resolve(asked, tiles=640, precision="float32"))
    scale = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    named = dict(network.named_parameters())
    assert set(scale) == {id(p) for p in named.values()}
    for name, parameter in named.items():
        expected = 0.5 ** (SHAPE.depth + 1 - layer_of(name, SHAPE.depth))
        assert scale[id(parameter)] == expected, name
    assert layer_of("backbone.cls_token", 12) == 0
    assert layer_of("backbone.blocks.11.attn.qkv.weight", 12) == 12
    assert layer_of("backbone.norm.weight", 12) == layer_of("head.weight", 12) == 13
    assert decay[id(named["backbone.pos_embed"])] == decay[id(named["backbone.norm.bias"])] == 0
    assert decay[id(named["backbone.blocks.0.mlp.fc1.weight"])] > 0


def test_the_rate_warms_up_and_ends_at_zero():
    recipe = resolve(FinetuneConfig(run="r", tiles="t", out="o", epochs=10), tiles=640, precision="float32")
    rates = [lr_at(step, recipe) for step in range(recipe.steps + 1)]
    assert max(rates) == pytest.approx(1e-3 * 64 / 256)
    assert int(np.argmax(rates)) == recipe.warmup_steps - 1
    assert rates[-1] == pytest.approx(0, abs=1e-12)


def test_a_step_that_is_not_finite_changes_nothing_and_three_stop(labelled, monkeypatch):
    from swath.errors import TrainingError

    monkeypatch.setenv("SWATH_FAULT", "nan@step=2")
    tune(labelled, out="once")
    monkeypatch.setenv("SWATH_FAULT", "nan@step>=2")
    with pytest.raises(TrainingError, match="3 steps in a row up to step 4"):
        tune(labelled, out="thrice")


def test_what_cannot_be_tuned_is_said_in_one_line(labelled, tmp_path):
    with pytest.raises(UsageError, match="holds labels and masks; choose with --task"):
        tune(labelled, task=None)
    with pytest.raises(UsageError, match="found 30 tiles to train on, a batch needs 64"):
        tune(labelled, batch_size=64)
    tune(labelled)
    with pytest.raises(UsageError, match="started with other settings: epochs: 3 -> 4"):
        tune(labelled, epochs=4)
    make_pack(tmp_path / "masks.lance")
    with pytest.raises(UsageError, match="holds no labels, only masks"):
        swath.finetune(labelled / "run", tmp_path / "masks.lance", out=tmp_path / "x", task="labels")
    assert not (tmp_path / "x").exists()
    with pytest.raises(UsageError, match="does not exist"):
        swath.finetune(tmp_path / "none", tmp_path / "masks.lance", out=tmp_path / "x")
    assert torch.is_grad_enabled()
    assert DataError.exit_code == 3
