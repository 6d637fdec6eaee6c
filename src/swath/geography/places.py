"""The distinct places of tiles, each as four corners in metres, from footprints in longitude and latitude.

A place keeps the projection that its tile was cut in, so tiles of one grid are exact rectangles again. Where
that one has no metres, or wrong ones (degrees, feet, Web Mercator), it is the UTM zone of its middle.
Shapes: N tiles, U places.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyproj
import shapely

EARTH_M = 6_371_008.8  # mean radius
_DIGITS = 3  # millimetres: what going to degrees and back leaves of an exact grid
_ALIGNED_M = 0.005
_WRONG_SCALE = 0.01
_CORNERS = 5  # of a closed ring

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Places:
    """`of_tile` (N,): the place of each tile, -1 where it has no footprint. All else is by place.

    `plane` (U,) numbers `planes`, the projections. `corners` (U, 4, 2) are metres in its plane, `upright`
    (U,) whether they are a rectangle along its axes, `radius_m` (U,) the farthest corner from the middle.
    `lonlat` (U, 4, 2) are the corners in degrees, `globe_m` (U, 3) the middle on the ellipsoid.
    """

    of_tile: Numbers
    planes: tuple[str, ...]
    plane: Numbers
    corners: Floats
    upright: npt.NDArray[np.bool_]
    radius_m: Floats
    lonlat: Floats
    globe_m: Floats

    def __len__(self) -> int:
        return len(self.plane)

    def of(self, tiles: npt.NDArray[Any]) -> Numbers:
        """The places, each once, of tiles by row number or mask; those without one are passed over."""
        found = np.unique(self.of_tile[tiles])
        return found[found >= 0]

    def side_m(self) -> float:
        """The median shorter side."""
        sides = np.linalg.norm(self.corners - np.roll(self.corners, 1, axis=1), axis=2)
        return float(np.median(sides.min(axis=1))) if len(sides) else 0.0


def find_places(geometry: pa.ChunkedArray, crs: pa.ChunkedArray) -> Places:
    """Places of a column of WKB polygons, WGS 84 longitude and latitude, with the projections of the tiles.

    Of a polygon that has not four corners, the box around it counts.
    """
    of_tile, footprints, names = _distinct(geometry, crs)
    ring = _four_corners(shapely.from_wkb(footprints))
    planes, plane = _planes(names, ring)
    corners = np.empty_like(ring)
    for number, name in enumerate(planes):
        inside = plane == number
        corners[inside] = to_plane(ring[inside], name)
    low, high = corners.min(axis=1, keepdims=True), corners.max(axis=1, keepdims=True)
    off = np.minimum(np.abs(corners - low), np.abs(corners - high))
    middle = corners.mean(axis=1, keepdims=True)
    return Places(
        of_tile=of_tile,
        planes=planes,
        plane=plane,
        corners=corners,
        upright=(off < _ALIGNED_M).all(axis=(1, 2)),
        radius_m=np.linalg.norm(corners - middle, axis=2).max(axis=1, initial=0.0),
        lonlat=ring,
        globe_m=_on_globe(ring.mean(axis=1)),
    )


def to_plane(lonlat: Floats, plane: str) -> Floats:
    """(..., 2) degrees to metres in a projection, to the millimetre."""
    transform = pyproj.Transformer.from_crs("OGC:CRS84", plane, always_xy=True).transform
    x, y = transform(lonlat[..., 0], lonlat[..., 1])
    return np.round(np.stack([x, y], axis=-1), _DIGITS)


def _distinct(geometry: pa.ChunkedArray, crs: pa.ChunkedArray) -> tuple[Numbers, Any, Any]:
    """The place of each tile, and the footprint (WKB) and projection of each place: by bytes, which is exact,
    because one place of one grid has one footprint whatever its date.
    """
    shapes = _encoded(geometry)
    grids = _encoded(crs.cast(pa.string()))
    codes = _codes(shapes) * (len(grids.dictionary) + 1) + _codes(grids) + 1
    codes[_codes(shapes) < 0] = -1
    keys, of_tile = np.unique(codes, return_inverse=True)
    without = int(len(keys) > 0 and keys[0] == -1)
    keys = keys[without:]
    shape_of, grid_of = np.divmod(keys, len(grids.dictionary) + 1)
    known = np.asarray([*grids.dictionary.to_pylist(), ""], dtype=object)
    footprints = shapes.dictionary.to_numpy(zero_copy_only=False)
    return of_tile.reshape(-1).astype(np.int64) - without, footprints[shape_of], known[grid_of - 1]


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # what pyarrow gives for no chunks
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], column.type)
    return whole.dictionary_encode()


def _codes(encoded: pa.DictionaryArray) -> Numbers:
    return np.asarray(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)


def _four_corners(polygons: Any) -> Floats:
    odd = shapely.get_num_coordinates(polygons) != _CORNERS
    polygons[odd] = shapely.envelope(polygons[odd])
    return shapely.get_coordinates(polygons).reshape(-1, _CORNERS, 2)[:, :4]


def _planes(names: Any, ring: Floats) -> tuple[tuple[str, ...], Numbers]:
    """The projections, and which one each place has."""
    chosen = np.asarray(names, dtype=object).copy()
    middle = ring.mean(axis=1)
    for name in set(chosen.tolist()):
        inside = chosen == name
        if not _keeps_lengths(name, middle[inside]):
            chosen[inside] = _utm_zones(middle[inside])
    planes, plane = np.unique(chosen.astype(str), return_inverse=True)
    return tuple(planes.tolist()), plane.reshape(-1).astype(np.int64)


def _keeps_lengths(name: str, lonlat: Floats) -> bool:
    """Whether metres of the projection are metres on the ground, to 1 %, at all of the places."""
    if not name:
        return False
    crs = pyproj.CRS.from_user_input(name)
    if not crs.is_projected or crs.axis_info[0].unit_conversion_factor != 1.0:
        return False
    scale = pyproj.Proj(crs).get_factors(lonlat[:, 0], lonlat[:, 1])
    scales = np.concatenate([scale.tissot_semimajor, scale.tissot_semiminor])
    return bool((np.abs(scales - 1) < _WRONG_SCALE).all())


def _utm_zones(lonlat: Floats) -> npt.NDArray[np.object_]:
    zone = np.floor((lonlat[:, 0] + 180) / 6).astype(np.int64) % 60 + 1
    code = np.where(lonlat[:, 1] >= 0, 32600, 32700) + zone
    return np.asarray([f"EPSG:{number}" for number in code.tolist()], dtype=object)


def _on_globe(lonlat: Floats) -> Floats:
    """(U, 3) metres from the centre of WGS 84."""
    lon, lat = np.radians(lonlat).T
    a, e2 = 6_378_137.0, 0.00669437999014
    n = a / np.sqrt(1 - e2 * np.sin(lat) ** 2)
    across = n * np.cos(lat)
    return np.stack([across * np.cos(lon), across * np.sin(lon), n * (1 - e2) * np.sin(lat)], axis=1)
