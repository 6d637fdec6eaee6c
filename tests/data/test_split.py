import math

import numpy as np
import pytest
import shapely

from swath.data.split import METRES_A_DEGREE, BlockGrid, Shares, block_split, overlaps_on_ground, random_split
from swath.errors import UsageError

SHARES = Shares(test=0.2, val=0.1)


def tile_boxes(rows=24, columns=24, *, side_m=300.0, lat=48.0, lon=11.0, step_m=None):
    """West, south, east, north of a grid of tiles."""
    step = (step_m or side_m) / METRES_A_DEGREE
    side = side_m / METRES_A_DEGREE
    shrink = math.cos(math.radians(lat))
    boxes = []
    for row in range(rows):
        for column in range(columns):
            west, south = lon + column * step / shrink, lat + row * step
            boxes.append([west, south, west + side / shrink, south + side])
    return np.array(boxes)


def no_labels(boxes):
    return np.zeros((len(boxes), 0), dtype=np.uint8)


def metres_apart(one, other):
    """Between the nearest points of two boxes, as a plain loop would."""
    dx = max(0.0, other[0] - one[2], one[0] - other[2])
    dy = max(0.0, other[1] - one[3], one[1] - other[3])
    poleward = max(abs(one[1]), abs(one[3]), abs(other[1]), abs(other[3]))
    return METRES_A_DEGREE * math.hypot(dx * math.cos(math.radians(poleward)), dy)


def overlap(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return width > 1e-9 and height > 1e-9


def block_of(lon, lat, block_m):
    row = math.floor(lat * METRES_A_DEGREE / block_m)
    middle = (row + 0.5) * block_m / METRES_A_DEGREE
    return row, math.floor(lon * METRES_A_DEGREE * math.cos(math.radians(middle)) / block_m)


def pairs(boxes, splits, first, second):
    ones, others = boxes[np.isin(splits, first)], boxes[np.isin(splits, second)]
    return ((one, other) for one in ones for other in others)


def test_random_shares_are_exact_and_depend_on_the_seed():
    ids = [f"t{number}" for number in range(200)]
    splits = random_split(ids, SHARES, seed=0)
    assert {name: int((splits == name).sum()) for name in ("train", "val", "test")} == {
        "train": 140,
        "val": 20,
        "test": 40,
    }
    assert splits.tolist() == random_split(ids, SHARES, seed=0).tolist()
    assert splits.tolist() != random_split(ids, SHARES, seed=1).tolist()


def test_a_random_split_does_not_depend_on_the_order_of_the_index():
    ids = [f"t{number}" for number in range(50)]
    forward = dict(zip(ids, random_split(ids, SHARES, seed=3), strict=True))
    backward = dict(zip(ids[::-1], random_split(ids[::-1], SHARES, seed=3), strict=True))
    assert forward == backward


@pytest.mark.parametrize("lat", [-33.0, -0.03, 48.0, 69.0])
def test_no_tile_of_two_splits_overlaps(lat):
    boxes = tile_boxes(step_m=150, lat=lat)
    splits = block_split(boxes, no_labels(boxes), BlockGrid(1000, 0), SHARES, seed=0).splits
    assert {"train", "val", "test"} <= set(splits.tolist())
    for first, second in ((["train"], ["val", "test"]), (["val"], ["test"])):
        assert not any(overlap(one, other) for one, other in pairs(boxes, splits, first, second))


@pytest.mark.parametrize(("lat", "gap_m"), [(48.0, 250.0), (-60.0, 800.0)])
def test_no_training_tile_is_within_the_gap_of_test_or_val(lat, gap_m):
    boxes = tile_boxes(lat=lat)
    splits = block_split(boxes, no_labels(boxes), BlockGrid(1500, gap_m), SHARES, seed=0).splits
    assert {"train", "test", "gap"} <= set(splits.tolist())
    for first, second in ((["train"], ["val", "test"]), (["val"], ["test"])):
        assert all(
            metres_apart(one, other) >= gap_m * 0.999 for one, other in pairs(boxes, splits, first, second)
        )


def test_the_gap_takes_only_tiles_that_are_near():
    """Plain loops over all pairs of boxes: a side of the grown box reaches the other."""
    gap_m, boxes = 700.0, tile_boxes()
    free = block_split(boxes, no_labels(boxes), BlockGrid(1500, 0), SHARES, seed=0).splits
    guarded = block_split(boxes, no_labels(boxes), BlockGrid(1500, gap_m), SHARES, seed=0).splits
    rivals = {"train": ("val", "test"), "val": ("test",)}
    for number, box in enumerate(boxes):
        expected = free[number]
        for other, split in zip(boxes, free, strict=True):
            if split in rivals.get(free[number], ()):
                grow = gap_m / METRES_A_DEGREE
                shrink = math.cos(math.radians(max(abs(box[1]), abs(box[3])) + grow))
                far = max(other[0] - box[2], box[0] - other[2]) * shrink > grow
                if not far and max(other[1] - box[3], box[1] - other[3]) <= grow:
                    expected = "gap"
        assert guarded[number] == expected


def test_a_tile_is_in_the_split_of_its_corners_or_in_the_gap():
    boxes = tile_boxes(step_m=170)
    found = block_split(boxes, no_labels(boxes), BlockGrid(1000, 0), SHARES, seed=2)
    split_of_block = {}
    for box, split, block in zip(boxes, found.splits, found.blocks, strict=True):
        corners = {block_of(lon, lat, 1000) for lon in box[[0, 2]] for lat in box[[1, 3]]}
        middle = block_of((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, 1000)
        assert block == f"r{middle[0]}c{middle[1]}"
        if split != "gap":
            for corner in corners:
                assert split_of_block.setdefault(corner, split) == split
        else:
            assert len(corners) > 1


def test_dates_of_one_place_share_a_split_and_a_rerun_is_the_same():
    boxes = tile_boxes()
    twice = np.concatenate([boxes, boxes[::-1]])
    found = block_split(twice, no_labels(twice), BlockGrid(1500, 400), SHARES, seed=5)
    assert found.splits[: len(boxes)].tolist() == found.splits[len(boxes) :][::-1].tolist()
    again = block_split(twice, no_labels(twice), BlockGrid(1500, 400), SHARES, seed=5)
    assert found.splits.tolist() == again.splits.tolist()
    other = block_split(twice, no_labels(twice), BlockGrid(1500, 400), SHARES, seed=6)
    assert found.splits.tolist() != other.splits.tolist()


def test_shares_of_tiles_come_near_what_was_asked():
    boxes = tile_boxes(40, 40)
    found = block_split(boxes, no_labels(boxes), BlockGrid(1200, 0), SHARES, seed=0)
    block_split_of = {
        block: split for block, split in zip(found.blocks, found.splits, strict=True) if split != "gap"
    }
    whole = np.array([block_split_of.get(block, "gap") for block in found.blocks])
    assert (whole == "test").mean() == pytest.approx(0.2, abs=0.03)
    assert (whole == "val").mean() == pytest.approx(0.1, abs=0.03)


def test_a_label_that_lies_in_few_blocks_is_shared_out():
    """Forest lies in two far corners: a split that puts it on one side only is not the best of the draws."""
    boxes = tile_boxes(30, 30)
    labels = np.zeros((900, 2), dtype=np.uint8)
    labels[:, 0] = 1
    place = np.arange(900)
    labels[((place // 30 < 8) & (place % 30 < 8)) | ((place // 30 > 21) & (place % 30 > 21)), 1] = 1
    for seed in range(5):
        found = block_split(boxes, labels, BlockGrid(1200, 0), SHARES, seed=seed)
        shares = {name: labels[found.splits == name, 1].mean() for name in ("train", "test")}
        assert abs(math.sqrt(shares["test"]) - math.sqrt(labels[:, 1].mean())) < 0.2
        assert shares["train"] > 0
        assert 0 <= found.label_divergence < 0.2


def test_too_few_blocks_say_which_size_to_choose():
    boxes = tile_boxes()
    with pytest.raises(UsageError, match=r"1 block\(s\) of 50,000 m.* --block-m 14\d\d for about 25"):
        block_split(boxes, no_labels(boxes), BlockGrid(50_000, 0), SHARES, seed=0)


def test_tiles_larger_than_a_block_are_refused():
    boxes = tile_boxes(4, 4, side_m=1200)
    with pytest.raises(UsageError, match=r"tiles are 1,20\d m wide, blocks 1,000 m"):
        block_split(boxes, no_labels(boxes), BlockGrid(1000, 0), SHARES, seed=0)


def test_a_share_of_zero_leaves_the_split_out():
    boxes = tile_boxes()
    found = block_split(boxes, no_labels(boxes), BlockGrid(1500, 0), Shares(test=0.3, val=0.0), seed=0)
    assert "val" not in found.splits


def polygons(boxes):
    return shapely.box(*boxes.T)


def test_neighbours_do_not_overlap_but_shifted_and_repeated_tiles_do():
    boxes = tile_boxes(6, 6)
    assert not overlaps_on_ground(polygons(boxes))
    assert overlaps_on_ground(polygons(tile_boxes(6, 6, step_m=150)))
    assert overlaps_on_ground(polygons(np.concatenate([boxes, boxes[20:21]])))


def test_turned_neighbours_do_not_overlap_though_their_boxes_do():
    """Tiles of a projected grid are turned by a degree or two against north."""
    turned = [shapely.affinity.rotate(tile, 2.0, origin=(11.0, 48.0)) for tile in polygons(tile_boxes(6, 6))]
    assert not overlaps_on_ground(np.array(turned))
