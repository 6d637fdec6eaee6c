import math

import numpy as np
import pyarrow as pa
import pytest
import shapely
from utm_squares import BORDER_LON, Square, at, scattered, table

from swath.errors import UsageError
from swath.geography.blocks import METRES_A_DEGREE, BlockGrid, block_split, overlaps_on_ground
from swath.geography.leaks import find_leaks
from swath.geography.places import find_places
from swath.geography.shares import Shares

SHARES = Shares(test=0.2, val=0.1)


def grid_of(rows=24, columns=24, *, side_m=300.0, step_m=None, lon=15.0, lat=48.0, zone=33):
    """Squares in rows and columns, touching where no step is given."""
    x, y = at(zone, lon, lat)
    step = step_m or side_m
    return [
        Square(zone, round(x) + step * column, round(y) + step * row, side_m)
        for row in range(rows)
        for column in range(columns)
    ]


def split_of(squares, block_m, gap_m=0.0, *, shares=SHARES, seed=0, labels=None):
    columns = table(squares)
    places = find_places(columns["geometry"], columns["crs"])
    labels = np.zeros((len(squares), 0), dtype=np.uint8) if labels is None else labels
    return block_split(places, labels, BlockGrid(block_m, gap_m), shares, seed=seed)


def pairs(squares, splits, first, second):
    for one, mine in zip(squares, splits, strict=True):
        for other, theirs in zip(squares, splits, strict=True):
            if mine in first and theirs in second:
                yield one.box, other.seen_from(one)


RIVALS = (({"train"}, {"val", "test"}), ({"val"}, {"test"}))


@pytest.mark.parametrize("lat", [0.2, 48.0, 69.0])
def test_no_tile_of_two_splits_overlaps(lat):
    squares = grid_of(16, 16, step_m=150, lat=lat)
    splits = split_of(squares, 800).splits
    assert {"train", "val", "test", "gap"} == set(splits.tolist())
    for first, second in RIVALS:
        assert not any(
            one.intersection(other).area > 2 * 300 for one, other in pairs(squares, splits, first, second)
        )


def test_neighbours_may_touch_where_no_gap_is_asked_for():
    squares = grid_of()
    assert "gap" not in split_of(squares, 1500).splits


@pytest.mark.parametrize("gap_m", [250.0, 800.0])
def test_no_training_tile_is_within_the_gap_of_test_or_val(gap_m):
    squares = grid_of(16, 16)
    splits = split_of(squares, 1500, gap_m).splits
    assert {"train", "test", "gap"} <= set(splits.tolist())
    for first, second in RIVALS:
        assert all(one.distance(other) >= gap_m for one, other in pairs(squares, splits, first, second))


def test_the_gap_takes_only_tiles_that_are_near():
    """Plain loops: first val keeps away from test, then train from what val and test are left."""
    gap_m, squares = 700.0, grid_of(16, 16)
    free = split_of(squares, 1500).splits
    expected = free.copy()
    for split, rivals in (("val", {"test"}), ("train", {"val", "test"})):
        others = [square.box for square, name in zip(squares, expected, strict=True) if name in rivals]
        for number, square in enumerate(squares):
            if expected[number] == split and any(square.box.distance(other) < gap_m for other in others):
                expected[number] = "gap"
    assert split_of(squares, 1500, gap_m).splits.tolist() == expected.tolist()


def test_a_tile_is_in_the_block_of_its_middle_and_all_of_a_block_in_one_split_or_the_gap():
    squares = grid_of(step_m=170)
    found = split_of(squares, 1000, seed=2)
    split_of_block = {}
    for square, split, block in zip(squares, found.splits, found.blocks, strict=True):
        lon, lat = np.mean(square.degrees().exterior.coords[:4], axis=0)
        row = math.floor(lat * METRES_A_DEGREE / 1000)
        middle = math.radians((row + 0.5) * 1000 / METRES_A_DEGREE)
        assert block == f"r{row}c{math.floor(lon * METRES_A_DEGREE * math.cos(middle) / 1000)}"
        if split != "gap":
            assert split_of_block.setdefault(block, split) == split
    assert len(set(found.blocks.tolist())) == found.num_blocks


def test_dates_of_one_place_share_a_split_and_a_rerun_is_the_same():
    squares = grid_of()
    twice = [*squares, *squares[::-1]]
    found = split_of(twice, 1500, 400, seed=5).splits
    assert found[: len(squares)].tolist() == found[len(squares) :][::-1].tolist()
    assert found.tolist() == split_of(twice, 1500, 400, seed=5).splits.tolist()
    assert found.tolist() != split_of(twice, 1500, 400, seed=6).splits.tolist()


@pytest.mark.parametrize("seed", range(3))
def test_an_audit_of_the_split_is_clean_across_a_border_of_zones(seed):
    """One ground in two zones, 600 squares that overlap at random."""
    squares = scattered(600, seed=seed, reach_m=9000)
    splits = split_of(squares, 3000, 300, seed=seed).splits
    assert {"train", "val", "test"} <= set(splits.tolist())
    columns = table(squares)
    columns = columns.set_column(0, "split", pa.array(splits.tolist()))
    for found in find_leaks(columns, within_m=300).splits.values():
        assert (found.overlapping, found.touching, found.within, found.same_place) == (0, 0, 0, 0)
    crossing = [square for square in squares if square.zone == 32 and square.x > at(32, BORDER_LON, 50.0)[0]]
    assert crossing  # tiles of zone 32 that lie beyond the border, on the ground of zone 33


def test_shares_of_tiles_come_near_what_was_asked():
    splits = split_of(grid_of(40, 40), 1200).splits
    assert (splits == "test").mean() == pytest.approx(0.2, abs=0.02)
    assert (splits == "val").mean() == pytest.approx(0.1, abs=0.02)


def test_too_few_blocks_say_which_size_to_choose():
    with pytest.raises(UsageError, match=r"block\(s\) of 90,000 m.* --block-m 14\d\d for about 25"):
        split_of(grid_of(), 90_000)


def test_tiles_larger_than_a_block_are_refused():
    with pytest.raises(UsageError, match="tiles are 1,200 m wide, blocks 1,000 m: choose --block-m 6000"):
        split_of(grid_of(4, 4, side_m=1200), 1000)


def test_a_share_of_zero_leaves_the_split_out():
    assert "val" not in split_of(grid_of(), 1500, shares=Shares(test=0.3, val=0.0)).splits


def overlap(squares):
    columns = table(squares)
    places = find_places(columns["geometry"], columns["crs"])
    return overlaps_on_ground(places, num_tiles=len(squares))


def test_neighbours_do_not_overlap_but_shifted_and_repeated_tiles_do():
    squares = grid_of(6, 6)
    assert not overlap(squares)
    assert overlap(grid_of(6, 6, step_m=150))
    assert overlap([*squares, squares[20]])


def test_turned_neighbours_do_not_overlap_though_their_boxes_do():
    """Tiles of a projected grid are turned by a degree or two against north."""
    turned = [
        shapely.affinity.rotate(square.degrees(), 2.0, origin=(15.0, 48.0))
        for square in grid_of(6, 6, lat=0.1)
    ]
    geometry = pa.chunked_array([pa.array([tile.wkb for tile in turned])])
    places = find_places(geometry, pa.chunked_array([pa.nulls(36, pa.string())]))
    assert not overlaps_on_ground(places, num_tiles=36)
