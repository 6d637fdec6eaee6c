"""Oracle: every pair by plain loops, joined by a walk."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from search_oracle import cosines

import swath
from swath.cli import main
from swath.errors import DataError, UsageError
from swath.scores.knn import unit_rows
from swath.serve.search import boxes, duplicates

RNG = np.random.default_rng(8)
VALUES = RNG.normal(size=(60, 32)).astype(np.float32)
VALUES[40:50] = VALUES[:10] + RNG.normal(0, 0.05, (10, 32))
VALUES[50:55] = VALUES[40:45] + RNG.normal(0, 0.05, (5, 32))
VALUES[59] = VALUES[58]


def groups_by_loops(values, threshold, allowed=range(60)):
    similar = np.stack([cosines(values, row.astype(float)) for row in values]) >= threshold
    left, groups = list(allowed), []
    while left:
        group, todo = set(), [left[0]]
        while todo:
            row = todo.pop()
            group.add(row)
            todo += [other for other in left if similar[row, other] and other not in group]
        left = [row for row in left if row not in group]
        groups.append(group)
    return sorted([sorted(f"t{row:04d}" for row in group) for group in groups if len(group) > 1])


@pytest.mark.parametrize("sizes", [(512, 16_384, 4_000_000), (5, 7, 3)])
def test_groups_are_those_of_plain_loops_whatever_the_boxes(make_features, monkeypatch, sizes):
    for name, size in zip(("_BOX", "_AT_ONCE", "_MOST_PAIRS"), sizes, strict=True):
        monkeypatch.setattr(duplicates, name, size)
    monkeypatch.setattr("swath.features.table._ROW_GROUP", 13)
    path = make_features(values=VALUES)
    result = swath.search(path, near_duplicates=True, threshold=0.99)
    found = [group["tiles"] for group in result.groups]
    assert sorted(found) == groups_by_loops(VALUES, 0.99)
    assert len(found[0]) >= len(found[-1])
    assert result.in_groups == sum(map(len, found))


@pytest.mark.parametrize(("threshold", "most"), [(0.3, 1.0), (0.99, 0.5), (0.999, 0.3)])
def test_far_boxes_are_not_compared_and_no_pair_is_missed(monkeypatch, threshold, most):
    """240 tiles between two of ten places, half of them very near another one."""
    rng = np.random.default_rng(2)
    places, shares = rng.normal(size=(10, 32)), rng.beta(0.5, 0.5, (240, 1))
    ends = places[rng.integers(0, 10, (2, 240))]
    values = ends[0] * shares + ends[1] * (1 - shares) + rng.normal(0, 0.04, (240, 32))
    values[120:] = values[:120] + rng.normal(0, 0.1, (120, 32)) * rng.random((120, 1))
    monkeypatch.setattr(duplicates, "unit_blocks", lambda _: map(unit_rows, np.array_split(values, 7)))
    monkeypatch.setattr(duplicates, "_BOX", 8)
    compared, near = [], boxes.BoxedTiles.near

    def counted(tiles, number, *, distance):
        found = near(tiles, number, distance=distance)
        compared.append((len(found), 240 - tiles.starts[number]))
        return found

    monkeypatch.setattr(boxes.BoxedTiles, "near", counted)
    found = duplicates.near_duplicates("", tiles=240, threshold=threshold)
    similar = np.stack([cosines(values, row) for row in values]) >= threshold
    assert found.pairs == np.triu(similar, 1).sum() > 20
    assert sorted([f"t{row:04d}" for row in sorted(rows)] for rows in found.groups) == groups_by_loops(
        values, threshold, range(240)
    )
    looked_at, all_of_them = np.sum(compared, axis=0)
    assert looked_at <= most * all_of_them


def test_the_same_feature_is_a_duplicate_at_the_highest_threshold(make_features):
    groups = swath.search(make_features(values=VALUES), near_duplicates=True, threshold=1.0).groups
    assert groups == [{"tiles": ["t0058", "t0059"], "same_pixels": False}]


def test_only_tiles_that_pass_the_filters_are_compared(make_features):
    path = make_features(values=VALUES)
    result = swath.search(path, near_duplicates=True, threshold=0.99, place="0.5,0.1,44.5,0.9")
    found = sorted(group["tiles"] for group in result.groups)
    assert found == groups_by_loops(VALUES, 0.99, range(45))


def test_tiles_with_the_same_pixels_are_told(make_features):
    path = make_features(values=VALUES)
    table = pq.read_table(path)
    crc32 = table["crc32"].to_pylist()
    crc32[59] = crc32[58]
    pq.write_table(
        table.set_column(table.column_names.index("crc32"), "crc32", pa.array(crc32, pa.uint32())), path
    )
    groups = swath.search(path, near_duplicates=True, threshold=1.0).groups
    assert groups == [{"tiles": ["t0058", "t0059"], "same_pixels": True}]


def test_nan_is_refused_here_too(make_features):
    values = VALUES.copy()
    values[3, 3] = np.inf
    with pytest.raises(DataError, match="NaN or infinity in row 3"):
        swath.search(make_features(values=values), near_duplicates=True)


def test_flags_of_the_other_question_are_errors(make_features):
    path = make_features(values=VALUES)
    with pytest.raises(UsageError, match="--k would change nothing with --near-duplicates"):
        swath.search(path, near_duplicates=True, k=3)
    with pytest.raises(UsageError, match="--threshold would change nothing without --near-duplicates"):
        swath.search(path, like="t0001", threshold=0.5)
    with pytest.raises(UsageError, match="are two questions; ask one"):
        swath.search(path, like="t0001", near_duplicates=True)


def test_the_groups_are_printed(make_features, capsys):
    assert (
        main(["search", str(make_features(values=VALUES)), "--near-duplicates", "--threshold", "0.99"]) == 0
    )
    out = capsys.readouterr().out
    assert re.match(r"11 groups of near duplicates, .* 0 groups with the same pixels", out)
    assert "t0058, t0059" in out
