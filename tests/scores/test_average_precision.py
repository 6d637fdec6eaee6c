"""Oracles: scikit-learn, and rows that are repeated as often as their weight says."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from swath.errors import DataError
from swath.scores.average_precision import ClassRankings, average_precisions, macro, micro


def tiles(*, seed: int = 0, count: int = 300, decimals: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random((count, 6)) < [0.5, 0.3, 0.1, 0.05, 0.02, 0.9]).astype(np.uint8)
    labels[0] = 1
    scores = rng.normal(size=labels.shape) + labels
    return (scores if decimals is None else scores.round(decimals)), labels


@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_per_class_macro_and_micro_equal_scikit_learn_also_with_ties(decimals):
    scores, labels = tiles(decimals=decimals)
    per_class = average_precision_score(labels, scores, average=None)
    np.testing.assert_allclose(average_precisions(scores, labels), per_class, rtol=0, atol=1e-12)
    assert abs(macro(scores, labels) - average_precision_score(labels, scores, average="macro")) < 1e-12
    assert abs(micro(scores, labels) - average_precision_score(labels, scores, average="micro")) < 1e-12


def test_all_scores_equal_gives_the_prevalence():
    _, labels = tiles()
    np.testing.assert_allclose(
        average_precisions(np.zeros(labels.shape), labels), labels.mean(axis=0), atol=1e-12
    )


@pytest.mark.parametrize("decimals", [None, 1])
def test_a_weight_counts_like_repeated_rows(decimals):
    scores, labels = tiles(decimals=decimals)
    weights = np.random.default_rng(1).integers(0, 4, len(scores))
    weights[0] = 1
    again = np.repeat(np.arange(len(scores)), weights)
    rankings = ClassRankings(scores, labels)
    expected = average_precision_score(labels[again], scores[again], average=None)
    column = weights.astype(np.float32)[:, None]
    np.testing.assert_allclose(rankings.per_class(column)[:, 0], expected, atol=1e-12)
    micro_again = average_precision_score(labels[again], scores[again], average="micro")
    assert abs(rankings.micro(column)[0] - micro_again) < 1e-12


def test_many_weightings_at_once_equal_one_after_the_other_also_over_many_blocks():
    scores, labels = tiles(count=9000)
    weights = np.random.default_rng(2).integers(0, 3, (9000, 5)).astype(np.float32)
    rankings = ClassRankings(scores, labels)
    one_by_one = [rankings.micro(weights[:, [r]])[0] for r in range(5)]
    np.testing.assert_allclose(rankings.micro(weights), one_by_one, rtol=0, atol=1e-14)
    again = np.repeat(np.arange(9000), weights[:, 3].astype(int))
    expected = average_precision_score(labels[again], scores[again], average="macro")
    assert abs(rankings.macro(weights)[3] - expected) < 1e-12


def test_a_class_without_positives_is_left_out_of_macro_and_never_zero_or_one():
    scores, labels = tiles()
    labels[:, 2] = 0
    kept = [0, 1, 3, 4, 5]
    per_class = average_precisions(scores, labels)
    assert np.isnan(per_class[2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert macro(scores, labels) == pytest.approx(
            average_precision_score(labels[:, kept], scores[:, kept], average="macro"), abs=1e-12
        )


def test_no_positive_at_all_is_undefined():
    scores, labels = tiles()
    assert np.isnan(macro(scores, np.zeros_like(labels)))
    assert np.isnan(micro(scores, np.zeros_like(labels)))


def test_the_order_of_tiles_does_not_matter():
    scores, labels = tiles(decimals=1)
    order = np.random.default_rng(3).permutation(len(scores))
    assert macro(scores, labels) == pytest.approx(macro(scores[order], labels[order]), abs=1e-12)


def test_scores_that_are_not_finite_are_refused():
    scores, labels = tiles()
    scores[7, 1] = np.nan
    with pytest.raises(DataError, match=r"1 of 300 rows hold NaN or infinity, the first is row 7"):
        average_precisions(scores, labels)


def test_labels_of_other_tiles_are_refused():
    scores, labels = tiles()
    with pytest.raises(DataError, match=r"300 rows and labels of shape \(299, 6\)"):
        macro(scores, labels[1:])
