import math

import pytest
import torch
import torch.nn.functional as F

from swath.models.position import resample_positions

GRIDS = [(6, 6), (14, 6), (3, 20), (28, 14), (1, 1)]


def _positions(side=14, width=8):
    return torch.randn(1, 1 + side * side, width, generator=torch.Generator().manual_seed(0))


def _as_image(positions, side=14):
    return positions[:, 1:].transpose(1, 2).reshape(1, -1, side, side)


@pytest.mark.parametrize("grid", GRIDS)
def test_mode_timm_is_bicubic_with_antialiasing(grid):
    positions = _positions()
    expected = F.interpolate(_as_image(positions), size=grid, mode="bicubic", antialias=True)
    resampled = resample_positions(positions, grid, "timm")
    torch.testing.assert_close(resampled[:, 1:], expected.flatten(2).transpose(1, 2), rtol=0, atol=2e-6)
    assert torch.equal(resampled[:, 0], positions[:, 0])


def _cubic(distance, a=-0.75):
    """Keys 1981, with the constant of torch's bicubic without antialiasing."""
    x = abs(distance)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


@pytest.mark.parametrize("grid", GRIDS)
def test_mode_dino_samples_cubics_at_steps_of_the_size_plus_a_tenth(grid):
    side, positions = 14, _positions()
    image = _as_image(positions)[0]
    expected = torch.zeros(image.shape[0], *grid)
    for row in range(grid[0]):
        for column in range(grid[1]):
            y = (row + 0.5) * side / (grid[0] + 0.1) - 0.5
            x = (column + 0.5) * side / (grid[1] + 0.1) - 0.5
            for i in range(math.floor(y) - 1, math.floor(y) + 3):
                for j in range(math.floor(x) - 1, math.floor(x) + 3):
                    pixel = image[:, min(max(i, 0), side - 1), min(max(j, 0), side - 1)]
                    expected[:, row, column] += _cubic(y - i) * _cubic(x - j) * pixel
    resampled = resample_positions(positions, grid, "dino")
    torch.testing.assert_close(resampled[0, 1:], expected.flatten(1).T, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", ["timm", "dino"])
def test_the_learned_grid_itself_is_left_as_it_is(mode):
    positions = _positions()
    assert resample_positions(positions, (14, 14), mode) is positions


def test_autocast_does_not_round_positions():
    positions = _positions()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = resample_positions(positions, (6, 6), "timm")
    assert torch.equal(rounded, resample_positions(positions, (6, 6), "timm"))


def test_positions_kept_in_bfloat16_come_back_in_bfloat16():
    assert resample_positions(_positions().bfloat16(), (6, 6), "timm").dtype == torch.bfloat16
