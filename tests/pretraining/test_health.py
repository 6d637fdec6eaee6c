"""How spread the features of a batch are, against NumPy's singular values."""

import numpy as np
import pytest
import torch

from swath.pretraining.health import MOST_ROWS, effective_rank, feature_health, feature_std


def rank_by_singular_values(features):
    values = np.linalg.svd(features - features.mean(axis=0), compute_uv=False)
    share = values[values > 1e-12] / values.sum()
    return np.exp(-(share * np.log(share)).sum())


@pytest.mark.parametrize("shape", [(20, 50), (50, 20)])
def test_effective_rank_is_the_entropy_of_the_singular_values(shape):
    features = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 3.0
    assert effective_rank(features) == pytest.approx(rank_by_singular_values(features.numpy()), rel=1e-5)


def test_directions_are_counted_and_an_offset_is_none():
    draw = torch.Generator().manual_seed(0)
    one = torch.randn(64, 1, generator=draw, dtype=torch.float64)
    assert effective_rank(one @ torch.ones(1, 32, dtype=torch.float64) + 5) == pytest.approx(1.0, abs=1e-3)
    even = torch.eye(8, dtype=torch.float64).repeat(4, 1)
    assert effective_rank(torch.cat([even, -even])) == pytest.approx(8.0, rel=1e-9)
    assert effective_rank(torch.ones(16, 8)) == 0.0


def test_features_that_are_all_alike_have_no_std_and_spread_ones_have_1():
    assert feature_std(torch.ones(16, 8)) == pytest.approx(0.0, abs=1e-6)
    spread = torch.randn(2000, 64, generator=torch.Generator().manual_seed(0))
    assert feature_std(spread) == pytest.approx(1.0, abs=0.02)


def test_health_is_measured_on_a_fixed_number_of_rows():
    features = torch.randn(4 * MOST_ROWS, 256, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert feature_health(features) == feature_health(features[:MOST_ROWS])
    assert feature_health(features)["effective_rank"] < MOST_ROWS
