"""The counts are those of the published lists (Sumbul et al., 2021; bigearthnet-common 2.8.0)."""

import datetime as dt
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import shapely
from bigearthnet_tables import METADATA_ROWS, small_lists, write_metadata

from swath.datasets.bigearthnet.catalogue import placed_v1, version_of
from swath.datasets.bigearthnet.labels import CLASS_ORDERS
from swath.datasets.bigearthnet.lists import read_lists
from swath.datasets.bigearthnet.metadata import read_metadata
from swath.datasets.bigearthnet.patches import season_of
from swath.datasets.bigearthnet.source import find
from swath.datasets.layout import Asked
from swath.errors import DataError, MachineError, UsageError


@pytest.fixture(scope="module")
def lists():
    return read_lists()


def counts(column):
    return {found["values"]: found["counts"] for found in pc.value_counts(column).to_pylist()}


def test_the_lists_of_v1_have_the_published_counts(lists):
    assert lists.num_rows == 590_326 == pc.count_distinct(lists["id"]).as_py()
    assert counts(lists["split"]) == {"train": 269_695, "val": 123_723, "test": 125_866, None: 71_042}
    assert counts(lists["recommended"])[True] == 519_284
    flags = {
        name: counts(lists[name])[True] for name in ("seasonal_snow", "cloud_or_shadow", "without_label")
    }
    assert flags == {"seasonal_snow": 61_707, "cloud_or_shadow": 9_280, "without_label": 57}
    assert counts(lists["season"]) == {
        "Spring": 189_276,
        "Fall": 155_381,
        "Summer": 128_836,
        "Winter": 116_833,
    }
    assert counts(lists["country"]) == {
        "Finland": 233_030, "Portugal": 99_248, "Serbia": 78_015, "Lithuania": 58_700, "Ireland": 52_653,
        "Austria": 46_403, "Belgium": 11_701, "Switzerland": 4_955, "Luxembourg": 3_481, "Kosovo": 2_140,
    }  # fmt: skip


def test_recommended_patches_are_exactly_those_of_the_official_split(lists):
    assert lists["recommended"].equals(pc.is_valid(lists["split"]))


def test_every_patch_of_v1_has_a_place_and_all_but_a_few_the_season_of_their_day(lists):
    placed = placed_v1(lists)
    zones = pc.utf8_slice_codeunits(placed["tile"], 0, 2)
    assert counts(zones).keys() == {"29", "31", "32", "33", "34", "35", "36"}
    assert pc.count_distinct(placed["tile"]).as_py() == 56
    assert pc.count_distinct(placed["day"]).as_py() == 85
    assert (pc.min(placed["day"]).as_py(), pc.max(placed["day"]).as_py()) == (
        dt.date(2017, 6, 13), dt.date(2018, 5, 29)
    )  # fmt: skip
    other = pc.not_equal(season_of(placed["day"].combine_chunks()), placed["season"].combine_chunks())
    days = counts(pc.strftime(placed["day"].filter(other), "%m-%d"))
    assert days == {"08-27": 115, "12-01": 323}  # the lists count by the day of the Sentinel-1 patch


def test_reading_the_lists_imports_nothing_of_the_package():
    code = (
        "import sys; from swath.datasets.bigearthnet.lists import data_file;"
        "assert data_file('test.csv.bz2')[:2] == b'BZ';"
        "sys.exit(any(name.startswith('bigearthnet') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(MachineError, match=r'not installed. Type: pip install "swath\[bigearthnet\]"'):
        find(Path("bigearthnet:v1"), Asked())


def test_a_patch_of_v1_has_its_exact_place_on_the_ground(monkeypatch):
    lists = small_lists(
        ["S2A_MSIL2A_20170613T101031_87_48", "S2B_MSIL2A_20171213T93020_87_48"],
        recommended=[True, False], split=["train", None], seasonal_snow=[False, True],
    )  # fmt: skip
    monkeypatch.setattr("swath.datasets.bigearthnet.catalogue.read_lists", lambda: lists)
    first, second = find(Path("bigearthnet:v1"), Asked()).rows
    bounds = tuple(first[side] for side in ("left_m", "bottom_m", "right_m", "top_m"))
    assert bounds == (404400, 5341200, 405600, 5342400)
    assert (first["crs"], first["mgrs_tile"], first["acquired"]) == (
        "EPSG:32633",
        "33UUP",
        dt.date(2017, 6, 13),
    )
    assert (first["paths"], first["labels"], first["split"], second["split"]) == ([], None, "train", None)
    import geopandas

    ground = geopandas.GeoSeries([shapely.from_wkb(first["geometry"])], crs=4326).to_crs(32633)
    assert ground[0].symmetric_difference(shapely.box(*bounds)).area < 1e-3
    (kept,) = find(Path("bigearthnet:v1"), Asked(recommended=True)).rows
    assert kept["id"] == first["id"]


def test_a_name_that_is_none_is_said(monkeypatch):
    lists = small_lists(["S2A_MSIL2A_20170613T101031_87_48", "S2A_MSIL2A_20170613T101031_99_48"])
    monkeypatch.setattr("swath.datasets.bigearthnet.catalogue.read_lists", lambda: lists)
    with pytest.raises(DataError, match=r'"S2A_MSIL2A_20170613T101031_99_48" is no name of a patch \(1 of 2'):
        find(Path("bigearthnet:v1"), Asked())


def test_v2_comes_from_its_table_with_labels_in_the_order_asked_for(tmp_path):
    table = write_metadata(tmp_path / "metadata.parquet")
    layout = find(Path("bigearthnet:v2"), Asked(metadata=table))
    first = next(layout.rows)
    assert layout.info.vocabulary == CLASS_ORDERS["alphabetical"]
    assert (layout.info.class_order, layout.info.root) == ("alphabetical", "")
    assert first["id"] == METADATA_ROWS[0]["patch_id"]
    assert first["labels"] == ["Arable land", "Pastures", "Urban fabric"]
    assert [row["split"] for row in find(Path("bigearthnet:v2"), Asked(metadata=table)).rows] == [
        "train",
        "val",
        "test",
    ]
    assert (first["season"], first["country"], first["recommended"]) == ("Summer", "Austria", True)
    original = find(Path("bigearthnet:v2"), Asked(metadata=table, class_order="original"))
    assert next(original.rows)["labels"] == ["Urban fabric", "Arable land", "Pastures"]
    assert original.info.vocabulary == CLASS_ORDERS["original"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"contains_seasonal_snow": True},
            r"holds 1 of 3 patches with snow, cloud or shadow.*metadata.parquet alone",
        ),
        ({"contains_cloud_or_shadow": True}, r"holds 1 of 3 patches with snow, cloud or shadow"),
        ({"labels": ["Pasture"]}, r'unknown label "Pasture". Did you mean "Pastures"\?'),
        ({"split": "tests"}, r'unknown split "tests". Did you mean "test"\?'),
        ({"country": None}, r'column "country" has 1 empty rows'),
        ({"patch_id": METADATA_ROWS[1]["patch_id"]}, "lists a patch twice"),
    ],
)
def test_a_table_with_something_else_in_it_is_refused(tmp_path, changes, message):
    rows = [METADATA_ROWS[0] | changes, *METADATA_ROWS[1:]]
    with pytest.raises(DataError, match=message):
        read_metadata(write_metadata(tmp_path / "metadata.parquet", rows))


def test_a_table_of_another_version_is_refused(tmp_path):
    path = tmp_path / "metadata.parquet"
    pq.write_table(pa.table({"patch": ["a"], "labels": [["Pastures"]]}), path)
    with pytest.raises(
        DataError, match=r"is not the metadata.parquet of BigEarthNet v2.0: it has no column patch_id"
    ):
        read_metadata(path)
    old = METADATA_ROWS[0] | {"patch_id": "S2A_MSIL2A_20170613T101031_87_48"}
    with pytest.raises(DataError, match=r"is no name of a patch .* table of another version"):
        find(Path("bigearthnet:v2"), Asked(metadata=write_metadata(path, [old])))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="is not a whole Parquet file"):
        read_metadata(path)
    with pytest.raises(DataError, match=r"no table at .*gone.parquet"):
        read_metadata(tmp_path / "gone.parquet")


def test_the_version_is_the_whole_name():
    assert version_of("bigearthnet:v1") == "v1"
    assert version_of("data/bigearthnet:v1") is None
    with pytest.raises(UsageError, match=r"no data set bigearthnet:V2; known: .* Did you mean"):
        version_of("bigearthnet:V2")


def test_settings_that_change_nothing_are_refused(tmp_path):
    with pytest.raises(UsageError, match="--metadata is the table of v2"):
        find(Path("bigearthnet:v1"), Asked(metadata=tmp_path))
    with pytest.raises(UsageError, match="bigearthnet:v2 needs the table of its patches: --metadata"):
        find(Path("bigearthnet:v2"), Asked())
    with pytest.raises(UsageError, match="--recommended would change nothing"):
        find(Path("bigearthnet:v2"), Asked(metadata=tmp_path, recommended=True))
