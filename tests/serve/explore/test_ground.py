"""Footprints on the page's map, against pyproj."""

import numpy as np
import pyproj
import shapely

from swath.serve.explore import ground


def test_corners_are_those_of_the_footprint_in_web_mercator_from_the_upper_left(monkeypatch):
    ring = [(13.0, 52.0), (13.1, 52.01), (13.09, 52.1), (12.99, 52.09)]
    turned = [ring[2], ring[1], ring[0], ring[3]]
    wkb = [shapely.Polygon(ring).wkb, shapely.Polygon(turned).wkb, None]
    monkeypatch.setattr(ground, "column", lambda *_: wkb)
    found = ground.read_ground(None)
    project = pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform
    clockwise = [ring[3], ring[2], ring[1], ring[0]]
    expected = np.asarray([project(*corner) for corner in clockwise])
    for tile in (0, 1):
        assert np.abs(found.corners[tile] + found.origin - expected).max() < 0.01
    assert found.known.tolist() == [True, True, False]
    assert np.isnan(found.corners[2]).all()


def test_a_polygon_of_another_shape_has_the_corners_of_its_box(monkeypatch):
    triangle = shapely.Polygon([(0, 0), (1, 0), (0, 1)])
    monkeypatch.setattr(ground, "column", lambda *_: [triangle.wkb])
    found = ground.read_ground(None)
    boxed = ground.to_mercator(np.asarray([(0, 1), (1, 1), (1, 0), (0, 0)], float)) - found.origin
    assert np.abs(found.corners[0] - boxed).max() < 0.05
