import datetime as dt
import shutil

import numpy as np
import pytest
from bigearthnet_patches import S1, V1, V2, write_band, write_map, write_patch, write_v2
from bigearthnet_tables import METADATA_ROWS, write_metadata

from swath.config import IndexConfig, PackConfig
from swath.data.bad_inputs import BadPolicy
from swath.data.masks import IGNORE
from swath.data.store import TileStore
from swath.datasets.bigearthnet.labels import CLASS_ORDERS, CLASSES_19
from swath.datasets.bigearthnet.sensors import SENTINEL2
from swath.datasets.bigearthnet.source import find
from swath.datasets.layout import Asked
from swath.errors import DataError, MachineError, UsageError
from swath.prepare import index, pack

pytestmark = pytest.mark.usefixtures("lists")


def bad_message(source, **asked):
    with pytest.raises(DataError) as caught:
        list(find(source, Asked(**asked)).rows)
    return str(caught.value)


def test_a_patch_of_v1_becomes_a_row(tmp_path):
    write_patch(tmp_path / "BigEarthNet-v1.0", labels=("Sea and ocean", "Pastures", "Estuaries", "Airports"))
    layout = find(tmp_path, Asked())
    (row,) = layout.rows
    assert (row["id"], row["acquired"], row["crs"]) == (V1, dt.date(2017, 6, 13), "EPSG:32633")
    assert (row["left_m"], row["bottom_m"], row["right_m"], row["top_m"]) == (
        404400,
        5341200,
        405600,
        5342400,
    )
    assert row["labels"] == ["Pastures", "Marine waters"]
    assert row["labels_43"] == ["Sea and ocean", "Pastures", "Estuaries", "Airports"]
    assert row["paths"][8] == f"BigEarthNet-v1.0/{V1}/{V1}_B8A.tif"
    assert (row["split"], row["country"], row["recommended"], row["s1_name"]) == (
        "train",
        "Austria",
        True,
        S1,
    )
    assert layout.info.bands == SENTINEL2.bands
    assert (layout.info.vocabulary, layout.info.class_order) == (CLASSES_19, "original")
    assert (layout.info.root, layout.info.licence) == (str(tmp_path), "CDLA-Permissive-1.0")


def test_patches_come_in_the_order_of_their_paths_with_their_own_values(tmp_path, monkeypatch):
    monkeypatch.setattr("swath.datasets.bigearthnet.archive._AT_ONCE", 2)
    monkeypatch.setattr("swath.datasets.bigearthnet.archive._ROWS", 3)
    monkeypatch.setattr("swath.datasets.bigearthnet.archive._AHEAD", 1)
    names = [f"S2A_MSIL2A_20170613T101031_{h}_48" for h in (9, 0, 33, 7, 21)]
    for name in names:
        write_patch(tmp_path, name, bands=["B04"], labels=["Pastures"] if "_9_" in name else ["Airports"])
    rows = list(find(tmp_path, Asked()).rows)
    assert [row["id"] for row in rows] == sorted(names)
    assert [row["left_m"] for row in rows] == [300_000 + 1200 * h for h in (0, 21, 33, 7, 9)]
    assert [row["labels"] for row in rows] == [[], [], [], [], ["Pastures"]]
    assert [row["without_label"] for row in rows] == [True] * 4 + [False]


def test_an_archive_of_three_bands_is_one_of_three_bands_and_a_patch_with_two_is_bad(tmp_path):
    for h in range(3):
        write_patch(tmp_path, f"S2A_MSIL2A_20170613T101031_{h}_48", bands=["B04", "B03", "B02"])
    layout = find(tmp_path, Asked())
    assert layout.info.bands == ("B02", "B03", "B04")
    assert [len(row["paths"]) for row in layout.rows] == [3] * 3
    (tmp_path / "S2A_MSIL2A_20170613T101031_1_48" / "S2A_MSIL2A_20170613T101031_1_48_B03.tif").unlink()
    assert "1 of 3 patches are bad (33.3%)" in bad_message(tmp_path)
    assert "lacks B03.tif" in bad_message(tmp_path)


def test_patches_that_are_not_recommended_are_left_out_if_asked(tmp_path):
    for name in (V1, "S2A_MSIL2A_20170613T101031_1_1"):
        write_patch(tmp_path, name, bands=["B04"])
    assert [row["recommended"] for row in find(tmp_path, Asked()).rows] == [False, True]
    assert [row["id"] for row in find(tmp_path, Asked(recommended=True)).rows] == [V1]


def test_without_the_lists_a_warning_names_the_extra(tmp_path, monkeypatch, caplog):
    def missing():
        raise MachineError('Type: pip install "swath[bigearthnet]"')

    monkeypatch.setattr("swath.datasets.bigearthnet.source.read_lists", missing)
    write_patch(tmp_path, bands=["B04"])
    (row,) = find(tmp_path, Asked()).rows
    assert (row["split"], row["recommended"], row["labels"]) == (None, None, ["Pastures", "Marine waters"])
    assert (
        'without official split, country, season and quality flags: Type: pip install "swath' in caplog.text
    )
    with pytest.raises(UsageError, match=r"--recommended needs the tables of the authors"):
        find(tmp_path, Asked(recommended=True))


def test_unknown_labels_and_missing_files_are_listed_together(tmp_path):
    write_patch(tmp_path, labels=("Sea and oceans",))
    other = write_patch(tmp_path, "S2A_MSIL2A_20170613T101031_1_1")
    (other / f"{other.name}_B05.tif").unlink()
    third = write_patch(tmp_path, "S2A_MSIL2A_20170613T101031_2_1")
    (third / f"{third.name}_labels_metadata.json").unlink()
    said = bad_message(tmp_path)
    assert "3 of 3 patches are bad" in said
    assert 'unknown label "Sea and oceans". Did you mean "Sea and ocean"?' in said
    assert f"{other} lacks B05.tif" in said
    assert f"{third} lacks labels_metadata.json" in said


def test_bad_patches_are_left_out_by_policy(tmp_path):
    write_patch(tmp_path, bands=["B04"])
    bad = write_patch(tmp_path, "S2A_MSIL2A_20170613T101031_1_1", bands=["B04"])
    (bad / f"{bad.name}_labels_metadata.json").write_text("{")
    layout = find(tmp_path, Asked(bad_files=BadPolicy(skip=True, max_bad=0.5)))
    assert [row["id"] for row in layout.rows] == [V1]
    assert [found.path for found in layout.bad.found] == [bad.name]


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        (np.ones((61, 61), np.uint16), "61x61x1 uint16"),
        (np.ones((60, 60), np.float32), "60x60x1 float32"),
    ],
)
def test_a_band_of_another_size_or_type_is_refused(tmp_path, pixels, found):
    folder = write_patch(tmp_path)
    write_band(folder / f"{V1}_B05.tif", pixels, 404400, 5342400)
    assert f"B05.tif is {found}; BigEarthNet has 60x60x1 uint16" in bad_message(tmp_path)


def test_a_cut_band_is_refused(tmp_path):
    path = write_patch(tmp_path) / f"{V1}_B03.tif"
    path.write_bytes(path.read_bytes()[:9000])
    assert "B03.tif is truncated" in bad_message(tmp_path)


def test_a_json_that_disagrees_with_the_name_or_the_raster_is_refused(tmp_path):
    corners = {"ulx": 404400, "uly": 5342460, "lrx": 405600, "lry": 5341260}
    write_patch(tmp_path / "1", coordinates=corners)
    said = bad_message(tmp_path / "1")
    assert "its JSON says 404400 E 5342460 N, but its name in tile 33UUP 404400 E 5342400 N" in said
    folder = write_patch(tmp_path / "2")
    for band, side in (("B01", 20), ("B09", 20)):
        write_band(folder / f"{V1}_{band}.tif", np.ones((side, side), np.uint16), 404400, 5342460)
    assert "its raster lies at 404400 E 5342460 N of EPSG:32633, but its name" in bad_message(tmp_path / "2")
    write_patch(tmp_path / "3", tile_source="S2A.SAFE")
    assert "its JSON names no MGRS tile" in bad_message(tmp_path / "3")


def test_a_patch_twice_and_a_folder_without_patches_are_refused(tmp_path):
    write_patch(tmp_path / "a", bands=["B04"])
    shutil.copytree(tmp_path / "a", tmp_path / "b" / "copy")
    shutil.move(tmp_path / "a", tmp_path / "b" / "a")
    with pytest.raises(DataError, match=f"patch {V1} is there twice: a/{V1} and copy/{V1}. Keep one"):
        find(tmp_path / "b", Asked())
    (tmp_path / "c").mkdir()
    with pytest.raises(DataError, match="holds no BigEarthNet patch folders"):
        find(tmp_path / "c", Asked())
    (tmp_path / "c" / V1).mkdir()
    with pytest.raises(DataError, match=f"{V1} holds no band; expected {V1}_B02.tif"):
        find(tmp_path / "c", Asked())


def test_v2_without_its_table_is_unlabelled_and_says_so(tmp_path, caplog):
    write_v2(tmp_path)
    layout = find(tmp_path, Asked())
    _, row = layout.rows
    assert (layout.info.task, row["labels"], row["split"], row["mgrs_tile"]) == (None, None, None, "33UUP")
    assert row["paths"] == [f"BigEarthNet-S2/{V2[:-6]}/{V2}/{V2}_{band}.tif" for band in ("B02", "B05")]
    assert row["mask_path"] == f"Reference_Maps/{V2[:-6]}/{V2}/{V2}_reference_map.tif"
    assert "without labels, split and country: no metadata.parquet" in caplog.text


def test_reference_maps_become_masks_of_the_19_classes(tmp_path):
    write_patch(tmp_path / "BigEarthNet-S2", V2, bands=["B02"])
    codes = np.full((120, 120), 312)
    codes[:10], codes[10:20], codes[20:30] = 122, 335, 999  # a class left out, glaciers, and nonsense
    codes[30:60] = 523
    write_map(tmp_path, V2, codes)
    index.run(IndexConfig(source=tmp_path, out=tmp_path / "i.parquet"))
    pack.run(PackConfig(index=tmp_path / "i.parquet", out=tmp_path / "tiles.lance"))
    store = TileStore(tmp_path / "tiles.lance")
    assert store.mask_vocabulary == CLASS_ORDERS["alphabetical"]
    (mask,) = store.masks(np.arange(1))
    ours = {IGNORE: 30, store.mask_vocabulary.index("Marine waters"): 30}
    ours[store.mask_vocabulary.index("Coniferous forest")] = 60
    values, counts = np.unique(mask, return_counts=True)
    assert dict(zip(values.tolist(), (counts // 120).tolist(), strict=True)) == ours


def test_v2_takes_labels_and_split_from_the_table_beside_it(tmp_path, caplog):
    write_v2(tmp_path)
    write_metadata(tmp_path / "metadata.parquet")
    layout = find(tmp_path, Asked())
    unlisted, row = layout.rows
    assert (row["labels"], row["split"], row["recommended"]) == (["Mixed forest"], "test", True)
    assert (unlisted["labels"], unlisted["split"], unlisted["recommended"]) == (None, None, False)
    assert layout.info.class_order == "alphabetical"
    assert "2 of 3 patches of" in caplog.text
    (kept,) = find(tmp_path, Asked(recommended=True)).rows
    assert kept["id"] == V2


def test_sentinel1_is_a_sensor_of_its_own(tmp_path):
    write_patch(tmp_path / "v1", S1)
    layout = find(tmp_path / "v1", Asked())
    (row,) = layout.rows
    assert (layout.info.bands, set(layout.info.dtypes)) == (("VV", "VH"), {"float32"})
    assert (row["sensor"], row["s2_name"], row["split"]) == ("Sentinel-1", V1, "train")
    assert row["labels"] == ["Pastures", "Marine waters"]
    assert row["left_m"] == 404400
    write_v2(tmp_path / "v2")
    rows = [METADATA_ROWS[2] | {"s1_name": S1.replace("87_48", "75_43")}]
    table = write_metadata(tmp_path / "metadata.parquet", rows)
    (row,) = find(tmp_path / "v2" / "BigEarthNet-S1", Asked(metadata=table)).rows
    assert (row["labels"], row["s2_name"], row["recommended"]) == (["Mixed forest"], V2, True)


def test_v1_and_v2_are_never_mixed(tmp_path):
    write_v2(tmp_path)
    write_patch(tmp_path / "BigEarthNet-v1.0", bands=["B02"])
    with pytest.raises(
        DataError, match=r"1 patches of v1 and 2 patches of v2: 60,886 of the 119,825 test patches"
    ):
        find(tmp_path, Asked())
    table = write_metadata(tmp_path / "metadata.parquet", [METADATA_ROWS[2] | {"s2v1_name": V1}])
    with pytest.raises(
        DataError, match=r": 1 of the 1 test patches of v2 are training patches of v1. Index v1"
    ):
        find(tmp_path, Asked())
    with pytest.raises(DataError, match=r"holds patches of v1, and .* is the table of v2: 1 of the 1 test"):
        find(tmp_path / "BigEarthNet-v1.0", Asked(metadata=table))


def test_an_archive_on_s3_gives_the_same_rows(tmp_path, s3):
    from swath import storage

    write_patch(tmp_path / "v1", bands=["B04"])
    write_v2(tmp_path / "v2")
    for version in ("v1", "v2"):
        place = s3(version)
        for path in sorted((tmp_path / version).rglob("*.*")):
            with storage.object_aside(place / path.relative_to(tmp_path / version).as_posix()) as aside:
                aside.write_bytes(path.read_bytes())
        layout = find(place, Asked())
        assert layout.info.root == str(place)
        assert list(layout.rows) == list(find(tmp_path / version, Asked()).rows)
