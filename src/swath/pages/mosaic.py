"""Tiles laid back on the ground: where each lies in a picture of the largest scene, by its footprint.

Shapes: N tiles, C bands; a canvas is (C, H, W).
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyproj
import shapely
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from torch import Tensor

from swath.data.store import TileStore
from swath.pages.pictures import Display, Rows, column

Boxes = npt.NDArray[np.float64]  # (n, 4) west, south, east, north

_MAX_PX = 1600
_FEWEST_TILES = 4
_BATCH = 256
_METRES_A_DEGREE = 111_320.0


@dataclass(frozen=True)
class Layout:
    """Tiles `rows` with their upper left pixels on a canvas; `pixel_m` is metres a pixel, None if unknown.

    `joined`: neighbours here are neighbours on the ground. `whole`: the canvas shows the whole scene.
    """

    rows: Rows
    tops: Rows
    lefts: Rows
    tile_px: int
    height_px: int
    width_px: int
    pixel_m: float | None = None
    joined: bool = True
    whole: bool = True


@dataclass(frozen=True)
class Canvas:
    """The pixels of a layout: unit (C, H, W), and where there are any (H, W)."""

    layout: Layout
    unit: Tensor
    covered: npt.NDArray[np.bool_]


def ground_boxes(store: TileStore) -> Boxes:
    """(N, 4) bounds in longitude and latitude, NaN where a tile has no location."""
    found = shapely.from_wkb(column(store, "geometry"))
    return np.asarray(shapely.bounds(found), dtype=np.float64).reshape(-1, 4)


def lay_out(store: TileStore) -> Layout | None:
    """The largest connected area of tiles, in their own projection; None if there is none to show."""
    geometry = shapely.from_wkb(column(store, "geometry"))
    names = np.asarray([name or "" for name in column(store, "crs")], dtype=np.str_)
    known = ~shapely.is_missing(geometry)
    if known.sum() < _FEWEST_TILES:
        return None
    crs, counts = np.unique(names[known], return_counts=True)
    chosen = str(crs[counts.argmax()])
    rows = np.flatnonzero(known & (names == chosen)).astype(np.int64)
    boxes = _projected(geometry[rows], chosen)
    side = float(np.median(boxes[:, 2] - boxes[:, 0]))
    near = _largest_area(boxes, side)
    if near.sum() < _FEWEST_TILES:
        return None
    placed = _place(
        rows[near], boxes[near], unit_px=side / store.format.size_px, size_px=store.format.size_px
    )
    return placed if _is_geographic(chosen) else replace(placed, pixel_m=side / store.format.size_px)


def sheet(store: TileStore, rows: Rows, *, columns: int) -> Layout:
    """Tiles that do not adjoin, side by side in reading order."""
    size = store.format.size_px
    tops, lefts = np.divmod(np.arange(len(rows)), columns)
    height, width = (int(tops.max()) + 1) * size, min(columns, len(rows)) * size
    return Layout(rows, tops * size, lefts * size, size, height, width, joined=False)


def paint(display: Display, layout: Layout) -> Canvas:
    """Read the tiles of a layout and put them in their places; bare ground gets the mean of each band."""
    size = display.seen.size_px
    unit = torch.tensor(display.seen.mean)[:, None, None].repeat(1, layout.height_px, layout.width_px)
    covered = np.zeros((layout.height_px, layout.width_px), dtype=np.bool_)
    for start in range(0, len(layout.rows), _BATCH):
        part = slice(start, start + _BATCH)
        places = zip(layout.tops[part].tolist(), layout.lefts[part].tolist(), strict=True)
        for tile, (top, left) in zip(display.unit(layout.rows[part]), places, strict=True):
            unit[:, top : top + size, left : left + size] = tile
            covered[top : top + size, left : left + size] = True
    return Canvas(layout, unit, covered)


def _projected(geometry: npt.NDArray[np.object_], crs: str) -> Boxes:
    """(n, 4) bounds in the units of `crs`; where tiles have none, in metres of a local map."""
    corners = shapely.get_coordinates(geometry)
    tile = np.repeat(np.arange(len(geometry)), shapely.get_num_coordinates(geometry))
    if crs:
        flat = pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(corners[:, 0], corners[:, 1])
        x, y = (np.asarray(axis) for axis in flat)
    else:
        x = corners[:, 0] * _METRES_A_DEGREE * np.cos(np.deg2rad(corners[:, 1].mean()))
        y = corners[:, 1] * _METRES_A_DEGREE
    starts = np.flatnonzero(np.diff(tile, prepend=-1))
    low, high = np.minimum.reduceat, np.maximum.reduceat
    return np.stack([low(x, starts), low(y, starts), high(x, starts), high(y, starts)], axis=1)


def _largest_area(boxes: Boxes, side: float) -> npt.NDArray[np.bool_]:
    """(n,) tiles of the largest group in which each is beside another, to within a tile."""
    cells, of_tile = np.unique(np.floor(boxes[:, :2] / side).astype(np.int64), axis=0, return_inverse=True)
    pairs = cKDTree(cells).query_pairs(1.5, p=np.inf, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(cells), len(cells)))
    _, group = connected_components(links, directed=False)
    of_tile = group[of_tile.reshape(-1)]
    return np.asarray(of_tile == np.bincount(of_tile).argmax())


def _place(rows: Rows, boxes: Boxes, *, unit_px: float, size_px: int) -> Layout:
    lefts = np.rint((boxes[:, 0] - boxes[:, 0].min()) / unit_px).astype(np.int64)
    tops = np.rint((boxes[:, 3].max() - boxes[:, 3]) / unit_px).astype(np.int64)
    inside = np.ones(len(rows), dtype=np.bool_)
    for places in (tops, lefts):
        if places.max() + size_px > _MAX_PX:  # a window of the scene around its middle tile
            start = max(0, int(np.median(places)) - _MAX_PX // 2)
            inside &= (places >= start) & (places + size_px <= start + _MAX_PX)
    tops, lefts = tops[inside] - tops[inside].min(), lefts[inside] - lefts[inside].min()
    height, width = int(tops.max()) + size_px, int(lefts.max()) + size_px
    return Layout(rows[inside], tops, lefts, size_px, height, width, whole=bool(inside.all()))


def _is_geographic(crs: str) -> bool:
    return bool(crs) and bool(pyproj.CRS.from_user_input(crs).is_geographic)
