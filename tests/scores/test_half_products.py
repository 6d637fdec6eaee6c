"""Oracle: NumPy in float64, of the float16 numbers as they are stored."""

import numpy as np
import pytest
import torch

from swath.scores import half_products as module
from swath.scores import knn
from swath.scores.half_products import half_products


def halves(*, rows: int, dim: int = 24, seed: int = 0) -> torch.Tensor:
    values = np.random.default_rng(seed).normal(size=(rows, dim))
    return torch.from_numpy(values / np.linalg.norm(values, axis=1, keepdims=True)).half()


def test_every_finite_float16_is_widened_to_its_value():
    numbers = torch.arange(2**16).to(torch.int32).to(torch.int16).view(torch.float16)
    numbers = numbers[numbers.isfinite()]
    products = half_products(numbers[:, None], torch.ones(1, 1))
    np.testing.assert_array_equal(products[0].numpy(), numbers.float().numpy())
    assert len(numbers) == 2 * 31 * 1024


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dim", [1, 37, 384])
def test_products_are_those_of_float64_whatever_the_threads(monkeypatch, threads, dim):
    monkeypatch.setattr(module, "_AT_ONCE", 13)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    keys, asked = halves(rows=100, dim=dim), halves(rows=3, dim=dim, seed=1).float()
    found = half_products(keys, asked)
    expected = asked.double().numpy() @ keys.double().numpy().T
    np.testing.assert_allclose(found.numpy(), expected, atol=3e-7)


@pytest.mark.parametrize(("queries", "k"), [(1, 1), (1, 50), (4, 50), (5, 50), (2, 400), (1, 3000)])
def test_the_nearest_of_float16_are_those_of_float64(monkeypatch, queries, k):
    monkeypatch.setattr(knn, "_KEY_BLOCK", 300)
    keys, asked = halves(rows=2000), halves(rows=queries, seed=1).float()
    similarities, rows = knn.nearest(keys, asked, k=k)
    exact = asked.double().numpy() @ keys.double().numpy().T
    expected = np.sort(exact, axis=1)[:, ::-1][:, :k]
    np.testing.assert_allclose(similarities.numpy(), expected, atol=3e-7)
    np.testing.assert_allclose(np.take_along_axis(exact, rows.numpy(), axis=1), expected, atol=3e-7)
    assert all(len(set(found)) == min(k, 2000) for found in rows.tolist())


@pytest.mark.parametrize("queries", [1, 5])
def test_only_the_rows_asked_for_are_found_and_by_their_own_numbers(monkeypatch, queries):
    monkeypatch.setattr(knn, "_KEY_BLOCK", 300)
    keys, asked = halves(rows=2000), halves(rows=queries, seed=1).float()
    among = torch.from_numpy(np.random.default_rng(2).permutation(2000)[:700])
    similarities, rows = knn.nearest(keys, asked, k=50, among=among)
    exact = asked.double().numpy() @ keys.double().numpy().T
    exact[:, np.setdiff1d(np.arange(2000), among.numpy())] = -2
    expected = np.sort(exact, axis=1)[:, ::-1][:, :50]
    np.testing.assert_allclose(similarities.numpy(), expected, atol=3e-7)
    np.testing.assert_allclose(np.take_along_axis(exact, rows.numpy(), axis=1), expected, atol=3e-7)


def test_keys_need_not_lie_in_a_row():
    keys = halves(rows=64).T.contiguous().T
    asked = halves(rows=1, seed=1).float()
    torch.testing.assert_close(half_products(keys, asked), asked @ keys.float().T, atol=1e-6, rtol=0)
