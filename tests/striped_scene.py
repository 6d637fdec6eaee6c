"""Scenes for the network of tests/striped_run.py: three bands of 10 m and one of 20 m, a file a band."""

import warnings

import numpy as np
import rasterio
from rasterio import Affine
from rasterio.errors import NotGeoreferencedWarning

BAND_PX = {"B04": 1, "B03": 1, "B08": 1, "B11": 2}
ORIGIN = (330_000.0, 5_820_000.0)


def bands_of(width, height, seed=0):
    """By band, (h, w) uint16 of about 1200, smooth enough that neighbours say much the same."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(1200, 400, (4, height // 8 + 2, width // 8 + 2))
    found = {}
    for layer, (band, px) in zip(coarse, BAND_PX.items(), strict=True):
        fine = np.kron(layer, np.ones((8, 8)))[:height, :width] + rng.normal(0, 100, (height, width))
        found[band] = fine[::px, ::px].clip(1, 4000).astype(np.uint16)
    return found


def write_bands(folder, bands, *, crs="EPSG:32633", transform=None, nodata=None, **profile):
    """One GeoTIFF a band; B11 covers the same ground in half as many pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    finest = transform or Affine(10, 0, ORIGIN[0], 0, -10, ORIGIN[1])
    for band, pixels in bands.items():
        px = BAND_PX[band]
        given = {
            "driver": "GTiff", "width": pixels.shape[1], "height": pixels.shape[0], "count": 1,
            "dtype": pixels.dtype, "nodata": nodata, **profile,
        }  # fmt: skip
        where = {} if crs is None else {"crs": crs, "transform": finest @ Affine.scale(px)}
        with rasterio.open(folder / f"scene_{band}.tif", "w", **given, **where) as target:
            target.write(pixels, 1)
    return folder


def write_stack(path, bands, *, names=True, crs="EPSG:32633", transform=None, nodata=None):
    """One GeoTIFF of all bands on the finest grid."""
    height, width = bands["B04"].shape
    pairs = zip(BAND_PX.values(), bands.values(), strict=True)
    stacked = [np.kron(pixels, np.ones((px, px), pixels.dtype)) for px, pixels in pairs]
    given = {"driver": "GTiff", "width": width, "height": height, "count": len(stacked), "nodata": nodata}
    place = transform or Affine(10, 0, ORIGIN[0], 0, -10, ORIGIN[1])
    where = {} if crs is None else {"crs": crs, "transform": place}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        target = rasterio.open(path, "w", **given, dtype=stacked[0].dtype, **where)
    with target:
        target.write(np.stack(stacked))
        if names:
            target.descriptions = tuple(bands)
    return path
