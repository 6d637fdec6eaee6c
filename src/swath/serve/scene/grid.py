"""On which pixels a scene is looked at: its own, or those of the ground resolution that a network knows.

A scene whose pixels are of the network's ground resolution, to 5 %, is read as it is, whatever its projection
and however it is turned. Any other is resampled: in its own projection where that is true to scale, else
(degrees, Web Mercator) in the UTM zone of its middle.
"""

import math
from typing import Any

import numpy as np
import pyproj

from swath.data.windows import PixelGrid, ground_resolution, pixel_sides_m
from swath.errors import DataError

SAME = 0.05
_MOST_ENLARGED, _MOST_REDUCED = 2.0, 16.0
_EDGE_POINTS = 21


def target_grid(scene: PixelGrid, gsd_m: float | None, *, where: str) -> PixelGrid | None:
    """The grid to resample a scene to, or None where it is read as it is.

    Raises:
        DataError: its pixels are too coarse, or too fine, to be made into those that the network knows.
    """
    if gsd_m is None or scene.crs is None:
        return None
    found = ground_resolution(scene.crs, scene.transform, at_px=(scene.width / 2, scene.height / 2))
    ratio = found / gsd_m
    if abs(ratio - 1) <= SAME:
        return None
    if ratio > _MOST_ENLARGED or ratio < 1 / _MOST_REDUCED:
        raise DataError(
            f"{where} has {found:.4g} m a pixel, the network knows {gsd_m:g} m; scenes are resampled from "
            f"{gsd_m / _MOST_REDUCED:.4g} to {gsd_m * _MOST_ENLARGED:g} m."
        )
    if _is_true_to_scale(scene):
        return scene.scaled(1 / ratio, (int(scene.width * ratio), int(scene.height * ratio)))
    return _in_utm(scene, gsd_m)


def _is_true_to_scale(scene: PixelGrid) -> bool:
    """Whether both sides of a pixel in the middle are as long on the ground as on the map, to 5 %."""
    assert scene.crs is not None
    system = pyproj.CRS.from_user_input(scene.crs)
    a, b, _, d, e, _ = scene.transform
    on_map = np.asarray([math.hypot(a, d), math.hypot(b, e)]) * system.axis_info[0].unit_conversion_factor
    on_ground = pixel_sides_m(scene.crs, scene.transform, at_px=(scene.width / 2, scene.height / 2))
    return not system.is_geographic and bool((np.abs(on_ground / on_map - 1) <= SAME).all())


def _in_utm(scene: PixelGrid, gsd_m: float) -> PixelGrid:
    side = np.linspace(0, 1, _EDGE_POINTS)
    columns = np.concatenate([side, side, np.zeros_like(side), np.ones_like(side)]) * scene.width
    rows = np.concatenate([np.zeros_like(side), np.ones_like(side), side, side]) * scene.height
    lon, lat = _lonlat(scene, columns, rows)
    lon = np.where(lon - lon[0] > 180, lon - 360, np.where(lon - lon[0] < -180, lon + 360, lon))
    middle = (float(lon.min() + lon.max()) / 2 + 180) % 360 - 180
    code = (32600 if lat.mean() >= 0 else 32700) + min(int((middle + 180) // 6) + 1, 60)
    to_utm = pyproj.Transformer.from_crs("OGC:CRS84", f"EPSG:{code}", always_xy=True)
    x, y = to_utm.transform(lon, lat)
    left, top = math.floor(x.min() / gsd_m) * gsd_m, math.ceil(y.max() / gsd_m) * gsd_m
    width, height = math.ceil((x.max() - left) / gsd_m), math.ceil((top - y.min()) / gsd_m)
    return PixelGrid(width, height, f"EPSG:{code}", (gsd_m, 0.0, left, 0.0, -gsd_m, top))


def _lonlat(scene: PixelGrid, columns: Any, rows: Any) -> Any:
    a, b, c, d, e, f = scene.transform
    to_lonlat = pyproj.Transformer.from_crs(scene.crs, "OGC:CRS84", always_xy=True)
    return to_lonlat.transform(a * columns + b * rows + c, d * columns + e * rows + f)
