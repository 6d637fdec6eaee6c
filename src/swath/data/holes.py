"""Pixels without data, filled so that a network can look at the tile around them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data.bands import BandGroup
from swath.errors import DataError

Pixels = npt.NDArray[Any]
Holes = npt.NDArray[np.bool_]


def holes_in(pixels: Pixels, nodata: float | None) -> Holes:
    """Where there is no data: the value that says so, and in floats whatever is not finite."""
    holes = np.zeros(pixels.shape, dtype=np.bool_) if nodata is None else pixels == nodata
    if pixels.dtype.kind == "f":
        holes |= ~np.isfinite(pixels)
    return holes


def filled(pixels: Pixels, holes: Holes, group: BandGroup, path: str) -> Pixels:
    """(Cg, h, w) with holes filled by the mean of their band in this tile.

    Raises:
        DataError: a band has no pixel with data.
    """
    if not holes.any():
        return pixels
    whole = pixels.copy()
    for channel, band in enumerate(group.bands):
        good = pixels[channel][~holes[channel]]
        if not len(good):
            raise DataError(f"{path} is blank: band {band} has no pixel with data")
        whole[channel][holes[channel]] = good.mean(dtype=np.float64)
    return whole


def without_holes(pixels: Pixels, nodata: float | None, group: BandGroup, path: str) -> Pixels:
    """Fill pixels without data with the mean of their band in this tile; raises DataError as `filled`."""
    return filled(pixels, holes_in(pixels, nodata), group, path)
