"""Which tiles the check of learning asks, and which answer."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import StandardScaler

import swath
from swath.augment.views import overhead
from swath.data.store import TileStore
from swath.models.vit import VisionTransformer, shape_of
from swath.pretraining.monitor import (
    KnnCheck,
    LinearCheck,
    MonitoredTiles,
    RetrievalCheck,
    checks,
    monitored_rows,
)


def test_a_block_asks_or_answers_but_never_both(packed):
    store = TileStore(packed)
    bank, queries = monitored_rows(store, seed=0)
    blocks = np.asarray(store.columns("block")["block"].to_pylist())
    assert len(bank)
    assert len(queries) >= (len(bank) + len(queries)) // 5
    assert not set(blocks[bank]) & set(blocks[queries])
    assert set(store.splits()[np.concatenate([bank, queries])]) == {"train"}
    for again, before in zip(monitored_rows(store, seed=0), (bank, queries), strict=True):
        np.testing.assert_array_equal(again, before)


@pytest.mark.parametrize("split", [{"by": "random", "val_share": 0.0}, {"by": "random", "val_share": 0.2}])
def test_without_blocks_a_fifth_asks_and_with_val_that_does(packed, tmp_path, split):
    index = packed.with_name("index.parquet")
    swath.split(index, out=tmp_path / "s.parquet", **split)
    swath.pack(tmp_path / "s.parquet", out=tmp_path / "t.lance")
    bank, queries = monitored_rows(TileStore(tmp_path / "t.lance"), seed=0)
    splits = np.asarray(pq.read_table(tmp_path / "s.parquet")["split"].to_pylist())
    if split["val_share"]:
        assert set(splits[queries]) == {"val"}
    else:
        assert len(queries) == (len(bank) + len(queries)) // 5


CPU = torch.device("cpu")
POLICY = overhead(global_px=32, local_px=16, local_views=2)


def a_network(seed=0, px=32):
    shape = shape_of("vit_micro", 8, in_channels=3, image_px=px)
    return VisionTransformer(shape, generator=torch.Generator().manual_seed(seed))


def test_the_linear_check_is_that_of_scikit_learn(packed):
    tiles, network = MonitoredTiles(TileStore(packed), seed=0, device=CPU), a_network()
    ((name, value),) = LinearCheck(tiles).measure(network)
    with torch.no_grad():
        bank, queries = tiles.features(network)
    scaler = StandardScaler().fit(bank)
    found = []
    for labels, truth in zip(tiles.labels.T, tiles.truth.T, strict=True):
        probe = LogisticRegression(C=0.01, tol=1e-8, max_iter=5000).fit(scaler.transform(bank), labels)
        found.append(average_precision_score(truth, probe.decision_function(scaler.transform(queries))))
    assert name == "linear_map"
    assert value == pytest.approx(np.mean(found), abs=2e-3)


def test_features_are_computed_once_for_two_checks_and_anew_when_weights_move(packed):
    tiles, network = MonitoredTiles(TileStore(packed), seed=0, device=CPU), a_network()
    passes = []
    network.register_forward_hook(lambda *_: passes.append(1))
    names = {*dict(KnnCheck(tiles).measure(network)), *dict(LinearCheck(tiles).measure(network))}
    assert names == {"knn_map", "linear_map"}
    once = len(passes)
    with torch.no_grad():
        torch._foreach_lerp_(list(network.parameters()), list(a_network(1).parameters()), 1.0)
        bank, _ = tiles.features(network)
        expected, _ = MonitoredTiles(TileStore(packed), seed=0, device=CPU).features(a_network(1))
    assert len(passes) == 2 * once
    np.testing.assert_allclose(bank, expected, atol=1e-5)


def test_without_labels_views_of_one_tile_are_found_again(archive, tmp_path):
    swath.index(archive / "scene.tif", out=tmp_path / "i.parquet", layout="scenes", tile_px=32)
    swath.pack(tmp_path / "i.parquet", out=tmp_path / "t.lance")
    store = TileStore(tmp_path / "t.lance")
    (check,) = checks(store, POLICY, seed=0, device=CPU)
    assert isinstance(check, RetrievalCheck)
    ((name, value),) = check.measure(a_network())
    assert name == "retrieval"
    assert 0 < value < 1
    assert dict(check.measure(a_network())) == {name: value}, "the same views every time"
    blind = a_network()
    with torch.no_grad():
        for parameter in blind.parameters():
            parameter.zero_()
    assert dict(check.measure(blind))["retrieval"] <= 2 / len(store), "by chance"
