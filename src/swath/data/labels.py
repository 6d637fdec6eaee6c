"""Lists of label names to 0 and 1."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def multi_hot(labels: pa.ChunkedArray, vocabulary: tuple[str, ...]) -> npt.NDArray[np.uint8]:
    """(N, K) of 0 and 1 from a column of lists of names of `vocabulary`; a null is a row of zeros."""
    hot = np.zeros((len(labels), len(vocabulary)), dtype=np.uint8)
    names = pc.list_flatten(labels)
    tiles = pc.list_parent_indices(labels).to_numpy()
    classes = pc.index_in(names, value_set=pa.array(vocabulary, pa.string())).to_numpy()
    hot[tiles, classes] = 1
    return hot
