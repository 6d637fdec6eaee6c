from pathlib import Path

import pytest
from PIL import Image

from swath.datasets.detect import detect
from swath.datasets.layout import Asked
from swath.errors import UsageError


def picture(path, side):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side)).save(path)
    return path


def test_a_file_is_a_scene(tmp_path):
    assert detect(picture(tmp_path / "a.png", 8), Asked())[0] == "scenes"


def test_a_table_of_labels_is_no_imagery(tmp_path):
    (tmp_path / "labels.csv").touch()
    with pytest.raises(UsageError, match=rf"swath index {tmp_path} --labels {tmp_path}/labels.csv --out"):
        detect(tmp_path / "labels.csv", Asked())


def test_patch_folders_are_bigearthnet(tmp_path):
    folder = tmp_path / "x" / "S2A_MSIL2A_20170613T101031_87_48"
    folder.mkdir(parents=True)
    (folder / f"{folder.name}_labels_metadata.json").touch()
    assert detect(tmp_path, Asked())[0] == "bigearthnet"


def test_the_kind_of_labels_tells(tmp_path):
    picture(tmp_path / "a.png", 8)
    assert detect(tmp_path, Asked(labels=Path("f.GPKG")))[0] == "scenes"
    assert detect(tmp_path, Asked(labels=Path("l.csv")))[0] == "folder"
    (tmp_path / "labels.csv").touch()
    assert detect(tmp_path, Asked())[0] == "folder"


def test_names_that_end_in_a_band_are_scenes(tmp_path):
    picture(tmp_path / "s" / "B02.png", 8)
    assert detect(tmp_path, Asked()) == ("scenes", "names end in a band (s/B02.png)")


@pytest.mark.parametrize(("side", "layout"), [(64, "folder"), (600, "scenes")])
def test_else_the_size_decides(tmp_path, side, layout):
    for name in "ab":
        picture(tmp_path / f"{name}.png", side)
    assert detect(tmp_path, Asked())[0] == layout


def test_bad_files_are_left_to_the_layout(tmp_path):
    (tmp_path / "a.png").touch()
    assert detect(tmp_path, Asked())[0] == "folder"


def test_a_source_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no folder"):
        detect(tmp_path / "gone", Asked())
