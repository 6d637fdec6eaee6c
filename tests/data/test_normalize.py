import numpy as np
import pytest
import torch
import torch.nn.functional as F

from swath.data.bands import BandGroup, TileFormat
from swath.data.normalize import resized, standardize, to_unit

TWO_GROUPS = TileFormat(
    bands=("B04", "B11", "B02"),
    groups=(BandGroup(("B02", "B04"), 8, "uint16"), BandGroup(("B11",), 4, "int16")),
    gsd_m=10.0,
    low=(100.0, -50.0, 200.0),
    high=(3100.0, 950.0, 2200.0),
    mean=(0.4, 0.5, 0.3),
    std=(0.2, 0.1, 0.25),
)


def stored_tiles():
    draws = np.random.default_rng(0)
    fine = draws.integers(0, 5000, (3, 2, 8, 8)).astype(np.uint16)
    coarse = draws.integers(-200, 1500, (3, 1, 4, 4)).astype(np.int16)
    return fine, coarse


def enlarged_by_two(image):
    """Bilinear with pixel centres: by plain loops, h x w -> 2h x 2w."""
    h, w = image.shape
    out = np.empty((2 * h, 2 * w))
    for y in range(2 * h):
        for x in range(2 * w):
            fy, fx = max((y + 0.5) / 2 - 0.5, 0), max((x + 0.5) / 2 - 0.5, 0)
            y0, x0 = int(fy), int(fx)
            y1, x1 = min(y0 + 1, h - 1), min(x0 + 1, w - 1)
            dy, dx = fy - y0, fx - x0
            top = image[y0, x0] * (1 - dx) + image[y0, x1] * dx
            bottom = image[y1, x0] * (1 - dx) + image[y1, x1] * dx
            out[y, x] = top * (1 - dy) + bottom * dy
    return out


def test_bands_come_in_the_order_of_the_format_in_unit_range():
    fine, coarse = stored_tiles()
    unit = to_unit([torch.from_numpy(fine), torch.from_numpy(coarse)], TWO_GROUPS)
    assert unit.shape == (3, 3, 8, 8)
    assert unit.dtype == torch.float32
    b04 = ((fine[:, 1].astype(np.float64) - 100) / 3000).clip(0, 1)
    b02 = ((fine[:, 0].astype(np.float64) - 200) / 2000).clip(0, 1)
    assert np.allclose(unit[:, 0], b04, atol=1e-6)
    assert np.allclose(unit[:, 2], b02, atol=1e-6)


def test_coarser_groups_are_enlarged_as_plain_loops_do():
    fine, coarse = stored_tiles()
    unit = to_unit([torch.from_numpy(fine), torch.from_numpy(coarse)], TWO_GROUPS)
    for tile in range(3):
        expected = enlarged_by_two(((coarse[tile, 0].astype(np.float64) + 50) / 1000).clip(0, 1))
        assert np.allclose(unit[tile, 1], expected, atol=1e-6)


def test_standardize_subtracts_the_mean_and_divides_by_the_std_of_each_band():
    unit = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    found = standardize(unit, TWO_GROUPS)
    for channel, (mean, std) in enumerate(zip(TWO_GROUPS.mean, TWO_GROUPS.std, strict=True)):
        assert torch.allclose(found[:, channel], (unit[:, channel] - mean) / std)


@pytest.mark.parametrize(("sides", "side_px"), [((120, 120), 112), ((9, 20), 16), ((60, 33), 112)])
def test_images_are_resized_as_torch_does_it(sides, side_px):
    unit = torch.rand(2, 3, *sides, generator=torch.Generator().manual_seed(0))
    unit[:, :, 2:] = unit[:, :, 2:].round()  # sharp edges, where bicubic weights overshoot
    torchs = F.interpolate(unit, size=(side_px, side_px), mode="bicubic", antialias=True)
    assert torchs.max() > 1
    assert (resized(unit, side_px) - torchs.clamp(0, 1)).abs().max() <= 1e-6


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_the_stored_pixels_are_not_written_to(dtype):
    plain = TileFormat(
        ("R",),
        (BandGroup(("R",), 4, str(dtype).removeprefix("torch.")),),
        None,
        (0.0,),
        (255.0,),
        (0.5,),
        (0.2,),
    )
    stored = torch.full((1, 1, 4, 4), 51).to(dtype)
    unit = to_unit([stored], plain, torch.device("cpu"))
    assert torch.allclose(unit, torch.full((1, 1, 4, 4), 0.2))
    assert stored.unique().tolist() == [51]
