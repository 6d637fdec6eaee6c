"""Oracle: the feature that `swath embed` gave the same pixels."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from striped_tiles import BANDS

import swath
from swath.data.store import TileStore
from swath.errors import DataError, UsageError


@pytest.fixture
def archive(make_pack, make_run, tmp_path):
    store, made = make_pack(count=40), make_run()
    swath.embed(made.path, store.path, out=tmp_path / "features.parquet")
    return store, made, tmp_path / "features.parquet"


def picture(store: TileStore, row: int, path, *, bands=BANDS, border=0, gsd_m=None):
    """The pixels of one tile as a GeoTIFF whose bands have names."""
    fine, coarse = (group[0] for group in store.read(np.asarray([row])))
    known = dict(zip(BANDS, [*fine, coarse[0].repeat(2, 0).repeat(2, 1)], strict=True))
    pixels = np.stack([known.get(band, fine[0]) for band in bands])
    pixels = np.pad(pixels, ((0, 0), (border, border), (border, border)), constant_values=700)
    where = {"crs": "EPSG:32633", "transform": from_origin(3e5, 5e6, gsd_m, gsd_m)} if gsd_m else {}
    side = pixels.shape[1]
    with rasterio.open(
        path, "w", driver="GTiff", width=side, height=side, count=len(bands), dtype="uint16", **where
    ) as out:
        out.write(pixels)
        out.descriptions = bands
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(("border", "bands"), [(0, BANDS), (7, tuple(reversed(BANDS)))])
def test_the_pixels_of_a_tile_as_a_picture_find_that_tile_first(archive, tmp_path, border, bands):
    store, _, features = archive
    asked = picture(store, 11, tmp_path / "asked.tif", border=border, bands=bands)
    result = swath.search(features, like=str(asked), k=3, out=tmp_path / "sheet.png")
    assert result.found[0]["id"] == "t0011"
    assert result.found[0]["similarity"] > 0.99
    assert result.like == str(asked)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_pictures_that_do_not_fit_the_run_are_refused(archive, tmp_path):
    store, _, features = archive
    with pytest.raises(DataError, match=r"has bands B04,B03,B02; .* trained on B04,B03,B08,B11: no B08"):
        swath.search(features, like=str(picture(store, 1, tmp_path / "a.tif", bands=("B04", "B03", "B02"))))
    with pytest.raises(DataError, match=r"has 3 m a pixel; the run was trained on 10 m"):
        swath.search(features, like=str(picture(store, 1, tmp_path / "b.tif", gsd_m=3.0)))
    with rasterio.open(
        tmp_path / "c.tif", "w", driver="GTiff", width=8, height=8, count=4, dtype="uint16"
    ) as out:
        out.write(np.ones((4, 8, 8), np.uint16))
        out.descriptions = BANDS
    with pytest.raises(DataError, match="is 8x8 px; tiles of the run have 16x16 px"):
        swath.search(features, like=str(tmp_path / "c.tif"))
    with pytest.raises(UsageError, match=r"gone.tif"):
        swath.search(features, like="gone.tif")


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_run_that_went_on_or_is_gone_cannot_embed_the_picture(archive, make_run, tmp_path):
    store, made, features = archive
    asked = str(picture(store, 1, tmp_path / "a.tif"))
    other = make_run("other", seed=77)
    with pytest.raises(DataError, match=r"has checkpoint \w{12} \(step 10\).* are of checkpoint \w{12}"):
        swath.search(features, like=asked, run=other.path)
    with pytest.raises(UsageError, match="--run is for pictures, and t0001 is none"):
        swath.search(features, like="t0001", run=made.path)
    moved = made.path.rename(tmp_path / "moved")
    with pytest.raises(UsageError, match=r"no longer at .*run; say where: --run RUN"):
        swath.search(features, like=asked)
    assert swath.search(features, like=asked, run=moved, k=1).found[0]["id"] == "t0001"
