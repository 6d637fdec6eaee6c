"""Squares in UTM zones on both sides of a border: the columns of an index, and polygons for an oracle."""

import datetime as dt
import functools
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyproj
import shapely

BORDER_LON, LAT = 12.0, 50.0  # of zones 32 and 33; 31 ends at 6
DAY = dt.date(2020, 1, 1)


@dataclass(frozen=True)
class Square:
    """Lower left corner in a UTM zone; a side of a negative length is no location."""

    zone: int
    x: float
    y: float
    side_m: float = 300.0
    split: str | None = "train"
    day: int = 0

    @property
    def crs(self) -> str:
        return f"EPSG:{32600 + self.zone}"

    @property
    def box(self) -> shapely.Polygon:
        return shapely.box(self.x, self.y, self.x + self.side_m, self.y + self.side_m)

    def degrees(self) -> shapely.Polygon:
        return moved(self.box, self.crs, "OGC:CRS84")

    def seen_from(self, other: "Square") -> shapely.Polygon:
        """In the plane of another: exactly itself where that is its own."""
        return self.box if self.zone == other.zone else moved(self.degrees(), "OGC:CRS84", other.crs)


def moved(polygon: shapely.Polygon, source: str, target: str) -> shapely.Polygon:
    transform = transformer(source, target).transform
    return shapely.Polygon([transform(x, y) for x, y in polygon.exterior.coords])


@functools.lru_cache
def transformer(source: str, target: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def at(zone: int, lon: float, lat: float) -> tuple[float, float]:
    return transformer("OGC:CRS84", f"EPSG:{32600 + zone}").transform(lon, lat)


def scattered(
    count: int, *, seed: int, zones: tuple[int, ...] = (32, 33), reach_m: float = 4000.0
) -> list[Square]:
    """Squares on grids of 60 m around one point on a border: some touch, some overlap, some are twins."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        zone = int(rng.choice(zones))
        x, y = at(zone, BORDER_LON if zone > 31 else 6.0, LAT)
        dx, dy = rng.integers(-reach_m / 60, reach_m / 60, 2) * 60
        split = str(rng.choice(["train", "train", "val", "test"]))
        found.append(Square(zone, round(x) + dx, round(y) + dy, split=split, day=int(rng.integers(0, 3))))
    return found


def table(squares: list[Square]) -> pa.Table:
    shapes = [square.degrees().wkb if square.side_m > 0 else None for square in squares]
    return pa.table(
        {
            "split": pa.array([square.split for square in squares], pa.string()),
            "geometry": pa.array(shapes, pa.binary()),
            "crs": pa.array([square.crs for square in squares], pa.string()),
            "acquired": pa.array([DAY + dt.timedelta(square.day) for square in squares], pa.date32()),
        }
    )
