import numpy as np
import pytest

from swath.geography.shares import SPLITS, Shares, divergence, label_shares, random_split, share_out

SHARES = Shares(test=0.2, val=0.1)


def test_random_shares_are_exact_and_depend_on_the_seed():
    ids = [f"t{number}" for number in range(200)]
    splits = random_split(ids, SHARES, seed=0)
    assert {name: int((splits == name).sum()) for name in SPLITS} == {"train": 140, "val": 20, "test": 40}
    assert splits.tolist() == random_split(ids, SHARES, seed=0).tolist()
    assert splits.tolist() != random_split(ids, SHARES, seed=1).tolist()


def test_a_random_split_does_not_depend_on_the_order_of_the_index():
    ids = [f"t{number}" for number in range(50)]
    forward = dict(zip(ids, random_split(ids, SHARES, seed=3), strict=True))
    backward = dict(zip(ids[::-1], random_split(ids[::-1], SHARES, seed=3), strict=True))
    assert forward == backward


def blocks(count=400, *, seed=0):
    """Tiles and positives of blocks whose labels differ much from block to block, one of them rare."""
    rng = np.random.default_rng(seed)
    tiles = rng.integers(1, 140, count)
    share = rng.beta(0.3, [0.5, 2.0, 40.0], (count, 3))
    return tiles, rng.binomial(tiles[:, None], share)


def plain_divergence(splits, tiles, positives):
    gaps = []
    for split in range(3):
        for label in range(positives.shape[1]):
            inside = sum(p[label] for p, s in zip(positives, splits, strict=True) if s == split)
            size = sum(n for n, s in zip(tiles, splits, strict=True) if s == split)
            gaps.append(abs((inside / size) ** 0.5 - (positives[:, label].sum() / tiles.sum()) ** 0.5))
    return sum(gaps) / len(gaps)


@pytest.mark.parametrize("seed", range(3))
def test_label_shares_agree_far_better_than_in_a_random_draw_of_blocks(seed):
    tiles, positives = blocks(seed=seed)
    found = plain_divergence(share_out(tiles, positives, SHARES, seed=seed), tiles, positives)
    rng = np.random.default_rng(seed)
    random = [
        plain_divergence(rng.choice(3, len(tiles), p=[0.7, 0.1, 0.2]), tiles, positives) for _ in range(20)
    ]
    assert found < min(random) / 3
    assert found < 0.002


def test_sizes_are_those_asked_for():
    tiles, positives = blocks()
    splits = share_out(tiles, positives, SHARES, seed=1)
    held = np.bincount(splits, tiles) / tiles.sum()
    assert held == pytest.approx([0.7, 0.1, 0.2], abs=0.003)


def test_another_seed_shares_out_otherwise_and_the_same_seed_the_same():
    tiles, positives = blocks()
    once = share_out(tiles, positives, SHARES, seed=0)
    assert once.tolist() == share_out(tiles, positives, SHARES, seed=0).tolist()
    assert once.tolist() != share_out(tiles, positives, SHARES, seed=1).tolist()


def test_three_blocks_give_each_split_one():
    for seed in range(5):
        splits = share_out(np.array([5, 90, 6]), np.array([[0], [90], [0]]), SHARES, seed=seed)
        assert sorted(splits.tolist()) == [0, 1, 2]


def test_divergence_is_that_of_the_square_roots():
    labels = np.array([[1, 0], [1, 0], [0, 1], [0, 0]], dtype=np.uint8)
    shares = label_shares(np.array(["train", "train", "test", "gap"]), labels)
    assert {name: values.tolist() for name, values in shares.items()} == {
        "all": [0.5, 0.25], "train": [1.0, 0.0], "test": [0.0, 1.0],
    }  # fmt: skip
    assert divergence(shares) == pytest.approx([(1 - 0.5**0.5 + 0.5**0.5) / 2, (0.5 + 0.5) / 2])
