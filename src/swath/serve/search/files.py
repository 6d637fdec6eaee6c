"""What was found as files that others open: GeoJSON and GeoParquet, the kind by the name's ending."""

import json
from typing import Any

import geopandas
import numpy as np
import shapely

from swath.errors import UsageError
from swath.features.table import Rows
from swath.files import check_output, file_aside
from swath.location import Location
from swath.serve.search.archive import Archive

_BEGINS = {".png": b"\x89PNG", ".geojson": b"{", ".parquet": b"PAR1"}


def check_outputs(paths: tuple[Location, ...], archive: Archive) -> None:
    """Refuse at once what could not be written in the end.

    Raises:
        UsageError: another ending, another kind of file there, or no tile has a location.
    """
    for path in paths:
        if path.suffix not in _BEGINS:
            raise UsageError(f"--out {path}: expected a name that ends in {', '.join(_BEGINS)}")
        if path.suffix == ".geojson" and archive.tiles["geometry"].null_count == len(archive):
            raise UsageError(f"--out {path}: no tile of {archive.path} has a location; use .parquet or .png")
        check_output(path, begins=_BEGINS[path.suffix])


def write_table(path: Location, archive: Archive, rows: Rows, found: list[dict[str, Any]]) -> None:
    """Write tiles with their similarities, in order, with their footprints (WGS 84)."""
    shapes = shapely.from_wkb(archive.tiles["geometry"].take(np.asarray(rows)).to_pylist())
    with file_aside(path) as aside:
        if path.suffix == ".geojson":
            aside.write_text(_geojson(shapes, found), encoding="utf-8")
        else:
            geopandas.GeoDataFrame(found, geometry=list(shapes), crs=4326).to_parquet(aside)


def _geojson(shapes: Any, found: list[dict[str, Any]]) -> str:
    """RFC 7946, by hand: the writers of GDAL turn lists into text and add a name."""
    features = [
        {
            "type": "Feature",
            "geometry": None if shape is None else json.loads(shapely.to_geojson(shape)),
            "properties": {"rank": rank, **tile},
        }
        for rank, (shape, tile) in enumerate(zip(shapes, found, strict=True), 1)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}, allow_nan=False) + "\n"
