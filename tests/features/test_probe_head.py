"""A head says what it fits, and refuses everything else by both names."""

from dataclasses import replace

import numpy as np
import pytest

from swath.errors import DataError
from swath.features.backbone import open_backbone
from swath.features.content import Content
from swath.features.head import Contract, head_path, load_head, save_head
from swath.models.weights import save_weights
from swath.scores.logistic import fit_logistic


@pytest.fixture
def fitted(make_run, tmp_path):
    """A head on disk, its contract and the probe it holds."""
    rng = np.random.default_rng(0)
    backbone = open_backbone(make_run())
    features = rng.normal(size=(60, backbone.dim)).astype(np.float32)
    labels = (features[:, :2] + rng.normal(size=(60, 2)) > 0).astype(np.uint8)
    probe = fit_logistic(features, labels, strength=0.1, task="multilabel")
    contract = Contract.of(backbone, ("farm", "forest"), split="feed")
    save_head(tmp_path / "h.safetensors", probe, contract)
    return tmp_path / "h.safetensors", contract, probe, features


def test_a_head_comes_back_with_the_same_answers(fitted):
    path, contract, probe, features = fitted
    again = load_head(path, wanted=contract)
    np.testing.assert_allclose(again.scores(features), probe.scores(features), atol=1e-4)
    assert (again.strength, again.task) == (probe.strength, "multilabel")


def test_a_head_for_other_classes_or_another_order_is_refused(fitted):
    path, contract, *_ = fitted
    with pytest.raises(
        DataError, match=r"2 classes apart \(farm, forest.*the tiles have 3 \(farm, forest, sea"
    ):
        load_head(path, wanted=replace(contract, class_names=("farm", "forest", "sea")))
    with pytest.raises(DataError, match=r"\(farm, forest.*\(forest, farm"):
        load_head(path, wanted=replace(contract, class_names=("forest", "farm")))


def test_a_head_for_other_bands_scale_features_or_weights_is_refused(fitted):
    path, contract, *_ = fitted
    tiles = contract.tiles
    with pytest.raises(DataError, match="bands B04,B03,B08,B11; the network reads B03,B04,B08,B11"):
        load_head(path, wanted=replace(contract, tiles={**tiles, "bands": ["B03", "B04", "B08", "B11"]}))
    with pytest.raises(DataError, match=r"high 4000,.*reads 1,1,1,1"):
        load_head(path, wanted=replace(contract, tiles={**tiles, "high": [1.0] * 4}))
    with pytest.raises(DataError, match=r"features class token and mean.*of features class token of each"):
        load_head(path, wanted=replace(contract, features=str(Content("cls", 2))))
    with pytest.raises(DataError, match=r"checkpoint .*of checkpoint beef"):
        load_head(path, wanted=replace(contract, checkpoint="beef"))


def test_weights_of_a_network_are_no_head(fitted, tmp_path):
    import torch

    save_weights(tmp_path / "w.safetensors", {"a": torch.ones(1)})
    with pytest.raises(DataError, match="is no head"):
        load_head(tmp_path / "w.safetensors", wanted=fitted[1])


def test_every_probe_of_a_folder_has_a_head_of_its_own(tmp_path):
    assert head_path(tmp_path / "a.json") != head_path(tmp_path / "b.json")
