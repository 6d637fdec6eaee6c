import geopandas
import numpy as np
import pytest
import shapely

import swath
from swath.errors import DataError, UsageError
from swath.features.table import tile_columns

VALUES = np.random.default_rng(3).normal(size=(60, 32)).astype(np.float32)


@pytest.fixture
def path(make_features):
    return make_features(values=VALUES)


def found(path, **filters):
    return {tile["id"] for tile in swath.search(path, like="t0000", k=100, **filters).found}


def passing(path, keep):
    return {tile["id"] for tile in tile_columns(path).to_pylist() if keep(tile)} - {"t0000"}


def test_labels_are_any_of_those_named(path):
    expected = passing(path, lambda tile: {"striped", "rough"} & set(tile["labels"] or ()))
    assert 0 < len(expected) < 59
    assert found(path, labels="striped,rough") == expected


def test_splits_days_and_places_are_each_kept_to(path):
    assert found(path, split="test") == passing(path, lambda tile: tile["split"] == "test")
    assert found(path, after="2020-06-01", before="2020-06-01") == passing(path, lambda _: True)
    assert found(path, place="10.5,0.2,12.5,0.8") == {"t0010", "t0011", "t0012"}


def test_a_place_may_be_the_polygons_of_a_file(path, tmp_path):
    area = geopandas.GeoDataFrame(geometry=[shapely.box(20.5, 0.1, 21.5, 0.9)], crs=4326).to_crs(32631)
    area.to_file(tmp_path / "area.gpkg")
    assert found(path, place=str(tmp_path / "area.gpkg")) == {"t0020", "t0021"}
    geopandas.GeoDataFrame(geometry=[shapely.Point(1, 1)], crs=4326).to_file(tmp_path / "points.gpkg")
    with pytest.raises(DataError, match="has no polygons"):
        found(path, place=str(tmp_path / "points.gpkg"))


def test_filters_that_leave_nothing_say_how_many_each_one_keeps(path):
    with pytest.raises(
        UsageError, match=r"no tile of 60 passes the filters \(split val: 12; after 2021-01-01: 0\)"
    ):
        found(path, split="val", after="2021-01-01")


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"labels": "stripd"}, 'no label "stripd".*Did you mean "striped"'),
        ({"split": "tst"}, 'no split "tst".*splits: gap, test, train, val'),
        ({"place": "5,1,4,2"}, "expected WEST,SOUTH,EAST,NORTH in degrees"),
        ({"place": "nowhere.gpkg"}, "nowhere.gpkg"),
        ({"after": "spring"}, "--after spring"),
    ],
)
def test_what_the_archive_does_not_know_is_said(path, filters, message):
    with pytest.raises((UsageError, DataError), match=message):
        found(path, **filters)


def test_a_place_needs_tiles_with_places(make_features):
    with pytest.raises(UsageError, match="has a location: --place has nothing to go by"):
        found(make_features(values=VALUES, located=False), place="0,0,1,1")
