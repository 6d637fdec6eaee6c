import numpy as np
import pytest
from tile_archive import random_pixels, row, write_index, write_raster

from swath.config import PackConfig
from swath.data.index import read_index
from swath.data.store import TileStore
from swath.errors import DataError
from swath.prepare import pack

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def scene(tmp_path):
    """One file a band at 10, 20 and 60 m, and tiles of 12 px every 6 px of the finest."""
    fine, middle = random_pixels((1, 24, 24), "uint16"), random_pixels((1, 12, 12), "uint16", 1)
    coarse = random_pixels((1, 4, 4), "uint16", 2)
    for name, pixels in (("B04", fine), ("B11", middle), ("B01", coarse)):
        write_raster(tmp_path / f"{name}.tif", pixels)
    rows = [
        row(
            10 * y + x,
            paths=["B04.tif", "B11.tif", "B01.tif"],
            x_px=6 * x,
            y_px=6 * y,
            width_px=12,
            height_px=12,
        )
        for y in range(3)
        for x in range(3)
    ]
    facts = {
        "bands": ("B04", "B11", "B01"),
        "band_px": (1.0, 0.5, 1 / 6),
        "dtypes": ("uint16",) * 3,
        "tile_px": 12,
    }
    return write_index(tmp_path / "index.parquet", rows, **facts), fine, middle, coarse


def test_bands_of_several_resolutions_keep_their_own_grid(tmp_path):
    index, fine, middle, coarse = scene(tmp_path)
    pack.run(PackConfig(index=index, out=tmp_path / "tiles.lance", bands=("B01", "B04", "B11")))
    store = TileStore(tmp_path / "tiles.lance")
    assert [(group.bands, group.size_px) for group in store.format.groups] == [
        (("B04",), 12),
        (("B11",), 6),
        (("B01",), 2),
    ]
    assert store.format.bands == ("B01", "B04", "B11")
    found = store.read(np.array([5]))
    assert np.array_equal(found[0][0], fine[:, 6:18, 12:24])
    assert np.array_equal(found[1][0], middle[:, 3:9, 6:12])
    assert np.array_equal(found[2][0], coarse[:, 1:3, 2:4])


def test_bands_that_the_tiles_cut_through_are_resampled_and_that_is_said(tmp_path, caplog):
    caplog.set_level("INFO")
    index, *_ = scene(tmp_path)
    table = read_index(index).table.to_pylist()
    shifted = [entry | {"x_px": entry["x_px"] // 2 if entry["x_px"] < 12 else 12} for entry in table]
    facts = {
        "bands": ("B04", "B11", "B01"),
        "band_px": (1.0, 0.5, 1 / 6),
        "dtypes": ("uint16",) * 3,
        "tile_px": 12,
    }
    write_index(index, shifted, **facts)
    pack.run(PackConfig(index=index, out=tmp_path / "tiles.lance"))
    groups = TileStore(tmp_path / "tiles.lance").format.groups
    assert [(group.bands, group.size_px) for group in groups] == [(("B04", "B11", "B01"), 12)]
    assert "band B11: its pixels do not divide the tiles, resampled to 12 px" in caplog.text


def test_only_coarse_bands_make_a_pack_of_their_resolution(tmp_path):
    index, _, middle, _ = scene(tmp_path)
    pack.run(PackConfig(index=index, out=tmp_path / "tiles.lance", bands=("B11",)))
    store = TileStore(tmp_path / "tiles.lance")
    assert (store.format.size_px, store.format.gsd_m) == (6, 20.0)
    assert np.array_equal(store.read(np.array([0]))[0][0], middle[:, :6, :6])


def test_pixels_without_data_become_the_mean_of_their_band(tmp_path):
    pixels = random_pixels((3, 8, 8))
    pixels[1, :2] = 0
    write_raster(tmp_path / "0.tif", pixels, nodata=0)
    index = write_index(tmp_path / "index.parquet", [row(0)], nodata=0.0)
    pack.run(PackConfig(index=index, out=tmp_path / "tiles.lance"))
    found = TileStore(tmp_path / "tiles.lance").read(np.array([0]))[0][0]
    assert (found[1, :2] == int(pixels[1, 2:].mean())).all()
    assert np.array_equal(found[[0, 2]], pixels[[0, 2]])
    assert np.array_equal(found[1, 2:], pixels[1, 2:])


def test_not_a_number_and_infinity_are_filled_without_being_declared(tmp_path):
    pixels = np.random.default_rng(0).normal(size=(1, 8, 8)).astype(np.float32)
    pixels[0, 0, :3] = [np.nan, np.inf, -np.inf]
    write_raster(tmp_path / "0.tif", pixels)
    index = write_index(
        tmp_path / "index.parquet", [row(0)], bands=("VV",), band_px=(1.0,), dtypes=("float32",)
    )
    pack.run(PackConfig(index=index, out=tmp_path / "tiles.lance"))
    found = TileStore(tmp_path / "tiles.lance").read(np.array([0]))[0][0]
    assert found[0, 0, :3] == pytest.approx(pixels[np.isfinite(pixels)].mean())


@pytest.mark.parametrize("value", [0.0, 9.0])
def test_a_tile_that_is_all_nodata_is_blank(tmp_path, value):
    write_raster(tmp_path / "0.tif", random_pixels((3, 8, 8)))
    holed = random_pixels((3, 8, 8))
    holed[2] = value
    write_raster(tmp_path / "1.tif", holed, nodata=value)
    index = write_index(tmp_path / "index.parquet", [row(0), row(1)], nodata=value)
    with pytest.raises(DataError, match="blank: band B has no pixel with data"):
        pack.run(PackConfig(index=index, out=tmp_path / "tiles.lance"))


def test_a_file_of_another_type_than_indexed_is_bad(tmp_path):
    write_raster(tmp_path / "0.tif", random_pixels((3, 8, 8), "uint16"))
    index = write_index(tmp_path / "index.parquet", [row(0)])
    with pytest.raises(DataError, match=r"0.tif has uint16 pixels, the index says uint8"):
        pack.run(PackConfig(index=index, out=tmp_path / "tiles.lance"))
