"""Oracle: scikit-learn's confusion matrix and Jaccard score over the pixels of all tiles."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score

from swath.errors import DataError
from swath.scores.segmentation import SegmentationTable, confusions

K, IGNORE = 4, 255


def masks(seed: int = 0, count: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true masks; class 3 is never true, a tenth of the pixels is ignored."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, (count, 12, 12)).astype(np.uint8)
    predicted = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, K, truth.shape))
    truth[rng.random(truth.shape) < 0.1] = IGNORE
    return predicted.astype(np.uint8), truth


def test_tables_equal_scikit_learn_tile_by_tile():
    predicted, truth = masks()
    tables = confusions(predicted, truth, num_classes=K, ignore=IGNORE)
    for table, found, true in zip(tables, predicted, truth, strict=True):
        seen = true != IGNORE
        np.testing.assert_array_equal(table, confusion_matrix(true[seen], found[seen], labels=range(K)))


def test_iou_and_accuracy_equal_scikit_learn_also_with_repeated_tiles():
    predicted, truth = masks()
    table = SegmentationTable(confusions(predicted, truth, num_classes=K, ignore=IGNORE))
    weights = np.asarray([0, 2, 1, 0, 3, 1, 0], dtype=float)
    rows = np.repeat(np.arange(7), weights.astype(int))
    seen = truth[rows] != IGNORE
    true, found = truth[rows][seen], predicted[rows][seen]
    expected = jaccard_score(true, found, labels=range(3), average=None)
    both = np.stack([np.ones(7), weights], axis=1)
    np.testing.assert_allclose(table.iou(both)[:3, 1], expected, atol=1e-12)
    miou, accuracy = table.statistics(both)[:, 1]
    assert miou == pytest.approx(expected.mean(), abs=1e-12)
    assert accuracy == pytest.approx(accuracy_score(true, found), abs=1e-12)


def test_a_class_without_a_true_pixel_is_in_no_mean_and_named():
    predicted, truth = masks()
    table = SegmentationTable(confusions(predicted, truth, num_classes=K, ignore=IGNORE))
    assert table.absent.tolist() == [3]
    assert np.isnan(table.iou(np.ones((7, 1)))[3, 0])
    assert np.isfinite(table.statistics(np.ones((7, 1)))).all()


def test_masks_that_say_nothing_or_too_much_are_refused():
    nothing = np.full((2, 4, 4), IGNORE, dtype=np.uint8)
    with pytest.raises(DataError, match="no pixel of the test masks has a class"):
        SegmentationTable(confusions(np.zeros_like(nothing), nothing, num_classes=2, ignore=IGNORE))
    with pytest.raises(DataError, match="true mask holds class 5; there are 2"):
        confusions(np.zeros_like(nothing), np.full_like(nothing, 5), num_classes=2, ignore=IGNORE)
    with pytest.raises(DataError, match="must agree"):
        confusions(np.zeros((2, 4, 5), np.uint8), nothing, num_classes=2, ignore=IGNORE)
