"""Oracle: the network called by hand on pixels scaled by hand."""

import json
import logging
from dataclasses import replace

import geopandas
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from stretched_engine import stretched
from striped_tiles import FORMAT, SHAPE

from swath.config import EmbedConfig
from swath.data.bands import TileFormat
from swath.data.normalize import resized, standardize, to_unit
from swath.errors import DataError, UsageError
from swath.features.backbone import open_backbone, untrained
from swath.features.content import Content
from swath.features.embedding import kept_features
from swath.features.table import Origin, origin_of, read_features
from swath.models.vit import VisionTransformer
from swath.runtime.checkpoint import digest
from swath.runtime.device import Precision
from swath.transfer.embed import run


def by_hand(store, teacher, rows):
    fine, coarse = (torch.from_numpy(g.astype(np.float32)) for g in store.read(rows))
    coarse = torch.nn.functional.interpolate(coarse / 4000, size=16, mode="bilinear", align_corners=False)
    unit = torch.cat([(fine / 4000).clamp(0, 1), coarse.clamp(0, 1)], dim=1)
    with torch.no_grad():
        tokens = teacher.tokens((unit - 0.4) / 0.2)
    return torch.cat([tokens[:, 0], tokens[:, 1:].mean(dim=1)], dim=1).numpy()


def network_of(run_made, whose="teacher"):
    network = VisionTransformer(SHAPE)
    tensors = run_made.checkpoint().tensors[whose]
    network.load_state_dict({k[9:]: v for k, v in tensors.items() if k.startswith("backbone.")})
    return network


@pytest.mark.parametrize("whose", ["teacher", "student"])
def test_features_are_class_token_and_mean_patch_token_of_every_tile_in_order(
    make_pack, make_run, tmp_path, whose
):
    store, made = make_pack(count=50), make_run()
    out = tmp_path / "f.parquet"
    result = run(EmbedConfig(run=made.path, tiles=store.path, out=out, batch_size=17, weights=whose))
    table = pq.read_table(out)
    stored = np.stack(table["features"].to_numpy())
    expected = by_hand(store, network_of(made, whose), np.arange(50))
    assert stored.dtype == np.float32
    np.testing.assert_allclose(stored, expected, atol=1e-5)
    assert table["id"].to_pylist() == store.ids().tolist()
    assert (result.out, result.tiles, result.dim) == (out, 50, 32)
    assert result.digest == digest(made.checkpoint().path)
    assert result.images_per_s > 0


def test_the_file_opens_in_geopandas_and_says_what_it_holds(make_pack, make_run, tmp_path):
    store, made = make_pack(count=20), make_run()
    out = tmp_path / "f.parquet"
    run(EmbedConfig(run=made.path, tiles=store.path, out=out))
    frame = geopandas.read_parquet(out)
    assert frame.crs.equals("OGC:CRS84") or frame.crs.to_epsg() == 4326
    assert frame.total_bounds.tolist() == [0, 0, 20, 1]
    assert set(frame["split"]) <= {"train", "val", "test", "gap"}
    about = json.loads(pq.read_schema(out).metadata[b"swath"])
    assert about["origin"] == {
        "checkpoint": digest(made.checkpoint().path), "step": 10, "weights": "teacher", "pack": store.digest,
        "split": store.split_digest, "tokens": "both", "blocks": 1, "scale": "run",
    }  # fmt: skip
    assert about["vocabulary"] == list(store.vocabulary)
    assert TileFormat.from_json(about["tile_format"]) == FORMAT


def test_tiles_of_another_size_are_resized_to_the_view_of_the_network(make_pack, make_run):
    store, made = make_pack(count=4), make_run()
    backbone = open_backbone(made)
    groups = [torch.from_numpy(g) for g in store.read(np.arange(4))]
    doubled = [g.repeat_interleave(2, -1).repeat_interleave(2, -2) for g in groups]
    bigger = TileFormat.from_json(
        FORMAT.to_json()
        | {"groups": [{**g, "size_px": 2 * g["size_px"]} for g in FORMAT.to_json()["groups"]]}
    )
    native, resized = backbone.features(groups, FORMAT), backbone.features(doubled, bigger)
    assert resized.shape == native.shape
    similarity = torch.nn.functional.cosine_similarity(native, resized)
    assert similarity.min() > 0.99


def test_the_scale_is_that_of_the_run_not_of_the_pack(make_pack, make_run, tmp_path):
    made, store = make_run(), make_pack(count=12)
    other_scale = TileFormat.from_json(FORMAT.to_json() | {"high": [9000.0] * 4, "mean": [0.1] * 4})
    other = make_pack("other.lance", count=12, tile_format=other_scale)
    rows = np.arange(12)
    first = kept_features(tmp_path / "a.parquet", store, open_backbone(made), rows)
    second = kept_features(tmp_path / "b.parquet", other, open_backbone(made), rows)
    np.testing.assert_array_equal(first, second)


def test_features_are_computed_once_and_again_after_more_training(make_pack, make_run, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    store, made = make_pack(count=30), make_run()
    path, rows = tmp_path / "f.parquet", np.asarray([3, 4, 11, 29])
    first = kept_features(path, store, open_backbone(made), rows)
    written = path.stat().st_mtime_ns
    np.testing.assert_array_equal(kept_features(path, store, open_backbone(made), rows), first)
    assert path.stat().st_mtime_ns == written
    make_run(step=20, seed=9)
    assert not np.allclose(kept_features(path, store, open_backbone(made), rows), first)
    assert "step 10, teacher" in caplog.text
    assert "making those of checkpoint" in caplog.text
    assert origin_of(path).step == 20


def test_features_of_another_checkpoint_or_pack_are_refused_and_both_are_named(make_pack, make_run, tmp_path):
    store, made = make_pack(count=20), make_run()
    path, rows, backbone = tmp_path / "f.parquet", np.arange(20), open_backbone(made)
    kept_features(path, store, backbone, rows)
    other = make_pack("other.lance", count=20, seed=1)
    with pytest.raises(
        DataError, match=rf"pack {store.digest[:12]}, .*; expected .* pack {other.digest[:12]}"
    ):
        read_features(path, rows, origin=Origin.of(backbone, other))
    student = Origin.of(open_backbone(made, whose="student"), store)
    with pytest.raises(DataError, match=r"step 10, teacher; .*expected .*step 10, student; "):
        read_features(path, rows, origin=student)


def test_a_file_that_holds_something_else_is_made_again(make_pack, make_run, tmp_path):
    store, made, path = make_pack(count=12), make_run(), tmp_path / "f.parquet"
    path.write_text("not parquet")
    with pytest.raises(DataError, match="not a whole Parquet file"):
        origin_of(path)
    assert kept_features(path, store, open_backbone(made), np.arange(12)).shape == (12, 32)


def test_the_untrained_network_is_the_same_every_time_and_not_the_trained_one(make_pack, make_run, tmp_path):
    store, backbone, rows = make_pack(count=12), open_backbone(make_run()), np.arange(12)
    fresh = [kept_features(tmp_path / f"{i}.parquet", store, untrained(backbone), rows) for i in (0, 1)]
    np.testing.assert_array_equal(fresh[0], fresh[1])
    expected = by_hand(store, VisionTransformer(SHAPE, generator=torch.Generator().manual_seed(0)), rows)
    np.testing.assert_allclose(fresh[0], expected, atol=1e-5)
    assert untrained(backbone, seed=1).weights != untrained(backbone).weights


def test_tiles_with_other_bands_or_pixel_types_are_refused_and_nothing_is_written(
    make_pack, make_run, tmp_path
):
    made, out = make_run(), tmp_path / "f.parquet"
    renamed = json.loads(json.dumps(FORMAT.to_json()).replace("B08", "B8A"))
    other = make_pack("bands.lance", count=12, tile_format=TileFormat.from_json(renamed))
    with pytest.raises(DataError, match=r"B04,B03,B8A,B11; the run was trained on B04,B03,B08,B11"):
        run(EmbedConfig(run=made.path, tiles=other.path, out=out))
    floats = json.loads(json.dumps(FORMAT.to_json()).replace("uint16", "float32"))
    other = make_pack("floats.lance", count=12, tile_format=TileFormat.from_json(floats))
    with pytest.raises(DataError, match=r"B04 as float32; the run was trained on uint16"):
        run(EmbedConfig(run=made.path, tiles=other.path, out=out))
    assert not out.exists()


def test_a_run_that_is_not_there_is_refused(make_pack, tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        run(EmbedConfig(run=tmp_path / "nothing", tiles=make_pack(count=12).path, out=tmp_path / "f.parquet"))


def test_weights_that_are_not_finite_are_refused(make_run):
    made = make_run()
    checkpoint = made.checkpoint()
    checkpoint.tensors["teacher"]["backbone.norm.weight"][0] = float("nan")
    made.checkpoint = lambda: checkpoint
    with pytest.raises(
        DataError, match=r"teacher, holds 1 values that are not finite in backbone.norm.weight"
    ):
        open_backbone(made)


def test_each_content_is_what_its_name_says_block_by_block(make_pack, make_run):
    store, made = make_pack(count=6), make_run()
    rows = np.arange(6)
    both = open_backbone(made)
    groups = [torch.from_numpy(g) for g in store.read(rows)]
    images = both.standardized(resized(both.unit(groups, store.format), both.image_px), store.format)
    with torch.no_grad():
        first, last = both.network.last_tokens(images, 2)
    expected = {
        Content("cls", 1): [last[:, 0]],
        Content("mean", 1): [last[:, 1:].mean(1)],
        Content("cls", 2): [first[:, 0], last[:, 0]],
        Content("both", 2): [first[:, 0], first[:, 1:].mean(1), last[:, 0], last[:, 1:].mean(1)],
    }
    for content, parts in expected.items():
        found = both.with_content(content).features(groups, store.format)
        torch.testing.assert_close(found, torch.cat(parts, dim=1), atol=1e-5, rtol=0)
    with pytest.raises(UsageError, match="the last 3 blocks were asked for; the network has 2"):
        both.with_content(Content("cls", 3)).features(groups, store.format)


def test_features_of_another_content_are_made_anew_and_never_mixed_up(make_pack, make_run, tmp_path):
    store, made, rows = make_pack(count=12), make_run(), np.arange(12)
    both, cls = open_backbone(made), open_backbone(made, content=Content("cls", 2))
    path = tmp_path / "f.parquet"
    kept_features(path, store, both, rows)
    with pytest.raises(DataError, match=r"both, 1 blocks.*expected .*cls, 2 blocks"):
        read_features(path, rows, origin=Origin.of(cls, store))


def test_half_precision_features_are_those_of_single_precision_to_a_percent(make_pack, make_run):
    store, backbone = make_pack(count=30), open_backbone(make_run())
    groups = [torch.from_numpy(g) for g in store.read(np.arange(30))]
    exact = backbone.features(groups, store.format)
    backbone.precision = Precision(torch.bfloat16, "test")
    near = backbone.features(groups, store.format)
    assert near.dtype == torch.float32
    assert not torch.equal(near, exact)
    assert torch.nn.functional.cosine_similarity(near, exact).min() > 0.999


def test_tiles_of_another_data_set_are_scaled_by_their_own_statistics_and_only_when_asked(
    make_pack, make_run, tmp_path
):
    made = make_run()
    other = replace(FORMAT, gsd_m=3.0, mean=(0.2,) * 4, std=(0.1,) * 4)
    store = make_pack(count=12, tile_format=other)
    settings = {"run": made.path, "tiles": store.path, "out": tmp_path / "f.parquet"}
    with pytest.raises(DataError, match="3 m a pixel; the run was trained on 10 m"):
        run(EmbedConfig(**settings))
    run(EmbedConfig(**settings, other_data=True))
    mine = open_backbone(made)
    groups = [torch.from_numpy(g) for g in store.read(np.arange(12))]
    images = standardize(to_unit(groups, other), other)
    expected = mine.of_images(images).numpy()
    found = kept_features(
        tmp_path / "f.parquet", store, mine.for_other_data(other, where="tiles"), np.arange(12)
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(UsageError, match="--other-data changes nothing"):
        run(
            EmbedConfig(
                run=made.path, tiles=make_pack("same.lance").path, out=tmp_path / "g", other_data=True
            )
        )


def test_bands_in_another_order_are_an_error_and_not_a_worse_score(make_pack, make_run, tmp_path):
    turned = replace(FORMAT, bands=("B03", "B04", "B08", "B11"))
    store = make_pack(count=6, tile_format=turned)
    with pytest.raises(DataError, match="has bands B03,B04,B08,B11; the run was trained on B04,B03,B08,B11"):
        run(EmbedConfig(run=make_run().path, tiles=store.path, out=tmp_path / "f.parquet", other_data=True))


def test_features_made_in_stretches_are_the_same_file(make_pack, make_run, tmp_path, monkeypatch):
    store, made = make_pack(count=50), make_run()
    run(EmbedConfig(run=made.path, tiles=store.path, out=tmp_path / "local", batch_size=16))
    engine = stretched(monkeypatch, "swath.transfer.embed")
    result = run(
        EmbedConfig(run=made.path, tiles=store.path, out=tmp_path / "ray", batch_size=16, engine="ray")
    )
    assert (tmp_path / "ray").read_bytes() == (tmp_path / "local").read_bytes()
    assert (engine.calls, result.computed) == (4, 50)
