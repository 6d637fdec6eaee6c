"""Pixels without data, filled so that a network can look at the tile around them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data.bands import BandGroup
from swath.errors import DataError

Pixels = npt.NDArray[Any]


def without_holes(pixels: Pixels, nodata: float | None, group: BandGroup, path: str) -> Pixels:
    """Fill pixels without data with the mean of their band in this tile."""
    holes = np.zeros(pixels.shape, dtype=np.bool_) if nodata is None else pixels == nodata
    if pixels.dtype.kind == "f":
        holes |= ~np.isfinite(pixels)
    if not holes.any():
        return pixels
    filled = pixels.copy()
    for channel, band in enumerate(group.bands):
        good = pixels[channel][~holes[channel]]
        if not len(good):
            raise DataError(f"{path} is blank: band {band} has no pixel with data")
        filled[channel][holes[channel]] = good.mean(dtype=np.float64)
    return filled
