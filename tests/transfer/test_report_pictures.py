"""Token colours and galleries from tiles alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mapped_tiles import FORMAT, SHAPE, pack_scene, scene_of

from swath.features.backbone import FrozenBackbone, Weights
from swath.models.vit import VisionTransformer
from swath.pages.mosaic import ground_boxes, lay_out, paint
from swath.pages.pictures import Display
from swath.transfer.report.colours import colours_of, from_oklab
from swath.transfer.report.galleries import more_like_this
from swath.transfer.report.tokens import token_picture


@pytest.fixture
def backbone() -> FrozenBackbone:
    network = VisionTransformer(SHAPE, generator=torch.Generator().manual_seed(0))
    return FrozenBackbone(network, FORMAT, Weights("none", 0, "teacher"))


def test_oklab_is_the_published_transform() -> None:
    """White, black, and the primaries at the values that sRGB gives them (Ottosson 2020)."""
    lab = np.asarray(
        [[1, 0, 0], [0, 0, 0], [0.627955, 0.224863, 0.125846], [0.866440, -0.233888, 0.179498],
         [0.452014, -0.032457, -0.311528]],
    )  # fmt: skip
    expected = [[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert from_oklab(*lab.T.astype(np.float32)).tolist() == expected


def test_the_sign_of_a_component_does_not_change_its_colour() -> None:
    rng = np.random.default_rng(0)
    like = rng.integers(0, 255, (20, 30, 3)).astype(np.uint8)
    components = rng.normal(size=(3, 20, 30)).astype(np.float32)
    covered = np.ones((20, 30), dtype=bool)
    both = [colours_of(sign * components, covered, like=like) for sign in (1, -1)]
    assert np.array_equal(*both)


def test_the_token_picture_follows_the_ground_and_shows_no_windows(
    tmp_path: Path, backbone: FrozenBackbone
) -> None:
    scene = np.full((3, 64, 96), 60, np.uint8)
    scene[:, :, 48:] = 200
    store = pack_scene(tmp_path / "tiles.lance", scene)
    display, layout = Display.of(store, store.format), lay_out(store)
    assert layout is not None
    canvas = paint(display, layout)
    picture = token_picture(backbone, canvas, like=display.rgb(canvas.unit[None])[0])
    assert picture.rgb.shape == (64, 96, 3)
    assert 0 < picture.explained <= 1
    left, right = picture.rgb[:, 4:32].astype(float), picture.rgb[:, 64:92].astype(float)
    between = np.abs(left.mean(axis=(0, 1)) - right.mean(axis=(0, 1))).max()
    assert between > 4 * max(left.std(axis=(0, 1)).max(), right.std(axis=(0, 1)).max())


def test_tiles_that_are_all_alike_have_one_query(tmp_path: Path) -> None:
    store = pack_scene(tmp_path / "tiles.lance", scene_of(64, 64))
    features = np.random.default_rng(0).normal(size=(2, 5)).astype(np.float32)
    boxes, every = ground_boxes(store), np.arange(len(store))
    for kinds in (1, 2):
        found = more_like_this(features[every % kinds], boxes, every)
        assert len(found) == kinds


def test_neighbours_are_the_nearest_that_share_no_ground(tmp_path: Path) -> None:
    store = pack_scene(tmp_path / "tiles.lance", scene_of(96, 96), stride_px=8)
    boxes = ground_boxes(store)
    features = np.random.default_rng(0).normal(size=(len(store), 5)).astype(np.float32)
    unit = features - features.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    eligible = np.arange(0, len(store), 2)
    found = more_like_this(features, boxes, eligible)
    assert len({likeness.query for likeness in found}) == 6
    side = np.median(boxes[:, 2:] - boxes[:, :2], axis=0)
    for likeness in found:
        assert likeness.query in eligible
        middle = (boxes[:, 2:] + boxes[:, :2]) / 2
        kept: list[int] = []
        for row in np.argsort(-(unit @ unit[likeness.query])):  # the plain loop
            apart = [
                np.any(np.abs(middle[row] - middle[other]) > 0.8 * side) for other in [likeness.query, *kept]
            ]
            if row != likeness.query and all(apart) and len(kept) < 8:
                kept.append(int(row))
        assert list(likeness.rows) == kept
