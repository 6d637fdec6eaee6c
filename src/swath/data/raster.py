"""The one gate through which rasters are read: every path, size and pixel goes through here.

A file is opened with the driver that its first bytes call for (GeoTIFF, JPEG 2000, PNG, JPEG) and no other,
because GDAL would let a `.tif` be a virtual raster that reads other files or the network. Paths are checked
before GDAL sees them, sizes before a pixel is read. NaN counts as nodata in every float raster, so
`RasterInfo.nodata` is never NaN.
"""

import contextlib
import functools
import math
import threading
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.windows import Window

from swath.data import signature
from swath.data.bands import PIXEL_TYPES
from swath.errors import DataError

Box = tuple[float, float, float, float]

_GDAL = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # no side files, no listing of folders
    "GDAL_PAM_ENABLED": "NO",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",  # else a cut JPEG is filled with grey
}
# Sets GDAL up for this thread, its warnings to the log. Around many reads that is paid once (40 of 75 us).
gdal_ready = functools.partial(rasterio.Env, **_GDAL)
_OPEN_AT_ONCE = 64
_COLOURS = {ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha}


@dataclass(frozen=True)
class RasterInfo:
    """What a raster's header says; `transform` is the affine (a, b, c, d, e, f) from pixels to `crs`.

    `crs` is "EPSG:32633" or, where the system has no code, WKT. `colours` names the bands that the file marks
    as red, green, blue or alpha.
    """

    path: Path
    width: int
    height: int
    count: int
    dtype: str
    crs: str | None
    transform: tuple[float, ...]
    nodata: float | None
    descriptions: tuple[str | None, ...]
    colours: tuple[str | None, ...]


def inspect(path: Path, *, root: Path | None = None, max_pixels: int) -> RasterInfo:
    """Read the header, and check that the file is whole as far as that can be told without decoding it.

    Raises:
        DataError: the file is missing, empty, cut, too large, of an unsupported kind, or lies outside `root`.
    """
    driver = signature.check_file(path, root=root)
    if driver in {"PNG", "JPEG"}:
        info = _picture_info(path, driver, max_pixels)
        if driver == "JPEG" and not signature.jpeg_ends_properly(path):
            _read_all(path, info)
        return info
    with open_raster(path, driver) as raster:
        info = _raster_info(path, raster, max_pixels)
        if driver == "GTiff":
            check_tiff_is_whole(path, raster)
        return info


def read_window(
    path: Path,
    *,
    bands: tuple[int, ...],
    window: Box,
    out_px: tuple[int, int],
    max_pixels: int,
    root: Path | None = None,
) -> npt.NDArray[Any]:
    """(len(bands), h, w) pixels of `window` (x_px, y_px, width_px, height_px), in the raster's own dtype.

    `bands` count from 1. Where the window has not `out_px` (h, w) pixels, or begins inside one, values are
    bilinear. Rasters stay open between calls, so that many windows of a scene open it once.

    Raises:
        DataError: as `inspect`; the window or a band lies outside the raster; pixels cannot be decoded.
    """
    raster = _opened.get(path, root, max_pixels)
    _check_request(path, raster, bands, window)
    whole = all(float(side).is_integer() for side in window) and (window[3], window[2]) == out_px
    resampling = Resampling.nearest if whole else Resampling.bilinear
    # Only the JPEG driver looks at options while it reads.
    is_ready = rasterio.env.hasenv() and raster.driver != "JPEG"
    try:
        with contextlib.nullcontext() if is_ready else gdal_ready():
            pixels: npt.NDArray[Any] = raster.read(
                list(bands), window=Window(*window), out_shape=(len(bands), *out_px), resampling=resampling
            )
    except (RasterioError, ValueError) as error:
        _opened.drop(path, root)
        raise DataError(_why_unreadable(path, raster, bands, window)) from error
    return pixels


class _OpenRasters(threading.local):
    """The rasters used last, open, one set a thread (GDAL handles must not be shared between threads)."""

    def __init__(self) -> None:
        self._rasters: OrderedDict[tuple[Path, Path | None], tuple[tuple[int, int], Any]] = OrderedDict()

    def get(self, path: Path, root: Path | None, max_pixels: int) -> Any:
        key = (path, root)
        held = self._rasters.get(key)
        version = signature.version_of(path)
        if held is not None and held[0] == version:
            self._rasters.move_to_end(key)
            return held[1]
        self.drop(path, root)
        driver = signature.check_file(path, root=root)
        raster = open_raster(path, driver)
        _raster_info(path, raster, max_pixels)
        self._rasters[key] = (version, raster)
        while len(self._rasters) > _OPEN_AT_ONCE:
            self._rasters.popitem(last=False)[1][1].close()
        return raster

    def drop(self, path: Path, root: Path | None) -> None:
        held = self._rasters.pop((path, root), None)
        if held is not None:
            held[1].close()


_opened = _OpenRasters()


# Python's list of warning filters is one for all threads: two that change it at once would lose each other's.
_filtering = threading.Lock()


def open_raster(path: Path, driver: str) -> Any:
    """Open with one driver, which `signature.check_file` names; DataError where GDAL cannot."""
    try:
        with _filtering, warnings.catch_warnings(), gdal_ready():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            return rasterio.open(path, driver=driver)
    except RasterioIOError as error:
        reason = " ".join(str(error).split()).removeprefix(f"{path}: ")
        raise DataError(
            f"{path} is damaged or cut ({reason}). Download it again or take it out of the folder."
        ) from error


def _raster_info(path: Path, raster: Any, max_pixels: int) -> RasterInfo:
    kinds = set(raster.dtypes)
    dtype = str(raster.dtypes[0])
    check_size(path, (raster.width, raster.height, raster.count, np.dtype(dtype).itemsize), max_pixels)
    if len(kinds) > 1 or dtype not in PIXEL_TYPES:
        raise DataError(
            f"{path} has pixels of type {', '.join(sorted(kinds))}; supported: {', '.join(PIXEL_TYPES)}. "
            f"Convert it with gdal_translate -ot UInt16 or Float32."
        )
    if ColorInterp.palette in raster.colorinterp:
        raise DataError(_palette(path))
    colours = tuple(colour.name if colour in _COLOURS else None for colour in raster.colorinterp)
    nodata = raster.nodata
    return RasterInfo(
        path=path,
        width=raster.width,
        height=raster.height,
        count=raster.count,
        dtype=dtype,
        crs=_crs_name(raster.crs.to_wkt()) if raster.crs else None,
        transform=tuple(raster.transform)[:6],
        nodata=None if nodata is None or math.isnan(nodata) else float(nodata),
        descriptions=tuple(raster.descriptions),
        colours=colours,
    )


@functools.lru_cache(maxsize=256)
def _crs_name(wkt: str) -> str:
    return str(rasterio.crs.CRS.from_wkt(wkt).to_string())


def _picture_info(path: Path, driver: str, max_pixels: int) -> RasterInfo:
    """PNG and JPEG headers without GDAL: 40 times faster, and such files carry no location."""
    header = signature.picture_header(path, driver)
    check_size(path, (header.width, header.height, header.count, np.dtype(header.dtype).itemsize), max_pixels)
    if header.palette:
        raise DataError(_palette(path))
    names = {
        1: (None,),
        2: (None, "alpha"),
        3: ("red", "green", "blue"),
        4: ("red", "green", "blue", "alpha"),
    }
    return RasterInfo(
        path=path,
        width=header.width,
        height=header.height,
        count=header.count,
        dtype=header.dtype,
        crs=None,
        transform=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        nodata=None,
        descriptions=(None,) * header.count,
        colours=names[header.count],
    )


def check_size(path: Path, shape: tuple[int, int, int, int], max_pixels: int) -> None:
    width, height, count, itemsize = shape
    if width < 1 or height < 1 or count < 1:
        raise DataError(f"{path} declares {width}x{height} px in {count} bands; nothing to read.")
    if width * height > max_pixels:
        gigabytes = width * height * count * itemsize / 1e9
        raise DataError(
            f"{path} is {width}x{height}x{count} ({gigabytes:.1f} GB): above --max-pixels {max_pixels:,}. "
            f"Cut it first, or raise --max-pixels if the size is right."
        )


def _palette(path: Path) -> str:
    return f"{path} is a palette image (pixels are colour numbers). Convert it: gdal_translate -expand rgb."


def check_tiff_is_whole(path: Path, raster: Any) -> None:
    """Raise DataError for an open GeoTIFF whose blocks go beyond the end of its file."""
    held, needed = path.stat().st_size, _tiff_end(raster)
    if held < needed:
        raise DataError(
            f"{path} is truncated: {held} of {needed} bytes. Download it again or take it out of the folder."
        )


def _tiff_end(raster: Any) -> int:
    """Where the last block of the file ends, from the offsets in its header (0 where no block is stored)."""
    end = 0
    for band in raster.indexes:
        height, width = raster.block_shapes[band - 1]
        rows, cols = -(-raster.height // height), -(-raster.width // width)
        blocks = [(row, col) for row in range(rows) for col in range(cols)]
        for row, col in blocks if len(blocks) <= 4096 else (blocks[0], blocks[-1]):
            offset = raster.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=band)
            size = raster.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=band)
            end = max(end, int(offset or 0) + int(size or 0))
    return end


def _check_request(path: Path, raster: Any, bands: tuple[int, ...], window: Box) -> None:
    if any(band < 1 or band > raster.count for band in bands):
        raise DataError(
            f"{path} has {raster.count} bands; the index asks for band {max(bands)}. Index it again."
        )
    x, y, width, height = window
    slack = 1e-6
    inside = x >= -slack and y >= -slack and width > 0 and height > 0
    if not inside or x + width > raster.width + slack or y + height > raster.height + slack:
        raise DataError(
            f"{path} is {raster.width}x{raster.height} px; the window at x {x:g}, y {y:g} "
            f"of {width:g}x{height:g} px lies outside. Has the file changed? Index it again."
        )


def _why_unreadable(path: Path, raster: Any, bands: tuple[int, ...], window: Box) -> str:
    held = path.stat().st_size if path.exists() else 0
    with open_raster(path, raster.driver) as fresh:
        needed = _tiff_end(fresh) if raster.driver == "GTiff" else 0
        band = next((band for band in bands if not _readable(fresh, band, window)), bands[0])
    cut = f"is truncated: {held} of {needed} bytes; " if held < needed else "is damaged or cut: "
    return f"{path} {cut}band {band} fails to decompress. Download it again or take it out of the folder."


def _readable(raster: Any, band: int, window: Box) -> bool:
    try:
        raster.read(band, window=Window(*window))
    except (RasterioError, ValueError):
        return False
    return True


def _read_all(path: Path, info: RasterInfo) -> None:
    """Decode the whole picture: one that does not end as JPEGs do may be cut, or have much after its end."""
    bands = tuple(range(1, info.count + 1))
    window = (0, 0, info.width, info.height)
    read_window(path, bands=bands, window=window, out_px=(info.height, info.width), max_pixels=2**62)
