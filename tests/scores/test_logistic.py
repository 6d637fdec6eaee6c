"""Oracle: scikit-learn's LogisticRegression, to tight tolerance, on features as correlated as a network's."""

import time

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from swath.errors import DataError
from swath.scores import logistic
from swath.scores.average_precision import average_precisions
from swath.scores.logistic import EXACT, fit_logistic, fit_path


def made(task, *, count=300, dim=24, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    hidden = rng.standard_normal((count, dim))
    mixing = rng.standard_normal((dim, dim)) * np.exp(-np.arange(dim) / 8)[:, None]
    features = (hidden @ mixing + 3).astype(np.float32)
    logits = hidden @ rng.standard_normal((dim, classes)) * 0.5 + rng.standard_normal((count, classes))
    if task == "class":
        return features, np.eye(classes, dtype=np.uint8)[logits.argmax(axis=1)]
    return features, (logits > np.linspace(0, 3, classes)).astype(np.uint8)


def standard(features):
    features = features.astype(np.float64)
    return (features - features.mean(axis=0)) / features.std(axis=0)


def judge(features, target, strength):
    solved = LogisticRegression(C=strength, tol=1e-9, max_iter=20_000).fit(standard(features), target)
    return solved.decision_function(standard(features))


@pytest.mark.parametrize("strength", [1e-3, 0.1, 10.0])
def test_softmax_equals_scikit_learn(strength):
    features, labels = made("class")
    probe = fit_logistic(features, labels, strength=strength, task="class")
    expected = judge(features, labels.argmax(axis=1), strength)
    np.testing.assert_allclose(probe.decisions(features), expected, atol=5e-4)


@pytest.mark.parametrize("strength", [1e-3, 0.1, 10.0])
def test_sigmoids_equal_scikit_learn_class_by_class(strength):
    features, labels = made("multilabel")
    probe = fit_logistic(features, labels, strength=strength, task="multilabel")
    expected = np.stack([judge(features, column, strength) for column in labels.T], axis=1)
    np.testing.assert_allclose(probe.decisions(features), expected, atol=5e-4)
    np.testing.assert_allclose(
        average_precisions(probe.scores(features), labels), average_precisions(expected, labels), atol=1e-6
    )


def test_class_scores_are_log_probabilities():
    features, labels = made("class")
    probe = fit_logistic(features, labels, strength=0.1, task="class")
    solved = LogisticRegression(C=0.1, tol=1e-9, max_iter=20_000).fit(
        standard(features), labels.argmax(axis=1)
    )
    np.testing.assert_allclose(
        np.exp(probe.scores(features)), solved.predict_proba(standard(features)), atol=1e-4
    )


@pytest.mark.parametrize("task", ["class", "multilabel"])
def test_starting_from_another_strength_leads_to_the_same_optimum(task):
    features, labels = made(task)
    *_, warm = fit_path(features, labels, strengths=(10.0, 1e-3, 0.1), task=task, tolerance=EXACT)
    cold = fit_logistic(features, labels, strength=0.1, task=task)
    np.testing.assert_allclose(warm.decisions(features), cold.decisions(features), atol=1e-4)


@pytest.mark.parametrize("task", ["class", "multilabel"])
def test_float32_for_large_sets_gives_the_same_to_a_thousandth(monkeypatch, task):
    features, labels = made(task)
    exact = fit_logistic(features, labels, strength=0.1, task=task)
    monkeypatch.setattr(logistic, "_LARGE", 0)
    single = fit_logistic(features, labels, strength=0.1, task=task)
    np.testing.assert_allclose(single.decisions(features), exact.decisions(features), atol=1e-3)


def test_features_that_never_change_add_nothing():
    features, labels = made("multilabel")
    with_constant = np.concatenate([features, np.full((len(features), 2), 7.0, np.float32)], axis=1)
    expected = fit_logistic(features, labels, strength=0.1, task="multilabel")
    probe = fit_logistic(with_constant, labels, strength=0.1, task="multilabel")
    np.testing.assert_allclose(probe.decisions(with_constant), expected.decisions(features), atol=1e-4)


def test_a_label_that_no_training_tile_has_scores_low_everywhere_alike():
    features, labels = made("multilabel")
    labels[:, 1] = 0
    decisions = fit_logistic(features, labels, strength=0.1, task="multilabel").decisions(features)
    assert np.isfinite(decisions).all()
    assert np.ptp(decisions[:, 1]) == 0
    assert decisions[0, 1] < -5


def test_a_class_that_no_training_tile_has_is_never_chosen():
    features, labels = made("class")
    seen = labels[:, 1] == 0
    probe = fit_logistic(features[seen], labels[seen], strength=1e-3, task="class")
    assert not (probe.scores(features).argmax(axis=1) == 1).any()
    kept = [0, 2, 3, 4]
    alone = fit_logistic(features[seen], labels[seen][:, kept], strength=1e-3, task="class")
    np.testing.assert_allclose(probe.decisions(features)[:, kept], alone.decisions(features), atol=1e-6)


def test_one_class_only_is_refused():
    features, labels = made("class")
    with pytest.raises(DataError, match="all 300 tiles have the same labels, at least two classes"):
        fit_logistic(features, np.tile(labels[:1], (len(labels), 1)), strength=1.0, task="class")


def test_several_labels_a_tile_are_refused_for_single_label():
    features, labels = made("multilabel")
    with pytest.raises(DataError, match="exactly one class a tile"):
        fit_logistic(features, labels, strength=1.0, task="class")


def test_nan_features_are_refused_when_fitting_and_when_scoring():
    features, labels = made("class")
    probe = fit_logistic(features, labels, strength=1.0, task="class")
    features[5, 0] = np.nan
    with pytest.raises(DataError, match="features: 1 of 300 rows hold NaN or infinity, the first is row 5"):
        fit_logistic(features, labels, strength=1.0, task="class")
    with pytest.raises(DataError, match="NaN or infinity"):
        probe.scores(features)
    with pytest.raises(DataError, match="features have 23 numbers, the probe was fitted on 24"):
        probe.scores(features[:5, 1:])


def test_four_thousand_tiles_are_solved_in_seconds():
    features, labels = made("class", count=4000, dim=128, classes=10)
    started = time.process_time()
    fit_logistic(features, labels, strength=0.1, task="class")
    assert time.process_time() - started < 10
