import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from real_patches import real_patches

from swath.data.plain_tiff import read_plain

PLACE = {"crs": "EPSG:32633", "transform": from_origin(404_400, 5_342_400, 10, 10)}


def write(path, pixels, **more):
    shape = dict(zip(("count", "height", "width"), pixels.shape, strict=True))
    with rasterio.open(path, "w", driver="GTiff", dtype=pixels.dtype, **shape, **{**PLACE, **more}) as target:
        target.write(pixels)
    return memoryview(path.read_bytes())


def pixels_of(dtype, side=120, count=1):
    return np.random.default_rng(side).integers(0, 10_000, (count, side, side)).astype(dtype)


@pytest.mark.parametrize("sensor", ["S2", "S1"])
def test_real_patches_are_read_as_rasterio_reads_them(sensor):
    members = {name: data for name, data in real_patches(sensor).items() if name.endswith(".tif")}
    for name, data in members.items():
        plain = read_plain(memoryview(data))
        with rasterio.MemoryFile(data) as held, held.open() as raster:
            expected = raster.read(1)
            assert (plain.epsg, plain.left, plain.top) == (
                raster.crs.to_epsg(),
                *raster.transform * (0, 0),
            ), name
            assert plain.pixel_m == raster.transform.a
        assert plain.pixels.dtype == expected.dtype
        assert np.array_equal(plain.pixels, expected), name


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("more", [{}, {"nodata": 0}, {"blockysize": 1}, {"blockysize": 120}])
def test_plain_files_of_any_strip_are_read(dtype, more, tmp_path):
    pixels = pixels_of(dtype)
    assert np.array_equal(read_plain(write(tmp_path / "a.tif", pixels, **more)).pixels, pixels[0])


@pytest.mark.parametrize(
    ("dtype", "count", "more"),
    [
        ("uint16", 1, {"compress": "deflate"}),
        ("uint16", 1, {"tiled": True, "blockxsize": 16, "blockysize": 16}),
        ("uint16", 1, {"endianness": "big"}),
        ("uint16", 1, {"bigtiff": "yes"}),
        ("uint16", 1, {"crs": "EPSG:4326"}),
        ("uint16", 1, {"transform": from_origin(404_400, 5_342_400, 10, 20)}),
        ("uint16", 3, {}),
        ("uint8", 1, {}),
        ("int16", 1, {}),
        ("float64", 1, {}),
    ],
)
def test_anything_else_is_left_to_the_gate(dtype, count, more, tmp_path):
    assert read_plain(write(tmp_path / "a.tif", pixels_of(dtype, count=count), **more)) is None


def test_a_cut_file_is_left_to_the_gate(tmp_path):
    data = write(tmp_path / "a.tif", pixels_of("uint16"))
    assert all(read_plain(data[:end]) is None for end in range(0, len(data), 97))


def test_spoilt_headers_never_raise_and_never_read_beyond_the_file(tmp_path):
    whole = write(tmp_path / "a.tif", pixels_of("uint16", side=20))
    rng = np.random.default_rng(0)
    for _ in range(4000):
        spoilt = bytearray(whole)
        for place in rng.integers(0, 450, 2):
            spoilt[place] = int(rng.integers(256))
        plain = read_plain(memoryview(spoilt))
        assert plain is None or plain.pixels.size * plain.pixels.itemsize <= len(whole)
