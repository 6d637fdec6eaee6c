import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from swath.errors import DataError
from swath.scores.classes import accuracy, hits


def test_accuracy_equals_scikit_learn_with_and_without_weights():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, 400)
    scores = rng.normal(size=(400, 5)) + np.eye(5)[truth]
    weights = rng.integers(0, 3, 400).astype(float)
    labels = np.eye(5, dtype=np.uint8)[truth]
    guesses = scores.argmax(axis=1)
    assert accuracy(scores, labels) == pytest.approx(accuracy_score(truth, guesses), abs=1e-12)
    expected = accuracy_score(truth, guesses, sample_weight=weights)
    assert accuracy(scores, labels, weights) == pytest.approx(expected, abs=1e-12)


def test_a_tie_goes_to_the_first_class():
    assert hits(np.zeros((2, 3)), np.eye(3, dtype=np.uint8)[[0, 1]]).tolist() == [True, False]


def test_infinite_scores_are_refused():
    with pytest.raises(DataError, match="NaN or infinity"):
        accuracy(np.asarray([[np.inf, 0.0]]), np.asarray([[1, 0]]))
