"""Properties that a draw of labels must have, and sentences that must not promise what was not measured."""

import math

import numpy as np
import pytest

from swath.transfer.fractions import draw_labelled, equal_fraction, label_sentence


def many(count: int = 4000) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.random((count, 6)) < [0.5, 0.3, 0.1, 0.03, 0.01, 0.002]).astype(np.uint8)


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.37])
def test_a_draw_has_the_size_that_was_asked_and_every_class_its_share(fraction):
    labels = many()
    rows = draw_labelled(labels, fraction, seed=1)
    assert len(rows) == len(set(rows.tolist())) == round(fraction * 4000)
    np.testing.assert_array_equal(rows, np.sort(rows))
    found, expected = labels[rows].sum(axis=0), fraction * labels.sum(axis=0)
    assert (found >= 1).all()
    assert (np.abs(found - expected) <= 0.35 * expected + 2).all()


def test_the_rarest_class_keeps_a_positive_where_chance_alone_would_lose_it():
    labels = np.zeros((1000, 2), dtype=np.uint8)
    labels[:500, 0] = 1
    labels[777, 1] = 1
    assert all(777 in draw_labelled(labels, 0.01, seed=seed) for seed in range(5))


def test_more_classes_than_tiles_fill_what_there_is():
    labels = np.eye(40, dtype=np.uint8).repeat(5, axis=0)
    rows = draw_labelled(labels, 0.05, seed=0)
    assert len(rows) == 10
    assert labels[rows].any(axis=0).sum() == 10


def test_tiles_without_any_class_are_drawn_in_their_share():
    labels = np.zeros((1000, 1), dtype=np.uint8)
    labels[:100] = 1
    assert labels[draw_labelled(labels, 0.1, seed=0)].sum() == 10


def test_another_seed_draws_other_tiles_and_all_labels_are_all_tiles():
    labels = many()
    assert draw_labelled(labels, 0.1, seed=0).tolist() == draw_labelled(labels, 0.1, seed=0).tolist()
    assert draw_labelled(labels, 0.1, seed=0).tolist() != draw_labelled(labels, 0.1, seed=1).tolist()
    assert draw_labelled(labels, 1.0, seed=3).tolist() == list(range(4000))
    assert len(draw_labelled(labels[:10], 0.001, seed=0)) == 1


def test_the_equal_fraction_lies_on_the_line_over_log_fractions():
    found = equal_fraction((0.01, 0.1, 1.0), (0.2, 0.4, 0.8), 0.6)
    assert found == pytest.approx(math.sqrt(0.1 * 1.0))
    assert equal_fraction((0.01, 0.1, 1.0), (0.2, 0.4, 0.8), 0.4) == pytest.approx(0.1)
    assert equal_fraction((0.01, 0.1, 1.0), (0.2, 0.4, 0.3), 0.35) == pytest.approx(10**-1.25)
    assert equal_fraction((0.01, 1.0), (0.2, 0.8), 0.9) is None
    assert equal_fraction((0.01, 1.0), (0.2, 0.8), 0.1) == 0.0


def test_the_sentence_says_the_equal_share_and_is_honest_beyond_what_was_measured():
    curve = ((0.01, 0.1, 1.0), (0.2, 0.4, 0.8))
    said = label_sentence("pretrained ViT", 0.6, 0.1, rival="untrained ViT", curve=curve)
    assert said.startswith("With 10 % of the labels the pretrained ViT (0.600) equals")
    assert said.endswith("the untrained ViT with 32 % (interpolated).")
    beyond = label_sentence("pretrained ViT", 0.9, 0.1, rival="untrained ViT", curve=curve)
    assert "more than the untrained ViT with any share that was measured (up to 100 %: 0.800)" in beyond
    below = label_sentence("pretrained ViT", 0.1, 1.0, rival="untrained ViT", curve=curve)
    assert below.startswith("With 100 % of the labels")
    assert "less than the untrained ViT with the smallest share that was measured (1 %: 0.200)" in below
