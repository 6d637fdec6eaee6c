import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from swath.augment.crop import CropPolicy, random_crops
from swath.augment.resize import cut

UPRIGHT = CropPolicy((0.4, 1.0), vertical_flip=False, quarter_turns=False)


@pytest.mark.parametrize("scale", [(0.4, 1.0), (0.05, 0.4)])
@pytest.mark.parametrize(("height_px", "width_px"), [(120, 120), (64, 96)])
def test_boxes_are_distributed_as_torchvision_draws_them(numbers, scale, height_px, width_px) -> None:
    from torchvision.transforms import RandomResizedCrop

    policy = CropPolicy(scale, vertical_flip=False, quarter_turns=False)
    crops = random_crops(numbers(4000, 25), policy, height_px=height_px, width_px=width_px)
    ours = np.stack([crops.rows.start, crops.columns.start, crops.rows.length, crops.columns.length])
    torch.manual_seed(0)
    tile = torch.zeros(1, height_px, width_px)
    theirs = [RandomResizedCrop.get_params(tile, scale, (3 / 4, 4 / 3)) for _ in range(4000)]
    for mine, other in zip(ours, np.array(theirs).T, strict=True):
        assert ks_2samp(mine, other).pvalue > 0.001


@pytest.mark.parametrize(("height_px", "width_px"), [(20, 200), (200, 20), (50, 50)])
def test_a_box_is_central_where_no_try_fits(numbers, height_px, width_px) -> None:
    from torchvision.transforms import RandomResizedCrop

    too_large = (4.0, 4.0)
    policy = CropPolicy(too_large, vertical_flip=False, quarter_turns=False)
    crops = random_crops(numbers(1, 25), policy, height_px=height_px, width_px=width_px)
    box = (crops.rows.start[0], crops.columns.start[0], crops.rows.length[0], crops.columns.length[0])
    tile = torch.zeros(1, height_px, width_px)
    assert box == tuple(RandomResizedCrop.get_params(tile, too_large, (3 / 4, 4 / 3)))


def test_boxes_lie_in_the_tile_and_keep_scale_and_ratio(numbers) -> None:
    crops = random_crops(numbers(2000, 25), UPRIGHT, height_px=120, width_px=120)
    for span in (crops.rows, crops.columns):
        assert span.start.min() >= 0
        assert (span.start + span.length).max() <= 120
    share = crops.rows.length * crops.columns.length / 120**2
    assert share.min() > 0.39
    assert share.max() <= 1.0
    ratio = crops.columns.length / crops.rows.length
    assert ratio.min() > 0.73
    assert ratio.max() < 1.36


def test_turns_and_flips_are_those_of_numpy(numbers) -> None:
    policy = CropPolicy((1.0, 1.0), vertical_flip=True, quarter_turns=True)
    draws = numbers(16, 25)
    draws[:, 22] = np.tile([0.1, 0.9], 8)  # mirrored or not
    draws[:, 23] = np.tile([0.1, 0.1, 0.9, 0.9], 4)  # upside down or not
    draws[:, 24] = np.repeat([0.1, 0.3, 0.6, 0.8], 4)  # 0 to 3 quarter turns
    crops = random_crops(draws, policy, height_px=8, width_px=8)
    tile = torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    views = cut(tile, crops, out_px=8).numpy()
    for n, view in enumerate(views):
        expected = tile[0].numpy()
        expected = expected[:, :, ::-1] if draws[n, 22] < 0.5 else expected
        expected = expected[:, ::-1] if draws[n, 23] < 0.5 else expected
        expected = np.rot90(expected, int(draws[n, 24] * 4), axes=(1, 2))
        np.testing.assert_allclose(view, expected, atol=1e-6)


def test_the_paper_mirrors_and_never_turns(numbers) -> None:
    crops = random_crops(numbers(2000, 25), UPRIGHT, height_px=64, width_px=64)
    assert not crops.transpose.any()
    assert not crops.rows.reverse.any()
    assert abs(crops.columns.reverse.mean() - 0.5) < 0.04
