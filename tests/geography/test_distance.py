"""Plain loops over all pairs, with shapely, are the oracle of every distance."""

import numpy as np
import pytest
from utm_squares import Square, at, scattered, table

from swath.geography.distance import neighbours, separation
from swath.geography.places import find_places


def apart_m(one: Square, other: Square) -> float:
    """Metres between edges; below zero the depth of the overlap: what both, drawn in, still share."""
    mine, theirs = one.box, other.seen_from(one)
    if not mine.intersects(theirs):
        return mine.distance(theirs)
    low, high = 0.0, one.side_m
    while high - low > 0.01:
        depth = (low + high) / 2
        drawn = [shape.buffer(-depth / 2, join_style="mitre") for shape in (mine, theirs)]
        meet = not drawn[0].is_empty and not drawn[1].is_empty and drawn[0].intersects(drawn[1])
        low, high = (depth, high) if meet else (low, depth)
    return -low


@pytest.mark.parametrize("zones", [(33,), (32, 33), (31, 32, 33)])
def test_all_distances_are_those_of_plain_loops(zones):
    squares = scattered(24, seed=len(zones), zones=zones, reach_m=1500)
    columns = table(squares)
    places = find_places(columns["geometry"], columns["crs"])
    one, other = (grid.reshape(-1) for grid in np.meshgrid(range(24), range(24), indexing="ij"))
    found = separation(places, places.of_tile[one], places.of_tile[other])
    for i, j, metres in zip(one, other, found, strict=True):
        expected = apart_m(squares[i], squares[j])
        if expected > 49_000:  # beyond, places count as circles
            assert metres == pytest.approx(expected, rel=0.01)
        else:
            slack = 0.02 if squares[i].zone == squares[j].zone else 0.04 * abs(min(expected, 0)) + 0.3
            assert metres == pytest.approx(expected, abs=slack)


@pytest.mark.parametrize("seed", range(4))
def test_the_nearest_and_all_that_overlap_are_among_the_pairs(seed):
    squares = scattered(300, seed=seed, reach_m=[1000, 3000, 9000, 30_000][seed])
    columns = table(squares)
    places = find_places(columns["geometry"], columns["crs"])
    is_train = np.array([square.split == "train" for square in squares])
    asked, others = places.of(~is_train), places.of(is_train)
    parts = list(neighbours(places, asked, others))
    pairs = {(i, j) for part in parts for i, j in zip(part.one.tolist(), part.other.tolist(), strict=True)}
    for place in asked.tolist():
        every = separation(places, np.full(len(others), place), others)
        assert (place, int(others[every.argmin()])) in pairs or min(
            separation(places, np.array([place]), np.array([j]))[0] for i, j in pairs if i == place
        ) == pytest.approx(every.min())
        assert {(place, int(j)) for j in others[every < -1e-6]} <= pairs


def test_with_a_reach_nothing_nearer_is_missed():
    squares = scattered(200, seed=5, reach_m=6000)
    columns = table(squares)
    places = find_places(columns["geometry"], columns["crs"])
    is_train = np.array([square.split == "train" for square in squares])
    asked, others = places.of(is_train), places.of(~is_train)
    near = {
        place
        for part in neighbours(places, asked, others, reach_m=700)
        for place, metres in zip(part.one.tolist(), part.apart_m.tolist(), strict=True)
        if metres < 700
    }
    every = {
        place
        for place in asked.tolist()
        if separation(places, np.full(len(others), place), others).min() < 700
    }
    assert near == every


def test_a_tile_among_hundreds_that_overlap_it_finds_all():
    x, y = at(33, 15.0, 50.0)
    squares = [Square(33, round(x) + 10 * i, round(y), split="train") for i in range(200)]
    squares.append(Square(33, round(x) + 1000, round(y), split="test"))
    columns = table(squares)
    places = find_places(columns["geometry"], columns["crs"])
    test = places.of_tile[-1:]
    train = np.setdiff1d(np.arange(len(places)), test)
    overlapping = sum(int((part.apart_m < 0).sum()) for part in neighbours(places, test, train))
    assert overlapping == 59 - 1  # 29 to each side at 10 m steps, and its twin, which is its own place


def test_places_of_another_continent_are_far_and_finite():
    columns = table([Square(33, 500_000, 5_600_000), Square(12, 500_000, 4_000_000, split="test")])
    places = find_places(columns["geometry"], columns["crs"])
    metres = separation(places, np.array([0]), np.array([1]))[0]
    assert metres == pytest.approx(8_900_000, rel=0.05)
