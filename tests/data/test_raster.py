import os
import struct
import zlib

import numpy as np
import pytest
import rasterio
from PIL import Image

from swath.data.raster import inspect, read_window
from swath.errors import DataError

MAX_PIXELS = 10_000_000


def write_tif(path, pixels, **options):
    count, height, width = pixels.shape
    profile = {
        "driver": "GTiff",
        "crs": "EPSG:32633",
        "transform": rasterio.Affine(10, 0, 400_000, 0, -10, 5_000_000),
        **options,
    }
    with rasterio.open(
        path, "w", width=width, height=height, count=count, dtype=pixels.dtype, **profile
    ) as out:
        out.write(pixels)
    return path


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 4000, (3, 40, 50)).astype(np.uint16)


def refused(path, **options):
    """The one line with which `inspect` refuses a file."""
    with pytest.raises(DataError) as caught:
        inspect(path, max_pixels=MAX_PIXELS, **options)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def read(path, bands=(1, 2, 3), window=(0, 0, 50, 40), out_px=(40, 50), **options):
    return read_window(path, bands=bands, window=window, out_px=out_px, max_pixels=MAX_PIXELS, **options)


def test_a_geotiff_tells_size_type_and_place(tmp_path, pixels):
    info = inspect(write_tif(tmp_path / "a.tif", pixels, nodata=0), max_pixels=MAX_PIXELS)
    assert (info.width, info.height, info.count, info.dtype) == (50, 40, 3, "uint16")
    assert (info.crs, info.transform, info.nodata) == ("EPSG:32633", (10, 0, 400_000, 0, -10, 5_000_000), 0)


def test_nan_is_not_told_as_a_nodata_value(tmp_path):
    path = write_tif(tmp_path / "a.tif", np.ones((1, 4, 4), np.float32), nodata=float("nan"))
    assert inspect(path, max_pixels=MAX_PIXELS).nodata is None


@pytest.mark.parametrize(
    ("suffix", "mode", "bands"),
    [
        ("jpg", "L", 1),
        ("jpg", "RGB", 3),
        ("png", "L", 1),
        ("png", "RGB", 3),
        ("png", "RGBA", 4),
        ("png", "LA", 2),
    ],
)
def test_picture_headers_equal_what_gdal_reads(tmp_path, mode, bands, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.new(mode, (31, 17)).save(path)
    info = inspect(path, max_pixels=MAX_PIXELS)
    with rasterio.Env(), pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(path) as raster:
        assert (info.width, info.height, info.count, info.dtype) == (31, 17, raster.count, raster.dtypes[0])
    assert (info.count, info.crs) == (bands, None)


def test_a_progressive_jpeg_with_a_long_profile_is_read(tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (20, 30)).save(path, progressive=True, icc_profile=bytes(100_000))
    assert inspect(path, max_pixels=MAX_PIXELS).height == 30


def test_jpeg_2000_is_read(tmp_path, pixels):
    path = tmp_path / "a.jp2"
    write_tif(path, pixels, driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")
    assert inspect(path, max_pixels=MAX_PIXELS).width == 50
    assert np.array_equal(read(path), pixels)


def test_a_window_is_read_as_it_is(tmp_path, pixels):
    path = write_tif(tmp_path / "a.tif", pixels)
    found = read(path, bands=(3, 1), window=(7, 9, 11, 13), out_px=(13, 11))
    assert np.array_equal(found, pixels[[2, 0], 9:22, 7:18])


def test_a_coarse_band_is_resampled_linearly(tmp_path):
    ramp = np.tile(np.arange(20, dtype=np.float32) * 100, (1, 20, 1))
    path = write_tif(tmp_path / "a.tif", ramp)
    found = read(path, bands=(1,), window=(4.5, 4, 8, 8), out_px=(16, 16))
    # the centre of pixel j lies at 4.5 + (j + 0.5) / 2 of the edges, 0.5 less in pixel numbers
    expected = (4.5 + (np.arange(16) + 0.5) / 2 - 0.5) * 100
    assert np.allclose(found[0][:, 2:-2], expected[2:-2], atol=1e-2)


@pytest.mark.parametrize("window", [(-1, 0, 10, 10), (45, 0, 10, 10), (0, 35, 10, 10), (0, 0, 0, 10)])
def test_windows_outside_the_raster_are_refused(tmp_path, pixels, window):
    with pytest.raises(DataError, match=r"50x40 px; the window at .* lies outside"):
        read(write_tif(tmp_path / "a.tif", pixels), window=window, out_px=(10, 10))


def test_a_band_that_is_not_there_is_refused(tmp_path, pixels):
    with pytest.raises(DataError, match="has 3 bands; the index asks for band 4"):
        read(write_tif(tmp_path / "a.tif", pixels), bands=(1, 4))


def test_a_file_replaced_between_reads_is_read_anew(tmp_path, pixels):
    path = write_tif(tmp_path / "a.tif", pixels)
    read(path)
    write_tif(path, pixels + 1)
    os.utime(path, ns=(1, 1))
    assert np.array_equal(read(path), pixels + 1)


def test_many_files_can_be_read_one_after_another(tmp_path, pixels):
    for number in range(80):
        write_tif(tmp_path / f"{number}.tif", pixels[:, :2, :2] + np.uint16(number))
    for number in range(80):
        found = read(tmp_path / f"{number}.tif", window=(0, 0, 2, 2), out_px=(2, 2))
        assert np.array_equal(found, pixels[:, :2, :2] + number)


@pytest.mark.parametrize(
    "options", [{}, {"compress": "deflate"}, {"tiled": True, "blockxsize": 16, "blockysize": 16}]
)
def test_a_tiff_cut_in_half_is_truncated(tmp_path, pixels, options):
    path = write_tif(tmp_path / "a.tif", pixels, **options)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert f"is truncated: {len(whole) // 2} of " in refused(path)


def test_a_tiff_cut_in_its_header_is_damaged(tmp_path, pixels):
    path = write_tif(tmp_path / "a.tif", pixels)
    path.write_bytes(path.read_bytes()[:20])
    assert "is damaged or cut" in refused(path)


def test_a_corrupt_deflate_stream_names_the_band(tmp_path, pixels):
    path = write_tif(tmp_path / "a.tif", pixels, compress="deflate", interleave="band")
    whole = bytearray(path.read_bytes())
    with rasterio.open(path) as raster:
        start = int(raster.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=2))
    whole[start : start + 200] = bytes(200)
    path.write_bytes(whole)
    inspect(path, max_pixels=MAX_PIXELS)  # the header is whole
    with pytest.raises(DataError, match="band 2 fails to decompress"):
        read(path)


def test_a_flipped_bit_in_plain_pixels_is_accepted_by_the_gate(tmp_path, pixels):
    path = write_tif(tmp_path / "a.tif", pixels)
    whole = bytearray(path.read_bytes())
    with rasterio.open(path) as raster:
        whole[int(raster.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))] ^= 1
    path.write_bytes(whole)
    assert (read(path) != pixels).sum() == 1


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_cut_picture_is_refused_and_never_filled_with_grey(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    assert "is damaged or cut" in refused(path)


def test_a_jpeg_with_bytes_after_its_end_is_accepted(tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(path)
    path.write_bytes(path.read_bytes() + bytes(500))
    assert inspect(path, max_pixels=MAX_PIXELS).width == 8


def test_a_sparse_tiff_that_declares_too_much_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    options = {"driver": "GTiff", "dtype": "uint8", "count": 1, "tiled": True, "SPARSE_OK": True}
    with rasterio.open(path, "w", width=20_000, height=20_000, transform=rasterio.Affine.scale(2), **options):
        pass
    assert "is 20000x20000x1 (0.4 GB): above --max-pixels 10,000,000" in refused(path)
    with pytest.raises(DataError, match="above --max-pixels"):
        read(path, bands=(1,), window=(0, 0, 8, 8), out_px=(8, 8))


def test_a_png_bomb_is_refused_by_its_header(tmp_path):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 0, 0, 0, 0)
    path = tmp_path / "a.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )
    assert "10000x10000x1 (0.1 GB): above --max-pixels" in refused(path)


def test_complex_pixels_and_palettes_are_refused(tmp_path):
    path = write_tif(tmp_path / "a.tif", np.ones((1, 4, 4), np.complex64))
    assert "pixels of type complex64; supported: uint8, uint16, int16, float32" in refused(path)
    picture = tmp_path / "a.png"
    Image.new("P", (4, 4)).save(picture)
    assert "is a palette image" in refused(picture)


def test_a_tiff_without_place_is_fine(tmp_path, pixels):
    path = tmp_path / "a.tif"
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        write_tif(path, pixels, crs=None, transform=rasterio.Affine.identity())
    assert inspect(path, max_pixels=MAX_PIXELS).crs is None


@pytest.mark.parametrize("name", ["with space.tif", "\u00fcml\u00e4ut.tif", "a" * 200 + ".tif"])
def test_unusual_names_work(tmp_path, pixels, name):
    path = write_tif(tmp_path / name, pixels)
    assert np.array_equal(read(path), pixels)
