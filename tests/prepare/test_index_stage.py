import csv
import json

import geopandas
import numpy as np
import pytest
import rasterio
from PIL import Image
from real_patches import real_patches
from shapely.geometry import box
from stretched_engine import stretched

from swath.config import IndexConfig
from swath.data.index import read_index
from swath.errors import DataError, MachineError, UsageError
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
    with pytest.raises(
        DataError, match=r"1 of 2 scenes are bad \(50.0%\): .*bad.tif is not a GeoTIFF.* skip"
    ):
        run(IndexConfig(source=scene, out=out, layout="scenes", tile_px=32))
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


@pytest.mark.parametrize(
    ("name", "value"),
    [("tile_px", 120), ("stride_px", 4), ("max_nodata", 0.0), ("min_share", 0.5), ("partial_labels", True)],
)
@pytest.mark.parametrize("layout", ["folder", "bigearthnet"])
def test_settings_of_scenes_are_refused_where_tiles_are_ready(tmp_path, layout, name, value):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    flag = f"--{name.replace('_', '-')}"
    with pytest.raises(
        UsageError, match=f"^{flag} would change nothing: the layout {layout} has ready tiles"
    ):
        run(IndexConfig(source=tmp_path, out=tmp_path / "i.parquet", layout=layout, **{name: value}))


def test_settings_that_ask_for_nothing_pass_where_tiles_are_ready(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    nothing = {"stride_px": None, "partial_labels": False}
    assert (
        run(IndexConfig(source=tmp_path, out=tmp_path / "i.parquet", layout="folder", **nothing)).tiles == 1
    )


def bad_files(tmp_path):
    with (tmp_path / "i.bad_files.csv").open() as stream:
        return [(row["path"], row["reason"]) for row in csv.DictReader(stream)]


def test_bad_files_are_left_out_when_asked_for_and_listed(tmp_path):
    folder, out = tmp_path / "t", tmp_path / "i.parquet"
    folder.mkdir()
    for number in range(8):
        Image.new("RGB", (8, 8)).save(folder / f"{number}.png")
    (folder / "0.png").write_bytes(b"")
    (folder / "5.png").write_text("hello")
    skip = {"source": folder, "out": out, "on_bad_file": "skip"}
    result = run(IndexConfig(**skip, max_bad=0.25))
    assert (result.tiles, result.skipped) == (6, {"bad files": 2})
    assert read_index(out).table["id"].to_pylist() == ["1.png", "2.png", "3.png", "4.png", "6.png", "7.png"]
    (empty, text) = bad_files(tmp_path)
    assert (empty[0], text[0]) == ("0.png", "5.png")
    assert "0.png is empty" in empty[1]
    before = out.read_bytes()
    with pytest.raises(DataError, match=r"2 of 8 files are bad \(25.0%\).* more than --max-bad 0.01 allows"):
        run(IndexConfig(**skip))
    assert out.read_bytes() == before
    Image.new("RGB", (8, 8)).save(folder / "0.png")
    (folder / "5.png").unlink()
    assert run(IndexConfig(**skip)).skipped == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["i.parquet", "t"]


def test_a_scene_with_a_damaged_file_is_left_out_whole(tmp_path, scene):
    good = (scene / "scene.tif").read_bytes()
    (scene / "cut.tif").write_bytes(good[: len(good) - 100])  # shows in the header
    with rasterio.open(scene / "scene.tif") as raster:
        profile, pixels = raster.profile, raster.read()
    rng = np.random.default_rng(0)
    with rasterio.open(
        scene / "spoilt.tif", "w", **profile | {"compress": "deflate", "blockysize": 16}
    ) as out:
        out.write(np.where(pixels, rng.integers(1, 250, pixels.shape, dtype=np.uint8), 0))
    spoilt = bytearray((scene / "spoilt.tif").read_bytes())
    spoilt[-1500:-1000] = b"\xff" * 500  # shows in the pixels alone, after the first tiles
    (scene / "spoilt.tif").write_bytes(spoilt)
    asked = {"source": scene, "out": tmp_path / "i.parquet", "layout": "scenes", "tile_px": 16}
    result = run(IndexConfig(**asked, on_bad_file="skip", max_bad=0.7))
    assert (result.tiles, result.skipped) == (12, {"nodata": 4, "bad scenes": 2})
    assert {row.split("_")[0] for row in read_index(tmp_path / "i.parquet").table["id"].to_pylist()} == {
        "scene"
    }
    assert [path for path, _ in bad_files(tmp_path)] == ["cut.tif", "spoilt.tif"]
    (scene / "cut.tif").unlink()
    with pytest.raises(DataError, match=r"1 of 2 scenes are bad .*spoilt.tif"):
        run(IndexConfig(**asked))


def test_the_list_of_bad_files_names_the_bad_band(tmp_path, scene):
    for number in range(2):
        for band in ("B02", "B03"):
            with rasterio.open(scene / "scene.tif") as raster:
                profile, pixels = raster.profile | {"count": 1}, raster.read(1)
            with rasterio.open(tmp_path / "archive" / f"s{number}_{band}.tif", "w", **profile) as out:
                out.write(pixels[None])
    (scene / "scene.tif").unlink()
    (scene / "s1_B03.tif").write_text("hello")
    asked = {"source": scene, "out": tmp_path / "i.parquet", "tile_px": 32, "max_bad": 0.5}
    assert run(IndexConfig(**asked, on_bad_file="skip")).skipped == {"nodata": 1, "bad scenes": 1}
    assert [path for path, _ in bad_files(tmp_path)] == ["s1_B03.tif"]


def test_out_must_be_a_file_and_the_source_must_be_there(tmp_path, scene):
    with pytest.raises(UsageError, match="is a folder; --out is the file to write"):
        run(IndexConfig(source=scene, out=tmp_path))
    with pytest.raises(UsageError, match="no folder or file"):
        run(IndexConfig(source=tmp_path / "gone", out=tmp_path / "i.parquet"))


@pytest.mark.parametrize("setting", [{"on_bad_file": "skip"}, {"max_bad": 0.5}, {"max_pixels": 9}])
def test_settings_for_files_are_refused_for_a_catalogue(tmp_path, setting):
    flag = next(iter(setting)).replace("_", "-")
    with pytest.raises(UsageError, match=rf"--{flag} would change nothing: bigearthnet:v1 without --pixels"):
        run(IndexConfig(source="bigearthnet:v1", out=tmp_path / "index.parquet", **setting))


def folder_of_tiles(tmp_path):
    folder = tmp_path / "tiles"
    folder.mkdir()
    for number in range(20):
        Image.fromarray(np.full((8, 8, 3), number + 1, np.uint8)).save(folder / f"{number}.png")
    (folder / "7.png").write_bytes(b"no picture")
    return folder


def folder_of_scenes(tmp_path):
    """Ten scenes; the pixels of one are damaged."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 400_000, 0, -10, 5_000_000)}
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": 64, "width": 64, "nodata": 0}
    rng = np.random.default_rng(0)
    for number in range(10):
        with rasterio.open(folder / f"{number}.tif", "w", **profile, **place, compress="deflate") as out:
            out.write(rng.integers(0, 255, (3, 64, 64), np.uint8))
    held = bytearray((folder / "4.tif").read_bytes())
    held[-400:-100] = b"\xff" * 300
    (folder / "4.tif").write_bytes(held)
    return folder


def folder_of_patches(tmp_path):
    for name, held in real_patches().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(held)
    return tmp_path / "BigEarthNet-S2-Example"


def without_lists():
    raise MachineError("the lists are large")


@pytest.mark.parametrize("make", [folder_of_tiles, folder_of_scenes, folder_of_patches])
def test_an_index_made_in_stretches_is_the_same_file(tmp_path, monkeypatch, make):
    asked = {"source": make(tmp_path), "on_bad_file": "skip", "max_bad": 0.2}
    if make is folder_of_scenes:
        asked |= {"layout": "scenes", "tile_px": 16, "max_nodata": 0.002}
    monkeypatch.setattr("swath.datasets.bigearthnet.source.read_lists", without_lists)
    here = run(IndexConfig(out=tmp_path / "local.parquet", **asked))
    monkeypatch.setattr("swath.datasets.folder._AT_ONCE", 2)
    monkeypatch.setattr("swath.datasets.bigearthnet.archive._AT_ONCE", 1)
    engine = stretched(monkeypatch, "swath.prepare.index")
    there = run(IndexConfig(out=tmp_path / "ray.parquet", engine="ray", **asked))
    assert (tmp_path / "ray.parquet").read_bytes() == (tmp_path / "local.parquet").read_bytes()
    assert (there.tiles, there.vocabulary, there.skipped) == (here.tiles, here.vocabulary, here.skipped)
    listing = [tmp_path / f"{name}.bad_files.csv" for name in ("local", "ray")]
    assert [path.exists() for path in listing] == [make is not folder_of_patches] * 2
    assert not listing[0].exists() or listing[0].read_bytes() == listing[1].read_bytes()
    assert engine.calls > 4


@pytest.mark.parametrize("source", ["bigearthnet:v1", "BigEarthNet-S2-v1.0.tar.gz"])
def test_an_engine_is_refused_where_there_is_nothing_to_share_out(tmp_path, source):
    with pytest.raises(UsageError, match=r"--engine ray would change nothing: .* Leave it out"):
        run(IndexConfig(source=source, out=tmp_path / "index.parquet", engine="ray"))
