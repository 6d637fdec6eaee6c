"""Are these the units that a network was trained on? Told by the size of the values, where it is far off."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from swath.data.bands import TileFormat
from swath.errors import DataError

# Reflectance in 0..1, per cent and x 10,000 are two orders of magnitude apart; night and snow are not.
_TOO_SMALL, _TOO_LARGE = 1 / 50, 20.0


def check_unit(values: Sequence[npt.NDArray[np.float32]], tiles: TileFormat, *, where: str) -> None:
    """Compare `values`, a sample of each band as the network would read it, with the range of `tiles`.

    Zeros and values that are not finite say nothing of a unit and are passed over.

    Raises:
        DataError: in every band the brightest are below a fiftieth of `high`, or most are 20 times above it.
    """
    if min(tiles.low) < 0:
        return  # decibels: sizes say nothing
    sizes = []
    for band, high in zip(values, tiles.high, strict=True):
        told = band[np.isfinite(band) & (band != 0)]
        if not len(told):
            return
        sizes.append(np.percentile(told, [50, 99]) / high)
    middle, brightest = np.stack(sizes, axis=1)
    if (brightest < _TOO_SMALL).all():
        _refuse(values, tiles, where, ("smaller", _power_of_ten(brightest)))
    if (middle > _TOO_LARGE).all():
        _refuse(values, tiles, where, ("larger", _power_of_ten(middle)))


def _power_of_ten(sizes: npt.NDArray[np.float64]) -> float:
    """The factor that brings values to about a third of `high`."""
    return float(10.0 ** np.round(np.log10(0.3 / np.median(sizes))))


def _refuse(
    values: Sequence[npt.NDArray[np.float32]], tiles: TileFormat, where: str, other: tuple[str, float]
) -> None:
    flat = np.concatenate([band.ravel() for band in values])
    told = flat[np.isfinite(flat) & (flat != 0)]
    low, high = np.percentile(told, [1, 99])
    raise DataError(
        f"{where} hold values from {low:.4g} to {high:.4g}; the network was trained on about "
        f"{min(tiles.low):.4g} to {max(tiles.high):.4g}: these are far {other[0]}. In another unit? "
        f"Multiply by about {other[1]:g} (swath predict --multiply {other[1]:g})."
    )
