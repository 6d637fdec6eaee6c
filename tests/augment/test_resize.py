"""The resize against Pillow on real tiles, against torch, and against plain loops."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from swath.augment.crop import CropPolicy, Crops, Span, random_crops
from swath.augment.resize import cut, resize_filter

CPU = torch.device("cpu")
CASES = [(120, 224, (0.4, 1.0)), (120, 96, (0.05, 0.4)), (64, 32, (0.05, 0.4)), (120, 32, (0.4, 1.0))]


def box_of(tile: np.ndarray, crops: Crops, n: int) -> np.ndarray:
    top, left = crops.rows.start[n], crops.columns.start[n]
    return tile[:, top : top + crops.rows.length[n], left : left + crops.columns.length[n]]


def pillow(box: np.ndarray, out_px: int, kernel: Image.Resampling) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(box.transpose(1, 2, 0)))
    return np.asarray(image.resize((out_px, out_px), kernel), dtype=np.float64).transpose(2, 0, 1)


def native(box: np.ndarray, out_px: int, mode: str, *, antialias: bool) -> torch.Tensor:
    unit = torch.from_numpy(np.ascontiguousarray(box)).float()[None] / 255
    return F.interpolate(unit, (out_px, out_px), mode=mode, antialias=antialias)[0]


def mean_error(view: torch.Tensor, expected: np.ndarray) -> float:
    return float(np.abs(view.clamp(0, 1).double().numpy() * 255 - expected).mean())


@pytest.mark.parametrize(("tile_px", "out_px", "scale"), CASES)
def test_views_of_real_tiles_are_those_of_pillow(real_tiles, upright_crops, tile_px, out_px, scale) -> None:
    tiles = real_tiles[:, :, :tile_px, :tile_px].copy()
    crops = upright_crops(2 * len(tiles), tile_px, scale)
    views = cut(torch.from_numpy(tiles).float() / 255, crops, out_px=out_px)
    for n, view in enumerate(views):
        box = box_of(tiles[n % len(tiles)], crops, n)
        assert mean_error(view, pillow(box, out_px, Image.Resampling.BICUBIC)) < 0.35


@pytest.mark.parametrize(("tile_px", "out_px", "scale"), CASES)
def test_another_kernel_or_no_antialiasing_would_fail_the_bound(
    real_tiles, upright_crops, tile_px, out_px, scale
) -> None:
    tiles = real_tiles[:, :, :tile_px, :tile_px]
    crops = upright_crops(len(tiles), tile_px, scale)
    boxes = [box_of(tile, crops, n) for n, tile in enumerate(tiles)]
    expected = [pillow(box, out_px, Image.Resampling.BICUBIC) for box in boxes]

    def error(make) -> float:
        return float(np.mean([mean_error(make(box), e) for box, e in zip(boxes, expected, strict=True)]))

    assert error(lambda box: native(box, out_px, "bilinear", antialias=True)) > 0.49
    assert error(lambda box: native(box, out_px, "bicubic", antialias=False)) > 0.4
    assert error(lambda box: torch.from_numpy(pillow(box, out_px, Image.Resampling.LANCZOS) / 255)) > 0.4


@pytest.mark.parametrize(("tile_px", "out_px", "scale"), CASES)
def test_views_are_those_of_torch_in_floats(real_tiles, upright_crops, tile_px, out_px, scale) -> None:
    tiles = real_tiles[:8, :, :tile_px, :tile_px].copy()
    crops = upright_crops(len(tiles), tile_px, scale)
    views = cut(torch.from_numpy(tiles).float() / 255, crops, out_px=out_px)
    for n, view in enumerate(views):
        expected = native(box_of(tiles[n], crops, n), out_px, "bicubic", antialias=True)
        torch.testing.assert_close(view, expected.clamp(0, 1), atol=1e-4, rtol=0)


def test_a_tile_that_is_not_square_and_has_12_bands_is_cut_as_torch_does(numbers) -> None:
    tiles = torch.rand(2, 12, 40, 56, generator=torch.Generator().manual_seed(0))
    policy = CropPolicy((0.2, 0.9), vertical_flip=True, quarter_turns=True)
    crops = random_crops(numbers(6, 25), policy, height_px=40, width_px=56)
    for n, view in enumerate(cut(tiles, crops, out_px=24)):
        box = box_of(tiles[n % 2].numpy(), crops, n)
        expected = native(box * 255, 24, "bicubic", antialias=True)
        expected = expected.flip(1) if crops.rows.reverse[n] else expected
        expected = expected.flip(2) if crops.columns.reverse[n] else expected
        expected = expected.mT if crops.transpose[n] else expected
        torch.testing.assert_close(view, expected.clamp(0, 1), atol=1e-4, rtol=0)


def test_weights_sum_to_one_and_stay_in_the_span() -> None:
    span = Span(
        start=np.array([0, 5, 19]), length=np.array([20, 7, 1]), reverse=np.array([False, True, False])
    )
    matrices = resize_filter(span, in_px=20, out_px=8, device=CPU).dense()
    torch.testing.assert_close(matrices.sum(dim=2), torch.ones(3, 8))
    assert not matrices[1, :, :5].any()
    assert not matrices[1, :, 12:].any()
    assert not matrices[2, :, :19].any()
