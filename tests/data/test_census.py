"""Counts of tiles, against plain loops and Counters."""

from collections import Counter
from itertools import permutations

import numpy as np
import pyarrow as pa
import pytest

from swath.data import census
from swath.data.census import take_census

VOCABULARY = ("farm", "water", "wood", "never")


def random_tiles(count: int) -> list[dict]:
    rng = np.random.default_rng(0)
    choose = lambda *values: values[rng.integers(len(values))]  # noqa: E731
    return [
        {
            "id": f"t{i}",
            "split": choose("train", "test", None),
            "labels": choose(None, [], ["farm"], ["water", "farm"], ["wood", "water", "farm"]),
            "season": choose("Winter", "Summer", None),
            "snow": choose(True, False),
            "file": f"{i}.tif",
            "same": "always",
        }
        for i in range(count)
    ]


def table_of(tiles: list[dict]) -> pa.Table:
    labels = pa.array([tile["labels"] for tile in tiles], pa.list_(pa.string()))
    names = [name for name in tiles[0] if name != "labels"]
    return pa.table({name: [tile[name] for tile in tiles] for name in names}).append_column("labels", labels)


def split_of(tile: dict) -> str:
    return tile["split"] or "none"


@pytest.mark.parametrize("at_once", [7, 1 << 16])
def test_counts_are_those_of_plain_counters(at_once, monkeypatch):
    monkeypatch.setattr(census, "_AT_ONCE", at_once)
    tiles = random_tiles(100)
    found = take_census(table_of(tiles), VOCABULARY)
    assert (found.tiles, found.splits) == (100, Counter(map(split_of, tiles)))
    assert list(found.splits) == ["train", "test", "none"]
    assert found.labelled == sum(tile["labels"] is not None for tile in tiles)
    assert found.empty == sum(tile["labels"] == [] for tile in tiles)
    by_split = Counter((name, split_of(tile)) for tile in tiles for name in tile["labels"] or [])
    assert found.labels == {
        name: {split: by_split[name, split] for split in found.splits} for name in VOCABULARY
    }
    pairs = Counter(pair for tile in tiles for pair in permutations(tile["labels"] or [], 2))
    assert {(a, b): n for a, others in found.together.items() for b, n in others.items()} == pairs


def test_only_columns_that_group_tiles_are_counted():
    tiles = random_tiles(100)
    found = take_census(table_of(tiles), VOCABULARY).columns
    assert set(found) == {"season", "snow"}
    for name, words in (
        ("season", lambda value: value or "not said"),
        ("snow", lambda value: "yes" if value else "no"),
    ):
        counted = Counter((words(tile[name]), split_of(tile)) for tile in tiles)
        assert {(v, s): n for v, splits in found[name].items() for s, n in splits.items()} == counted


def test_tiles_without_any_label_are_counted_too():
    tiles = [tile | {"labels": None} for tile in random_tiles(5)]
    found = take_census(table_of(tiles), ())
    assert (found.tiles, found.labelled, found.empty, found.labels) == (5, 0, 0, {})
