"""Mean, spread and percentiles of a band in one pass over any number of tiles, from one histogram.

8 and 16-bit integers have a bin a value, so everything is exact. float32 has a bin for each value of its
upper 20 bits (sign, exponent, 11 bits of the mantissa), and counts at the middle of its bin: wrong by a
relative 2^-12 (0.025 %) at most. No range has to be known beforehand.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data.bands import BandGroup, TileFormat
from swath.errors import DataError

_FLOAT_SHIFT = 12
_FLOAT_BINS = 1 << (32 - _FLOAT_SHIFT)
_FLAT = 1e-6  # a band that never changes has no spread to divide by


class Histogram:
    """Counts of the values of one band; `dtype` is one of bands.PIXEL_TYPES."""

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        bins = _FLOAT_BINS if self.dtype.kind == "f" else 1 << (8 * self.dtype.itemsize)
        self.counts = np.zeros(bins, dtype=np.int64)

    def add(self, pixels: npt.NDArray[Any]) -> None:
        """Count finite pixels of any shape."""
        self.counts += np.bincount(self._bins_of(pixels.reshape(-1)), minlength=len(self.counts))

    @property
    def count(self) -> int:
        return int(self.counts.sum())

    def values(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """The values that were seen (the middle of the bin for float32), ascending, and how often."""
        bins = np.flatnonzero(self.counts)
        values = self._values_of(bins)
        order = np.argsort(values, kind="stable")
        return values[order], self.counts[bins[order]]

    def percentile(self, percent: float) -> float:
        """The smallest value that at least `percent` of the pixels do not exceed."""
        values, counts = self.values()
        below = np.cumsum(counts)
        wanted = percent / 100 * below[-1]
        rounding = 1e-9 * below[-1]  # 99.9 / 100 * 1000 is a little over 999
        return float(values[np.searchsorted(below, max(wanted - rounding, 1))])

    def mean_and_std(self, low: float, high: float) -> tuple[float, float]:
        """Of the values clamped to low..high and mapped to 0..1."""
        values, counts = self.values()
        unit = np.clip((values - low) / (high - low), 0.0, 1.0)
        mean = np.average(unit, weights=counts)
        return float(mean), float(np.sqrt(np.average((unit - mean) ** 2, weights=counts)))

    def _bins_of(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if pixels.dtype != self.dtype:
            raise ValueError(f"pixels of {pixels.dtype} do not go into a histogram of {self.dtype}")
        if self.dtype.kind == "f":
            return np.ascontiguousarray(pixels).view(np.uint32) >> _FLOAT_SHIFT
        if self.dtype.kind == "i":
            return pixels.astype(np.int64) + len(self.counts) // 2
        return pixels

    def _values_of(self, bins: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        if self.dtype.kind == "f":
            middle = (bins.astype(np.uint32) << np.uint32(_FLOAT_SHIFT)) + np.uint32(1 << (_FLOAT_SHIFT - 1))
            values = middle.view(np.float32).astype(np.float64)
            # Zero is the one value that imagery repeats; its bin starts at zero and its middle is 3e-42.
            return np.where(np.abs(values) < np.finfo(np.float32).tiny, 0.0, values)
        offset = len(self.counts) // 2 if self.dtype.kind == "i" else 0
        return (bins - offset).astype(np.float64)


@dataclass(frozen=True)
class BandSummary:
    """What a person wants to know of a band, in stored units; `low` and `high` are what 0 and 1 will mean."""

    count: int
    mean: float
    std: float
    minimum: float
    p1: float
    p50: float
    p99: float
    maximum: float
    low: float
    high: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class TileStatistics:
    """One histogram a band, filled batch by batch."""

    def __init__(self, groups: tuple[BandGroup, ...]) -> None:
        self._groups = groups
        self._histograms = {band: Histogram(group.dtype) for group in groups for band in group.bands}

    def add(self, pixels: list[npt.NDArray[Any]]) -> None:
        """Count a batch: one array (B, C, h, w) a group."""
        for group, values in zip(self._groups, pixels, strict=True):
            for channel, band in enumerate(group.bands):
                self._histograms[band].add(values[:, channel])

    @property
    def pixels(self) -> int:
        """Counted so far, of the first band."""
        return next(iter(self._histograms.values())).count

    def counts(self) -> dict[str, npt.NDArray[np.int64]]:
        """By band, to be kept and gone on with."""
        return {band: histogram.counts for band, histogram in self._histograms.items()}

    def add_counts(self, counts: Mapping[str, npt.NDArray[np.int64]]) -> None:
        """Count what another has counted."""
        for band, histogram in self._histograms.items():
            histogram.counts += counts[band]

    def restore(self, counts: Mapping[str, npt.NDArray[np.int64]]) -> None:
        for band, histogram in self._histograms.items():
            histogram.counts[:] = counts[band]

    def summaries(self) -> dict[str, BandSummary]:
        """By band.

        Raises:
            DataError: no pixel was counted.
        """
        return {band: _summary(band, histogram) for band, histogram in self._histograms.items()}

    def tile_format(self, bands: tuple[str, ...], gsd_m: float | None) -> TileFormat:
        """The preprocessing contract that these pixels ask for, with `bands` in the order of the network."""
        summaries = self.summaries()
        low = tuple(summaries[band].low for band in bands)
        high = tuple(summaries[band].high for band in bands)
        units = [
            self._histograms[band].mean_and_std(lo, hi) for band, lo, hi in zip(bands, low, high, strict=True)
        ]
        return TileFormat(
            bands=bands,
            groups=self._groups,
            gsd_m=gsd_m,
            low=low,
            high=high,
            mean=tuple(mean for mean, _ in units),
            std=tuple(std if std > _FLAT else 1.0 for _, std in units),
        )


def _summary(band: str, histogram: Histogram) -> BandSummary:
    values, counts = histogram.values()
    if not len(values):
        raise DataError(f"band {band} has no pixels to take statistics of")
    low, high = _range(histogram)
    mean = np.average(values, weights=counts)
    return BandSummary(
        count=histogram.count,
        mean=float(mean),
        std=float(np.sqrt(np.average((values - mean) ** 2, weights=counts))),
        minimum=float(values[0]),
        p1=histogram.percentile(1),
        p50=histogram.percentile(50),
        p99=histogram.percentile(99),
        maximum=float(values[-1]),
        low=low,
        high=high,
    )


def _range(histogram: Histogram) -> tuple[float, float]:
    """0 and 255 for 8-bit imagery; else all but the darkest and the brightest thousandth (clouds, glint)."""
    if histogram.dtype == np.uint8:
        return 0.0, 255.0
    low, high = histogram.percentile(0.1), histogram.percentile(99.9)
    return (low, high) if high > low else (low, low + 1.0)
