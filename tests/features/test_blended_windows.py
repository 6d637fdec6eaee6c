"""Windows cover a tile, and what they say blends to what a plain loop over pixels finds."""

import numpy as np
import pytest
import torch

from swath.features.windows import Windows


@pytest.mark.parametrize(
    ("tile", "side", "overlap"), [(16, 16, 0.0), (40, 16, 0.5), (37, 16, 0.0), (8, 16, 0.5)]
)
def test_every_pixel_lies_in_a_window_and_no_window_leaves_the_tile(tile, side, overlap):
    windows = Windows.over(tile, side, overlap=overlap)
    seen = np.zeros((tile, tile), int)
    for rows, columns, window in windows.cut(torch.zeros(2, 3, tile, tile)):
        assert window.shape == (2, 3, windows.side_px, windows.side_px)
        seen[rows, columns] += 1
    assert seen.min() >= 1
    assert windows.side_px == min(tile, side)
    if overlap == 0.5 and tile > side:
        assert np.diff(windows.starts).max() <= side // 2


def test_windows_that_agree_blend_to_what_they_say():
    images = torch.rand(2, 1, 40, 40)
    blended = Windows.over(40, 16, overlap=0.5).blended(images, lambda window: window * 3)
    torch.testing.assert_close(blended, images * 3)


def test_a_window_counts_less_toward_its_edge():
    """Two windows of one line that say 0 and 1: a plain loop over their distances to the edge."""
    windows = Windows(4, (0, 2))
    blended = windows.blended(torch.zeros(1, 1, 6, 6), _first_says_0_then_1())
    line = [1, 2, 2, 1]
    expected = []
    for x in range(6):
        parts = [(line[x - start], said) for start, said in ((0, 0.0), (2, 1.0)) if 0 <= x - start < 4]
        expected.append(sum(weight * said for weight, said in parts) / sum(weight for weight, _ in parts))
    np.testing.assert_allclose(blended[0, 0, 0].numpy(), expected, rtol=1e-6)


def _first_says_0_then_1():
    said = iter([0.0, 1.0, 0.0, 1.0])
    return lambda window: torch.full_like(window, next(said))
