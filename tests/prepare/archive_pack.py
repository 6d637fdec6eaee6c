"""Packing archives of BigEarthNet, for the tests."""

import numpy as np
import rasterio
import rasterio.warp
from real_patches import folders, real_patches, write_archive

from swath.config import PackConfig
from swath.data.store import TileStore
from swath.prepare import archive_rows, pack

RGB = ("B04", "B03", "B02")
OFFICIAL = archive_rows._official


def pack_from(path, members, *, bands=RGB, out="tiles.lance", **settings):
    archive = write_archive(path / "archive.tar.gz", members) if isinstance(members, dict) else members
    return pack.run(PackConfig(index=archive, out=path / out, bands=bands, **settings))


def by_rasterio(data):
    with rasterio.MemoryFile(data) as held, held.open() as raster:
        return raster.read(1)


def expected_pixels(members, bands, folder):
    patch = folder.rpartition("/")[2]
    return np.stack([by_rasterio(members[f"{folder}/{patch}_{band}.tif"]) for band in bands])


def as_v2(members):
    """Under names of v2, in folders of scenes, without JSON."""
    names = {folder.rpartition("/")[2]: number for number, folder in enumerate(folders(members))}
    found = {}
    for name, data in members.items():
        _, patch, file = name.split("/")
        scene = f"S2A_MSIL2A_20170613T101031_N9999_R022_T33UU{'PQRSTU'[names[patch]]}"
        other = f"{scene}_{names[patch]:02d}_07"
        if not file.endswith(".json"):
            found[f"BigEarthNet-S2/{scene}/{other}/{file.replace(patch, other)}"] = data
    return found


def same_packs(first, second):
    one, other = TileStore(first), TileStore(second)
    assert one.digest == other.digest
    assert (one.format, one.statistics) == (other.format, other.statistics)
    names = ("id", "labels", "acquired", "crs", "geometry")
    assert one.columns(*names).equals(other.columns(*names))
    rows = np.arange(len(one))
    assert all(np.array_equal(a, b) for a, b in zip(one.read(rows), other.read(rows), strict=True))


def spoilt(part, change):
    """The real patches with one member of the third changed (None: taken away), and the name of its patch."""
    members = dict(real_patches())
    folder = folders(members)[2]
    patch = folder.rpartition("/")[2]
    name = f"{folder}/{patch}_{part}"
    changed = change(members[name])
    if changed is None:
        del members[name]
    else:
        members[name] = changed
    return members, patch
