import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from swath.augment.colour import BandJitter
from swath.augment.views import ViewPolicy, Views, make_views, overhead, paper
from swath.errors import UsageError

SMALL = overhead(global_px=16, local_px=8, local_views=3)
PLAIN = replace(
    SMALL,
    global_scale=(1.0, 1.0),  # no other ratio fits at the full area: always the whole tile
    colour=BandJitter(probability=0.0, grey_probability=0.0),
    blur_probability=(0.0, 0.0, 0.0),
)


def some_tiles(num_bands: int = 3, *, n: int = 5) -> torch.Tensor:
    return torch.rand(n, num_bands, 16, 16, generator=torch.Generator().manual_seed(num_bands))


def views_of(
    tiles: torch.Tensor, policy: ViewPolicy, *, seed: int = 0, epoch: int = 0, first: int = 0
) -> Views:
    ids = np.arange(first, first + len(tiles), dtype=np.int64)
    return make_views(tiles, policy, seed=seed, epochs=np.full_like(ids, epoch), sample_ids=ids)


@pytest.mark.parametrize("num_bands", [1, 3, 4, 13])
def test_views_have_the_asked_sizes_and_stay_in_the_unit_range(num_bands) -> None:
    views = views_of(some_tiles(num_bands), SMALL)
    assert views.globals_.shape == (2 * 5, num_bands, 16, 16)
    assert views.locals_.shape == (3 * 5, num_bands, 8, 8)
    for group in (views.globals_, views.locals_):
        assert group.is_contiguous()
        assert group.min() >= 0
        assert group.max() <= 1


def test_views_are_view_major_and_the_two_global_views_differ() -> None:
    tiles = torch.arange(1, 6).div(10)[:, None, None, None].expand(5, 3, 16, 16).contiguous()
    views = views_of(tiles, PLAIN)
    for group, count in ((views.globals_, 2), (views.locals_, 3)):
        torch.testing.assert_close(group.mean(dim=(1, 2, 3)), torch.arange(1, 6).div(10).repeat(count))
    textured = views_of(some_tiles(), SMALL).globals_
    assert not torch.allclose(textured[:5], textured[5:], atol=0.01)


def test_views_are_a_pure_function_of_seed_epoch_and_sample_id() -> None:
    tiles = some_tiles()
    views = views_of(tiles, SMALL)
    assert torch.equal(views_of(tiles, SMALL).globals_, views.globals_)
    for other in (
        views_of(tiles, SMALL, seed=1),
        views_of(tiles, SMALL, epoch=1),
        views_of(tiles, SMALL, first=5),
    ):
        assert not torch.allclose(other.globals_, views.globals_, atol=0.01)
        assert not torch.allclose(other.locals_, views.locals_, atol=0.01)


@pytest.mark.parametrize(
    "policy", [SMALL, paper(global_px=16, local_px=8, local_views=3)], ids=["overhead", "paper"]
)
def test_views_of_a_tile_do_not_depend_on_its_batch(policy) -> None:
    tiles = some_tiles(n=8)
    whole, part = views_of(tiles, policy), views_of(tiles[3:5], policy, first=3)
    for together, alone in ((whole.globals_, part.globals_), (whole.locals_, part.locals_)):
        expected = together.unflatten(0, (-1, 8))[:, 3:5].flatten(0, 1)
        torch.testing.assert_close(alone, expected, atol=1e-5, rtol=0)


def test_a_view_without_crop_is_the_tile_in_one_of_eight_positions() -> None:
    tile = some_tiles(4, n=1)
    views = views_of(tile.expand(100, -1, -1, -1), PLAIN).globals_
    positions = [torch.rot90(t, k, (1, 2)) for t in (tile[0], tile[0].flip(2)) for k in range(4)]
    distance = torch.stack([(views - position).abs().amax(dim=(1, 2, 3)) for position in positions])
    assert distance.amin(dim=0).max() < 1e-5
    assert set(distance.argmin(dim=0).tolist()) == set(range(8))


def test_no_local_views_give_an_empty_batch() -> None:
    assert views_of(some_tiles(), replace(SMALL, local_views=0)).locals_.shape == (0, 3, 8, 8)


def test_solarize_touches_the_second_global_view_alone() -> None:
    policy = replace(PLAIN, solarize_probability=1.0, vertical_flip=False, quarter_turns=False)
    bright = torch.full((4, 3, 16, 16), 0.9)
    views = views_of(bright, policy)
    torch.testing.assert_close(views.globals_[:4], bright)
    torch.testing.assert_close(views.globals_[4:], 1 - bright)
    torch.testing.assert_close(views.locals_, torch.full_like(views.locals_, 0.9))


def test_blur_follows_the_probability_of_each_view() -> None:
    policy = replace(PLAIN, blur_probability=(1.0, 0.0, 0.0), global_blur_px=(2.0, 2.0))
    views = views_of(some_tiles(n=8), policy).globals_
    contrast = views.std(dim=(2, 3)).mean(dim=1)
    assert contrast[:8].max() < 0.5 * contrast[8:].min()


def test_a_small_view_keeps_its_texture_under_the_overhead_blur(real_tiles) -> None:
    tiles = torch.from_numpy(real_tiles[:, :, :32, :32].copy()).float() / 255
    still = BandJitter(probability=0.0, grey_probability=0.0)
    ours = replace(
        overhead(global_px=32, local_px=16, local_views=0), colour=still, blur_probability=(1.0, 0.0, 0.0)
    )
    papers = replace(ours, global_blur_px=(0.1, 2.0))

    def detail(policy: ViewPolicy) -> float:
        views = views_of(tiles, policy).globals_[: len(tiles)]
        return float(views.diff(dim=3).square().mean())

    none = detail(replace(ours, blur_probability=(0.0, 0.0, 0.0)))
    assert detail(ours) > 0.5 * none
    assert detail(papers) < detail(ours)


def test_the_paper_policy_has_the_numbers_of_main_dino() -> None:
    assert json.loads(json.dumps(paper().to_json())) == {
        "global_px": 224,
        "local_px": 96,
        "local_views": 8,
        "global_scale": [0.4, 1.0],
        "local_scale": [0.05, 0.4],
        "vertical_flip": False,
        "quarter_turns": False,
        "colour": {
            "kind": "photo",
            "probability": 0.8,
            "brightness": 0.4,
            "contrast": 0.4,
            "saturation": 0.2,
            "hue": 0.1,
            "grey_probability": 0.2,
        },
        "blur_probability": [1.0, 0.1, 0.5],
        "global_blur_px": [0.1, 2.0],
        "local_blur_px": [0.1, 2.0],
        "solarize_probability": 0.2,
    }


def test_the_paper_policy_refuses_other_bands() -> None:
    with pytest.raises(UsageError, match="need the 3 bands red, green, blue; the tiles have 4"):
        views_of(some_tiles(4), paper(global_px=16, local_px=8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"global_px": 0}, "global_px is 0; a view needs at least 1 pixel"),
        ({"local_px": -3}, "local_px is -3"),
        ({"local_views": -1}, "local_views is -1; it must be 0 or more"),
        ({"global_scale": (0.4, 1.2)}, "with 0 < low <= high <= 1"),
        ({"local_scale": (0.0, 0.4)}, r"local_scale is \(0, 0.4\)"),
        ({"global_blur_px": (2.0, 0.1)}, r"global_blur_px is \(2, 0.1\)"),
        ({"local_blur_px": (0.0, 1.0)}, "local_blur_px"),
        ({"blur_probability": (0.5, 1.5, 0.5)}, "blur_probability is 1.5; it must lie between 0 and 1"),
        ({"solarize_probability": -0.1}, "solarize_probability is -0.1"),
    ],
)
def test_a_policy_that_cannot_be_carried_out_is_refused(change, message) -> None:
    with pytest.raises(UsageError, match=message):
        replace(SMALL, **change)
