"""Oracle: a plain loop that copies rows and asks scikit-learn."""

import time

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from swath.errors import DataError
from swath.scores.average_precision import ClassRankings
from swath.scores.intervals import Interval, Resampling, bootstrap


def tiles(count: int = 120) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, good scores and poor scores."""
    rng = np.random.default_rng(5)
    labels = (rng.random((count, 3)) < [0.5, 0.2, 0.02]).astype(np.uint8)
    labels[3, 2] = 1
    noise = rng.normal(size=labels.shape)
    return labels, noise + 2 * labels, noise + 0.5 * rng.normal(size=labels.shape) + labels


def macro_by_hand(labels: np.ndarray, scores: np.ndarray) -> float:
    return np.mean(
        [average_precision_score(labels[:, k], scores[:, k]) for k in range(3) if labels[:, k].any()]
    )


@pytest.mark.parametrize("num_groups", [None, 12])
def test_intervals_equal_a_plain_loop_over_copied_rows(num_groups):
    labels, scores, _ = tiles()
    names = np.random.default_rng(6).integers(0, num_groups, len(labels)).astype(str) if num_groups else None
    sampling = (
        Resampling.of_tiles(len(labels), rounds=100, seed=3)
        if names is None
        else Resampling.of_groups(names, rounds=100, seed=3)
    )
    rankings = ClassRankings(scores, labels)
    found = bootstrap(lambda w: np.asarray([rankings.macro(w), rankings.micro(w)]), sampling)

    rng = np.random.default_rng(3)
    members = (
        [np.flatnonzero(names == g) for g in np.unique(names)]
        if num_groups
        else np.arange(len(labels))[:, None]
    )
    values = []
    for _ in range(100):
        drawn = np.concatenate([members[g] for g in rng.integers(len(members), size=len(members))])
        chosen_labels, chosen = labels[drawn], scores[drawn]
        values.append(
            (
                macro_by_hand(chosen_labels, chosen),
                average_precision_score(chosen_labels, chosen, average="micro"),
            )
        )
    low, high = np.percentile(values, [2.5, 97.5], axis=0)
    assert found[0].value == pytest.approx(macro_by_hand(labels, scores), abs=1e-12)
    np.testing.assert_allclose([i.low for i in found], low, atol=1e-12)
    np.testing.assert_allclose([i.high for i in found], high, atol=1e-12)


def test_a_difference_on_the_same_rounds_is_narrower_than_of_independent_ones():
    labels, good, poor = tiles()
    better, worse = ClassRankings(good, labels), ClassRankings(poor, labels)

    def statistics(weights):
        a, b = better.micro(weights), worse.micro(weights)
        return np.asarray([a, b, a - b])

    first, second, gain = bootstrap(statistics, Resampling.of_tiles(len(labels), rounds=300, seed=0))
    assert gain.value == pytest.approx(first.value - second.value, abs=1e-12)
    assert gain.low > 0
    assert gain.high - gain.low < np.hypot(first.high - first.low, second.high - second.low)


def test_resampling_groups_widens_intervals_where_neighbours_are_alike():
    rng = np.random.default_rng(0)
    block = np.repeat(np.arange(20), 30)
    hit = (rng.random(20) < 0.5)[block].astype(float)

    def share(weights):
        return np.asarray([np.average(hit, weights=weights)])

    by_tile = bootstrap(share, Resampling.of_tiles(600, rounds=400, seed=0))[0]
    by_block = bootstrap(share, Resampling.of_groups(block.astype(str), rounds=400, seed=0))[0]
    assert by_block.high - by_block.low > 3 * (by_tile.high - by_tile.low)
    assert by_block.value == by_tile.value


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    labels, scores, _ = tiles()
    rankings = ClassRankings(scores, labels)

    def run(seed):
        sampling = Resampling.of_tiles(len(labels), rounds=100, seed=seed)
        return bootstrap(lambda w: np.asarray([rankings.micro(w)]), sampling)

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_an_interval_as_json_is_value_low_high():
    assert Interval(0.5, 0.4, 0.6).to_json() == [0.5, 0.4, 0.6]


def test_a_number_that_is_not_defined_on_the_whole_set_is_refused():
    sampling = Resampling.of_tiles(5, rounds=100, seed=0)
    with pytest.raises(DataError, match="no class has a positive test tile"):
        bootstrap(lambda _: np.asarray([np.nan]), sampling)


def test_a_thousand_rounds_of_two_thousand_tiles_take_seconds():
    rng = np.random.default_rng(0)
    labels = (rng.random((2000, 10)) < 0.1).astype(np.uint8)
    rankings = ClassRankings(rng.normal(size=labels.shape), labels)
    started = time.process_time()
    bootstrap(
        lambda w: np.asarray([rankings.macro(w), rankings.micro(w)]),
        Resampling.of_tiles(2000, rounds=1000, seed=0),
    )
    assert time.process_time() - started < 10
