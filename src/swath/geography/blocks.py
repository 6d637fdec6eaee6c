"""Splits by whole places, so that test is elsewhere; and what a split without places must be asked.

Shapes: N tiles, U places, K labels.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swath.errors import UsageError
from swath.geography.distance import neighbours
from swath.geography.leaks import tolerance_of
from swath.geography.places import Numbers, Places
from swath.geography.shares import SPLITS, Shares, share_out

METRES_A_DEGREE = 110_574.0  # of latitude at the equator, WGS 84

Names = npt.NDArray[np.str_]


@dataclass(frozen=True)
class BlockGrid:
    """Square blocks of `block_m` on a grid that depends on no data; `gap_m` keeps training away from test."""

    block_m: float
    gap_m: float


@dataclass(frozen=True)
class BlockSplit:
    """`splits` (N,): train, val, test or gap. `blocks` (N,): the block of the middle of each tile."""

    splits: Names
    blocks: Names
    num_blocks: int


def block_split(
    places: Places, labels: npt.NDArray[np.uint8], grid: BlockGrid, shares: Shares, *, seed: int
) -> BlockSplit:
    """Give whole blocks to test and val, so that shares of the labels (N, K) stay near those of all tiles.

    A tile belongs to the block of its middle. Training tiles that overlap a test or val tile, or are nearer
    to one than `gap_m`, go to "gap", and so do val tiles near a test tile. Tiles of one place fall into one
    split whatever their date, because only the place counts.

    Raises:
        UsageError: tiles are larger than a block, or there are too few blocks.
    """
    _check_sizes(places, grid)
    block, names = _blocks_of(places, grid)
    _check_count(places, len(names), shares, grid)
    of_tile = block[places.of_tile]
    tiles = np.bincount(of_tile, minlength=len(names))
    positives = np.zeros((len(names), labels.shape[1]), dtype=np.int64)
    for label, column in enumerate(labels.T):
        positives[:, label] = np.bincount(of_tile, column, len(names))
    split_of_block = share_out(tiles, positives, shares, seed=seed)
    splits = _guarded(places, np.asarray(SPLITS, dtype="<U5")[split_of_block[block]], grid.gap_m)
    return BlockSplit(splits[places.of_tile], names[of_tile], len(names))


def overlaps_on_ground(places: Places, *, num_tiles: int) -> bool:
    """Whether any two of the tiles that have a place share ground, deeper than what counts as touching."""
    if num_tiles > len(places):
        return True
    every, tolerance = np.arange(len(places)), tolerance_of(places)
    return any(
        bool(((pairs.apart_m < -tolerance) & (pairs.one != pairs.other)).any())
        for pairs in neighbours(places, every, every)
    )


def _blocks_of(places: Places, grid: BlockGrid) -> tuple[Numbers, Names]:
    """(U,) the block of each place by number, and the names of the blocks."""
    lon, lat = places.lonlat.mean(axis=1).T
    step = grid.block_m / METRES_A_DEGREE
    rows = np.floor(lat / step).astype(np.int64)
    columns = np.floor(lon * np.cos(np.radians((rows + 0.5) * step)) / step).astype(np.int64)
    found, number = np.unique(np.stack([rows, columns], axis=1), axis=0, return_inverse=True)
    names = np.asarray([f"r{row}c{column}" for row, column in found.tolist()], dtype=np.str_)
    return number.reshape(-1).astype(np.int64), names


def _check_sizes(places: Places, grid: BlockGrid) -> None:
    sides = np.linalg.norm(places.corners - np.roll(places.corners, 1, axis=1), axis=2)
    largest = float(sides.max())
    if largest > grid.block_m:
        raise UsageError(
            f"tiles are {largest:,.0f} m wide, blocks {grid.block_m:,.0f} m: "
            f"choose --block-m {5 * largest:.0f} or more"
        )


def _check_count(places: Places, num_blocks: int, shares: Shares, grid: BlockGrid) -> None:
    needed = 1 + (shares.test > 0) + (shares.val > 0)
    if num_blocks >= needed:
        return
    low, high = places.lonlat.min(axis=(0, 1)), places.lonlat.max(axis=(0, 1))
    width, height = (
        (high - low) * METRES_A_DEGREE * np.asarray([np.cos(np.radians((low + high)[1] / 2)), 1.0])
    )
    smaller = max(float(np.sqrt(width * height / 25)), places.side_m())
    raise UsageError(
        f"the tiles lie in {num_blocks} block(s) of {grid.block_m:,.0f} m, the split needs {needed}: "
        f"choose --block-m {smaller:.0f} for about 25 blocks"
    )


def _guarded(places: Places, splits: Names, gap_m: float) -> Names:
    """(U,) splits with "gap" where a place is too near to a split that is to be kept away from."""
    guarded = splits.copy()
    for split, others in (("val", ["test"]), ("train", ["val", "test"])):
        asked, rivals = np.flatnonzero(guarded == split), np.flatnonzero(np.isin(guarded, others))
        for pairs in neighbours(places, asked, rivals, reach_m=gap_m):
            near = (pairs.apart_m < gap_m) if gap_m > 0 else (pairs.apart_m < -tolerance_of(places))
            guarded[pairs.one[near]] = "gap"
    return guarded
