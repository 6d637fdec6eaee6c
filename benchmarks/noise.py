"""Packed tiles of noise, where only their number and size matter."""

from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

import swath
from swath.data.store import TileStore


def packed_noise(folder: Path, *, side_px: int, tile_px: int) -> TileStore:
    """Red, green and blue tiles cut from one square scene of `side_px`."""
    image = np.random.default_rng(0).integers(0, 256, (3, side_px, side_px), dtype=np.uint8)
    profile = {"driver": "GTiff", "width": side_px, "height": side_px, "count": 3, "dtype": "uint8"}
    where = {"crs": "EPSG:32633", "transform": from_origin(0, 0, 10, 10)}
    with rasterio.open(folder / "noise.tif", "w", **profile, **where) as target:
        target.write(image)
    swath.index(folder / "noise.tif", out=folder / "index.parquet", layout="scenes", tile_px=tile_px)
    swath.pack(folder / "index.parquet", out=folder / "tiles.lance")
    return TileStore(folder / "tiles.lance")
