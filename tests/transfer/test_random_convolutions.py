"""Oracle: the filters applied by plain loops over pixels."""

import numpy as np
import torch

from swath.data.normalize import standardize, to_unit
from swath.transfer.examples import labelled_examples
from swath.transfer.random_convolutions import BIAS, RandomConvolutions, whitened


def makers(store, seed=0):
    examples = labelled_examples(store)
    return RandomConvolutions(store, examples.rows[examples.train], seed=seed)


def test_a_feature_is_the_mean_of_what_a_filter_passes_and_of_what_its_opposite_does(make_pack):
    store = make_pack(count=60)
    maker = makers(store)
    groups = [torch.from_numpy(pixels) for pixels in store.read(np.arange(2))]
    found = maker.features(groups, store.format).numpy()
    image = standardize(to_unit(groups, store.format), store.format)[1].numpy()
    for number in (0, 100):
        kernel = maker.filters[number].numpy()
        passed = [
            float((image[:, y : y + 3, x : x + 3] * kernel).sum()) + BIAS
            for y in range(14)
            for x in range(14)
        ]
        assert abs(found[1, number] - np.mean(np.maximum(passed, 0))) < 1e-5
        assert abs(found[1, 256 + number] - np.mean(np.maximum(-np.asarray(passed), 0))) < 1e-5
    assert found.shape == (2, maker.dim)


def test_whitened_filters_have_length_one_and_no_mean_and_are_less_alike():
    generator = torch.Generator().manual_seed(0)
    smooth = torch.randn(300, 2, 3, 3, generator=generator) + 3 * torch.randn(
        300, 2, 1, 3, generator=generator
    )
    filters = whitened(smooth)
    torch.testing.assert_close(filters.flatten(1).norm(dim=1), torch.ones(300))
    spread = torch.linalg.eigvalsh(filters.flatten(1).T @ filters.flatten(1))
    before = smooth.flatten(1)
    before = torch.linalg.eigvalsh(before.T @ before)
    assert spread[1] / spread[-1] > 5 * before[1] / before[-1]


def test_filters_are_drawn_from_training_tiles_by_the_seed(make_pack):
    store = make_pack(count=60)
    assert makers(store).weights.checkpoint == makers(store).weights.checkpoint
    assert makers(store).weights.checkpoint != makers(store, seed=1).weights.checkpoint
