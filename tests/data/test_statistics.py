import math
from fractions import Fraction

import numpy as np
import pytest

from swath.data.bands import BandGroup
from swath.data.statistics import Histogram, TileStatistics
from swath.errors import DataError


def pixels_of(dtype, count=20_000, seed=0):
    draws = np.random.default_rng(seed)
    if dtype == "float32":
        return draws.normal(-12.0, 5.0, count).astype(np.float32)
    limits = np.iinfo(dtype)
    return draws.normal(limits.max / 4, limits.max / 9, count).clip(limits.min, limits.max).astype(dtype)


def percentile(pixels, percent):
    """The smallest value that at least `percent` of the pixels do not exceed, in whole numbers.

    As numpy's "inverted_cdf", which is off by one where percent / 100 * n rounds up (99.9 of 20,000).
    """
    at_least = max(math.ceil(Fraction(str(percent)) / 100 * pixels.size), 1)
    return np.sort(pixels, axis=None)[at_least - 1]


def filled(dtype, pixels):
    histogram = Histogram(dtype)
    for part in np.array_split(pixels, 7):
        histogram.add(part.reshape(1, -1))
    return histogram


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize("percent", [0, 0.1, 1, 33.3, 50, 99, 99.9, 100])
def test_percentiles_of_integers_are_exact(dtype, percent):
    pixels = pixels_of(dtype)
    found = filled(dtype, pixels).percentile(percent)
    assert found == percentile(pixels, percent)


@pytest.mark.parametrize("percent", [0.1, 1, 50, 99, 99.9])
def test_percentiles_of_floats_are_within_the_stated_tolerance(percent):
    pixels = pixels_of("float32")
    found = filled("float32", pixels).percentile(percent)
    assert found == pytest.approx(percentile(pixels, percent), rel=2**-12)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("uint8", 1e-12), ("uint16", 1e-12), ("int16", 1e-12), ("float32", 2**-12)]
)
def test_mean_and_std_are_those_of_the_clamped_unit_values(dtype, tolerance):
    pixels = pixels_of(dtype).astype(np.float64)
    low, high = np.percentile(pixels, [2, 97])
    unit = ((pixels - low) / (high - low)).clip(0, 1)
    mean, std = filled(dtype, pixels_of(dtype)).mean_and_std(low, high)
    assert mean == pytest.approx(unit.mean(), rel=tolerance)
    assert std == pytest.approx(unit.std(), rel=tolerance)


def test_the_median_of_integers_is_numpys():
    pixels = pixels_of("uint16")
    assert filled("uint16", pixels).percentile(50) == np.percentile(pixels, 50, method="inverted_cdf")


def test_float_zeros_stay_zero_and_signs_are_kept():
    histogram = filled("float32", np.array([-3.0, -0.0, 0.0, 0.0, 4.0], dtype=np.float32))
    values, counts = histogram.values()
    assert values == pytest.approx([-3.0, 0.0, 0.0, 4.0], rel=2**-12)
    assert counts.tolist() == [1, 2, 1, 1] or counts.tolist() == [1, 1, 2, 1]


def test_eight_bit_imagery_keeps_its_whole_range_and_others_lose_a_thousandth():
    groups = (BandGroup(("R",), 10, "uint8"), BandGroup(("B11",), 10, "uint16"))
    statistics = TileStatistics(groups)
    wide = pixels_of("uint16", 4000).reshape(40, 1, 10, 10)
    statistics.add([pixels_of("uint8", 4000).reshape(40, 1, 10, 10), wide])
    found = statistics.tile_format(("B11", "R"), 10.0)
    assert found.low == (percentile(wide, 0.1), 0.0)
    assert found.high == (percentile(wide, 99.9), 255.0)
    assert found.gsd_m == 10.0
    assert found.bands == ("B11", "R")


def test_bands_of_a_group_are_counted_apart():
    statistics = TileStatistics((BandGroup(("R", "G"), 2, "uint8"),))
    tiles = np.stack([np.full((5, 2, 2), 51, np.uint8), np.full((5, 2, 2), 102, np.uint8)], axis=1)
    statistics.add([tiles])
    summaries = statistics.summaries()
    assert (summaries["R"].mean, summaries["G"].mean) == (51, 102)
    assert (summaries["R"].count, summaries["G"].maximum) == (20, 102)
    assert statistics.tile_format(("G", "R"), None).mean == pytest.approx((0.4, 0.2))


def test_a_band_that_never_changes_can_still_be_divided_by_its_std():
    statistics = TileStatistics((BandGroup(("VV",), 2, "float32"),))
    statistics.add([np.full((3, 1, 2, 2), 7.0, np.float32)])
    found = statistics.tile_format(("VV",), None)
    assert found.std == (1.0,)
    assert found.high[0] > found.low[0]


def test_statistics_of_nothing_are_an_error():
    with pytest.raises(DataError, match="B04 has no pixels"):
        TileStatistics((BandGroup(("B04",), 2, "uint16"),)).summaries()


def test_pixels_of_another_type_are_refused():
    with pytest.raises(ValueError, match="do not go into"):
        Histogram("uint8").add(np.zeros(3, np.uint16))
