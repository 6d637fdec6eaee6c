import numpy as np
import pytest
from utm_squares import Square, at, scattered, table

from swath.errors import UsageError
from swath.geography.leaks import find_leaks

TOLERANCE_M = 2.0


def row(x, *, split, day=0, zone=33):
    east, north = at(33, 15.0, 50.0)
    return Square(zone, round(east) + x, round(north), split=split, day=day)


def counted(squares, split, within_m):
    """Plain loops: overlapping (in zone, across), touching, within, same place, on another date."""
    train = [square for square in squares if square.split == "train"]
    counts = np.zeros(7, dtype=int)
    for square in (square for square in squares if square.split == split):
        inner = square.box.buffer(-TOLERANCE_M / 2, join_style="mitre")
        own = any(t.zone == square.zone and meets(inner, t, square) for t in train)
        foreign = any(t.zone != square.zone and meets(inner, t, square) for t in train)
        nearest = min(square.box.distance(t.seen_from(square)) for t in train)
        twins = [t for t in train if (t.zone, t.x, t.y) == (square.zone, square.x, square.y)]
        counts += [
            own or foreign, own, foreign, nearest <= TOLERANCE_M, nearest < within_m, bool(twins),
            any(t.day != square.day for t in twins),
        ]  # fmt: skip
    return counts.tolist()


def meets(inner, train, square):
    return inner.intersects(train.seen_from(square).buffer(-TOLERANCE_M / 2, join_style="mitre"))


@pytest.mark.parametrize("zones", [(33,), (32, 33), (31, 32, 33)])
@pytest.mark.parametrize("reach_m", [1200, 2400, 12_000])
def test_counts_are_those_of_plain_loops_with_shapely(zones, reach_m):
    squares = scattered(150, seed=reach_m + len(zones), zones=zones, reach_m=reach_m)
    leaks = find_leaks(table(squares), within_m=500)
    assert leaks.tolerance_m == TOLERANCE_M
    for split in ("test", "val"):
        found = leaks.splits[split]
        assert [
            found.overlapping, found.overlapping_in_zone, found.overlapping_across_zones, found.touching,
            found.within, found.same_place, found.same_place_another_date,
        ] == counted(squares, split, 500)  # fmt: skip
    assert leaks.overlap == (leaks.splits["test"].overlapping + leaks.splits["val"].overlapping > 0)


def test_quantiles_of_the_gap_are_of_tiles_not_of_places():
    squares = [row(0, split="train"), row(1300, split="test"), *[row(2300, split="test")] * 2]
    gap = find_leaks(table(squares)).splits["test"].gap_m
    assert (gap["min"], gap["median"], gap["max"]) == (1000, 2000, 2000)


def test_neighbours_touch_and_do_not_overlap_and_a_tile_is_the_default_reach():
    squares = [row(0, split="train"), row(300, split="test"), row(600, split="test"), row(900, split="test")]
    leaks = find_leaks(table(squares))
    found = leaks.splits["test"]
    assert leaks.within_m == 300
    assert (found.overlapping, found.touching, found.within) == (0, 1, 1)
    assert not leaks.overlap


def test_the_same_place_on_the_same_date_is_no_other_date():
    squares = [
        row(0, split="train"),
        row(0, split="test"),
        row(300, split="train"),
        row(300, split="test", day=9),
    ]
    found = find_leaks(table(squares)).splits["test"]
    assert (found.overlapping, found.same_place, found.same_place_another_date) == (2, 2, 1)


def test_small_tiles_have_a_small_tolerance():
    x, y = at(33, 15.0, 50.0)
    squares = [Square(33, x, y, side_m=20), Square(33, x + 19, y, side_m=20, split="test")]
    leaks = find_leaks(table(squares))
    assert leaks.tolerance_m == pytest.approx(0.2)
    assert leaks.splits["test"].overlapping == 1


def test_tiles_without_location_are_counted_but_not_compared():
    squares = [row(0, split="train"), row(0, split="test"), Square(33, 0, 0, side_m=-1, split="test")]
    found = find_leaks(table(squares)).splits["test"]
    assert (found.tiles, found.located, found.overlapping) == (2, 1, 1)


def test_an_index_with_nothing_to_compare_says_which_splits_it_has():
    with pytest.raises(UsageError, match=r"splits here: none, train.*swath split"):
        find_leaks(table([row(0, split="train"), row(300, split=None)]))
    with pytest.raises(UsageError, match="has a location"):
        find_leaks(table([row(0, split="train"), Square(33, 0, 0, side_m=-1, split="test")]))
