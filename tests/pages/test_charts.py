"""Charts from plain values."""

import math
import re

import numpy as np
import pytest

from swath.pages.charts import Estimate, Line, intervals, line_chart, thinned, ticks


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.27, 0.41), (-3, 17_000), (1e-6, 2e-6), (5, 5), (0, 0)])
def test_ticks_enclose_the_range_in_even_round_steps(low: float, high: float) -> None:
    found = np.asarray(ticks(low, high, 4))
    assert found[0] <= low
    assert found[-1] >= high
    steps = np.diff(found)
    assert 1 <= len(steps) <= 9
    assert np.allclose(steps, steps[0])
    mantissa = steps[0] / 10.0 ** math.floor(math.log10(steps[0]) + 1e-9)
    assert min(abs(mantissa - good) for good in (1, 2, 5, 10)) < 1e-6


def test_a_long_curve_becomes_means_of_equal_stretches() -> None:
    steps = np.arange(1, 3601)
    values = np.sin(steps / 100)
    points = thinned(Line("x", steps.tolist(), values.tolist()))
    assert points.shape == (180, 2)
    assert np.allclose(points[:, 1], values.reshape(180, 20).mean(axis=1))


def test_gaps_in_a_curve_are_left_out() -> None:
    points = thinned(Line("x", [1, 2, 3, 4], [0.5, None, math.nan, 0.7]))
    assert points.tolist() == [[1, 0.5], [4, 0.7]]


def test_a_chart_of_nothing_is_nothing() -> None:
    assert line_chart("Empty", [Line("x", [1, 2], [None, None])]) == ""


def test_an_interval_lies_where_its_numbers_say() -> None:
    drawn = intervals([Estimate("a", 0.25, 0.0, 0.5), Estimate("b", 0.75, 0.5, 1.0)])
    places = re.findall(r"left:([\d.]+)%;width:([\d.]+)%", drawn)
    assert [tuple(map(float, place)) for place in places] == [(0, 50), (50, 50)]
    assert [float(dot) for dot in re.findall(r'class="dot" style="left:([\d.]+)%"', drawn)] == [25, 75]
