import datetime as dt
import json

import pytest

from swath.datasets.bigearthnet.archive import BANDS, find
from swath.datasets.bigearthnet.labels import CLASSES_19
from swath.datasets.layout import Asked
from swath.errors import DataError

PATCH = "S2A_MSIL2A_20170613T101031_87_48"


@pytest.fixture
def patch(tmp_path, write_bands):
    """Write a patch folder as BigEarthNet v1 has it."""

    def write(name=PATCH, labels=("Pastures", "Sea and ocean"), below="BigEarthNet-v1.0"):
        folder = write_bands(tmp_path / below / name, f"{name}_", leave_out=("B10",))
        corners = {"ulx": 400_000, "uly": 5_000_000, "lrx": 401_200, "lry": 4_998_800}
        about = {"labels": list(labels), "acquisition_date": "2017-06-13 10:10:31", "coordinates": corners}
        (folder / f"{name}_labels_metadata.json").write_text(json.dumps(about))
        return folder

    return write


def test_a_patch_becomes_a_row(tmp_path, patch):
    patch()
    layout = find(tmp_path, Asked())
    (row,) = layout.rows
    assert (row["id"], row["acquired"], row["crs"]) == (PATCH, dt.date(2017, 6, 13), "EPSG:32633")
    assert row["labels"] == ["Pastures", "Marine waters"]
    assert row["paths"][8] == f"BigEarthNet-v1.0/{PATCH}/{PATCH}_B8A.tif"
    assert layout.info.bands == BANDS == (*(f"B0{n}" for n in range(1, 9)), "B8A", "B09", "B11", "B12")
    assert (layout.info.vocabulary, layout.info.licence) == (CLASSES_19, "CDLA-Permissive-1.0")


def test_a_patch_of_left_out_classes_is_labelled_with_none(tmp_path, patch):
    patch(labels=("Airports", "Bare rock"))
    assert next(find(tmp_path, Asked()).rows)["labels"] == []


def test_unknown_labels_and_missing_bands_are_listed_together(tmp_path, patch):
    patch(labels=("Sea and oceans",))
    other = "S2B_MSIL2A_20170924T93020_69_24"
    (patch(other) / f"{other}_B05.tif").unlink()
    unknown = r'unknown label "Sea and oceans". Did you mean "Sea and ocean"\?'
    with pytest.raises(DataError, match=rf"2 of 2 patches are bad .*{unknown} \| .*lacks B05.tif"):
        list(find(tmp_path, Asked()).rows)


def test_a_broken_json_and_a_band_of_another_size_are_refused(tmp_path, patch, write_tif):
    folder = patch()
    write_tif(folder / f"{PATCH}_B05.tif", (1, 61, 61))
    with pytest.raises(DataError, match=r"B05.tif is 61x61x1 uint16; BigEarthNet has 60x60x1 uint16"):
        list(find(tmp_path, Asked()).rows)
    write_tif(folder / f"{PATCH}_B05.tif", (1, 60, 60))
    (folder / f"{PATCH}_labels_metadata.json").write_text('{"labels": 3}')
    with pytest.raises(DataError, match="is not the JSON of a BigEarthNet patch"):
        list(find(tmp_path, Asked()).rows)


def test_a_patch_twice_is_refused(tmp_path, patch):
    patch()
    patch(below="copy")
    with pytest.raises(DataError, match=f"patch {PATCH} is there twice"):
        find(tmp_path, Asked())


def test_a_folder_without_patches_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no BigEarthNet v1 patch folders"):
        find(tmp_path, Asked())
