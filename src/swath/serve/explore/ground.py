"""Footprints for the page's map: corners in metres of Web Mercator, where OpenStreetMap's pictures lie too.

Legend: N tiles, x east and y north. Corners go clockwise from the upper left, so that pictures fit on them.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from swath.data.store import TileStore
from swath.pages.pictures import column

EARTH_M = 6_378_137.0  # radius of the sphere of Web Mercator
_HIGHEST = 85.05  # degrees of latitude: beyond it the map ends
_RING = 5  # coordinates of four corners, closed

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ground:
    """`corners` (N, 4, 2) float32 metres from `origin`, NaN where a tile has no location; exact to
    centimetres, which metres from the equator would not be in float32.
    """

    origin: tuple[float, float]
    corners: npt.NDArray[np.float32]
    lonlat: Floats  # (N, 2) of the middle, degrees

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """(N,) whether the tile has a location."""
        return ~np.isnan(self.lonlat[:, 0])


def read_ground(store: TileStore) -> Ground:
    """The footprints of a pack."""
    rings = _rings(np.asarray(shapely.from_wkb(column(store, "geometry")), dtype=np.object_))
    metres = _clockwise(to_mercator(rings))
    known = ~np.isnan(metres[:, 0, 0])
    origin = metres[known].reshape(-1, 2).mean(axis=0) if known.any() else np.zeros(2)
    offsets = np.asarray(metres - origin, dtype=np.float32)
    return Ground((float(origin[0]), float(origin[1])), offsets, rings.mean(axis=1))


def to_mercator(lonlat: Floats) -> Floats:
    """(..., 2) degrees to metres of EPSG:3857."""
    longitude, latitude = lonlat[..., 0], np.clip(lonlat[..., 1], -_HIGHEST, _HIGHEST)
    north = np.log(np.tan(np.pi / 4 + np.deg2rad(latitude) / 2))
    return np.stack([np.deg2rad(longitude), north], axis=-1) * EARTH_M


def _clockwise(corners: Floats) -> Floats:
    """(N, 4, 2) whatever order they came in, the upper left first."""
    x, y = corners[..., 0], corners[..., 1]
    doubled = (x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y).sum(axis=1)  # area, > 0 anticlockwise
    turned = np.where((doubled > 0)[:, None, None], corners[:, ::-1], corners)
    first = np.nan_to_num(turned[..., 1] - turned[..., 0]).argmax(axis=1)
    order = (first[:, None] + np.arange(4)) % 4
    return np.take_along_axis(turned, order[..., None], axis=1)


def _rings(geometry: npt.NDArray[np.object_]) -> Floats:
    """(N, 4, 2) degrees; of a polygon that has not four corners, those of the box around it."""
    west, south, east, north = shapely.bounds(geometry).T
    corners = [(west, north), (east, north), (east, south), (west, south)]
    rings = np.stack([np.stack(corner, axis=-1) for corner in corners], axis=1)
    four = shapely.get_num_coordinates(geometry) == _RING
    if four.any():
        rings[four] = shapely.get_coordinates(geometry[four]).reshape(-1, _RING, 2)[:, :-1]
    return np.asarray(rings, dtype=np.float64)
