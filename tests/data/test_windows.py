import numpy as np
import pyproj
import pytest
import shapely

from swath.data.windows import Grid, footprints, ground_resolution

UTM33 = (10.0, 0.0, 400_000.0, 0.0, -10.0, 5_000_000.0)


@pytest.mark.parametrize(
    "grid", [Grid(100, 70, 16, 16), Grid(3000, 40, 32, 16), Grid(40, 3000, 32, 7), Grid(8, 8, 8, 8)]
)
def test_shares_equal_the_mean_of_each_window(grid):
    mask = np.random.default_rng(0).random((grid.height, grid.width)) < 0.3
    found = np.concatenate(
        [grid.shares(mask[strip.top : strip.top + strip.height_px], strip) for strip in grid.strips()]
    )
    side = grid.tile_px
    expected = [[mask[y : y + side, x : x + side].mean() for x in grid.xs] for y in grid.ys]
    assert np.allclose(found, expected, atol=1e-6)


def test_windows_stay_inside_and_strips_are_bounded():
    grid = Grid(50, 5000, 32, 16)
    assert grid.xs == (0, 16)
    assert max(grid.ys) + 32 <= 5000
    strips = list(grid.strips())
    assert [y for strip in strips for y in strip.ys] == list(grid.ys)
    assert max(strip.height_px for strip in strips) <= 1024


def test_a_scene_smaller_than_a_tile_has_no_windows():
    assert list(Grid(10, 10, 16, 16).strips()) == []


def test_footprints_have_the_corners_that_pyproj_gives():
    windows = np.asarray([[0, 0, 120, 120], [120, 240, 60, 30]], float)
    found = shapely.from_wkb(footprints("EPSG:32633", UTM33, windows))
    to_lonlat = pyproj.Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    for polygon, (x, y, width, height) in zip(found, windows, strict=True):
        left, top = 400_000 + 10 * x, 5_000_000 - 10 * y
        right, bottom = left + 10 * width, top - 10 * height
        corners = [(left, bottom), (right, bottom), (right, top), (left, top)]
        expected = shapely.Polygon([to_lonlat.transform(*corner) for corner in corners])
        assert polygon.equals_exact(expected, 1e-9)
        assert polygon.exterior.is_ccw


def test_a_footprint_over_the_antimeridian_stays_small():
    transform = (0.01, 0.0, 179.95, 0.0, -0.01, 10.0)
    wrapped = (10_000.0, 0.0, 800_000.0, 0.0, -10_000.0, 1_000_000.0)
    for crs, place in (("EPSG:4326", transform), ("EPSG:32660", wrapped)):
        polygon = shapely.from_wkb(footprints(crs, place, np.asarray([[0, 0, 10, 10]], float))[0])
        west, _, east, _ = polygon.bounds
        assert east - west < 2


def test_ground_resolution_is_in_metres_whatever_the_unit():
    assert ground_resolution("EPSG:32633", UTM33, at_px=(0, 0)) == 10
    feet = ground_resolution("EPSG:2225", UTM33, at_px=(0, 0))  # California zone 1, US survey feet
    assert feet == pytest.approx(10 * 1200 / 3937)
    degrees = (0.001, 0.0, 10.0, 0.0, -0.001, 60.0)
    expected = np.sqrt(
        0.001 * 111_412 * 0.001 * 55_800
    )  # metres of a degree at 60 north, Wikipedia "Latitude"
    assert ground_resolution("EPSG:4326", degrees, at_px=(0, 0)) == pytest.approx(expected, rel=1e-3)
