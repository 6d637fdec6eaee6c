"""Scenes and folders of tiles that lie on S3 are indexed, packed, described and audited as those here."""

import itertools

import numpy as np
import pytest
from rasterio import Affine
from tile_archive import random_pixels, write_raster

import swath
from swath import storage
from swath.data import fetched
from swath.data.claim import CLAIM_NAME, LostClaimError
from swath.data.fetched import LocalCopies
from swath.data.index import read_index
from swath.data.store import TileStore
from swath.data.writer import TileWriter
from swath.errors import DataError, UsageError

UTM = "EPSG:32633"


def put(folder, there):
    """Everything below a folder of this machine, to a prefix."""
    for path in folder.rglob("*"):
        if path.is_file():
            with storage.object_aside(there / path.relative_to(folder).as_posix()) as aside:
                aside.write_bytes(path.read_bytes())
    return there


def write_scenes(folder):
    """Two scenes of two bands, one file a band, the first with a corner without data."""
    for number, band in itertools.product(range(2), ("B02", "B04")):
        pixels = random_pixels((1, 48, 64), "uint16", seed=number)
        pixels[:, :16, :16] = 0 if number == 0 else pixels[:, :16, :16]
        grid = {"crs": UTM, "transform": Affine(10, 0, 330_000 + 1000 * number, 0, -10, 5_820_000)}
        write_raster(folder / f"scene{number}_{band}.tif", pixels, nodata=0, **grid)
    return folder


def write_tiles(folder):
    for number, name in enumerate(("farm/1.tif", "farm/2.tif", "water/1.tif")):
        place = Affine(10, 0, 330_000 + 80 * number, 0, -10, 5_820_000)
        write_raster(folder / name, random_pixels((3, 8, 8), seed=number), crs=UTM, transform=place)
    return folder


def alike(index_there, index_here):
    """The same rows; the root alone differs."""
    there, here = read_index(index_there), read_index(index_here)
    assert there.table.equals(here.table)
    assert {**there.info.to_json(), "root": ""} == {**here.info.to_json(), "root": ""}
    return there


def packed(index, out):
    swath.pack(index, out=out)
    store = TileStore(out)
    return [group.copy() for group in store.read(np.arange(len(store)))], store.ids().tolist()


def test_scenes_on_s3_are_as_those_here(tmp_path, any_s3, monkeypatch):
    here = write_scenes(tmp_path / "scenes")
    there = put(here, any_s3("scenes"))
    monkeypatch.setattr(fetched, "KEPT_BYTES", 0)  # each batch fetches its scenes again
    swath.index(here, out=tmp_path / "here.parquet", layout="scenes", tile_px=16)
    swath.index(there, out=any_s3("there.parquet"), layout="scenes", tile_px=16)
    assert alike(any_s3("there.parquet"), tmp_path / "here.parquet").info.root == str(there)
    pixels, ids = packed(any_s3("there.parquet"), any_s3("tiles.lance"))
    expected, expected_ids = packed(tmp_path / "here.parquet", tmp_path / "tiles.lance")
    assert ids == expected_ids
    assert len(ids) == 2 * 12 - 1
    assert all(np.array_equal(*pair) for pair in zip(pixels, expected, strict=True))


def test_a_folder_of_tiles_on_s3_is_as_one_here(tmp_path, any_s3):
    here = write_tiles(tmp_path / "tiles")
    there = put(here, any_s3("tiles"))
    swath.index(here, out=tmp_path / "here.parquet")
    swath.index(there, out=tmp_path / "there.parquet")
    assert alike(tmp_path / "there.parquet", tmp_path / "here.parquet").info.vocabulary == ("farm", "water")
    assert packed(tmp_path / "there.parquet", tmp_path / "there.lance")[0][0].shape == (3, 3, 8, 8)


def test_labels_csv_on_s3_labels_the_tiles_beside_it(tmp_path, s3):
    here = write_tiles(tmp_path / "tiles")
    (here / "labels.csv").write_text("path,class\nfarm/1.tif,wheat\nwater/1.tif,lake\n")
    there = put(here, s3("tiles"))
    result = swath.index(there, out=tmp_path / "there.parquet")
    assert result.vocabulary == {"lake": 1, "wheat": 1}
    assert result.labelled == 2


def test_one_scene_on_s3_is_a_source(tmp_path, s3):
    there = put(write_scenes(tmp_path / "scenes"), s3("scenes"))
    result = swath.index(there / "scene1_B02.tif", out=tmp_path / "one.parquet", tile_px=16)
    assert (result.layout, result.tiles) == ("scenes", 12)


def test_bad_files_on_s3_are_named_by_their_objects(tmp_path, s3):
    here = write_scenes(tmp_path / "scenes")
    (here / "scene0_B02.tif").write_bytes(b"no raster")
    there = put(here, s3("scenes"))
    with pytest.raises(DataError) as caught:
        swath.index(there, out=tmp_path / "index.parquet", tile_px=16)
    assert f"{there}/scene0_B02.tif" in str(caught.value)
    assert "/swath-" not in str(caught.value)


def test_a_prefix_without_imagery_is_refused_in_one_line(tmp_path, s3):
    with storage.object_aside(s3("notes") / "readme.txt") as aside:
        aside.write_text("nothing")
    with pytest.raises(DataError, match=r"s3://.*notes holds no GeoTIFF.*1 other files"):
        swath.index(s3("notes"), out=tmp_path / "index.parquet")


def test_copies_that_nobody_uses_are_kept_up_to_a_bound(s3):
    for name in "abc":
        with storage.object_aside(s3("files") / name) as aside:
            aside.write_bytes(b"x" * 10)
    copies = LocalCopies(s3("files"), kept_bytes=20)
    for name in "abc":
        with copies.of([name]) as here:
            assert (here / name).read_bytes() == b"x" * 10
    assert sorted(path.name for path in here.iterdir()) == ["b", "c"]
    with copies.of(["a", "b", "c"]):  # what is used stays
        assert len(list(here.iterdir())) == 3


def test_describe_and_audit_read_and_write_on_s3(tmp_path, any_s3):
    swath.index(write_scenes(tmp_path / "scenes"), out=any_s3("index.parquet"), tile_px=16)
    swath.split(any_s3("index.parquet"), out=any_s3("split.parquet"), by="blocks", block_m=320, val_share=0.0)
    found = swath.audit(any_s3("split.parquet"))
    assert storage.read_bytes(found.out).startswith(b"\x89PNG")
    page = swath.describe(any_s3("split.parquet")).out
    assert str(page).startswith("s3://")
    assert storage.read_bytes(page).startswith(b"<!doctype html>")


def test_of_two_packs_to_one_place_on_s3_the_second_is_refused(tmp_path, any_s3, monkeypatch):
    swath.index(write_tiles(tmp_path / "tiles"), out=tmp_path / "index.parquet")
    finish = TileWriter.finish

    def pack_meanwhile(self, *given, **more):
        with pytest.raises(UsageError, match="exists already"):
            swath.pack(tmp_path / "index.parquet", out=any_s3("tiles.lance"))
        return finish(self, *given, **more)

    monkeypatch.setattr(TileWriter, "finish", pack_meanwhile)
    swath.pack(tmp_path / "index.parquet", out=any_s3("tiles.lance"))
    assert len(TileStore(any_s3("tiles.lance"))) == 3
    assert CLAIM_NAME not in list(storage.list_files(any_s3("tiles.lance")))


def test_a_pack_whose_place_another_took_stops_and_removes_nothing(tmp_path, any_s3, monkeypatch):
    swath.index(write_tiles(tmp_path / "tiles"), out=tmp_path / "index.parquet")
    finish = TileWriter.finish

    def lose(self, *given, **more):
        with storage.object_aside(any_s3("tiles.lance") / CLAIM_NAME) as aside:
            aside.write_text("another")
        return finish(self, *given, **more)

    monkeypatch.setattr(TileWriter, "finish", lose)
    with pytest.raises(LostClaimError, match="another swath pack writes there"):
        swath.pack(tmp_path / "index.parquet", out=any_s3("tiles.lance"))
    assert storage.read_bytes(any_s3("tiles.lance") / CLAIM_NAME) == b"another"
    with pytest.raises(DataError, match="interrupted"):
        TileStore(any_s3("tiles.lance"))
