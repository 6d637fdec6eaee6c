"""What a user looks for, as a feature: a tile of the archive, the tile at a place, or a picture."""

import logging
import re
from dataclasses import dataclass

import numpy as np
import pyproj
import shapely

from swath import storage
from swath.errors import DataError, UsageError
from swath.features.table import Values
from swath.location import Location, location
from swath.serve.search.archive import Archive
from swath.serve.search.picture import Picture, embed_picture

_POINT = re.compile(r"\s*([-+]?\d+(?:\.\d+)?)\s*,\s*([-+]?\d+(?:\.\d+)?)\s*")
log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Query:
    """A feature (D,) to look for and what it is called; its row where it is a tile of the archive, its pixels
    where it is not.
    """

    feature: Values
    name: str
    labels: tuple[str, ...] = ()
    row: int | None = None
    picture: Picture | None = None


def read_query(like: str, archive: Archive, *, run: Location | None) -> Query:
    """`like` is the id of a tile, LON,LAT, or a picture, which `run` embeds.

    Raises:
        UsageError: none of them; no tile holds the point; `run` has no effect.
        DataError: the tile's feature has no direction (zeros); the picture does not fit the run.
    """
    point = _POINT.fullmatch(like)
    is_tile = archive.holds(like)
    if not is_tile and not point:
        file = location(like)
        if not storage.is_file(file):
            raise UsageError(
                f'no tile "{like}" in {archive.path}, and no such file.{archive.alike(file.name)}'
            )
        feature, picture = embed_picture(file, archive.about, run=run)
        return Query(feature, like, picture=picture)
    if run is not None:
        raise UsageError(f"--run is for pictures, and {like} is none; leave it out")
    if point and not is_tile:
        return _of_tile(archive, _row_at(archive, float(point[1]), float(point[2])))
    return _of_tile(archive, archive.row_of(like))


def _of_tile(archive: Archive, row: int) -> Query:
    name = archive.tiles["id"][row].as_py()
    feature = archive.feature(row)
    if not feature.any():
        raise DataError(
            f'the feature of tile "{name}" is all zeros, so nothing can be like it. Embed the tiles again: '
            "swath embed RUN TILES --out FILE"
        )
    return Query(feature, name, tuple(archive.tiles["labels"][row].as_py() or ()), row)


def _row_at(archive: Archive, lon: float, lat: float) -> int:
    """The tile that holds a point; of several the newest, then the one whose middle is nearest."""
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):
        raise UsageError(f"--like {lon:g},{lat:g}: expected LON,LAT in degrees, such as 12.49,41.89")
    shapes = shapely.from_wkb(archive.tiles["geometry"].to_numpy())
    if shapely.is_missing(shapes).all():
        raise UsageError(f"no tile of {archive.path} has a location; give --like the id of a tile")
    point = shapely.Point(lon, lat)
    holding = np.flatnonzero(shapely.intersects(shapes, point))
    if not len(holding):
        raise UsageError(
            f"no tile of {archive.path} holds {lon:g},{lat:g}; {_nearest_words(archive, shapes, point)}"
        )
    days = archive.tiles["acquired"].take(holding).to_pylist()
    gaps = shapely.distance(shapely.centroid(shapes[holding]), point)
    ranked = sorted(range(len(holding)), key=lambda i: (-(days[i].toordinal() if days[i] else 0), gaps[i]))
    chosen = int(holding[ranked[0]])
    if len(holding) > 1:
        log.info(
            '%d tiles hold %g,%g; taking "%s", the newest',
            len(holding),
            lon,
            lat,
            archive.tiles["id"][chosen],
        )
    return chosen


def _nearest_words(
    archive: Archive, shapes: "np.ndarray[tuple[int], np.dtype[np.object_]]", point: shapely.Point
) -> str:
    near = int(np.nanargmin(shapely.distance(shapes, point)))
    middle = shapes[near].centroid
    metres = pyproj.Geod(ellps="WGS84").inv(point.x, point.y, middle.x, middle.y)[2]
    return (
        f'the nearest tile is "{archive.tiles["id"][near]}" at {middle.x:.4f},{middle.y:.4f}, '
        f"{metres / 1000:,.1f} km away"
    )
