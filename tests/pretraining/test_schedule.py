"""Schedules against the arrays that the reference builds for a whole training."""

import numpy as np
import pytest

from swath.pretraining.schedule import peak_of, values_at


def cosine_array(base, final, steps, *, warmup=0):
    """The formula of facts: linspace for the warm-up, then half a cosine over what is left."""
    i = np.arange(steps - warmup)
    falling = final + 0.5 * (base - final) * (1 + np.cos(np.pi * i / len(i)))
    return np.concatenate([np.linspace(0, base, warmup), falling])


def test_every_step_equals_the_arrays_of_the_reference(a_recipe):
    recipe = a_recipe(steps=50, warmup_steps=10, lr=5e-4, min_lr=1e-6, weight_decay_end=0.4, momentum=0.996)
    values = [values_at(step, recipe) for step in range(50)]
    np.testing.assert_allclose([v.lr for v in values], cosine_array(5e-4, 1e-6, 50, warmup=10), rtol=1e-12)
    np.testing.assert_allclose([v.weight_decay for v in values], cosine_array(0.04, 0.4, 50), rtol=1e-12)
    np.testing.assert_allclose([v.momentum for v in values], cosine_array(0.996, 1.0, 50), rtol=1e-12)


def test_the_first_rate_is_zero_and_the_peak_comes_twice(a_recipe):
    recipe = a_recipe(steps=400, warmup_steps=100, lr=1e-3)
    assert values_at(0, recipe).lr == 0.0
    assert values_at(99, recipe).lr == pytest.approx(1e-3)
    assert values_at(100, recipe).lr == pytest.approx(1e-3)


def test_the_last_layer_is_frozen_for_the_steps_asked(a_recipe):
    recipe = a_recipe(steps=10, freeze_last_layer_steps=3)
    assert [values_at(step, recipe).last_layer_frozen for step in range(5)] == [
        True,
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("step", [3, 9, 10, 27, 48])
def test_the_peak_is_read_off_the_rate_of_any_step(a_recipe, step):
    recipe = a_recipe(steps=50, warmup_steps=10, lr=5e-4, min_lr=1e-6)
    rate = values_at(step, recipe).lr
    assert peak_of(rate, step, end=1e-6, warmup=10, steps=50) == pytest.approx(5e-4, rel=1e-9)
