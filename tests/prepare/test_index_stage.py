import json

import geopandas
import numpy as np
import pytest
import rasterio
from PIL import Image
from shapely.geometry import box

from swath.config import IndexConfig
from swath.data.index import read_index
from swath.errors import DataError, UsageError
from swath.prepare.index import run


@pytest.fixture
def scene(tmp_path):
    """A scene of 64 px with three bands and one empty corner, and a forest on its left half."""
    folder = tmp_path / "archive"
    folder.mkdir()
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 400_000, 0, -10, 5_000_000)}
    pixels = np.full((3, 64, 64), 9, np.uint8)
    pixels[:, 32:, 32:] = 0
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": 64, "width": 64, "nodata": 0}
    with rasterio.open(folder / "scene.tif", "w", **profile, **place) as out:
        out.write(pixels)
    frame = geopandas.GeoDataFrame(
        {"kind": ["forest"]}, geometry=[box(400_000, 4_999_360, 400_320, 5_000_000)]
    )
    frame.set_crs("EPSG:32633").to_file(tmp_path / "fields.gpkg")
    return folder


def test_a_scene_with_polygons_becomes_an_index(tmp_path, scene):
    out = tmp_path / "new" / "index.parquet"
    labels = {"labels": tmp_path / "fields.gpkg", "label_column": "kind"}
    result = run(IndexConfig(source=scene, out=out, tile_px=32, **labels))
    assert (result.layout, result.files, result.tiles, result.labelled) == ("scenes", 1, 3, 3)
    assert (result.task, result.vocabulary, result.skipped) == ("multilabel", {"forest": 2}, {"nodata": 1})
    assert result.bands == ("red", "green", "blue")
    assert json.loads(json.dumps(result.to_json()))["out"] == str(out)
    index = read_index(out)
    assert index.table["labels"].to_pylist() == [["forest"], [], ["forest"]]
    assert index.info.root == str(scene)
    assert geopandas.read_parquet(out).geometry.is_valid.all()


def test_the_same_archive_gives_the_same_bytes(tmp_path, scene):
    for name in ("1.parquet", "2.parquet"):
        run(IndexConfig(source=scene, out=tmp_path / name, tile_px=32))
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()


def test_more_rows_than_one_batch_arrive_once(tmp_path, scene):
    run(IndexConfig(source=scene, out=tmp_path / "i.parquet", tile_px=1, stride_px=1, max_nodata=1))
    table = read_index(tmp_path / "i.parquet").table
    assert table.num_rows == 64 * 64 == len(set(table["id"].to_pylist()))


def test_class_folders_are_counted(tmp_path):
    for name in ("sea/1.png", "sea/2.png", "land/1.png"):
        (tmp_path / "t" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "t" / name)
    result = run(IndexConfig(source=tmp_path / "t", out=tmp_path / "i.parquet"))
    assert (result.layout, result.task, result.tile_px) == ("folder", "class", 8)
    assert result.vocabulary == {"land": 1, "sea": 2}


def test_an_old_index_survives_a_source_that_is_bad(tmp_path, scene):
    out = tmp_path / "index.parquet"
    run(IndexConfig(source=scene, out=out, tile_px=32))
    before = out.read_bytes()
    (scene / "bad.tif").write_text("hello")
    with pytest.raises(DataError, match=r"bad.tif is not a GeoTIFF"):
        run(IndexConfig(source=scene, out=out, tile_px=32))
    assert out.read_bytes() == before


def test_bad_tiles_leave_no_index(tmp_path):
    for name in "abc":
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:40])
    with pytest.raises(DataError, match=r"b.png is damaged or cut"):
        run(IndexConfig(source=tmp_path, out=tmp_path / "out" / "i.parquet"))
    assert list((tmp_path / "out").iterdir()) == []


def test_nothing_but_nodata_is_refused(tmp_path, scene):
    with rasterio.open(scene / "scene.tif", "r+") as raster:
        raster.write(np.zeros((3, 64, 64), np.uint8))
    with pytest.raises(DataError, match=r"no tile is left, 4 have more than 0% nodata.* --max-nodata"):
        run(IndexConfig(source=scene, out=tmp_path / "i.parquet", tile_px=32))
    assert not (tmp_path / "i.parquet").exists()


def test_settings_without_effect_are_refused(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(UsageError, match="--stride-px cuts scenes"):
        run(IndexConfig(source=tmp_path, out=tmp_path / "i.parquet", layout="folder", stride_px=4))


def test_out_must_be_a_file_and_the_source_must_be_there(tmp_path, scene):
    with pytest.raises(UsageError, match="is a folder; --out is the file to write"):
        run(IndexConfig(source=scene, out=tmp_path))
    with pytest.raises(UsageError, match="no folder or file"):
        run(IndexConfig(source=tmp_path / "gone", out=tmp_path / "i.parquet"))
