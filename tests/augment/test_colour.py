from dataclasses import replace

import numpy as np
import pytest
import torch

from swath.augment.colour import BandJitter
from swath.errors import UsageError

STILL = BandJitter(probability=0.0, grey_probability=0.0)


def some_views(num_bands: int, n: int = 6) -> torch.Tensor:
    return torch.rand(n, num_bands, 8, 8, generator=torch.Generator().manual_seed(num_bands))


def step_by_step(view: np.ndarray, draws: np.ndarray, jitter: BandJitter) -> np.ndarray:
    """The same changes one after the other, on one view (C, P, P) in float64."""
    C = len(view)
    if draws[0] < jitter.probability:
        around = 2 * draws.astype(np.float64) - 1
        view = np.stack([
            view[c] * (1 + jitter.gain * around[5 + c]) + jitter.offset * around[5 + C + c] for c in range(C)
        ])  # fmt: skip
        view = view * (1 + jitter.brightness * around[3])
        mean = view.mean(axis=(1, 2), keepdims=True)
        view = mean + (1 + jitter.contrast * around[4]) * (view - mean)
    if draws[1] < jitter.grey_probability:
        share = draws[2] * jitter.grey_share
        view = (1 - share) * view + share * view.mean(axis=0, keepdims=True)
    return view.clip(0, 1)


@pytest.mark.parametrize("num_bands", [1, 3, 4, 13])
def test_one_affine_map_is_the_changes_step_by_step(numbers, num_bands) -> None:
    jitter = BandJitter(
        probability=0.7,
        gain=0.3,
        offset=0.1,
        brightness=0.4,
        contrast=1.0,
        grey_probability=0.5,
        grey_share=0.8,
    )
    views = some_views(num_bands, 24)
    draws = numbers(24, jitter.num_draws(num_bands))
    jittered = jitter.apply(views.clone(), draws)
    for n in range(24):
        expected = step_by_step(views[n].double().numpy(), draws[n], jitter)
        np.testing.assert_allclose(jittered[n].numpy(), expected, atol=1e-5)


def test_nothing_changes_at_probability_zero(numbers) -> None:
    views = some_views(5)
    torch.testing.assert_close(STILL.apply(views.clone(), numbers(6, STILL.num_draws(5))), views)


def test_a_view_all_grey_has_the_same_value_in_every_band(numbers) -> None:
    draws = numbers(6, STILL.num_draws(12))
    draws[:, 2] = 1.0
    grey = replace(STILL, grey_probability=1.0).apply(some_views(12), draws)
    torch.testing.assert_close(grey, some_views(12).mean(dim=1, keepdim=True).expand_as(grey))


def test_contrast_keeps_the_mean_of_every_band(numbers) -> None:
    jitter = replace(STILL, probability=1.0, gain=0.0, offset=0.0, brightness=0.0, contrast=0.2)
    views = 0.4 + 0.2 * some_views(4)
    jittered = jitter.apply(views.clone(), numbers(6, jitter.num_draws(4)))
    torch.testing.assert_close(jittered.mean(dim=(2, 3)), views.mean(dim=(2, 3)))
    assert not torch.allclose(jittered, views, atol=1e-3)


def test_jitter_stays_in_the_unit_range(numbers) -> None:
    wild = BandJitter(probability=1.0, gain=0.9, offset=0.9, brightness=0.9, contrast=0.9)
    jittered = wild.apply(some_views(3, 64), numbers(64, wild.num_draws(3)))
    assert jittered.min() == 0.0
    assert jittered.max() == 1.0


def test_an_amount_beyond_one_is_refused() -> None:
    with pytest.raises(UsageError, match=r"bands jitter gain is 1\.5; it must lie between 0 and 1"):
        BandJitter(gain=1.5)
