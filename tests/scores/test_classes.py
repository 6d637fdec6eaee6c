import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from swath.errors import DataError
from swath.scores.classes import F1Counts, accuracy, best_class, hits


def test_accuracy_equals_scikit_learn():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, 400)
    scores = rng.normal(size=(400, 5)) + np.eye(5)[truth]
    labels = np.eye(5, dtype=np.uint8)[truth]
    assert accuracy(scores, labels) == pytest.approx(accuracy_score(truth, scores.argmax(axis=1)), abs=1e-12)


@pytest.mark.parametrize("several", [True, False])
def test_f1_equals_scikit_learn_also_for_rows_that_are_repeated(several):
    rng = np.random.default_rng(1)
    labels = (rng.random((300, 4)) < [0.5, 0.3, 0.1, 0.02]).astype(np.uint8)
    labels[0] = 1
    scores = rng.normal(size=labels.shape) + labels
    decided = scores > 0.7 if several else best_class(scores)
    weights = rng.integers(0, 3, 300)
    weights[0] = 1
    again = np.repeat(np.arange(300), weights)
    counts = F1Counts(decided, labels)
    for average, measure in (("macro", counts.macro), ("micro", counts.micro)):
        expected = f1_score(labels[again], decided[again], average=average, zero_division=0)
        assert measure(weights.astype(np.float32)[:, None])[0] == pytest.approx(expected, abs=1e-12)


def test_f1_of_a_class_that_is_never_found_is_zero_and_of_one_that_is_nowhere_undefined():
    labels = np.asarray([[1, 0], [1, 0]])
    counts = F1Counts(np.zeros((2, 2), dtype=bool), labels)
    assert counts.macro(np.ones((2, 1), dtype=np.float32))[0] == 0.0
    nowhere = F1Counts(np.zeros((2, 2), dtype=bool), np.zeros((2, 2), dtype=int))
    assert np.isnan(nowhere.macro(np.ones((2, 1), dtype=np.float32))[0])


def test_a_tie_goes_to_the_first_class():
    assert hits(np.zeros((2, 3)), np.eye(3, dtype=np.uint8)[[0, 1]]).tolist() == [True, False]


def test_infinite_scores_are_refused():
    with pytest.raises(DataError, match="NaN or infinity"):
        accuracy(np.asarray([[np.inf, 0.0]]), np.asarray([[1, 0]]))
