"""What is resolved from what: the paper's table, sizes, and refusals."""

import pytest

from swath.config import PretrainConfig
from swath.errors import UsageError
from swath.pretraining.recipe import Archive, Recipe, resolve, steps_of

EUROSAT = Archive(tiles=17_000, size_px=64, bands=3)


def ask(**settings) -> PretrainConfig:
    return PretrainConfig(tiles="tiles.lance", out="run", **settings)


def test_the_paper_is_the_table_of_the_reference():
    archive = Archive(tiles=269_695, size_px=120, bands=3)
    asked = ask(preset="paper", epochs=100)
    recipe = resolve(asked, archive, steps=steps_of(asked, archive), precision="float32")
    expected = {
        "method": "dino", "model": "vit_small", "patch_size": 16, "global_px": 224, "local_px": 96,
        "local_views": 8, "out_dim": 65_536, "norm_last_layer": True, "momentum": 0.996, "teacher_temp": 0.04,
        "weight_decay": 0.04, "weight_decay_end": 0.4, "clip_grad": 3.0, "min_lr": 1e-6, "drop_path": 0.1,
        "position": "dino", "warmup_steps": 42_140, "freeze_last_layer_steps": 4214,
    }  # fmt: skip
    assert {name: getattr(recipe, name) for name in expected} == expected
    assert recipe.lr == pytest.approx(5e-4 * 64 / 256)
    assert recipe.steps == 421_399


def test_every_derived_value_says_why_and_given_ones_do_not():
    recipe = resolve(ask(steps=500), EUROSAT, steps=500, precision="float32")
    assert recipe.patch_size == 8
    assert {"patch_size", "out_dim", "momentum", "teacher_temp", "global_px"} <= set(recipe.reasons)
    given = resolve(ask(steps=500, out_dim=333), EUROSAT, steps=500, precision="float32")
    assert given.out_dim == 333
    assert "out_dim" not in given.reasons


def test_the_teacher_follows_the_number_of_steps():
    momenta = [resolve(ask(), EUROSAT, steps=n, precision="float32").momentum for n in (100, 1000, 100_000)]
    assert momenta == sorted(momenta)
    assert momenta[0] == 0.9
    assert momenta[-1] == 0.996


def test_a_recipe_loads_back_equal():
    recipe = resolve(ask(steps=500), EUROSAT, steps=500, precision="float32")
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


def test_too_few_tiles_for_a_batch_are_named_with_both_numbers():
    with pytest.raises(UsageError, match="found 3 tiles to train on, a batch needs 64; lower --batch-size"):
        resolve(ask(), Archive(tiles=3, size_px=64, bands=3), steps=10, precision="float32")


def test_a_setting_that_would_change_nothing_is_refused():
    with pytest.raises(UsageError, match="--out-dim, --local-views would change nothing: --method simclr"):
        resolve(ask(method="simclr", out_dim=99, local_views=2), EUROSAT, steps=10, precision="float32")
    quiet = resolve(ask(method="simclr"), EUROSAT, steps=10, precision="float32")
    assert not {"out_dim", "teacher_temp"} & set(quiet.reasons)
    assert quiet.local_views == 0


def test_the_share_of_warm_up_is_kept_by_every_preset():
    for preset in ("overhead", "paper"):
        recipe = resolve(ask(preset=preset, warmup_share=0.25), EUROSAT, steps=400, precision="float32")
        assert recipe.warmup_steps == 100


def test_the_paper_refuses_other_than_three_bands():
    with pytest.raises(UsageError, match="3 bands, the tiles have 12"):
        resolve(ask(preset="paper"), Archive(tiles=1000, size_px=64, bands=12), steps=10, precision="float32")


def test_tiles_smaller_than_a_view_are_refused_but_by_the_paper():
    small = Archive(tiles=1000, size_px=8, bands=3)
    with pytest.raises(UsageError, match="tiles are 8 px, smaller than a global view of 32 px"):
        resolve(ask(global_px=32), small, steps=10, precision="float32")
    with pytest.raises(UsageError, match="smaller than a global view of 16 px"):
        resolve(ask(patch_size=16), small, steps=10, precision="float32")
    assert resolve(ask(preset="paper"), small, steps=10, precision="float32").global_px == 224


def test_views_that_are_no_whole_patches_are_refused():
    with pytest.raises(UsageError, match="--global-px 60 is not a multiple of --patch-size 8"):
        resolve(ask(global_px=60), EUROSAT, steps=10, precision="float32")
