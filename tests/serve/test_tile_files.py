"""Tiles in files have the features of `swath embed`, and are refused as `swath predict` refuses scenes."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
from bundle_folder import redescribe
from masked_tiles import make_run as make_rgb_run
from PIL import Image
from rasterio import Affine
from striped_scene import ORIGIN, bands_of, write_bands, write_stack
from striped_tiles import BANDS

import swath
from swath.errors import DataError, UsageError


@pytest.fixture
def model(make_run, tmp_path):
    swath.bundle(make_run().path, out=tmp_path / "bundle")
    return swath.load(tmp_path / "bundle")


def embedded(run, scene, folder):
    """The oracle: index, pack, embed."""
    swath.index(scene, out=folder / "i.parquet", layout="scenes", tile_px=16)
    swath.pack(folder / "i.parquet", out=folder / "t.lance", bands=",".join(BANDS))
    swath.embed(run, folder / "t.lance", out=folder / "f.parquet")
    return np.stack(pq.read_table(folder / "f.parquet")["features"].to_numpy())


def test_a_tile_of_one_file_a_band_has_the_feature_of_embed(model, tmp_path):
    scene = write_bands(tmp_path / "imagery", bands_of(16, 16))
    found = model.embed(scene)
    assert (found.shape, found.dtype) == ((1, model.dim), np.float32)
    np.testing.assert_allclose(found, embedded(tmp_path / "run", scene, tmp_path), atol=1e-6)
    np.testing.assert_array_equal(model.embed(str(scene)), found)


def test_many_paths_are_embedded_in_batches_in_their_order(model, tmp_path):
    paths = [write_stack(tmp_path / f"{n}.tif", bands_of(16, 16, seed=n)) for n in (2, 0, 1)]
    found = model.embed(paths, batch_size=2)
    for path, feature in zip(paths, found, strict=True):
        with rasterio.open(path) as file:
            np.testing.assert_allclose(feature, model.embed(file.read())[0], atol=1e-6)
    assert model.embed([]).shape == (0, model.dim)


def test_another_resolution_is_resampled_as_predict_does_it(model, tmp_path):
    fine = Affine(5, 0, ORIGIN[0], 0, -5, ORIGIN[1])
    path = write_stack(tmp_path / "fine.tif", bands_of(32, 32), transform=fine)
    swath.predict(tmp_path / "bundle", path, out=tmp_path / "out")
    expected = np.stack(pq.read_table(tmp_path / "out" / "fine" / "tiles.parquet")["features"].to_numpy())
    np.testing.assert_allclose(model.embed(path), expected, atol=1e-6)


def test_a_png_is_read_by_the_colours_it_names(tmp_path):
    make_rgb_run(tmp_path / "run")
    swath.bundle(tmp_path / "run", out=tmp_path / "b")

    def by_colour(about):
        about["tiles"]["bands"] = about["tiles"]["groups"][0]["bands"] = ["red", "green", "blue"]

    redescribe(tmp_path / "b", by_colour)
    pixels = np.random.default_rng(0).integers(0, 255, (3, 16, 16), dtype=np.uint8)
    Image.fromarray(pixels.transpose(1, 2, 0)).save(tmp_path / "a.png")
    model = swath.load(tmp_path / "b")
    np.testing.assert_allclose(model.embed(tmp_path / "a.png"), model.embed(pixels), atol=1e-6)


def test_files_that_are_no_such_tile_are_refused_in_words_that_help(model, tmp_path):
    bands = bands_of(16, 16)
    with pytest.raises(UsageError, match=r"no file or folder .*nowhere"):
        model.embed(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"is 48x32 px .* expected one tile of 16 px.*swath predict"):
        model.embed(write_stack(tmp_path / "large.tif", bands_of(48, 32)))
    with pytest.raises(DataError, match="does not name its bands; the network reads B04,B03,B08,B11"):
        model.embed(write_stack(tmp_path / "unnamed.tif", bands, names=False))
    with pytest.raises(DataError, match="has a band without a pixel of data"):
        model.embed(write_stack(tmp_path / "blank.tif", {b: p * 0 for b, p in bands.items()}, nodata=0))
    with pytest.raises(DataError, match=r"these are far smaller.*--multiply 100"):
        model.embed(write_stack(tmp_path / "unit.tif", {b: p // 100 for b, p in bands.items()}))
    (tmp_path / "two").mkdir()
    for name in ("a", "b"):
        write_stack(tmp_path / "two" / f"{name}.tif", bands)
    with pytest.raises(UsageError, match="holds 2 tiles; give the path of each"):
        model.embed(tmp_path / "two")
    del bands["B08"]
    with pytest.raises(DataError, match="B08 is missing"):
        model.embed(write_bands(tmp_path / "short", bands))
