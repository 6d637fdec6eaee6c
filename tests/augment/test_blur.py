import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from scipy.ndimage import gaussian_filter

from swath.augment.blur import blur, blur_in_batches

SIGMAS = np.array([0.1, 0.4, 0.8, 1.3, 1.7, 2.0], dtype=np.float32)
EVERY = np.ones(len(SIGMAS), dtype=bool)


@pytest.mark.parametrize("px", [4, 16, 96])
@pytest.mark.parametrize("blur", [blur, blur_in_batches])
def test_blur_is_the_gaussian_of_scipy(real_tiles, px, blur) -> None:
    views = real_tiles[: len(SIGMAS), :, :px, :px] / np.float32(255)
    blurred = blur(torch.from_numpy(views.copy()), SIGMAS, where=EVERY)
    for view, sigma, result in zip(views, SIGMAS, blurred, strict=True):
        expected = gaussian_filter(view.astype(np.float64), sigma, mode="nearest", truncate=8.0, axes=(1, 2))
        np.testing.assert_allclose(result.numpy(), expected, atol=2e-4)


def test_blur_is_near_pillows_which_is_three_box_filters(real_tiles) -> None:
    tiles = real_tiles[: len(SIGMAS)]
    blurred = blur(torch.from_numpy(tiles.copy()).float() / 255, SIGMAS, where=EVERY)
    for tile, sigma, result in zip(tiles, SIGMAS, blurred, strict=True):
        image = Image.fromarray(np.ascontiguousarray(tile.transpose(1, 2, 0)))
        theirs = np.asarray(image.filter(ImageFilter.GaussianBlur(float(sigma))), dtype=np.float64)
        assert np.abs(result.numpy().transpose(1, 2, 0) * 255 - theirs).mean() < 1.0


def test_only_the_chosen_views_are_blurred(real_tiles) -> None:
    views = torch.from_numpy(real_tiles[: len(SIGMAS)].copy()).float() / 255
    where = np.array([False, True, False, False, True, False])
    blurred = blur(views.clone(), SIGMAS, where=where)
    same = (blurred == views).flatten(1).all(dim=1).numpy()
    np.testing.assert_array_equal(same, ~where)
    assert torch.equal(blur(views.clone(), SIGMAS, where=~EVERY), views)
