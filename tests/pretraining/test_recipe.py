"""What is resolved from what: the paper's table, sizes, and refusals."""

import numpy as np
import pytest

from swath.augment.views import policy_of
from swath.config import PretrainConfig
from swath.errors import UsageError
from swath.pretraining.recipe import Archive, Recipe, resolve, steps_of
from swath.pretraining.schedule import values_at

EUROSAT = Archive(tiles=17_000, size_px=64, bands=3)


def ask(**settings) -> PretrainConfig:
    return PretrainConfig(tiles="tiles.lance", out="run", **settings)


# Every default of main_dino.py's arguments and what its code fixes, read off facebookresearch/dino at commit
# 7c446df; per epoch where it counts epochs.
MAIN_DINO = {
    "arch": "vit_small", "patch_size": 16, "out_dim": 65_536, "norm_last_layer": True,
    "momentum_teacher": 0.996, "warmup_teacher_temp": 0.04, "teacher_temp": 0.04,
    "warmup_teacher_temp_epochs": 0, "weight_decay": 0.04, "weight_decay_end": 0.4, "clip_grad": 3.0,
    "batch_size_per_gpu": 64, "epochs": 100, "freeze_last_layer": 1, "lr": 0.0005, "warmup_epochs": 10,
    "min_lr": 1e-6, "drop_path_rate": 0.1, "global_crops_scale": (0.4, 1.0), "local_crops_number": 8,
    "local_crops_scale": (0.05, 0.4), "seed": 0,
}  # fmt: skip
FIXED_IN_ITS_CODE = {"global_px": 224, "local_px": 96, "head_hidden": 2048, "momentum_end": 1.0}
ITS_VIEWS = {
    "blur_probability": (1.0, 0.1, 0.5), "global_blur_px": (0.1, 2.0), "local_blur_px": (0.1, 2.0),
    "solarize_probability": 0.2, "vertical_flip": False, "quarter_turns": False,
}  # fmt: skip
ITS_COLOURS = {
    "probability": 0.8, "brightness": 0.4, "contrast": 0.4, "saturation": 0.2, "hue": 0.1,
    "grey_probability": 0.2,
}  # fmt: skip


def test_the_paper_is_the_table_of_the_reference():
    archive = Archive(tiles=64 * 1000, size_px=120, bands=3)
    asked = ask(preset="paper")
    recipe = resolve(asked, archive, steps=steps_of(asked, archive), precision="float32", accelerated=True)
    found = {
        "arch": recipe.model, "momentum_teacher": recipe.momentum, "drop_path_rate": recipe.drop_path,
        "batch_size_per_gpu": recipe.batch_size, "epochs": recipe.steps / recipe.steps_per_epoch,
        "freeze_last_layer": recipe.freeze_last_layer_steps / recipe.steps_per_epoch,
        "warmup_epochs": recipe.warmup_steps / recipe.steps_per_epoch,
        "lr": recipe.lr * 256 / recipe.batch_size, "global_crops_scale": recipe.global_scale,
        "local_crops_number": recipe.local_views, "local_crops_scale": recipe.local_scale,
    }  # fmt: skip
    same_name = {name: getattr(recipe, name) for name in MAIN_DINO if name not in found}
    assert found | same_name == MAIN_DINO
    assert {name: getattr(recipe, name) for name in FIXED_IN_ITS_CODE} == FIXED_IN_ITS_CODE
    assert (recipe.method, recipe.position) == ("dino", "dino")
    policy = policy_of(recipe.model_dump())
    assert {name: getattr(policy, name) for name in ITS_VIEWS} == ITS_VIEWS
    assert {name: getattr(policy.colour, name) for name in ITS_COLOURS} == ITS_COLOURS


def test_what_the_reference_calls_boosted_can_be_asked_for():
    boosted = ask(
        preset="paper", epochs=300, teacher_temp=0.07, warmup_teacher_temp_epochs=30, norm_last_layer=False
    )
    archive = Archive(tiles=6400, size_px=64, bands=3)
    recipe = resolve(boosted, archive, steps=30_000, precision="float32", accelerated=True)
    expected = np.concatenate([np.linspace(0.04, 0.07, 30), np.full(270, 0.07)])
    found = [values_at(epoch * 100 + 99, recipe).teacher_temp for epoch in range(300)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert not recipe.norm_last_layer


def test_a_warm_up_of_the_temperature_that_goes_nowhere_is_refused():
    with pytest.raises(UsageError, match=r"rises from 0\.04 to a higher --teacher-temp, and that is 0\.02"):
        resolve(ask(warmup_teacher_temp_epochs=3), EUROSAT, steps=10, precision="float32", accelerated=True)


def test_every_derived_value_says_why_and_given_ones_do_not():
    recipe = resolve(ask(steps=500), EUROSAT, steps=500, precision="float32", accelerated=True)
    assert recipe.patch_size == 8
    assert {"patch_size", "out_dim", "momentum", "teacher_temp", "global_px"} <= set(recipe.reasons)
    given = resolve(ask(steps=500, out_dim=333), EUROSAT, steps=500, precision="float32", accelerated=True)
    assert given.out_dim == 333
    assert "out_dim" not in given.reasons


def test_without_a_gpu_the_default_is_the_recipe_for_a_processor_and_says_so():
    usual = resolve(ask(), EUROSAT, steps=500, precision="float32", accelerated=False)
    demo = resolve(ask(preset="demo"), EUROSAT, steps=500, precision="float32", accelerated=True)
    assert usual == demo.model_copy(update={"preset": "overhead"})
    assert (usual.model, usual.method) == ("vit_micro", "simclr")
    assert {"model", "method"} <= set(usual.reasons)
    given = ask(model="vit_small", method="dino")
    large = resolve(given, EUROSAT, steps=500, precision="float32", accelerated=False)
    assert (large.model, large.method) == ("vit_small", "dino")
    wants_dino = resolve(ask(out_dim=99), EUROSAT, steps=9, precision="float32", accelerated=False)
    assert (wants_dino.model, wants_dino.method, wants_dino.out_dim) == ("vit_micro", "dino", 99)
    assert wants_dino.reasons["method"] == "--out-dim is a setting of DINO"
    paper = ask(preset="paper")
    assert resolve(paper, EUROSAT, steps=9, precision="float32", accelerated=False).method == "dino"


def test_the_teacher_follows_the_number_of_steps():
    momenta = [
        resolve(ask(), EUROSAT, steps=n, precision="float32", accelerated=True).momentum
        for n in (100, 1000, 100_000)
    ]
    assert momenta == sorted(momenta)
    assert momenta[0] == 0.9
    assert momenta[-1] == 0.996


def test_a_recipe_loads_back_equal():
    recipe = resolve(ask(steps=500), EUROSAT, steps=500, precision="float32", accelerated=True)
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


def test_too_few_tiles_for_a_batch_are_named_with_both_numbers():
    with pytest.raises(UsageError, match="found 3 tiles to train on, a batch needs 64; lower --batch-size"):
        resolve(ask(), Archive(tiles=3, size_px=64, bands=3), steps=10, precision="float32", accelerated=True)


def test_a_setting_that_would_change_nothing_is_refused():
    with pytest.raises(UsageError, match="--out-dim would change nothing: --method simclr"):
        resolve(ask(method="simclr", out_dim=99), EUROSAT, steps=10, precision="float32", accelerated=True)
    quiet = resolve(ask(method="simclr"), EUROSAT, steps=10, precision="float32", accelerated=True)
    assert not {"out_dim", "teacher_temp"} & set(quiet.reasons)
    assert quiet.local_views == 4


def test_the_share_of_warm_up_is_kept_by_every_preset():
    for preset in ("overhead", "paper"):
        recipe = resolve(
            ask(preset=preset, warmup_share=0.25), EUROSAT, steps=400, precision="float32", accelerated=True
        )
        assert recipe.warmup_steps == 100


def test_the_paper_refuses_other_than_three_bands():
    with pytest.raises(UsageError, match="3 bands, the tiles have 12"):
        resolve(
            ask(preset="paper"),
            Archive(tiles=1000, size_px=64, bands=12),
            steps=10,
            precision="float32",
            accelerated=True,
        )


def test_tiles_smaller_than_a_view_are_refused_but_by_the_paper():
    small = Archive(tiles=1000, size_px=8, bands=3)
    with pytest.raises(UsageError, match="tiles are 8 px, smaller than a global view of 32 px"):
        resolve(ask(global_px=32), small, steps=10, precision="float32", accelerated=True)
    with pytest.raises(UsageError, match="smaller than a global view of 16 px"):
        resolve(ask(patch_size=16), small, steps=10, precision="float32", accelerated=True)
    assert (
        resolve(ask(preset="paper"), small, steps=10, precision="float32", accelerated=True).global_px == 224
    )


def test_views_that_are_no_whole_patches_are_refused():
    with pytest.raises(UsageError, match="--global-px 60 is not a multiple of --patch-size 8"):
        resolve(ask(global_px=60), EUROSAT, steps=10, precision="float32", accelerated=True)
