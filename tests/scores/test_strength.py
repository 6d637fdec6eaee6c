import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from swath.errors import DataError
from swath.scores.strength import STRENGTHS, choose_strength, folds


def made(count=240, dim=20, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((count, dim)).astype(np.float32)
    logits = features[:, :3] + rng.standard_normal((count, 3))
    return features, logits


def test_the_choice_equals_a_plain_grid_search_by_macro_ap():
    features, logits = made()
    labels = (logits > 0.5).astype(np.uint8)
    parts = folds(np.arange(len(labels)), seed=0)
    choice = choose_strength(features, labels, task="multilabel", parts=parts)
    expected = []
    for strength in STRENGTHS:
        values = []
        for fitted, held in parts:
            mean, std = features[fitted].mean(axis=0), features[fitted].std(axis=0)
            for k in range(3):
                solved = LogisticRegression(C=strength, tol=1e-8, max_iter=5000)
                solved.fit((features[fitted] - mean) / std, labels[fitted, k])
                decisions = solved.decision_function((features[held] - mean) / std)
                values.append(average_precision_score(labels[held, k], decisions))
        expected.append(np.mean(values))
    np.testing.assert_allclose(list(choice.tried.values()), expected, atol=2e-3)
    assert choice.strength == STRENGTHS[int(np.argmax(list(choice.tried.values())))]


def test_single_label_is_chosen_by_accuracy_on_the_given_part():
    features, logits = made()
    labels = np.eye(3, dtype=np.uint8)[logits.argmax(axis=1)]
    rows = np.arange(len(labels))
    choice = choose_strength(features, labels, task="class", parts=[(rows[:160], rows[160:])])
    assert choice.tried[choice.strength] == max(choice.tried.values()) > 0.5


def test_of_equal_strengths_the_smallest_wins_and_is_no_end_to_speak_of(caplog):
    features = np.asarray([[-1.0], [1.0]] * 20, dtype=np.float32)
    labels = np.asarray([[1, 0], [0, 1]] * 20)
    rows = np.arange(40)
    choice = choose_strength(features, labels, task="class", parts=[(rows, rows)])
    assert choice.strength == STRENGTHS[0]
    assert not caplog.text


def test_a_best_strength_at_the_end_of_those_tried_is_said(caplog):
    features, _ = made(400)
    features[:, 1] = features[:, 0] + 0.01 * features[:, 1]
    rows = np.arange(400)
    parts = [(rows[:200], rows[200:])]
    fine = np.eye(2, dtype=np.uint8)[(features[:, 1] > features[:, 0]).astype(int)]
    assert choose_strength(features, fine, task="class", parts=parts).strength == STRENGTHS[-1]
    assert "of 400 labels: the best strength 1000 is at the end of those tried" in caplog.text
    caplog.clear()
    noisy = features[:, 2] + np.random.default_rng(1).standard_normal(400)
    plain = np.eye(2, dtype=np.uint8)[(noisy > 0).astype(int)]
    assert STRENGTHS[0] < choose_strength(features, plain, task="class", parts=parts).strength < STRENGTHS[-1]
    assert not caplog.text


def test_folds_keep_groups_together_cover_every_row_once_and_are_about_equal():
    groups = np.random.default_rng(0).integers(0, 15, 300)
    parts = folds(groups, seed=1)
    assert len(parts) == 5
    held = np.concatenate([fold for _, fold in parts])
    assert sorted(held) == list(range(300))
    for rest, fold in parts:
        assert not set(groups[rest]) & set(groups[fold])
        assert len(rest) + len(fold) == 300
        assert 45 <= len(fold) <= 75


def test_folds_are_the_same_for_the_same_seed_only():
    same = [folds(np.arange(50), seed=s)[0][1].tolist() for s in (0, 0, 1)]
    assert same[0] == same[1] != same[2]


def test_a_part_without_contrast_is_passed_over():
    features, logits = made()
    labels = (logits > 0.5).astype(np.uint8)
    rows = np.arange(len(labels))
    alike = np.flatnonzero((labels == 0).all(axis=1))
    both = choose_strength(
        features, labels, task="multilabel", parts=[(alike, rows), (rows[:160], rows[160:])]
    )
    one = choose_strength(features, labels, task="multilabel", parts=[(rows[:160], rows[160:])])
    assert both == one


def test_nothing_to_choose_by_is_an_error_that_names_knn():
    features, _ = made(10)
    labels = np.zeros((10, 3), np.uint8)
    with pytest.raises(DataError, match="swath probe --task knn"):
        choose_strength(features, labels, task="multilabel", parts=folds(np.arange(10), seed=0))
