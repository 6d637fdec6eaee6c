"""What every score asks of its inputs: arrays that fit, finite numbers, labels that tell tiles apart."""

from typing import Any

import numpy as np
import numpy.typing as npt

from swath.errors import DataError

Floats = npt.NDArray[np.floating]
Labels = npt.NDArray[np.integer] | npt.NDArray[np.bool_]


def check_finite(values: Floats, *, what: str) -> None:
    """Refuse NaN and infinity, naming the first row that holds one.

    Raises:
        DataError: a value of `values` (N, ...) is not finite, or there is no row.
    """
    if not len(values):
        raise DataError(
            f"{what}: no rows, at least one is needed. Look at the labels and the split of the tiles."
        )
    bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if bad.any():
        raise DataError(
            f"{what}: {int(bad.sum())} of {len(values)} rows hold NaN or infinity, the first is row "
            f"{int(bad.argmax())}; finite numbers are needed. Look at the loss in metrics.jsonl."
        )


def check_rows(values: npt.NDArray[Any], labels: Labels, *, what: str) -> None:
    """Refuse labels (N, K) of other tiles than `values` (N, ...).

    Raises:
        DataError: the two have not the same number of rows, or labels are not a table of K columns.
    """
    if labels.ndim != 2 or len(values) != len(labels):
        raise DataError(
            f"{what}: {len(values)} rows and labels of shape {labels.shape}; "
            f"expected labels of shape ({len(values)}, classes)."
        )


def has_contrast(labels: Labels) -> bool:
    """Whether any class of labels (N, K) is on some tiles and not on others: something can be learned."""
    positives = labels.astype(bool).sum(axis=0)
    return bool(((positives > 0) & (positives < len(labels))).any())


def check_contrast(labels: Labels, *, what: str) -> None:
    """Refuse labels (N, K) that cannot be learned.

    Raises:
        DataError: every class is on every tile or on none.
    """
    if not has_contrast(labels):
        raise DataError(
            f"{what}: all {len(labels)} tiles have the same labels, at least two classes are needed. "
            "Look at the label column that was indexed."
        )
