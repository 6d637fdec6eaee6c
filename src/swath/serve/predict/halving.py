"""Overviews of maps: four pixels become one, by their mean or by the value that most of them have.

NODATA counts only where all four are NODATA, as in GDAL. Legend: K bands, h x w pixels, even both.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from swath.compiled import compiled

NODATA = 255
_NONE, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)

Bytes = npt.NDArray[np.uint8]


def mean_of_four(pixels: Bytes) -> Bytes:
    """(K, h, w) -> (K, h / 2, w / 2), halves rounded up."""
    return _halved(pixels, _mean)


def most_of_four(pixels: Bytes) -> Bytes:
    """(K, h, w) -> (K, h / 2, w / 2): of values that are as frequent, the first from the upper left."""
    return _halved(pixels, _most)


def _halved(pixels: Bytes, loop: Any) -> Bytes:
    half = np.empty((len(pixels), pixels.shape[1] // 2, pixels.shape[2] // 2), np.uint8)
    loop(np.ascontiguousarray(pixels), half)
    return half


@compiled
def _mean(pixels: Any, half: Any) -> None:
    for k in range(half.shape[0]):
        for y in range(half.shape[1]):
            above, below = pixels[k, 2 * y], pixels[k, 2 * y + 1]
            for x in range(half.shape[2]):
                total = known = _NONE
                for value in (above[2 * x], above[2 * x + 1], below[2 * x], below[2 * x + 1]):
                    total += _NONE if value == NODATA else np.float32(value)
                    known += _NONE if value == NODATA else _ONE
                half[k, y, x] = NODATA if known == 0 else np.int32(total / known + _HALF)


@compiled
def _most(pixels: Any, half: Any) -> None:
    for k in range(half.shape[0]):
        for y in range(half.shape[1]):
            above, below = pixels[k, 2 * y], pixels[k, 2 * y + 1]
            for x in range(half.shape[2]):
                four = (above[2 * x], above[2 * x + 1], below[2 * x], below[2 * x + 1])
                most, votes = NODATA, 0
                for value in four:
                    found = 0
                    for other in four:
                        found += other == value
                    if value != NODATA and found > votes:
                        most, votes = value, found
                half[k, y, x] = most
