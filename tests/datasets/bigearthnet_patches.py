"""Patch folders in the layouts of BigEarthNet, each at the place that its name says."""

import json

import numpy as np
import pyproj
import rasterio

from swath.datasets.bigearthnet.footprint import corner_of, epsg_of
from swath.datasets.bigearthnet.names import parse, scene_of
from swath.datasets.bigearthnet.sensors import SENTINEL1, SENTINEL2

V1 = "S2A_MSIL2A_20170613T101031_87_48"
V1_OTHER = "S2B_MSIL2A_20170924T93020_69_24"
V2 = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_75_43"
S1 = "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_87_48"
TILE = "33UUP"


def write_patch(
    root, name=V1, *, labels=("Pastures", "Sea and ocean"), bands=None, json_too=True, **json_changes
):
    """Write a patch below `root` and give its folder back; v2 goes into the folder of its scene."""
    said = parse(name)
    files = SENTINEL1 if said.sensor == "Sentinel-1" else SENTINEL2
    left, top = corner_of(TILE)
    left, top = left + 1200 * said.h, top - 1200 * said.v
    is_v2 = said.version == "v2" or (files is SENTINEL1 and not json_too)
    folder = (root / scene_of(name) if is_v2 else root) / name
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for band, side in zip(files.bands, files.side_px, strict=True):
        if bands is None or band in bands:
            pixels = rng.integers(1, 9999, (side, side)).astype(files.dtype)
            write_band(folder / f"{name}_{band}.tif", pixels, left, top)
    if said.version != "v2" and json_too:
        lower = "lly" if files is SENTINEL1 else "lry"
        corners = {"ulx": left, "uly": top, "lrx": left + 1200, lower: top - 1200}
        about = {
            "labels": list(labels),
            "coordinates": corners,
            "projection": pyproj.CRS(epsg_of(TILE)).to_wkt(),
        }
        if files is SENTINEL1:
            about |= {
                "corresponding_s2_patch": V1,
                "scene_source": "S1A_X",
                "acquisition_time": "2017-06-13T16:50:43",
            }
        else:
            source = f"S2A_MSIL1C_20170613T101031_N0205_R022_T{TILE}_20170613T101608.SAFE"
            about |= {"tile_source": source, "acquisition_date": "2017-06-13 10:10:31"}
        (folder / f"{name}_labels_metadata.json").write_text(json.dumps(about | json_changes))
    return folder


def write_map(root, name, codes):
    """The reference map of a v2 patch, (120, 120) CORINE codes."""
    folder = root / "Reference_Maps" / scene_of(name) / name
    folder.mkdir(parents=True)
    said = parse(name)
    left, top = corner_of(TILE)
    path = folder / f"{name}_reference_map.tif"
    write_band(path, codes.astype(np.uint16), left + 1200 * said.h, top - 1200 * said.v)
    return path


def write_band(path, pixels, left, top):
    gsd_m = 1200 / pixels.shape[0]
    place = {"crs": f"EPSG:{epsg_of(TILE)}", "transform": rasterio.Affine(gsd_m, 0, left, 0, -gsd_m, top)}
    shape = {"driver": "GTiff", "count": 1, "width": pixels.shape[1], "height": pixels.shape[0]}
    with rasterio.open(path, "w", dtype=pixels.dtype, **shape, **place) as raster:
        raster.write(pixels[None])


def write_v2(root):
    """A patch of the table, one that is not in it, a reference map and a Sentinel-1 patch."""
    write_patch(root / "BigEarthNet-S2", V2, bands=["B02", "B05"])
    write_patch(root / "BigEarthNet-S2", V2.replace("_75_43", "_00_07"), bands=["B02", "B05"])
    write_patch(root / "BigEarthNet-S1", S1.replace("87_48", "75_43"), json_too=False)
    write_map(root, V2, np.full((120, 120), 312))
