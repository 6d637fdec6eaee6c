import numpy as np
import pyarrow as pa
import pytest
import shapely
from utm_squares import Square, scattered, table

from swath.geography.places import find_places


def test_corners_are_the_millimetres_that_the_tile_was_cut_at():
    squares = scattered(60, seed=0)
    columns = table(squares)
    places = find_places(columns["geometry"], columns["crs"])
    assert places.upright.all()
    for square, place in zip(squares, places.of_tile, strict=True):
        assert places.planes[places.plane[place]] == square.crs
        low, high = places.corners[place].min(axis=0), places.corners[place].max(axis=0)
        assert [*low, *high] == [square.x, square.y, square.x + 300, square.y + 300]


def test_dates_of_one_place_are_one_place_and_no_location_is_none():
    one, other = Square(33, 500_000, 5_600_000), Square(33, 500_300, 5_600_000)
    columns = table([one, other, one, Square(33, 0, 0, side_m=-1)])
    places = find_places(columns["geometry"], columns["crs"])
    assert len(places) == 2
    assert places.of_tile[0] == places.of_tile[2] != places.of_tile[1]
    assert places.of_tile[3] == -1
    assert places.of(np.ones(4, dtype=bool)).tolist() == [0, 1]


@pytest.mark.parametrize("crs", [None, "EPSG:4326", "EPSG:3857"])
def test_a_tile_without_a_projection_in_true_metres_lies_in_its_utm_zone(crs):
    square = Square(33, 500_000, 5_600_000)
    columns = table([square])
    places = find_places(columns["geometry"], pa.chunked_array([pa.array([crs], pa.string())]))
    assert places.planes == ("EPSG:32633",)
    assert places.corners[0].min(axis=0).tolist() == [500_000, 5_600_000]


def test_the_box_of_a_polygon_of_many_corners_counts():
    round_shape = shapely.Point(15.0, 50.0).buffer(0.01)
    geometry = pa.chunked_array([pa.array([round_shape.wkb])])
    places = find_places(geometry, pa.chunked_array([pa.array(["EPSG:32633"])]))
    assert places.lonlat[0].min(axis=0) == pytest.approx([14.99, 49.99])
    assert not places.upright[0]
