import json

import numpy as np
import pyarrow as pa
import pytest
import rasterio
import rasterio.warp
import shapely
from archive_pack import OFFICIAL, RGB, as_v2, expected_pixels, pack_from
from real_patches import folders, real_patches, write_archive
from tile_archive import row, write_index

from swath.config import PackConfig
from swath.data.store import TileStore
from swath.datasets.bigearthnet.labels import CLASSES_19, FROM_43
from swath.errors import DataError, MachineError, UsageError
from swath.prepare import archive_rows, pack

pytestmark = pytest.mark.usefixtures("without_lists")


def test_the_real_patches_have_the_pixels_that_rasterio_reads(tmp_path):
    members = real_patches()
    result = pack_from(tmp_path, members)
    store = TileStore(tmp_path / "tiles.lance")
    pixels = store.read(np.arange(6))[0]
    order = list(dict.fromkeys(name.rpartition("/")[0] for name in members))
    assert store.ids().tolist() == [folder.rpartition("/")[2] for folder in order]
    for found, folder in zip(pixels, order, strict=True):
        assert np.array_equal(found, expected_pixels(members, RGB, folder))
    assert (result.tiles, result.skipped, result.size_px, store.format.gsd_m) == (6, 0, 120, 10.0)
    assert not list(tmp_path.glob(".*"))
    assert not list(tmp_path.glob("*.csv"))


def test_an_engine_is_refused_for_an_archive(tmp_path):
    with pytest.raises(UsageError, match=r"--engine ray changes nothing for .*one stream"):
        pack_from(tmp_path, real_patches(), engine="ray")


def test_the_real_patches_have_their_labels_day_and_place(tmp_path):
    members = real_patches()
    pack_from(tmp_path, members)
    store = TileStore(tmp_path / "tiles.lance")
    columns = store.columns("id", "labels", "acquired", "crs", "geometry", "sensor").to_pylist()
    assert (store.vocabulary, store.task) == (CLASSES_19, "multilabel")
    for tile in columns:
        told = json.loads(members[f"BigEarthNet-S2-Example/{tile['id']}/{tile['id']}_labels_metadata.json"])
        numbers = {FROM_43[name] for name in told["labels"]} - {None}
        assert tile["labels"] == [CLASSES_19[number] for number in sorted(numbers)]
        assert str(tile["acquired"]) == told["acquisition_date"][:10]
        assert tile["sensor"] == "Sentinel-2"
        data = members[f"BigEarthNet-S2-Example/{tile['id']}/{tile['id']}_B02.tif"]
        with rasterio.MemoryFile(data) as held, held.open() as raster:
            assert tile["crs"] == raster.crs.to_string()
            west, south, east, north = rasterio.warp.transform_bounds(raster.crs, "OGC:CRS84", *raster.bounds)
        assert shapely.from_wkb(tile["geometry"]).bounds == pytest.approx(
            (west, south, east, north), abs=1e-5
        )


def test_all_bands_are_kept_in_three_groups(tmp_path):
    members = real_patches()
    pack_from(tmp_path, members, bands=())
    store = TileStore(tmp_path / "tiles.lance")
    assert [(group.size_px, len(group.bands)) for group in store.format.groups] == [
        (120, 4),
        (60, 6),
        (20, 2),
    ]
    folder = next(name for name in folders(members) if name.endswith(store.ids()[2]))
    for group, pixels in zip(store.format.groups, store.read(np.array([2])), strict=True):
        assert np.array_equal(pixels[0], expected_pixels(members, group.bands, folder))


def test_sentinel_1_is_a_sensor_of_its_own(tmp_path):
    members = real_patches("S1")
    pack_from(tmp_path, members, bands=())
    store = TileStore(tmp_path / "tiles.lance")
    assert [(group.bands, group.dtype) for group in store.format.groups] == [(("VV", "VH"), "float32")]
    folder = next(name for name in folders(members) if name.endswith(store.ids()[0]))
    assert np.array_equal(store.read(np.array([0]))[0][0], expected_pixels(members, ("VV", "VH"), folder))
    assert set(store.columns("sensor")["sensor"].to_pylist()) == {"Sentinel-1"}
    assert store.task == "multilabel"


def test_archives_of_v2_hold_no_labels(tmp_path):
    result = pack_from(tmp_path, as_v2(real_patches()))
    store = TileStore(tmp_path / "tiles.lance")
    assert (result.tiles, store.task, store.vocabulary) == (6, None, ())
    assert not store.labelled().any()


@pytest.mark.usefixtures("small_fragments")
def test_an_index_says_split_and_which_patches(tmp_path):
    members = real_patches()
    names = [folder.rpartition("/")[2] for folder in folders(members)]
    splits = ["train", "test", "val", "train"]
    rows = [
        row(0, id=name, paths=[], labels=None, split=split)
        for name, split in zip(names, splits, strict=False)
    ]
    index = write_index(tmp_path / "index.parquet", rows, root="", task=None, vocabulary=())
    archive = write_archive(tmp_path / "a.tar.gz", members)
    with pytest.raises(UsageError, match="is a catalogue without pixels"):
        pack.run(PackConfig(index=index, out=tmp_path / "tiles.lance"))
    pack.run(PackConfig(index=index, pixels=archive, out=tmp_path / "tiles.lance", bands=RGB))
    store = TileStore(tmp_path / "tiles.lance")
    assert dict(zip(store.ids(), store.splits(), strict=True)) == dict(zip(names, splits, strict=False))
    assert store.vocabulary == CLASSES_19, "labels come from the archive where the index has none"
    counted = np.concatenate(
        [expected_pixels(members, RGB, f"BigEarthNet-S2-Example/{names[n]}")[None] for n in (0, 3)]
    )
    assert [store.statistics[band]["mean"] for band in RGB] == pytest.approx(counted.mean(axis=(0, 2, 3)))


def test_patches_that_the_archive_lacks_are_listed(tmp_path):
    members = real_patches()
    names = [folder.rpartition("/")[2] for folder in folders(members)]
    rows = [row(0, id=name, labels=["farm"]) for name in [*names, "S2A_MSIL2A_20170613T101031_1_1"]]
    index = write_index(tmp_path / "index.parquet", rows, root=str(tmp_path / "a.tar.gz"))
    write_archive(tmp_path / "a.tar.gz", members)
    with pytest.raises(
        DataError, match=r"1 of 7 patches are bad .*S2A_MSIL2A_20170613T101031_1_1 is not in .*a\.tar\.gz"
    ):
        pack.run(PackConfig(index=index, out=tmp_path / "tiles.lance", bands=RGB))
    pack.run(
        PackConfig(index=index, out=tmp_path / "tiles.lance", bands=RGB, on_bad_tile="skip", max_bad=0.2)
    )
    assert TileStore(tmp_path / "tiles.lance").vocabulary == ("farm", "water")


def test_the_official_lists_say_split_and_what_is_left_out(tmp_path, monkeypatch, caplog):
    names = [folder.rpartition("/")[2] for folder in folders(real_patches())]
    lists = pa.table(
        {
            "id": names,
            "split": ["train", "val", None, "test", "train", "train"],
            "country": ["Austria"] * 6,
            "recommended": [True, True, False, True, True, True],
        }
    )
    monkeypatch.setattr(archive_rows, "_official", OFFICIAL)
    monkeypatch.setattr(archive_rows, "read_lists", lambda: lists)
    caplog.set_level("INFO")
    pack_from(tmp_path, real_patches())
    store = TileStore(tmp_path / "tiles.lance")
    assert dict(zip(store.ids(), store.splits(), strict=True)) == {
        name: split for name, split in zip(names, lists["split"].to_pylist(), strict=True) if split
    }
    assert set(store.columns("country")["country"].to_pylist()) == {"Austria"}
    assert store.statistics["B04"]["count"] == 3 * 120 * 120
    assert "1 of 6 patches are not in the recommended set of v1: left out" in caplog.text


def test_without_the_official_lists_patches_have_no_split(tmp_path, monkeypatch, caplog):
    def not_installed():
        raise MachineError("the package is not installed")

    monkeypatch.setattr(archive_rows, "_official", OFFICIAL)
    monkeypatch.setattr(archive_rows, "read_lists", not_installed)
    pack_from(tmp_path, real_patches())
    assert set(TileStore(tmp_path / "tiles.lance").splits()) == {""}
    assert "packing without splits: the package is not installed" in caplog.text


def test_the_recipe_makes_8_bit_pictures(tmp_path):
    members = real_patches()
    pack_from(tmp_path, members, scale="recipe")
    store = TileStore(tmp_path / "tiles.lance")
    folder = next(name for name in folders(members) if name.endswith(store.ids()[1]))
    reflectance = expected_pixels(members, RGB, folder).astype(np.float64)
    expected = np.clip(reflectance / 2000 * 255, 0, 255).astype(np.uint8)
    assert np.array_equal(store.read(np.array([1]))[0][0], expected)
    assert (store.format.low, store.format.high) == ((0.0,) * 3, (255.0,) * 3)


def test_the_recipe_is_refused_for_radar(tmp_path):
    with pytest.raises(UsageError, match="--scale recipe is for Sentinel-2 reflectance"):
        pack_from(tmp_path, real_patches("S1"), bands=(), scale="recipe")


def test_a_limit_on_pixels_changes_nothing_and_is_refused(tmp_path):
    with pytest.raises(UsageError, match="--max-pixels changes nothing for an archive"):
        pack_from(tmp_path, real_patches(), max_pixels=1000)
