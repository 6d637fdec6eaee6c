"""Weights in: training of the reference goes on, backbones embed, and what does not fit is said."""

import pytest
import torch
from reference import EPOCH_STEPS, Reference

import swath
from swath.augment.views import Views
from swath.data.store import TileStore
from swath.errors import DataError, UsageError
from swath.models.vit import VisionTransformer, shape_of
from swath.models.weights import load_weights, save_weights
from swath.pretraining.optimizer import clip_each, set_rates
from swath.pretraining.recipe import Recipe
from swath.pretraining.schedule import values_at
from swath.pretraining.state import restore
from swath.pretraining.trainer import Trainer
from swath.runtime.ranks import Ranks
from swath.runtime.run import Run


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """An epoch of the reference, with the last layer frozen, its checkpoint, and views of steps to come."""
    folder = tmp_path_factory.mktemp("reference")
    made = Reference()
    generator = torch.Generator().manual_seed(3)
    views = torch.randn(3, 3, 1, 3, 224, 224, generator=generator)
    for it in range(EPOCH_STEPS):
        made.step(it, views[it])
    made.save(folder / "checkpoint.pth", epoch=1)
    return made, folder / "checkpoint.pth", views


@pytest.fixture(scope="module")
def imported(reference, packed, tmp_path_factory):
    out = tmp_path_factory.mktemp("imported") / "run"
    return swath.import_weights(reference[1], out=out, tiles=packed)


def test_a_checkpoint_becomes_a_recipe_with_the_same_schedules(reference, imported):
    recipe = Recipe.model_validate(Run.open(imported.out).recipe)
    made = reference[0]
    assert (recipe.batch_size, recipe.steps, recipe.local_scale) == (4, 6, (0.1, 0.3))
    values = [values_at(step, recipe) for step in range(6)]
    for ours, theirs in (("lr", made.lr), ("weight_decay", made.decay), ("momentum", made.momentum)):
        assert [getattr(v, ours) for v in values] == pytest.approx(theirs.tolist(), rel=1e-9)
    assert [v.teacher_temp for v in values] == pytest.approx([0.04] * 2 + [0.06] * 4)
    assert [v.last_layer_frozen for v in values] == [True] * 2 + [False] * 4
    assert (imported.goes_on_at_step, imported.of_steps) == (2, 6)
    assert (imported.matched, imported.missing) == (54, ())


def test_the_next_step_after_an_import_is_the_next_step_of_the_reference(reference, imported, packed):
    """Head, moments of AdamW, centre and schedules all count: one lost would change the weights."""
    made, _, views = reference
    run = Run.open(imported.out)
    checkpoint = run.checkpoint()
    recipe = Recipe.model_validate(run.recipe)
    trainer = Trainer(recipe, TileStore(packed).format, ranks=Ranks())
    method = trainer.method
    restore(checkpoint.tensors, method, trainer.optimizer)
    values = values_at(2, recipe)
    given = Views(views[2][:2].flatten(0, 1), views[2][2:].flatten(0, 1))
    loss = method.learn(given, values, None, torch.autograd.backward).loss
    clip_each(method.student.parameters(), recipe.clip_grad)
    set_rates(trainer.optimizer, lr=values.lr, weight_decay=values.weight_decay)
    trainer.optimizer.step()
    assert float(loss) == pytest.approx(made.step(2, views[2]), rel=1e-5)
    ours, theirs = method.student.state_dict(), made.student.state_dict()
    moved = sum(float((theirs[n] - checkpoint.tensors["student"][n]).norm() ** 2) for n in theirs) ** 0.5
    apart = sum(float((theirs[n] - ours[n]).norm() ** 2) for n in theirs) ** 0.5
    assert apart < 1e-2 * moved  # Adam divides rounding noise by rounding noise in the biases of the keys


def test_training_goes_on_by_the_usual_command(imported, packed):
    assert "split_digest" not in Run.open(imported.out).checkpoint().state  # nothing here taught it
    run = swath.pretrain(packed, out=imported.out)
    assert run.summary["steps"] == 6
    assert [row["step"] for row in run.metrics()] == list(range(3, 7))
    assert run.checkpoint().state["tiles"]["mean"] == [0.485, 0.456, 0.406]


def test_without_tiles_the_run_holds_the_teacher_and_says_how_to_start_from_it(reference, packed, tmp_path):
    result = swath.import_weights(reference[1], out=tmp_path / "run")
    assert (result.goes_on_at_step, result.positions, result.bands) == (
        None,
        "dino",
        ("red", "green", "blue"),
    )
    with pytest.raises(UsageError, match=r"no training to go on with; .* --init"):
        swath.pretrain(packed, out=tmp_path / "run")


def _vit(**shape):
    return VisionTransformer(shape_of("vit_tiny", 16, **({"in_channels": 3, "image_px": 32} | shape)))


def test_a_bare_backbone_is_embedded_and_started_from(packed, tmp_path):
    network = _vit()
    torch.save(network.state_dict(), tmp_path / "dino_pretrain.pth")
    with pytest.raises(UsageError, match="--bands would change nothing beside --tiles"):
        swath.import_weights(tmp_path / "dino_pretrain.pth", out=tmp_path / "r", tiles=packed, bands="a,b,c")
    result = swath.import_weights(tmp_path / "dino_pretrain.pth", out=tmp_path / "run", tiles=packed)
    assert (result.matched, result.missing, result.unexpected) == (150, (), ())
    swath.embed(tmp_path / "run", packed, out=tmp_path / "features.parquet")
    run = swath.pretrain(
        packed, out=tmp_path / "new", init=tmp_path / "run", model="vit_tiny", patch_size=16, steps=1,
        batch_size=4, local_views=0, out_dim=16, monitor_every=0, lr=1e-9,
    )  # fmt: skip
    started = run.checkpoint().tensors["student"]["backbone.blocks.0.mlp.fc1.weight"]
    assert torch.allclose(started, network.blocks[0].mlp.fc1.weight, atol=1e-6)


def test_names_of_timm_bring_their_positions_and_their_classifier_is_left_out(tmp_path):
    tensors = _vit().state_dict() | {"head.weight": torch.ones(5, 192), "head.bias": torch.ones(5)}
    save_weights(tmp_path / "timm.safetensors", tensors)
    result = swath.import_weights(tmp_path / "timm.safetensors", out=tmp_path / "run")
    assert (result.positions, set(result.unexpected)) == ("timm", {"head.weight", "head.bias"})
    stored = Run.open(tmp_path / "run").checkpoint().tensors["teacher"]
    assert torch.equal(
        stored["backbone.norm.weight"], load_weights(tmp_path / "timm.safetensors")["norm.weight"]
    )


def test_weights_that_lack_a_tensor_are_refused_unless_allowed(tmp_path):
    tensors = _vit().state_dict()
    del tensors["norm.bias"]
    torch.save(tensors, tmp_path / "w.pth")
    with pytest.raises(DataError, match=r"lack 1 of the 150 tensors of the network: norm\.bias"):
        swath.import_weights(tmp_path / "w.pth", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    result = swath.import_weights(tmp_path / "w.pth", out=tmp_path / "run", allow_missing=True)
    assert result.missing == ("norm.bias",)


def test_weights_that_are_not_finite_are_refused_by_name(tmp_path):
    tensors = _vit().state_dict()
    tensors["blocks.3.mlp.fc1.weight"][:3, :4] = float("nan")
    torch.save({"teacher": tensors}, tmp_path / "w.pth")
    with pytest.raises(
        DataError, match=r"holds 12 values that are not finite in blocks\.3\.mlp\.fc1\.weight"
    ):
        swath.import_weights(tmp_path / "w.pth", out=tmp_path / "run")


def test_what_is_no_vision_transformer_is_refused(tmp_path):
    torch.save({"conv1.weight": torch.ones(2)}, tmp_path / "resnet.pth")
    with pytest.raises(DataError, match=r"no vision transformer that swath knows; .* found conv1\.weight"):
        swath.import_weights(tmp_path / "resnet.pth", out=tmp_path / "run")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(DataError, match="holds epoch; expected tensors by name"):
        swath.import_weights(tmp_path / "empty.pth", out=tmp_path / "run")


def test_other_bands_than_the_weights_see_are_refused(packed, tmp_path):
    torch.save(_vit(in_channels=12).state_dict(), tmp_path / "w.pth")
    with pytest.raises(UsageError, match=r"the weights see 12 bands, the tiles have .*; pack 12 of them"):
        swath.import_weights(tmp_path / "w.pth", out=tmp_path / "run", tiles=packed)
    with pytest.raises(UsageError, match="the weights see 12 bands, red,green,blue are 3"):
        swath.import_weights(tmp_path / "w.pth", out=tmp_path / "run")
    with pytest.raises(UsageError, match="no file says how these were scaled; give the --tiles"):
        swath.import_weights(tmp_path / "w.pth", out=tmp_path / "run", bands=[f"b{i}" for i in range(12)])


def test_weights_of_another_architecture_say_both_and_the_first_five_tensors(packed, tmp_path):
    torch.save(_vit().state_dict(), tmp_path / "w.pth")
    swath.import_weights(tmp_path / "w.pth", out=tmp_path / "run", tiles=packed)
    with pytest.raises(DataError) as caught:
        swath.pretrain(
            packed, out=tmp_path / "new", init=tmp_path / "run", model="vit_micro", patch_size=8, steps=1,
            batch_size=4,
        )  # fmt: skip
    message = str(caught.value)
    assert message.startswith("weights are vit_tiny/16 in 3 bands; the network is vit_micro/8 in 3 bands. ")
    assert message.count(" is 1x") + message.count(", not ") >= 5
    assert "more." in message
