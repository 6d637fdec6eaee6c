"""A scene gets the numbers that embed and probe give for its tiles; what overlaps is blended as loops say."""

import itertools
import json
import re

import geopandas
import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
import torch
from striped_scene import bands_of, write_bands, write_stack
from striped_tiles import BANDS, VOCABULARY

import swath
from swath.features.head import head_path, read_probe


@pytest.fixture
def folder(tmp_path):
    """A scene of 88 x 70 px: 5 x 4 tiles of 16 px, and a rest at both edges."""
    return write_bands(tmp_path / "imagery", bands_of(88, 70))


def table_of(out, scene="scene"):
    return pq.read_table(out / scene / "tiles.parquet")


def test_tiles_of_a_scene_have_the_scores_of_embed_and_probe(bundled, probed, folder, tmp_path):
    result = swath.predict(bundled[1], folder, out=tmp_path / "out")
    assert (result.bad, result.skipped, list(result.scenes)) == ({}, (), ["scene"])
    swath.index(folder, out=tmp_path / "i.parquet", layout="scenes", tile_px=16)
    swath.pack(tmp_path / "i.parquet", out=tmp_path / "t.lance", bands=",".join(BANDS))
    swath.embed(probed[1].path, tmp_path / "t.lance", out=tmp_path / "f.parquet")
    expected = pq.read_table(tmp_path / "f.parquet")
    probe = read_probe(head_path(probed[1].path / "probe-linear.json"))
    decisions = probe.decisions(np.stack(expected["features"].to_numpy()))
    table = table_of(tmp_path / "out")
    place = {name: row for row, name in enumerate(table["id"].to_pylist())}
    rows = [place[name] for name in expected["id"].to_pylist()]
    assert len(rows) == 20
    assert len(table) == 6 * 5
    for k, name in enumerate(VOCABULARY):
        found = table[f"p_{name}"].to_numpy()[rows]
        np.testing.assert_allclose(found, 1 / (1 + np.exp(-decisions[:, k])), atol=1e-6)
    labels = [[VOCABULARY[k] for k in np.flatnonzero(row > 0)] for row in decisions]
    assert [table["labels"].to_pylist()[row] for row in rows] == labels
    assert [table["geometry"].to_pylist()[row] for row in rows] == expected["geometry"].to_pylist()


def test_the_last_tiles_end_where_the_scene_does(bundled, folder, tmp_path):
    swath.predict(bundled[1], folder, out=tmp_path / "out")
    table = table_of(tmp_path / "out")
    assert sorted(set(table["x_px"].to_pylist())) == [0, 16, 32, 48, 64, 72]
    assert sorted(set(table["y_px"].to_pylist())) == [0, 16, 32, 48, 54]
    ground = geopandas.read_parquet(tmp_path / "out" / "scene" / "tiles.parquet").to_crs("EPSG:32633")
    np.testing.assert_allclose(ground.total_bounds, [330_000, 5_819_300, 330_880, 5_820_000], atol=0.01)


def test_the_map_is_the_weighted_mean_of_the_windows_as_plain_loops_find_it(bundled, folder, tmp_path):
    swath.predict(bundled[1], folder, out=tmp_path / "out")
    model = swath.load(bundled[1])
    bands = {path.stem[-3:]: rasterio.open(path).read(1) for path in folder.glob("*.tif")}
    ys, xs = [*range(0, 54, 8), 54], [*range(0, 72, 8), 72]
    line = np.minimum(np.arange(1, 17), np.arange(16, 0, -1))
    total, weights = np.zeros((4, 70, 88)), np.zeros((70, 88))
    for y, x in itertools.product(ys, xs):
        fine = np.stack([bands[b][y : y + 16, x : x + 16] for b in BANDS[:3]])[None]
        coarse = bands["B11"][y // 2 : y // 2 + 8, x // 2 : x // 2 + 8][None, None]
        groups = [torch.from_numpy(fine), torch.from_numpy(coarse)]
        seen = model.head.look(model.backbone, model.backbone.images(groups, model.about.tiles))
        said = torch.nn.functional.interpolate(seen.maps, size=(16, 16), mode="bilinear")[0]
        total[:, y : y + 16, x : x + 16] += said.numpy() * np.outer(line, line)
        weights[y : y + 16, x : x + 16] += np.outer(line, line)
    expected = 1 / (1 + np.exp(-total / weights))
    with rasterio.open(tmp_path / "out" / "scene" / "probabilities.tif") as maps:
        assert maps.descriptions == VOCABULARY
        found = maps.read() * maps.scales[0]
    assert np.abs(found - expected).max() <= 0.0025 + 1e-4
    with rasterio.open(tmp_path / "out" / "scene" / "classes.tif") as classes:
        named = classes.read(1)
        assert classes.tags()["class_1"] == "striped"
    sure = np.abs(expected - 0.5).min(axis=0) > 0.01
    best = np.where(expected.max(axis=0) > 0.5, expected.argmax(axis=0), 254)
    assert (named == best)[sure].mean() > 0.99


def test_maps_are_cloud_optimised_and_lie_on_the_scene(bundled, tmp_path):
    write_bands(tmp_path / "imagery", bands_of(640, 560))
    swath.predict(bundled[1], tmp_path / "imagery", out=tmp_path / "out", overlap=0)
    with rasterio.open(tmp_path / "imagery" / "scene_B04.tif") as scene:
        for name in ("classes", "probabilities"):
            with rasterio.open(tmp_path / "out" / "scene" / f"{name}.tif") as made:
                assert made.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
                assert (made.crs, made.transform, made.shape) == (scene.crs, scene.transform, scene.shape)
                assert made.overviews(1) == [2, 4]
                assert made.nodata == 255


def test_pixels_without_data_stay_without_and_do_not_change_their_neighbours(bundled, tmp_path):
    bands = bands_of(96, 64)
    write_bands(tmp_path / "whole", bands)
    for band, pixels in bands.items():
        pixels[:, : 48 // (2 if band == "B11" else 1)] = 0
    write_bands(tmp_path / "half", bands, nodata=0)
    for name in ("whole", "half"):
        swath.predict(bundled[1], tmp_path / name, out=tmp_path / f"out-{name}", overlap=0)
    with rasterio.open(tmp_path / "out-half" / "scene" / "probabilities.tif") as half:
        found = half.read()
    with rasterio.open(tmp_path / "out-whole" / "scene" / "probabilities.tif") as whole:
        expected = whole.read()
    assert (found[:, :, :48] == 255).all()
    np.testing.assert_array_equal(found[:, :, 48:], expected[:, :, 48:])
    assert set(table_of(tmp_path / "out-half")["x_px"].to_pylist()) == {48, 64, 80}


def test_a_second_call_does_what_is_left_and_nothing_twice(bundled, folder, tmp_path):
    stacks = tmp_path / "stacks"
    stacks.mkdir()
    write_stack(stacks / "good.tif", bands_of(40, 40, seed=3))
    (stacks / "broken.tif").write_bytes(b"II*\0" + b"x" * 40)
    first = swath.predict(bundled[1], [folder, stacks], out=tmp_path / "out")
    assert (list(first.bad), first.exit_code) == (["broken"], 3)
    assert "broken.tif" in (tmp_path / "out" / "bad_scenes.csv").read_text()
    table = tmp_path / "out" / "scene" / "tiles.parquet"
    before = table.stat().st_mtime_ns
    (stacks / "broken.tif").unlink()
    write_stack(stacks / "broken.tif", bands_of(40, 40, seed=4))
    again = swath.predict(bundled[1], [folder, stacks], out=tmp_path / "out")
    assert (again.skipped, list(again.scenes), again.exit_code) == (("good", "scene"), ["broken"], 0)
    assert table.stat().st_mtime_ns == before
    assert not (tmp_path / "out" / "bad_scenes.csv").exists()


def test_without_a_head_the_table_holds_features(probed, folder, tmp_path):
    swath.bundle(probed[1].path, out=tmp_path / "plain")
    result = swath.predict(tmp_path / "plain", folder, out=tmp_path / "out")
    assert (result.task, result.windows) == (None, 30)
    assert sorted(path.name for path in (tmp_path / "out" / "scene").iterdir()) == [
        "prediction.json",
        "tiles.parquet",
    ]
    assert table_of(tmp_path / "out")["features"].type.list_size == 32


def test_the_command_says_it_in_json(bundled, folder, tmp_path, capsys):
    from swath.cli import main

    words = [
        "predict",
        str(bundled[1]),
        str(folder),
        "--out",
        str(tmp_path / "out"),
        "--overlap",
        "0",
        "--json",
    ]
    assert main(words) == 0
    *lines, said = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) < 200
    assert re.fullmatch(r"  scene: [\d,]+ x [\d,]+ px, \d+ windows, \d+ tiles, \d+ s", lines[-1])
    said = json.loads(said)
    assert said["scenes"]["scene"]["windows"] == said["windows"] == 30
    assert said["class_names"] == list(VOCABULARY)
