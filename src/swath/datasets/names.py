"""What the name of a scene tells: sensor, date, and the bands of files that do not name them."""

import datetime as dt
import re

from swath.data.bands import SENTINEL2_GSD_M, canonical_band
from swath.data.raster import RasterInfo

_SENTINEL2 = re.compile(r"(?:^|[_/])(?:S2[ABC]_|T\d{2}[A-Z]{3}(?:_|/|$))")
_SENTINEL1 = re.compile(r"(?:^|[_/])S1[ABC]_")
_NAIP = re.compile(r"(?:^|/)m_\d{7}_(?:ne|nw|se|sw)_\d{1,2}_\w+?_(?P<date>\d{8})")
_ACQUIRED = re.compile(r"(?:^|[_/])(?P<date>\d{8})T\d{5,6}")  # BigEarthNet leaves the first 0 of the hour out

_ORDER = [*SENTINEL2_GSD_M, "VV", "VH"]
_COLOURS = ("red", "green", "blue")
_CREDITS = {
    "Sentinel-1": "Contains modified Copernicus Sentinel data",
    "Sentinel-2": "Contains modified Copernicus Sentinel data",
    "NAIP": "NAIP imagery: U.S. Department of Agriculture",
}


def sensor_of(path: str) -> str | None:
    """The sensor that a path (folders included) names in the style of its data, or None."""
    if _NAIP.search(path):
        return "NAIP"
    if _SENTINEL1.search(path):
        return "Sentinel-1"
    return "Sentinel-2" if _SENTINEL2.search(path) else None


def date_of(path: str) -> dt.date | None:
    """The day that a path names in Sentinel or NAIP style, or None. The file's own name goes first."""
    for part in (path.rpartition("/")[2], path):
        match = _NAIP.search(part) or _ACQUIRED.search(part)
        if match:
            try:
                return dt.datetime.strptime(match["date"], "%Y%m%d").date()  # noqa: DTZ007 -- a day, no hour
            except ValueError:
                continue
    return None


def credit(sensor: str | None, dates: list[dt.date]) -> str:
    """The attribution that the data asks for, "" where none is known."""
    years = sorted({date.year for date in dates})
    when = f" {years[0]}" if len(years) == 1 else f" {years[0]}-{years[-1]}" if years else ""
    return f"{_CREDITS[sensor]}{when}" if sensor in _CREDITS else ""


def band_order(name: str) -> tuple[int, str]:
    """Sort key: Sentinel-2's own order (B8A after B08), then by name."""
    return (_ORDER.index(name), "") if name in _ORDER else (len(_ORDER), name)


def bands_in_file(info: RasterInfo, sensor: str | None) -> tuple[tuple[str, ...], bool]:
    """Names of the bands of one file, and whether they were made up (band1, band2, ...)."""
    described = [canonical_band(name.strip()) if name else "" for name in info.descriptions]
    if all(described) and len(set(described)) == info.count and not any("," in name for name in described):
        return tuple(described), False
    if sensor == "NAIP" and info.count == 4:
        return (*_COLOURS, "nir"), False
    coloured = tuple(name or "" for name in info.colours)
    if all(coloured) and len(set(coloured)) == info.count:
        return coloured, False
    if info.count == 3:
        return _COLOURS, True
    return tuple(f"band{number}" for number in range(1, info.count + 1)), True
