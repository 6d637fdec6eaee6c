"""Rasters of a few pixels, written from a seed."""

import numpy as np
import pytest
import rasterio
from bigearthnet_patches import S1, V1, V1_OTHER
from bigearthnet_tables import small_lists


@pytest.fixture
def write_tif():
    """Write a GeoTIFF of (count, height, width) and give its path back."""

    def write(path, shape=(1, 64, 64), *, gsd_m=10.0, crs="EPSG:32633", dtype="uint16", pixels=None, **more):
        path.parent.mkdir(parents=True, exist_ok=True)
        if pixels is None:
            pixels = np.random.default_rng(0).integers(1, 200, shape).astype(dtype)
        count, height, width = pixels.shape
        place = (
            {"crs": crs, "transform": rasterio.Affine(gsd_m, 0, 400_000, 0, -gsd_m, 5_000_000)} if crs else {}
        )
        profile = {"driver": "GTiff", "dtype": pixels.dtype, "count": count, "height": height, "width": width}
        descriptions = more.pop("descriptions", ())
        with rasterio.open(path, "w", **profile, **place, **more) as raster:
            raster.write(pixels)
            for number, name in enumerate(descriptions, start=1):
                raster.set_band_description(number, name)
        return path

    return write


@pytest.fixture
def write_bands(write_tif):
    """Write the 13 bands of a Sentinel-2 scene, each at its resolution, and give the folder back."""

    def write(folder, prefix="T33UUU_20170216T102101_", side=120, leave_out=()):
        metres = {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "B01": 60, "B09": 60, "B10": 60}
        for band in [f"B{n:02d}" for n in range(1, 13)] + ["B8A"]:
            if band not in leave_out:
                gsd_m = metres.get(band, 20)
                pixels = side * 10 // gsd_m
                write_tif(folder / f"{prefix}{band}.tif", (1, pixels, pixels), gsd_m=gsd_m)
        return folder

    return write


@pytest.fixture
def lists(monkeypatch):
    """Two patches are in the official lists: one trains, the other is snow."""
    held = small_lists(
        [V1, V1_OTHER],
        s1_name=[S1, "S1A_IW_GRDH_1SDV_20170925T043256_35VPK_69_24"],
        split=["train", None],
        seasonal_snow=[False, True],
        recommended=[True, False],
    )
    monkeypatch.setattr("swath.datasets.bigearthnet.source.read_lists", lambda: held)
    monkeypatch.setattr("swath.datasets.bigearthnet.overlap.read_lists", lambda: held)
    return held
