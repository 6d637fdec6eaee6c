"""Ready tiles and indexes on disk, for the tests of packing."""

import numpy as np
import pyarrow as pa
import rasterio

from swath.data.index import SCHEMA, IndexInfo, IndexWriter


def write_raster(path, pixels, **more):
    count, height, width = pixels.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": pixels.dtype}
    with rasterio.open(path, "w", **(shape | more)) as target:
        target.write(pixels)


def random_pixels(shape, dtype="uint8", seed=0):
    return np.random.default_rng(seed).integers(1, 250, shape).astype(dtype)


def write_index(path, rows, **changes):
    values = {
        "root": str(path.parent), "layout": "folder", "task": "class", "vocabulary": ("farm", "water"),
        "bands": ("R", "G", "B"), "band_px": (1.0,) * 3, "dtypes": ("uint8",) * 3, "tile_px": 8,
        "stride_px": 0, "nodata": None, "attribution": "Somebody, 2020",
    } | changes  # fmt: skip
    with IndexWriter(path, IndexInfo(**values)) as writer:
        writer.append(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
    return path


def row(number, **changes):
    return {
        "id": f"t{number}", "paths": [f"{number}.tif"], "x_px": 0, "y_px": 0, "width_px": 8, "height_px": 8,
        "labels": [["farm", "water"][number % 2]], "gsd_m": 10.0,
    } | changes  # fmt: skip
