"""A segmentation says the same of a scene as of the same pixels in tiles."""

import geopandas
import numpy as np
import pytest
import rasterio
import torch
from masked_tiles import NAMES, make_pack, make_run
from rasterio import Affine

import swath
from swath.features.backbone import open_backbone
from swath.features.token_maps import BackboneTokens
from swath.models.dense_head import dense_head_of
from swath.models.weights import load_weights
from swath.runtime.run import Run
from swath.transfer.segmentation.predict import predicted

PLACE = {"crs": "EPSG:32633", "transform": Affine(1, 0, 330_000, 0, -1, 5_820_000)}


def write_rough_and_smooth(path, *, width, height, hole=0):
    """Fields of 12 px, smooth or rough, in three named bands; the first `hole` columns have no data."""
    rng = np.random.default_rng(5)
    rough = np.kron(rng.integers(0, 2, (height // 12 + 1, width // 12 + 1)), np.ones((12, 12)))
    noise = rng.normal(0, 1, (3, height, width)) * np.where(rough, 60, 8)[:height, :width]
    pixels = (128 + noise).clip(1, 255).astype(np.uint8)
    pixels[..., :hole] = 0
    given = {"width": width, "height": height, "count": 3, "dtype": "uint8", "nodata": 0}
    with rasterio.open(path, "w", **given, **PLACE) as file:
        file.write(pixels)
        file.descriptions = ("B04", "B03", "B02")
    return pixels


@pytest.mark.parametrize("head", ["linear", "conv"])
def test_the_classes_of_a_scene_are_those_of_the_probe_on_the_same_tiles(tmp_path, head):
    make_pack(tmp_path / "tiles.lance")
    make_run(tmp_path / "run")
    swath.probe(tmp_path / "run", tmp_path / "tiles.lance", task="segmentation", head=head, rounds=100)
    swath.bundle(tmp_path / "run", out=tmp_path / "b", head="probe-segmentation.json")
    pixels = write_rough_and_smooth(tmp_path / "field.tif", width=64, height=48, hole=16)
    swath.predict(tmp_path / "b", tmp_path / "field.tif", out=tmp_path / "out", overlap=0)

    tensors = load_weights(tmp_path / "run" / "probe-segmentation.safetensors")
    maps = BackboneTokens(open_backbone(Run.open(tmp_path / "run")))
    tiles = torch.from_numpy(pixels.reshape(3, 3, 16, 4, 16)).permute(1, 3, 0, 2, 4).reshape(12, 3, 16, 16)
    expected = predicted(tiles / 255, dense_head_of(tensors), maps).numpy()
    expected = expected.reshape(3, 4, 16, 16).transpose(0, 2, 1, 3).reshape(48, 64)
    expected[:, :16] = 255
    with rasterio.open(tmp_path / "out" / "field" / "classes.tif") as classes:
        found = classes.read(1)
        assert [classes.tags()[f"class_{k}"] for k in range(3)] == list(NAMES)
    np.testing.assert_array_equal(found, expected)
    assert {0, 1} <= set(np.unique(found))

    table = geopandas.read_parquet(tmp_path / "out" / "field" / "tiles.parquet")
    with rasterio.open(tmp_path / "out" / "field" / "probabilities.tif") as file:
        shares = file.read() / 200
    assert len(table) == 9
    for row in table.itertuples():
        tile = shares[:, row.y_px : row.y_px + 16, row.x_px : row.x_px + 16]
        assert row.p_rough == pytest.approx(tile[1].mean(), abs=0.0026)
