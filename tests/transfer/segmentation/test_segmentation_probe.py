"""The segmentation probe on tiles whose masks follow the texture, and on such whose masks follow nothing."""

import base64
import json

import numpy as np
import pytest
import safetensors
import torch
from masked_tiles import NAMES, SHAPE, WINDOW_PX, make_pack, make_run

import swath
from swath.data.masks import IGNORE
from swath.errors import DataError, UsageError
from swath.transfer.segmentation.fit import majority_classes


@pytest.mark.parametrize("head", ["linear", "conv"])
def test_a_head_learns_masks_that_follow_the_texture(tmp_path, head):
    make_pack(tmp_path / "tiles.lance")
    make_run(tmp_path / "run")
    result = swath.probe(tmp_path / "run", tmp_path / "tiles.lance", task="segmentation", head=head)
    assert result.miou[0] > 0.6
    assert result.miou[1] <= result.miou[0] <= result.miou[2]
    assert result.left_out == ["nowhere"]
    assert set(result.per_class) == {"smooth", "rough"}
    assert result.n_test == 15
    written = json.loads((tmp_path / "run" / "probe-segmentation.json").read_text())
    assert written == json.loads(json.dumps(result.to_json()))
    assert result.picture.read_bytes().startswith(b"\x89PNG")
    with safetensors.safe_open(tmp_path / "run" / "probe-segmentation.safetensors", "pt") as stored:
        assert json.loads(stored.metadata()["class_names"]) == list(NAMES)


def test_the_report_of_a_run_that_was_probed_on_masks_says_so(tmp_path):
    make_pack(tmp_path / "tiles.lance")
    make_run(tmp_path / "run")
    result = swath.probe(tmp_path / "run", tmp_path / "tiles.lance", task="segmentation")
    page = swath.report(tmp_path / "run", tiles=tmp_path / "tiles.lance")
    text = page.out.read_text(encoding="utf-8")
    assert f"mean IoU on 15 held-out tiles is {result.miou[0]:.3f}" in text
    assert "IoU of each class" in text
    assert "segmentation, linear head" in text
    assert base64.b64encode(result.picture.read_bytes()).decode() in text
    assert 'id="ladder"' not in text  # there is no label to climb by
    assert "| segmentation, linear head | pretrained ViT |" in page.model_card.read_text(encoding="utf-8")


def test_masks_that_follow_nothing_are_not_learned(tmp_path):
    make_pack(tmp_path / "tiles.lance", shuffled=True)
    make_run(tmp_path / "run")
    result = swath.probe(tmp_path / "run", tmp_path / "tiles.lance", task="segmentation")
    share = max(row["share"] for row in result.per_class.values())
    assert result.pixel_accuracy[0] < share + 0.05
    assert result.gain_over_untrained["miou"][1] <= 0 <= result.gain_over_untrained["miou"][2]


def test_tiles_larger_than_the_network_are_seen_window_by_window(tmp_path):
    make_pack(tmp_path / "tiles.lance", size_px=40, count=24)
    make_run(tmp_path / "run")
    result = swath.probe(tmp_path / "run", tmp_path / "tiles.lance", task="segmentation")
    assert result.settings["window_px"] == WINDOW_PX
    assert result.miou[0] > 0.6


def test_the_class_of_a_token_is_the_one_with_most_pixels():
    rng = np.random.default_rng(1)
    masks = rng.choice(np.asarray([0, 1, 2, IGNORE], np.uint8), (3, 8, 8), p=[0.3, 0.3, 0.2, 0.2])
    masks[0, :4, :4] = IGNORE
    found = majority_classes(torch.from_numpy(masks), 2, num_classes=3).numpy()
    for tile, row, column in np.ndindex(3, 2, 2):
        cell = masks[tile, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        counts = [(cell == k).sum() for k in range(3)]
        expected = int(np.argmax(counts)) if sum(counts) else IGNORE
        assert found[tile, row, column] == expected


def test_what_cannot_be_probed_is_said_in_one_line(tmp_path):
    make_run(tmp_path / "run")
    make_pack(tmp_path / "untested.lance", splits=("train",))
    with pytest.raises(UsageError, match='no tiles in split "test"'):
        swath.probe(tmp_path / "run", tmp_path / "untested.lance", task="segmentation")
    with pytest.raises(UsageError, match="--head would change nothing"):
        swath.probe(tmp_path / "run", tmp_path / "untested.lance", head="conv")
    with pytest.raises(UsageError, match="--k would change nothing"):
        swath.probe(tmp_path / "run", tmp_path / "untested.lance", task="segmentation", k=3)
    assert SHAPE.patch_size < WINDOW_PX


def test_masks_of_one_class_only_hold_nothing_to_learn(tmp_path, monkeypatch):
    store_type = type(make_pack(tmp_path / "tiles.lance"))
    masks = store_type.masks
    monkeypatch.setattr(store_type, "masks", lambda self, rows: np.minimum(masks(self, rows), 0))
    make_run(tmp_path / "run")
    with pytest.raises(DataError, match="one class only"):
        swath.probe(tmp_path / "run", tmp_path / "tiles.lance", task="segmentation")
