import struct
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from archive_pack import RGB, as_v2, expected_pixels, spoilt
from real_patches import folders, real_patches, write_archive

from swath.config import IndexConfig, PackConfig, SplitConfig
from swath.data.index import IndexWriter, read_index
from swath.data.masks import MaskClasses
from swath.data.store import TileStore
from swath.errors import DataError, UsageError
from swath.prepare import index, pack, split
from swath.pretraining.monitor import trainable_rows

# Tag 339, one SHORT: 1 is unsigned, 2 signed.
SAMPLE_IS_UNSIGNED, SAMPLE_IS_SIGNED = (struct.pack("<HHIHH", 339, 3, 1, kind, 0) for kind in (1, 2))
V2 = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_87_48"


def extracted(path, members):
    for name, data in members.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


@pytest.mark.parametrize("sensor", ["S2", "S1"])
def test_the_index_of_an_archive_is_that_of_its_extracted_folder(sensor, tmp_path):
    members = real_patches(sensor)
    archive = write_archive(tmp_path / "archive.tar.gz", members)
    index.run(IndexConfig(source=archive, out=tmp_path / "packed.parquet"))
    index.run(IndexConfig(source=extracted(tmp_path / "x", members), out=tmp_path / "folder.parquet"))
    one, other = (read_index(tmp_path / f"{name}.parquet") for name in ("packed", "folder"))
    assert one.table.sort_by("id").equals(other.table.sort_by("id"))
    assert one.info.root == str(archive)
    assert one.info.vocabulary == other.info.vocabulary
    assert (one.info.bands, one.info.class_order) == (other.info.bands, other.info.class_order)


def test_an_archive_is_indexed_split_and_packed(tmp_path):
    members = real_patches()
    archive = write_archive(tmp_path / "archive.tar.gz", members)
    index.run(IndexConfig(source=archive, out=tmp_path / "index.parquet"))
    split.run(
        SplitConfig(index=tmp_path / "index.parquet", out=tmp_path / "split.parquet", by="random", seed=1)
    )
    pack.run(PackConfig(index=tmp_path / "split.parquet", out=tmp_path / "tiles.lance", bands=RGB))
    store, table = TileStore(tmp_path / "tiles.lance"), read_index(tmp_path / "split.parquet").table
    expected = dict(zip(table["id"].to_pylist(), table["split"].to_pylist(), strict=True))
    assert dict(zip(store.ids(), store.splits(), strict=True)) == expected
    folder = next(name for name in folders(members) if name.endswith(store.ids()[0]))
    assert np.array_equal(store.read(np.array([0]))[0][0], expected_pixels(members, RGB, folder))


def test_a_band_of_another_type_and_as_many_bytes_is_bad_when_its_folder_is_packed(tmp_path):
    members, patch = spoilt("B03.tif", lambda data: data.replace(SAMPLE_IS_UNSIGNED, SAMPLE_IS_SIGNED))
    folder = extracted(tmp_path / "x", members)
    index.run(IndexConfig(source=folder, out=tmp_path / "index.parquet"))
    with pytest.raises(DataError, match=rf"{patch}_B03.tif has int16 pixels, the index says uint16"):
        pack.run(PackConfig(index=tmp_path / "index.parquet", out=tmp_path / "tiles.lance", bands=RGB))


def test_masks_are_packed_from_folders_alone_and_refused_beside_an_archive(tmp_path):
    archive = write_archive(tmp_path / "archive.tar.gz", real_patches())
    index.run(IndexConfig(source=archive, out=tmp_path / "index.parquet"))
    read = read_index(tmp_path / "index.parquet")
    classes = MaskClasses(("a", "b"), {1: 0, 2: 1}).to_json()
    masked = replace(read.info, masks={"root": str(tmp_path), **classes})
    with IndexWriter(tmp_path / "masked.parquet", masked, more=read.more) as writer:
        writer.append(read.table)
    with pytest.raises(UsageError, match="has masks, which are packed from folders only"):
        pack.run(PackConfig(index=tmp_path / "masked.parquet", out=tmp_path / "tiles.lance"))


def test_patches_that_are_not_recommended_train_and_a_warning_says_so(tmp_path, monkeypatch, caplog):
    members = real_patches()
    names = sorted(folder.rpartition("/")[2] for folder in folders(members))
    good = [number > 0 for number in range(len(names))]
    lists = {"id": names, "split": [None, *["test"] * (len(names) - 1)], "recommended": good}
    monkeypatch.setattr("swath.datasets.bigearthnet.source.read_lists", lambda: pa.table(lists))
    folder = extracted(tmp_path / "x", members)
    index.run(IndexConfig(source=folder, out=tmp_path / "index.parquet"))
    assert "without a split: 1 patches. Pretraining draws from them too" in caplog.text
    pack.run(PackConfig(index=tmp_path / "index.parquet", out=tmp_path / "tiles.lance", bands=RGB))
    store = TileStore(tmp_path / "tiles.lance")
    assert trainable_rows(store).tolist() == [0]
    caplog.clear()
    index.run(IndexConfig(source=folder, out=tmp_path / "some.parquet", recommended=True))
    assert "not recommended" not in caplog.text
    assert read_index(tmp_path / "some.parquet").table["id"].to_pylist() == names[1:]


def test_sentinel_1_is_packed_by_its_own_index_and_by_one_of_sentinel_2(tmp_path):
    archive = write_archive(tmp_path / "archive.tar.gz", real_patches("S1"))
    index.run(IndexConfig(source=archive, out=tmp_path / "index.parquet"))
    pack.run(PackConfig(index=tmp_path / "index.parquet", out=tmp_path / "own.lance"))
    names = TileStore(tmp_path / "own.lance").ids().tolist()
    s2 = write_archive(tmp_path / "s2.tar.gz", real_patches())
    index.run(IndexConfig(source=s2, out=tmp_path / "s2.parquet"))
    table = read_index(tmp_path / "s2.parquet").table
    pack.run(PackConfig(index=tmp_path / "s2.parquet", pixels=archive, out=tmp_path / "other.lance"))
    other = TileStore(tmp_path / "other.lance")
    assert sorted(other.ids()) == sorted(names) == sorted(table["s1_name"].to_pylist())
    labels = dict(zip(table["s1_name"].to_pylist(), table["labels"].to_pylist(), strict=True))
    found = other.columns("id", "labels").to_pylist()
    assert {tile["id"]: tile["labels"] for tile in found} == labels


def test_bad_patches_of_an_archive_are_listed_or_left_out(tmp_path):
    members, patch = spoilt("B11.tif", lambda data: data[:5000])
    archive = write_archive(tmp_path / "archive.tar.gz", members)
    config = IndexConfig(source=archive, out=tmp_path / "index.parquet")
    with pytest.raises(DataError, match=rf"1 of 6 patches are bad .*{patch}_B11.tif.* truncated"):
        index.run(config)
    assert not (tmp_path / "index.parquet").exists()
    result = index.run(config.model_copy(update={"on_bad_file": "skip", "max_bad": 0.2}))
    assert result.tiles == 5


def test_a_cut_archive_gives_no_index(tmp_path):
    archive = write_archive(tmp_path / "archive.tar.gz", real_patches())
    archive.write_bytes(archive.read_bytes()[:-5000])
    with pytest.raises(DataError, match=r"is truncated: \d+ members are whole"):
        index.run(IndexConfig(source=archive, out=tmp_path / "index.parquet"))
    assert [path.name for path in tmp_path.iterdir()] == ["archive.tar.gz"]


def test_pixels_beside_an_archive_change_nothing_and_are_refused(tmp_path):
    archive = write_archive(tmp_path / "archive.tar.gz", real_patches())
    with pytest.raises(UsageError, match="--pixels is for a table"):
        index.run(IndexConfig(source=archive, out=tmp_path / "index.parquet", pixels=tmp_path))


def test_patches_that_lie_elsewhere_than_their_name_says_are_bad(tmp_path):
    archive = write_archive(tmp_path / "archive.tar.gz", as_v2(real_patches()))
    with pytest.raises(
        DataError, match=r"6 of 6 patches are bad .*its raster lies at 404400 E 5342400 N .* its name"
    ):
        index.run(IndexConfig(source=archive, out=tmp_path / "index.parquet"))


def test_the_index_of_v2_has_the_place_that_names_say(tmp_path):
    members = {
        name.replace("S2A_MSIL2A_20170613T101031_87_48", V2).replace(
            "BigEarthNet-S2-Example", f"BigEarthNet-S2/{V2[:-6]}"
        ): data
        for name, data in real_patches().items()
        if "S2A_MSIL2A_20170613T101031_87_48" in name and name.endswith(".tif")
    }
    archive = write_archive(tmp_path / "archive.tar.gz", members)
    result = index.run(IndexConfig(source=archive, out=tmp_path / "index.parquet"))
    table = read_index(tmp_path / "index.parquet").table
    assert (result.tiles, result.labelled, table["mgrs_tile"][0].as_py()) == (1, 0, "33UUP")
