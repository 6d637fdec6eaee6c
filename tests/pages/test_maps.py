"""Maps from tiles alone."""

import numpy as np

from swath.pages.maps import bar_m
from swath.pages.mosaic import Layout


def test_the_scale_bar_is_the_longest_round_length_in_a_quarter_of_the_map() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    widths = {1536: 2000.0, 100: 200.0, 400: 1000.0}
    for width_px, expected in widths.items():
        assert bar_m(Layout(nothing, nothing, nothing, 16, 10, width_px, pixel_m=10.0)) == expected
