"""Overviews of maps: four pixels become one, by their mean or by the value that most of them have.

NODATA counts only where all four are NODATA, as in GDAL. Legend: K bands, h x w pixels, even both.
"""

import numpy as np
import numpy.typing as npt

NODATA = 255

Bytes = npt.NDArray[np.uint8]


def mean_of_four(pixels: Bytes) -> Bytes:
    """(K, h, w) -> (K, h / 2, w / 2), halves rounded up."""
    if (pixels[0] == NODATA).any():
        return _mean_of_known(pixels)
    pairs = np.ascontiguousarray(pixels).view("<u2")  # two pixels a number: added without a copy of each
    sums = (pairs & 255) + (pairs >> 8)  # (K, h, w / 2)
    return np.asarray((sums[:, 0::2] + sums[:, 1::2] + 2) >> 2, dtype=np.uint8)


def _mean_of_known(pixels: Bytes) -> Bytes:
    """Where a pixel is NODATA, it is in every band."""
    known = (pixels[:1] != NODATA).astype(np.uint16)
    sums, counts = _sum_of_four(pixels * known), _sum_of_four(known)
    means = (sums + counts // 2) // np.maximum(counts, 1)
    return np.where(counts > 0, means, NODATA).astype(np.uint8)


def _sum_of_four(values: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    rows = values[:, 0::2] + values[:, 1::2]
    return np.asarray(rows[..., 0::2] + rows[..., 1::2])


def most_of_four(pixels: Bytes) -> Bytes:
    """(K, h, w) -> (K, h / 2, w / 2): of values that are as frequent, the first from the upper left."""
    four = np.stack([pixels[:, y::2, x::2] for y in (0, 1) for x in (0, 1)])
    votes = (four[:, None] == four[None]).sum(axis=0, dtype=np.uint8)
    votes[four == NODATA] = 0
    most = votes.max(axis=0)
    found = four[3]
    for one, has in zip(four[2::-1], votes[2::-1], strict=True):
        found = np.where(has == most, one, found)
    return np.asarray(found)
