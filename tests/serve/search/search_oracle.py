"""Similarities by the definition."""

import numpy as np


def cosines(values: np.ndarray, query: np.ndarray) -> np.ndarray:
    """(N,) by plain loops in float64."""
    return np.asarray(
        [row @ query / np.linalg.norm(row) / np.linalg.norm(query) for row in values.astype(float)]
    )
