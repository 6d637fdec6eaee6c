"""The paper's colours against Pillow, colorsys and torchvision."""

import colorsys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from swath.augment.photo import PhotoChanges, PhotoJitter, solarize
from swath.errors import UsageError

STILL = PhotoJitter(
    probability=1.0, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, grey_probability=0.0
)
COLUMN = {"brightness": 2, "contrast": 3, "saturation": 4, "hue": 5}
ENHANCE = {
    "brightness": ImageEnhance.Brightness, "contrast": ImageEnhance.Contrast, "saturation": ImageEnhance.Color
}  # fmt: skip


@pytest.fixture(autouse=True, params=["pixel_by_pixel", "in_batches"])
def way(request, monkeypatch) -> None:
    """Each test twice: as on a processor, and as elsewhere."""
    monkeypatch.setattr(PhotoChanges, "pixel_by_pixel", getattr(PhotoChanges, request.param))


def unit(tiles: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(tiles.copy()).float() / 255


def image(tile: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(tile.transpose(1, 2, 0)))


@pytest.mark.parametrize("name", ENHANCE)
@pytest.mark.parametrize("factor", [0.6, 0.9, 1.4])
def test_a_change_is_that_of_pillow(real_tiles, numbers, name, factor) -> None:
    tiles = real_tiles[:4]
    draws = numbers(4, 10)
    draws[:, COLUMN[name]] = (factor - 0.5) / 1.0  # the amount 0.5 below moves [0, 1) to [0.5, 1.5)
    changed = replace(STILL, **{name: 0.5}).apply(unit(tiles), draws)
    for tile, result in zip(tiles, changed, strict=True):
        expected = np.asarray(ENHANCE[name](image(tile)).enhance(factor), dtype=np.float64).transpose(2, 0, 1)
        assert np.abs(result.numpy() * 255 - expected).max() < 2.0


@pytest.mark.parametrize("turn", [-0.1, 0.03, 0.5])
def test_hue_is_that_of_colorsys(numbers, turn) -> None:
    views = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    views[0, :, 0, 0] = 0.5  # grey has no hue
    views[0, :, 0, 1] = 0.0
    views[0, :, 0, 2] = torch.tensor([0.7, 0.7, 0.1])
    draws = numbers(1, 10)
    draws[:, 5] = turn + 0.5
    turned = replace(STILL, hue=0.5).apply(views.clone(), draws)[0]
    for y in range(6):
        for x in range(6):
            hue, saturation, value = colorsys.rgb_to_hsv(*views[0, :, y, x].tolist())
            expected = colorsys.hsv_to_rgb((hue + turn) % 1.0, saturation, value)
            np.testing.assert_allclose(turned[:, y, x].numpy(), expected, atol=1e-5)


def test_the_four_changes_come_in_the_drawn_order_as_in_torchvision(numbers) -> None:
    from torchvision.transforms import functional as reference

    jitter = PhotoJitter(probability=1.0, grey_probability=0.0)
    views = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    draws = numbers(8, 10)
    jittered = jitter.apply(views.clone(), draws)
    changes = (
        reference.adjust_brightness,
        reference.adjust_contrast,
        reference.adjust_saturation,
        reference.adjust_hue,
    )
    low = np.array([1 - 0.4, 1 - 0.4, 1 - 0.2, -0.1])
    amounts = low + draws[:, 2:6] * np.array([0.8, 0.8, 0.4, 0.2])
    orders = {tuple(order) for order in draws[:, 6:].argsort(axis=1)}
    assert len(orders) > 3
    for n in range(8):
        expected = views[n]
        for change in draws[n, 6:].argsort():
            expected = changes[change](expected, float(amounts[n, change]))
        torch.testing.assert_close(jittered[n], expected, atol=1e-3, rtol=0)


def test_shares_of_jittered_and_grey_views_are_those_of_the_paper(numbers) -> None:
    views = torch.rand(2000, 3, 1, 1, generator=torch.Generator().manual_seed(2))
    jitter = PhotoJitter()
    changed = jitter.apply(views.clone(), numbers(2000, 10))
    grey = (changed.amax(dim=1) - changed.amin(dim=1) < 1e-6).flatten()
    same = (changed == views).flatten(1).all(dim=1)
    assert abs(grey.float().mean() - 0.2) < 0.03
    assert abs(same.float().mean() - 0.2 * 0.8) < 0.03


def test_grey_is_pillows_luma(real_tiles, numbers) -> None:
    grey = replace(STILL, probability=0.0, grey_probability=1.0).apply(unit(real_tiles[:2]), numbers(2, 10))
    for tile, result in zip(real_tiles[:2], grey, strict=True):
        expected = np.asarray(image(tile).convert("L"), dtype=np.float64)
        assert np.abs(result.numpy() * 255 - expected).max() < 1.0


def test_solarize_is_that_of_pillow_and_only_where_chosen(real_tiles) -> None:
    tiles = real_tiles[:2]
    changed = solarize(unit(tiles), where=np.array([True, False]))
    expected = np.asarray(ImageOps.solarize(image(tiles[0]), threshold=128), dtype=np.float32).transpose(
        2, 0, 1
    )
    np.testing.assert_allclose(changed[0].numpy() * 255, expected, atol=1e-3)
    assert torch.equal(changed[1], unit(tiles)[1])


def test_other_bands_than_three_are_refused() -> None:
    with pytest.raises(UsageError, match=r"the tiles have 12\. Use --preset overhead"):
        PhotoJitter().check_bands(12)


def test_a_share_beyond_one_is_refused() -> None:
    with pytest.raises(UsageError, match=r"photo jitter probability is 1\.2"):
        PhotoJitter(probability=1.2)
