"""Maps written strip by strip are the Cloud-Optimised GeoTIFFs that GDAL would have made of the whole."""

import itertools

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.io import MemoryFile

from swath.serve.predict.cog import CogWriter
from swath.serve.predict.halving import mean_of_four, most_of_four

PLACE = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 3e5, 0, -10, 5e6)}


def template(shape, **more):
    count, height, width = shape
    profile = {
        "driver": "GTiff", "width": width, "height": height, "count": count, "dtype": "uint8", "nodata": 255,
        "tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate", "interleave": "band",
        "sparse_ok": True, **more,
    }  # fmt: skip
    with MemoryFile() as memory:
        with memory.open(**profile) as made:
            made.update_tags(class_0="forest")
        return memory.read()


def image(shape, *, holes=False):
    """Smooth, so that neighbours are alike and tiles compress."""
    count, height, width = shape
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([(np.sin(x / 9 + k) + np.cos(y / 7)) * 50 + 100 for k in range(count)]).astype(np.uint8)
    if holes:
        pixels[:, (x + y) % 37 < 9] = 255
    return pixels


def written(path, pixels, halve, step=23, **more):
    writer = CogWriter(path, template(pixels.shape, **more), halve)
    for top in range(0, pixels.shape[1], step):
        writer.write(pixels[:, top : top + step])
    writer.finish()
    return path


@pytest.mark.parametrize(("halve", "resampling"), [(mean_of_four, "average"), (most_of_four, "mode")])
@pytest.mark.parametrize("shape", [(3, 304, 528), (1, 256, 130), (2, 64, 40)])
def test_pixels_overviews_and_place_are_those_of_gdals_own(tmp_path, shape, halve, resampling):
    pixels = image(shape)
    path = written(tmp_path / "a.tif", pixels, halve, **PLACE)
    with MemoryFile(template(shape, **PLACE)) as memory, memory.open() as empty:
        profile = empty.profile
    with rasterio.open(tmp_path / "whole.tif", "w", **profile) as whole:
        whole.write(pixels)
    rasterio.shutil.copy(
        tmp_path / "whole.tif",
        tmp_path / "gdal.tif",
        driver="COG",
        blocksize=128,
        overview_resampling=resampling,
    )
    with rasterio.open(path) as found, rasterio.open(tmp_path / "gdal.tif") as expected:
        assert found.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert (found.crs, found.transform, found.nodata) == (expected.crs, expected.transform, 255)
        assert found.tags()["class_0"] == "forest"
        assert found.overviews(1) == expected.overviews(1)
        np.testing.assert_array_equal(found.read(), pixels)
        levels = len(expected.overviews(1))
    for level in range(levels):
        with rasterio.open(path, overview_level=level) as found:
            small = found.read()
        with rasterio.open(tmp_path / "gdal.tif", overview_level=level) as expected:
            np.testing.assert_array_equal(small, expected.read())


def test_the_last_row_and_column_of_odd_sides_stand_for_themselves(tmp_path):
    pixels = image((1, 129, 257))
    with rasterio.open(written(tmp_path / "a.tif", pixels, mean_of_four, **PLACE), overview_level=0) as found:
        small = found.read(1)
    assert small.shape == (65, 129)
    assert small[64, 128] == pixels[0, 128, 256]
    assert small[3, 128] == (int(pixels[0, 6, 256]) + int(pixels[0, 7, 256]) + 1) // 2


@pytest.mark.parametrize("halve", [mean_of_four, most_of_four])
def test_nodata_counts_in_an_overview_only_where_all_four_are(halve):
    pixels = image((1, 40, 60), holes=True)
    found = halve(pixels)
    for y, x in itertools.product(range(20), range(30)):
        four = pixels[0, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].ravel()
        known = four[four != 255]
        if not len(known):
            expected = 255
        elif halve is mean_of_four:
            expected = int(known.mean() + 0.5)
        else:
            expected = max(known, key=list(known).count)
        assert found[0, y, x] == expected


def test_all_directories_and_small_overviews_come_before_the_large_tiles(tmp_path):
    path = written(tmp_path / "a.tif", image((2, 600, 600)), mean_of_four, **PLACE)
    with rasterio.open(path) as raster:
        begins = [
            int(raster.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", 1, **which))
            for which in ({}, {"ovr": 0}, {"ovr": 1}, {"ovr": 2})
        ]
    assert begins == sorted(begins, reverse=True)
    assert begins[-1] > 600


def test_beyond_four_gigabytes_the_file_is_a_bigtiff(tmp_path, monkeypatch):
    monkeypatch.setattr("swath.serve.predict.tiff_header._CLASSIC_END", 1000)
    pixels = image((2, 260, 260))
    path = written(tmp_path / "a.tif", pixels, mean_of_four, **PLACE)
    assert path.read_bytes()[:4] == b"II\x2b\0"
    with rasterio.open(path) as found:
        assert found.crs == rasterio.crs.CRS.from_epsg(32633)
        np.testing.assert_array_equal(found.read(), pixels)
        assert found.overviews(1) == [2, 4]
