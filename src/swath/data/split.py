"""Which tiles train, validate and test: at random, or by whole places so that test is elsewhere.

Boxes are (N, 4) of west, south, east, north in degrees. Distances take the earth for a sphere on which a
degree is as short as it gets anywhere: none is overstated, and they are understated by 1 % at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from swath.draws import permutation
from swath.errors import UsageError

METRES_A_DEGREE = 110_574.0  # of latitude at the equator, WGS 84
_DRAWS = 64
_AT_ONCE = 8192  # tiles asked about in one call: bounds the memory for pairs

Boxes = npt.NDArray[np.float64]
Names = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Shares:
    """Of the tiles; what is left trains."""

    test: float
    val: float


@dataclass(frozen=True)
class BlockGrid:
    """Square places of `block_m` on a grid that depends on no data; `gap_m` keeps training away from test."""

    block_m: float
    gap_m: float


@dataclass(frozen=True)
class BlockSplit:
    """`splits` (N,): train, val, test or gap. `blocks` (N,): the place of the middle of each tile.

    `label_divergence` is the mean over splits and labels of |sqrt(share in the split) - sqrt(share overall)|.
    """

    splits: Names
    blocks: Names
    num_blocks: int
    label_divergence: float


def random_split(ids: Sequence[str], shares: Shares, *, seed: int) -> Names:
    """(N,) train, val or test; a function of the seed and the set of ids, whatever their order."""
    n = len(ids)
    num_test, num_val = round(shares.test * n), round(shares.val * n)
    shuffled = np.argsort(np.asarray(ids), kind="stable")[permutation(n, seed=seed, epoch=0)]
    splits = np.full(n, "train", dtype="<U5")
    splits[shuffled[:num_test]] = "test"
    splits[shuffled[num_test : num_test + num_val]] = "val"
    return splits


def block_split(
    boxes: Boxes, labels: npt.NDArray[np.uint8], grid: BlockGrid, shares: Shares, *, seed: int
) -> BlockSplit:
    """Give whole blocks to test and val, so that shares of the labels (N, K) stay near those of all tiles.

    A tile whose corners lie in blocks of different splits goes to "gap", as do training tiles nearer than
    `gap_m` to a test or val tile, and val tiles nearer than that to a test tile. Tiles of one place fall into
    one split whatever their date, because only the box counts.

    Raises:
        UsageError: tiles are larger than a block, or there are too few blocks.
    """
    _check_sizes(boxes, grid)
    corners, centres, names = _blocks_of(boxes, grid)
    _check_count(boxes, len(np.unique(centres)), shares, grid)
    block_splits, divergence = _best_draw(centres, len(names), labels, shares, seed)
    of_corners = block_splits[corners]
    agree = (of_corners == of_corners[:, :1]).all(axis=1)
    splits = np.where(agree, of_corners[:, 0], "gap").astype("<U5")
    if grid.gap_m > 0:
        splits = _with_gap(boxes, splits, grid.gap_m)
    return BlockSplit(splits, names[centres], len(np.unique(centres)), divergence)


def overlaps_on_ground(footprints: npt.NDArray[Any]) -> bool:
    """Whether any two shapely polygons share more than a rim of 1 % of their side."""
    bounds = shapely.bounds(footprints)
    middle = (bounds[:, :2] + bounds[:, 2:]) / 2
    points, owner = shapely.get_coordinates(footprints, return_index=True)
    inner = shapely.set_coordinates(footprints.copy(), middle[owner] + 0.98 * (points - middle[owner]))
    tree = shapely.STRtree(footprints)
    for start in range(0, len(inner), _AT_ONCE):
        asked, found = tree.query(inner[start : start + _AT_ONCE], predicate="intersects")
        if (asked + start != found).any():
            return True
    return False


def _blocks_of(boxes: Boxes, grid: BlockGrid) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Names]:
    """Block numbers of the four corners (N, 4) and of the middle (N,), and the names of the blocks."""
    west, south, east, north = boxes.T
    lon = np.stack([west, east, west, east, (west + east) / 2], axis=1)
    lat = np.stack([south, south, north, north, (south + north) / 2], axis=1)
    step = grid.block_m / METRES_A_DEGREE
    rows = np.floor(lat / step).astype(np.int64)
    columns = np.floor(lon * np.cos(np.radians((rows + 0.5) * step)) / step).astype(np.int64)
    places, number = np.unique(np.stack([rows.ravel(), columns.ravel()], axis=1), axis=0, return_inverse=True)
    number = number.reshape(rows.shape)
    names = np.asarray([f"r{row}c{column}" for row, column in places.tolist()], dtype=np.str_)
    return number[:, :4], number[:, 4], names


def _check_sizes(boxes: Boxes, grid: BlockGrid) -> None:
    """The four corners tell all blocks that a tile touches only where it is not larger than a block."""
    largest = float(_sides_m(boxes).max())
    if largest > grid.block_m:
        raise UsageError(
            f"tiles are {largest:,.0f} m wide, blocks {grid.block_m:,.0f} m: "
            f"choose --block-m {5 * largest:.0f} or more"
        )


def _check_count(boxes: Boxes, num_blocks: int, shares: Shares, grid: BlockGrid) -> None:
    needed = 1 + (shares.test > 0) + (shares.val > 0)
    if num_blocks >= needed:
        return
    extent = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])[None]
    smaller = max(float(np.sqrt(_sides_m(extent).prod() / 25)), float(_sides_m(boxes).max()))
    raise UsageError(
        f"the tiles lie in {num_blocks} block(s) of {grid.block_m:,.0f} m, the split needs {needed}: "
        f"choose --block-m {smaller:.0f} for about 25 blocks"
    )


def _sides_m(boxes: Boxes) -> npt.NDArray[np.float64]:
    """(N, 2) width and height; the width where the box is widest."""
    nearest = np.minimum(np.abs(boxes[:, 1]), np.abs(boxes[:, 3]))
    nearest = np.where(boxes[:, 1] * boxes[:, 3] < 0, 0.0, nearest)
    width = (boxes[:, 2] - boxes[:, 0]) * np.cos(np.radians(nearest))
    return METRES_A_DEGREE * np.stack([width, boxes[:, 3] - boxes[:, 1]], axis=1)


def _best_draw(
    centres: npt.NDArray[np.intp], num_blocks: int, labels: npt.NDArray[np.uint8], shares: Shares, seed: int
) -> tuple[Names, float]:
    """Of 64 seeded draws of blocks, the one whose splits are nearest to all tiles in size and labels."""
    tiles = np.bincount(centres, minlength=num_blocks)
    positives = np.zeros((num_blocks, labels.shape[1]), dtype=np.int64)
    np.add.at(positives, centres, labels)
    best: tuple[float, float, Names] | None = None
    for draw in range(_DRAWS):
        splits = _draw(permutation(num_blocks, seed=seed, epoch=draw), tiles, shares)
        divergence, off_size = _distance(splits, tiles, positives, shares)
        if best is None or divergence + off_size < best[0]:
            best = (divergence + off_size, divergence, splits)
    assert best is not None
    return best[2], best[1]


def _draw(order: npt.NDArray[np.int64], tiles: npt.NDArray[np.int64], shares: Shares) -> Names:
    """Walk through the blocks; each goes to test, else to val, where that brings it nearer to its share."""
    splits = np.full(len(tiles), "train", dtype="<U5")
    held = {"test": 0.0, "val": 0.0}
    wanted = {"test": shares.test * tiles.sum(), "val": shares.val * tiles.sum()}
    for block in order.tolist():
        size = float(tiles[block])
        for split in ("test", "val"):
            nearer = held[split] + size / 2 < wanted[split]
            if size > 0 and (nearer or (held[split] == 0 and wanted[split] > 0)):
                splits[block] = split
                held[split] += size
                break
    return splits


def _distance(
    splits: Names, tiles: npt.NDArray[np.int64], positives: npt.NDArray[np.int64], shares: Shares
) -> tuple[float, float]:
    """How far labels of the splits are from those of all tiles, and how far their sizes from what was asked.

    Square roots, so that a rare label that a split lost counts as it should.
    """
    overall = np.sqrt(positives.sum(axis=0) / tiles.sum())
    wanted = {"train": 1 - shares.test - shares.val, "val": shares.val, "test": shares.test}
    label_gaps, size_gaps = [], []
    for split, share in wanted.items():
        inside = splits == split
        size = tiles[inside].sum()
        size_gaps.append(abs(size / tiles.sum() - share))
        if share > 0 and positives.shape[1]:
            label_gaps.append(np.abs(np.sqrt(positives[inside].sum(axis=0) / max(size, 1)) - overall).mean())
    return float(np.mean(label_gaps)) if label_gaps else 0.0, float(np.mean(size_gaps))


def _with_gap(boxes: Boxes, splits: Names, gap_m: float) -> Names:
    guarded = splits.copy()
    for split, others in (("train", ("val", "test")), ("val", ("test",))):
        inside = np.flatnonzero(splits == split)
        near = _near(boxes[inside], boxes[np.isin(splits, others)], gap_m)
        guarded[inside[near]] = "gap"
    return guarded


def _near(boxes: Boxes, others: Boxes, gap_m: float) -> npt.NDArray[np.bool_]:
    """(N,) whether a box, grown by gap_m on each side, meets one of `others`."""
    near = np.zeros(len(boxes), dtype=np.bool_)
    if not len(others):
        return near
    grow_lat = np.full(len(boxes), gap_m / METRES_A_DEGREE)
    poleward = np.minimum(np.abs(boxes[:, [1, 3]]).max(axis=1) + grow_lat, 89.9)
    grow_lon = grow_lat / np.cos(np.radians(poleward))
    grown = _to_polygons(boxes + np.stack([-grow_lon, -grow_lat, grow_lon, grow_lat], axis=1))
    tree = shapely.STRtree(_to_polygons(others))
    for start in range(0, len(grown), _AT_ONCE):
        asked, _ = tree.query(grown[start : start + _AT_ONCE])
        near[asked + start] = True
    return near


def _to_polygons(boxes: Boxes) -> npt.NDArray[Any]:
    west, south, east, north = boxes.T
    return np.asarray(shapely.box(west, south, east, north))
