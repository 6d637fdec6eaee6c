import logging

import pytest

from swath.datasets.grouping import Group, group_files
from swath.errors import DataError, UsageError


def group(files, pattern=None):
    return group_files(files, pattern, source_name="archive")


def test_sentinel2_bands_are_put_in_order_with_b8a_after_b08():
    names = ["B12", "B8A", "B02", "B09", "B08", "B01"]
    (found,) = group([f"IMG_DATA/T33UUU_20170216T102101_{band}.jp2" for band in names])
    assert found.bands == ("B01", "B02", "B08", "B8A", "B09", "B12")
    assert found.paths[3] == "IMG_DATA/T33UUU_20170216T102101_B8A.jp2"
    assert found.name == "T33UUU_20170216T102101"


def test_bare_band_names_take_the_name_of_their_folder():
    found = group(["a/B2.tif", "a/B10.tif", "b/B2.tif", "b/B10.tif"])
    assert [(scene.name, scene.bands) for scene in found] == [("a", ("B02", "B10")), ("b", ("B02", "B10"))]
    assert group(["B2.tif", "B3.tif"])[0].name == "archive"


def test_files_without_a_band_beside_bands_are_left_out_and_logged(caplog):
    caplog.set_level(logging.INFO)
    (found,) = group(["s/B02.tif", "s/B03.tif", "s/cloud_mask.tif", "s/thumbnail.png"])
    assert found.paths == ("s/B02.tif", "s/B03.tif")
    assert "left out, no band in the name: s/cloud_mask.tif, s/thumbnail.png" in caplog.text
    assert "bands found by name: B02,B03 (1 scenes)" in caplog.text


def test_files_without_bands_are_scenes_of_one_file():
    assert group(["x/a.tif", "b.tif"]) == [Group("b", ("b.tif",), ()), Group("a", ("x/a.tif",), ())]


def test_the_same_name_in_two_folders_stays_apart():
    assert [scene.name for scene in group(["x/a.tif", "y/a.tif"])] == ["x/a", "y/a"]
    assert [scene.name for scene in group(["a.jp2", "a.tif"])] == ["a.jp2", "a.tif"]


def test_a_product_with_resolution_folders_is_one_scene_of_the_finest_files():
    files = [
        "S.SAFE/GRANULE/IMG_DATA/R10m/T33_B02_10m.jp2",
        "S.SAFE/GRANULE/IMG_DATA/R20m/T33_B02_20m.jp2",
        "S.SAFE/GRANULE/IMG_DATA/R20m/T33_B05_20m.jp2",
        "S.SAFE/GRANULE/IMG_DATA/R10m/T33_TCI_10m.jp2",
        "S.SAFE/GRANULE/QI_DATA/MSK_QUALIT_B02.jp2",
        "S.SAFE/GRANULE/QI_DATA/T33_PVI.jp2",
    ]
    (found,) = group(files)
    assert found.paths == (files[0], files[2])


def test_two_files_for_one_band_are_refused():
    with pytest.raises(DataError, match=r"a_B2.tif and a_B02.tif both claim band B02.* --band-pattern"):
        group(["a_B2.tif", "a_B02.tif"])


def test_a_band_pattern_decides_alone():
    found = group(["l_b3.tif", "l_b4.tif", "l_fmask.tif", "other.tif"], r"_(?P<band>b\d)$")
    assert found == [Group("l", ("l_b3.tif", "l_b4.tif"), ("B03", "B04"))]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(", "is not a regular expression"),
        (r"_b\d", "has no group"),
        (r"(?P<band>Q\d)", "matches none of a.tif"),
    ],
)
def test_a_band_pattern_that_cannot_work_is_refused(pattern, said):
    with pytest.raises(UsageError, match=said):
        group(["a.tif"], pattern)
