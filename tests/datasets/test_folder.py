import datetime as dt
import logging

import numpy as np
import pytest
from PIL import Image

from swath.datasets.folder import find
from swath.datasets.layout import Asked
from swath.errors import DataError, UsageError


@pytest.fixture
def tiles(tmp_path):
    """Six 16 px PNG tiles in two folders below images/."""
    for number in range(6):
        path = tmp_path / "images" / ("forest" if number < 3 else "sea") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((16, 16, 3), number, np.uint8)).save(path)
    return tmp_path


def names():
    return [f"images/{'forest' if number < 3 else 'sea'}/{number}.png" for number in range(6)]


def write_csv(path, header, *rows):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def labels_of(source, **asked):
    layout = find(source, Asked(**asked))
    return layout.info, {row["id"]: row["labels"] for row in layout.rows}


def test_class_folders_label_their_tiles(tiles, caplog):
    caplog.set_level(logging.INFO)
    info, labels = labels_of(tiles)
    assert (info.task, info.vocabulary, info.bands) == ("class", ("forest", "sea"), ("red", "green", "blue"))
    assert (info.tile_px, info.stride_px, info.dtypes) == (16, 0, ("uint8",) * 3)
    assert labels == {name: [name.split("/")[1]] for name in names()}
    assert "classes from folders: forest, sea" in caplog.text


def test_tiles_of_one_folder_have_no_labels(tiles):
    info, labels = labels_of(tiles / "images" / "sea")
    assert (info.task, set(map(type, labels.values()))) == (None, {type(None)})


def test_labels_csv_is_found_and_its_only_class_column_taken(tiles):
    write_csv(
        tiles / "labels.csv",
        "path,class,split",
        *(f"{name},k{i % 2},train" for i, name in enumerate(names())),
    )
    layout = find(tiles, Asked())
    rows = list(layout.rows)
    assert (layout.info.task, layout.info.vocabulary) == ("class", ("k0", "k1"))
    assert [row["labels"] for row in rows] == [["k0"], ["k1"]] * 3
    assert {row["split"] for row in rows} == {"train"}


def test_binary_columns_are_labels(tiles):
    rows = [f"{name},{i % 2},0,{i}" for i, name in enumerate(names())]
    write_csv(tiles / "labels.csv", "path,water,trees,count", *rows)
    info, labels = labels_of(tiles, label_columns=("binary",))
    assert (info.task, info.vocabulary) == ("multilabel", ("water", "trees"))
    assert list(labels.values()) == [[], ["water"]] * 3
    info, labels = labels_of(tiles, label_columns=("trees", "water"))
    assert info.vocabulary == ("trees", "water")


def test_a_csv_with_both_kinds_of_columns_asks_and_names_both_flags(tiles):
    write_csv(tiles / "labels.csv", "path,class,water", *(f"{name},a,1" for name in names()))
    with pytest.raises(UsageError, match=r"--label-column class or --label-columns binary"):
        find(tiles, Asked())
    assert labels_of(tiles, label_column="class")[0].task == "class"
    assert labels_of(tiles, label_columns=("binary",))[0].task == "multilabel"


def test_a_csv_elsewhere_may_name_files_relative_to_itself(tiles):
    write_csv(tiles / "images" / "sea" / "truth.tsv", "file\tclass", "3.png\ta", "4.png\tb", "5.png\ta")
    _, labels = labels_of(tiles, labels=tiles / "images" / "sea" / "truth.tsv")
    assert labels["images/sea/4.png"] == ["b"]


def test_a_row_without_a_file_is_refused_and_counted(tiles):
    rows = [f"{name},a" for name in names()] + [f"images/gone{number}.png,a" for number in range(7)]
    write_csv(tiles / "labels.csv", "path,class", *rows)
    with pytest.raises(DataError, match=r"names 7 files of 13 .*: images/gone0.png, .* and 2 more"):
        find(tiles, Asked())


def test_a_file_without_a_row_or_with_an_empty_label_is_unlabelled(tiles, caplog):
    caplog.set_level(logging.INFO)
    write_csv(tiles / "labels.csv", "path,class", f"{names()[0]},a", f"{names()[1]},")
    _, labels = labels_of(tiles)
    assert list(labels.values()) == [["a"], None, None, None, None, None]
    assert "4 of 6 tiles have no row in labels.csv: kept, unlabelled" in caplog.text


@pytest.mark.parametrize(
    ("lines", "asked", "error", "said"),
    [
        (["path,class", "a.png,x", "a.png,y"], {}, DataError, 'lines 2 and 3 both name "a.png"'),
        (["path,class", "../a.png,x"], {}, DataError, "line 2 leaves the data root"),
        (["path,class", "/etc/a.png,x"], {}, DataError, "line 2 leaves the data root"),
        (["path,class", "http://h/a.png,x"], {}, DataError, "line 2 leaves the data root"),
        (["path,class", ",x"], {}, DataError, "line 2 names no file"),
        (["what,class", "a.png,x"], {}, DataError, "has no column of file names; columns: what, class"),
        (["path,class", "a.png,['x']"], {}, DataError, "is a list written as text"),
        (["path,a,b", "a.png,1,2"], {"label_columns": ("a", "b")}, DataError, 'line 2: column b holds "2"'),
        (["path,a,b", "a.png,1,"], {"label_columns": ("a", "b")}, DataError, 'line 2: column b holds ""'),
        (["path,class", "a.png,x"], {"label_column": "clas"}, UsageError, 'Did you mean "class"'),
        (["path,class", "a.png,x"], {"label_columns": ("binary",)}, UsageError, "has no 0/1 columns"),
        (["path,c,d", "a.png,x,y"], {}, UsageError, "say which column .* Columns: c, d"),
        (["path,c", "a.png,1"], {"label_column": "c", "label_columns": ("c",)}, UsageError, "not both"),
        (["path,class"], {}, DataError, "has 0 rows"),
        (["path,class", "a.png,x,y"], {}, DataError, "is not a CSV file that can be read"),
    ],
)
def test_a_csv_that_cannot_be_used_is_one_line(tiles, lines, asked, error, said):
    write_csv(tiles / "labels.csv", *lines)
    with pytest.raises(error, match=said) as caught:
        find(tiles, Asked(**asked))
    assert "\n" not in str(caught.value)


def test_label_flags_without_a_csv_are_refused(tiles):
    with pytest.raises(UsageError, match=r"has no labels.csv"):
        find(tiles, Asked(label_column="class"))
    with pytest.raises(UsageError, match="no labels at"):
        find(tiles, Asked(labels=tiles / "gone.csv"))
    with pytest.raises(UsageError, match="Polygons label scenes"):
        find(tiles, Asked(labels=tiles / "f.gpkg"))
    with pytest.raises(UsageError, match="--band-pattern is for scenes"):
        find(tiles, Asked(band_pattern="(?P<band>B)"))


def test_tiles_that_differ_are_tabled(tiles):
    Image.new("RGB", (20, 16)).save(tiles / "images" / "sea" / "wide.png")
    Image.new("L", (16, 16)).save(tiles / "images" / "sea" / "grey.png")
    expected = (
        r"16x16x3 uint8 \(6: .*0.png\) \| 16x16x1 uint8 \(1: .*grey.png\) \| 20x16x3 uint8 \(1: .*wide.png\)"
    )
    with pytest.raises(DataError, match=f"tiles differ in size, bands or type: {expected}"):
        list(find(tiles, Asked()).rows)


def test_tiles_must_be_square(tmp_path):
    Image.new("RGB", (20, 16)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"20x16 px; tiles must be square.* --layout scenes --tile-px 16"):
        find(tmp_path, Asked())


def test_bad_tiles_are_all_counted_and_the_first_are_listed(tiles):
    for number in range(7):
        (tiles / "images" / "sea" / f"bad{number}.png").touch()
    with pytest.raises(
        DataError, match=r"7 of 13 files are bad \(53.8%\): .*bad0.png is empty .*\(and 2 more\)"
    ):
        list(find(tiles, Asked()).rows)


def test_when_every_tile_is_bad_all_are_counted(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.png").touch()
    with pytest.raises(DataError, match="3 of 3 files are bad"):
        find(tmp_path, Asked())


def test_geotiff_tiles_know_their_place_and_day(tmp_path, write_tif):
    write_tif(
        tmp_path / "S2A_MSIL2A_20170613T101031_1_1.tif", (2, 16, 16), descriptions=("B4", "B3"), gsd_m=20
    )
    layout = find(tmp_path, Asked())
    (row,) = layout.rows
    assert layout.info.bands == ("B04", "B03")
    assert (row["crs"], row["gsd_m"], row["acquired"]) == ("EPSG:32633", 20, dt.date(2017, 6, 13))
    assert row["geometry"] is not None
