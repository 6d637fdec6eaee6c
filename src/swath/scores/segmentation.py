"""Segmentation scores: intersection over union (IoU) a class, their mean (mIoU), and pixel accuracy.

Everything follows from one table of counts a tile, so a bootstrap round is one product of weights and tables.
Pixels whose truth is `ignore` count nowhere. Legend: N tiles, R weightings of them, K classes.
"""

import numpy as np
import numpy.typing as npt

from swath.errors import DataError
from swath.scores.average_precision import Numbers, Weights, mean_of_defined

Classes = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]


def confusions(predicted: Classes, truth: Classes, *, num_classes: int, ignore: int) -> Counts:
    """(N, K, K) pixels of each tile by true class (row) and predicted class (column), from two (N, H, W).

    Raises:
        DataError: the shapes differ, or a class is not below `num_classes`.
    """
    if predicted.shape != truth.shape:
        raise DataError(f"masks predicted are {predicted.shape}, true ones {truth.shape}; they must agree")
    seen = truth != ignore
    for name, masks in (("true", truth[seen]), ("predicted", predicted[seen])):
        if len(masks) and masks.max() >= num_classes:
            raise DataError(f"a {name} mask holds class {masks.max()}; there are {num_classes} classes")
    tables = np.zeros((len(truth), num_classes, num_classes), dtype=np.int64)
    for tile, mask in enumerate(seen):
        pairs = truth[tile][mask].astype(np.int64) * num_classes + predicted[tile][mask]
        tables[tile] = np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)
    return tables


class SegmentationTable:
    """The counts (N, K, K) of N tiles, for many weightings of them.

    Classes without a pixel in truth have no IoU: they are in no mean and are named by `absent`.

    Raises:
        DataError: no pixel of truth has a class.
    """

    def __init__(self, tables: Counts) -> None:
        self._tables = tables.reshape(len(tables), -1).astype(np.float64)
        self._classes = tables.shape[1]
        self.pixels = tables.sum(axis=(0, 2))  # (K,) of truth
        if not self.pixels.any():
            raise DataError(
                "no pixel of the test masks has a class, so nothing can be scored. Look at the masks."
            )
        self.present = np.flatnonzero(self.pixels)
        self.absent = np.flatnonzero(self.pixels == 0)

    def tables(self, weights: Weights) -> Numbers:
        """(K, K, R) sums over tiles, tile i counted weights[i, r] times in round r."""
        sums = self._tables.T @ weights.astype(np.float64, copy=False)  # (K * K, R)
        return sums.reshape(self._classes, self._classes, -1)

    def iou(self, weights: Weights) -> Numbers:
        """(K, R) hits / (truth + predicted - hits); NaN for a class without a pixel in (weighted) truth."""
        return _iou(self.tables(weights))

    def statistics(self, weights: Weights) -> Numbers:
        """(2, R) mIoU and pixel accuracy; NaN where the weights leave no pixel."""
        tables = self.tables(weights)
        iou, pixels = _iou(tables), tables.sum(axis=(0, 1))
        hits = tables.trace()
        accuracy = np.divide(hits, pixels, out=np.full(len(pixels), np.nan), where=pixels > 0)
        return np.vstack([mean_of_defined(iou), accuracy])


def _iou(tables: Numbers) -> Numbers:
    hits, truth = np.diagonal(tables).T, tables.sum(axis=1)  # (K, R)
    union = truth + tables.sum(axis=0) - hits
    return np.asarray(np.divide(hits, union, out=np.full(hits.shape, np.nan), where=truth > 0))
