"""Labels drawn as polygons: the share of each tile that each class covers."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio
import pyproj
import shapely
from rasterio import Affine, features

from swath.data.signature import check_path
from swath.data.windows import Grid, Strip, bounds_of
from swath.errors import DataError, UsageError, did_you_mean

# First bytes of the formats that are read. Anything else could be one that points to other files.
_MAGIC = {
    ".gpkg": (b"SQLite format 3\x00",),
    ".geojson": (b"{", b"\xef\xbb\xbf{"),
    ".json": (b"{", b"\xef\xbb\xbf{"),
    ".shp": (b"\x00\x00\x27\x0a",),
    ".fgb": (b"fgb",),
}
SUFFIXES = tuple(_MAGIC)


class LabelPolygons:
    """A file of polygons with a column of class names. Polygons are read scene by scene, never all at once.

    Raises:
        DataError: no polygons, no CRS, or a file of another kind.
        UsageError: the column is not given or not there; the columns there are named.
    """

    def __init__(self, path: Path, column: str | None) -> None:
        _check_vector(path)
        self.path = path
        self.layer, about = _layer_with(path, column)
        if about["crs"] is None or pyproj.CRS.from_user_input(about["crs"]).type_name == "Engineering CRS":
            raise DataError(
                f"{path} has no CRS, so its polygons cannot be placed. Set it, "
                f"for example: ogr2ogr -a_srs EPSG:4326 fixed.gpkg {path.name}"
            )
        if "Polygon" not in str(about["geometry_type"]) and about["geometry_type"] not in {"Unknown", None}:
            raise DataError(f"{path} holds {about['geometry_type']} features; polygons are needed.")
        self.column = str(column)
        self.crs = str(about["crs"])
        self.is_openstreetmap = "osm_id" in about["fields"]

    def on_scene(self, crs: str, transform: tuple[float, ...], size_px: tuple[int, int]) -> "ScenePolygons":
        """The polygons that touch a raster of (width, height) `size_px`, in its own system."""
        bounds = bounds_of(transform, *size_px)
        there = pyproj.Transformer.from_crs(crs, self.crs, always_xy=True).transform_bounds(*bounds)
        with _one_line(self.path):
            frame = pyogrio.read_dataframe(self.path, layer=self.layer, columns=[self.column], bbox=there)
        frame = frame[frame.geometry.notna() & frame[self.column].notna()].to_crs(crs)
        frame = frame[frame.intersects(shapely.box(*bounds))]
        names = frame[self.column].astype(str).to_numpy()
        geometries = frame.geometry.to_numpy()
        return ScenePolygons(transform, {str(name): geometries[names == name] for name in np.unique(names)})


@dataclass(frozen=True)
class ScenePolygons:
    """The polygons of one scene by class, in the scene's system."""

    transform: tuple[float, ...]
    by_class: dict[str, npt.NDArray[np.object_]]

    def shares(self, grid: Grid, strip: Strip, vocabulary: tuple[str, ...]) -> npt.NDArray[np.float32]:
        """(rows, columns, K) share of each window of `strip` under each class of `vocabulary`.

        A pixel belongs to a polygon when its centre does. One class of one strip is burnt at a time.
        """
        shares = np.zeros((len(strip.ys), len(grid.xs), len(vocabulary)), np.float32)
        a, b, c, d, e, f = self.transform
        here = Affine(a, b, c + b * strip.top, d, e, f + e * strip.top)
        box = shapely.box(*bounds_of(tuple(here)[:6], grid.width, strip.height_px))
        for k, name in enumerate(vocabulary):
            polygons = self.by_class.get(name)
            if polygons is None:
                continue
            touching = polygons[shapely.intersects(polygons, box)]
            if len(touching):
                burnt = features.rasterize(
                    touching, (strip.height_px, grid.width), transform=here, dtype="uint8"
                )
                shares[:, :, k] = grid.shares(burnt.astype(bool), strip)
        return shares


@contextlib.contextmanager
def _one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise DataError(
            f"{path} cannot be read ({' '.join(str(error).split())}). Export it again."
        ) from error


def _check_vector(path: Path) -> None:
    magic = _MAGIC.get(path.suffix.lower())
    if magic is None:
        raise UsageError(f"{path}: polygons are read from {', '.join(SUFFIXES)}. Convert it with ogr2ogr.")
    check_path(path)
    with path.open("rb") as stream:
        head = stream.read(64).lstrip(b" \t\r\n")
    if not head.startswith(magic):
        raise DataError(f"{path} is not a {path.suffix} file (starts with {head[:12]!r}). Export it again.")


def _layer_with(path: Path, column: str | None) -> tuple[str, dict[str, Any]]:
    """The first layer with geometry that has `column`."""
    fields: list[str] = []
    with _one_line(path):
        for layer, geometry in pyogrio.list_layers(path):
            about = pyogrio.read_info(path, layer=layer)
            if column is not None and column in about["fields"] and geometry is not None:
                return str(layer), about
            fields += [str(field) for field in about["fields"] if field not in fields]
    columns = ", ".join(fields) or "none"
    if column is None:
        raise UsageError(
            f"{path}: say which column holds the class: --label-column NAME. Columns: {columns}."
        )
    raise UsageError(f'{path} has no column "{column}"; columns: {columns}.{did_you_mean(column, fields)}')


def read_area(path: Path) -> shapely.Geometry:
    """All polygons of a file as one area in WGS 84 longitude and latitude.

    Raises:
        DataError: no polygons, no CRS, or damaged.
        UsageError: a file of another kind.
    """
    _check_vector(path)
    with _one_line(path):
        frame = pyogrio.read_dataframe(path, columns=[])
    frame = frame[frame.geometry.notna()]
    if frame.crs is None or not frame.geom_type.isin(["Polygon", "MultiPolygon"]).any():
        lacks = "no polygons" if frame.crs is not None else "no CRS"
        raise DataError(f"{path} has {lacks}; an area is made of polygons whose place is known.")
    return shapely.union_all(frame.to_crs(4326).geometry.to_numpy())
