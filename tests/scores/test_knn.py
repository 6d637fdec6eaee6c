"""Oracles: plain loops, and scikit-learn's KNeighborsClassifier with the same weights."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from swath.errors import DataError
from swath.scores import knn
from swath.scores.knn import knn_scores


def features(*, train: int = 200, queries: int = 50, dim: int = 16, seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 4, train + queries)
    values = (rng.normal(size=(train + queries, dim)) + 2 * rng.normal(size=(4, dim))[classes]).astype(
        np.float32
    )
    return values[:train], classes[:train], values[train:], classes[train:]


def by_plain_loops(train, labels, queries, *, k, temperature):
    votes = np.zeros((len(queries), labels.shape[1]))
    for q, query in enumerate(queries.astype(np.float64)):
        similarity = [query @ t / np.linalg.norm(query) / np.linalg.norm(t) for t in train.astype(np.float64)]
        nearest = sorted(range(len(train)), key=lambda i: -similarity[i])[:k]
        weights = [np.exp(similarity[i] / temperature) for i in nearest]
        for i, weight in zip(nearest, weights, strict=True):
            votes[q] += weight * labels[i] / sum(weights)
    return votes


@pytest.mark.parametrize("blocks", [(1024, 16_384), (7, 30)])
def test_multi_label_votes_equal_plain_loops_whatever_the_blocks(monkeypatch, blocks):
    train, classes, queries, _ = features()
    labels = np.eye(4, dtype=np.uint8)[classes]
    labels[:, 0] |= labels[:, 2]
    monkeypatch.setattr(knn, "_QUERY_BLOCK", blocks[0])
    monkeypatch.setattr(knn, "_KEY_BLOCK", blocks[1])
    expected = by_plain_loops(train, labels, queries, k=20, temperature=0.07)
    np.testing.assert_allclose(knn_scores(train, labels, queries), expected, atol=1e-5)


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (20, 0.07), (5, 1.0)])
def test_class_votes_equal_scikit_learn(k, temperature):
    train, classes, queries, _ = features()
    judge = KNeighborsClassifier(
        n_neighbors=k, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / temperature)
    ).fit(train, classes)
    votes = knn_scores(train, np.eye(4)[classes], queries, k=k, temperature=temperature)
    np.testing.assert_allclose(votes, judge.predict_proba(queries), atol=1e-4)
    assert (votes.argmax(axis=1) == judge.predict(queries)).all()


def test_the_length_of_features_does_not_matter():
    train, classes, queries, _ = features()
    labels = np.eye(4)[classes]
    np.testing.assert_allclose(
        knn_scores(train * 7, labels, queries / 9), knn_scores(train, labels, queries), atol=1e-5
    )


def test_fewer_tiles_than_k_all_vote():
    train, classes, queries, _ = features(train=6)
    labels = np.eye(4, dtype=np.uint8)[classes]
    expected = by_plain_loops(train, labels, queries, k=6, temperature=0.07)
    np.testing.assert_allclose(knn_scores(train, labels, queries), expected, atol=1e-5)


def test_votes_of_neighbours_that_all_agree_are_equal_to_the_last_bit():
    train, classes, queries, _ = features(train=300)
    votes = knn_scores(train, np.eye(4)[classes], queries, k=3)
    assert (votes[votes > 0.9999] == 1).all()
    assert (votes == 1).sum() > 10


def test_a_very_low_temperature_does_not_overflow():
    train, classes, queries, _ = features()
    votes = knn_scores(train, np.eye(4)[classes], queries, temperature=1e-4)
    np.testing.assert_allclose(votes.sum(axis=1), 1)


def test_nan_features_and_other_widths_are_refused():
    train, classes, queries, _ = features()
    with pytest.raises(DataError, match="train features have 16 numbers and queries 15"):
        knn_scores(train, np.eye(4)[classes], queries[:, 1:])
    queries[3, 2] = np.nan
    with pytest.raises(DataError, match="query features: 1 of 50 rows hold NaN"):
        knn_scores(train, np.eye(4)[classes], queries)
