"""Windows of a raster on the pixels of another grid, resampled as they are read.

GDAL warps a little at a time, so that the memory does not grow with the raster. Values are bilinear, with a
kernel as wide as the new pixels where these are larger.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio import Affine
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from swath.data import signature
from swath.data.holes import holes_in
from swath.data.raster import RasterInfo, gdal_ready, open_raster
from swath.data.windows import PixelGrid
from swath.errors import DataError

_MEMORY_MB = 64
Pixels = npt.NDArray[Any]


class WarpedRaster:
    """One raster on `grid`, which has a crs; to be read by one thread."""

    def __init__(self, info: RasterInfo, *, nodata: float | None, grid: PixelGrid) -> None:
        self._path = info.path
        self._nodata = nodata
        self._is_float = np.dtype(info.dtype).kind == "f"
        self._raster = open_raster(info.path, signature.check_file(info.path))
        says = float("nan") if self._is_float else nodata
        absent = {"nodata": says} if says is not None else {"add_alpha": True}
        self._warped = WarpedVRT(
            self._raster,
            crs=rasterio.crs.CRS.from_user_input(grid.crs),
            transform=Affine(*grid.transform),
            width=grid.width,
            height=grid.height,
            resampling=Resampling.bilinear,
            warp_mem_limit=_MEMORY_MB,
            src_nodata=says if nodata is None else nodata,
            **absent,
        )

    def read(self, bands: tuple[int, ...], *, top: int, height: int) -> tuple[Pixels, npt.NDArray[np.bool_]]:
        """(C, height, width) pixels of all columns, and where there are none: outside, or nodata.

        Raises:
            DataError: pixels cannot be decoded.
        """
        window = Window(0, top, self._warped.width, height)
        try:
            with gdal_ready():
                pixels = self._warped.read(list(bands), window=window)
                if self._is_float or self._nodata is not None:
                    return pixels, holes_in(pixels, self._nodata)
                outside = self._warped.dataset_mask(window=window) == 0
        except RasterioError as error:
            raise DataError(
                f"{self._path} is damaged or cut: its pixels cannot be resampled. Download it again."
            ) from error
        return pixels, np.broadcast_to(outside, pixels.shape)

    def close(self) -> None:
        self._warped.close()
        self._raster.close()
