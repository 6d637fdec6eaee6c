"""Oracle: a plain loop that copies rows and asks scikit-learn."""

import time

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from swath.errors import DataError
from swath.scores.average_precision import ClassRankings
from swath.scores.intervals import Estimate, Interval, Resampling, bootstrap, mean_estimate


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
    found = bootstrap(lambda w: np.stack([rankings.macro(w), rankings.micro(w)]), sampling)

    members = (
        [np.flatnonzero(names == g) for g in np.unique(names)]
        if num_groups
        else np.arange(len(labels))[:, None]
    )
    values = []
    for number in range(100):
        rng = np.random.default_rng([3, number])
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
    np.testing.assert_allclose([one.interval.low for one in found], low, atol=1e-12)
    np.testing.assert_allclose([one.interval.high for one in found], high, atol=1e-12)


def test_a_difference_on_the_same_rounds_is_narrower_than_of_independent_ones():
    labels, good, poor = tiles()
    better, worse = ClassRankings(good, labels), ClassRankings(poor, labels)

    sampling = Resampling.of_tiles(len(labels), rounds=300, seed=0)
    (one,) = bootstrap(lambda w: better.micro(w)[None], sampling)
    (other,) = bootstrap(lambda w: worse.micro(w)[None], sampling)
    first, second, gain = one.interval, other.interval, one.minus(other).interval
    assert gain.value == pytest.approx(first.value - second.value, abs=1e-12)
    assert gain.low > 0
    assert gain.high - gain.low < np.hypot(first.high - first.low, second.high - second.low)


def test_resampling_groups_widens_intervals_where_neighbours_are_alike():
    rng = np.random.default_rng(0)
    block = np.repeat(np.arange(20), 30)
    hit = (rng.random(20) < 0.5)[block].astype(float)

    def share(weights):
        return (hit @ weights / weights.sum(axis=0))[None]

    by_tile = bootstrap(share, Resampling.of_tiles(600, rounds=400, seed=0))[0].interval
    by_block = bootstrap(share, Resampling.of_groups(block.astype(str), rounds=400, seed=0))[0].interval
    assert by_block.high - by_block.low > 3 * (by_tile.high - by_tile.low)
    assert by_block.value == by_tile.value


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    labels, scores, _ = tiles()
    rankings = ClassRankings(scores, labels)

    def run(seed):
        sampling = Resampling.of_tiles(len(labels), rounds=100, seed=seed)
        return bootstrap(lambda w: rankings.micro(w)[None], sampling)[0].interval

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_an_interval_as_json_is_value_low_high():
    assert Interval(0.5, 0.4, 0.6).to_json() == [0.5, 0.4, 0.6]


def test_a_number_that_is_not_defined_on_the_whole_set_is_refused():
    sampling = Resampling.of_tiles(5, rounds=100, seed=0)
    with pytest.raises(DataError, match="no class has a positive test tile"):
        bootstrap(lambda w: np.full((1, w.shape[1]), np.nan), sampling)


def test_a_thousand_rounds_of_two_thousand_tiles_take_seconds():
    rng = np.random.default_rng(0)
    labels = (rng.random((2000, 10)) < 0.1).astype(np.uint8)
    rankings = ClassRankings(rng.normal(size=labels.shape), labels)
    started = time.process_time()
    bootstrap(
        lambda w: np.stack([rankings.macro(w), rankings.micro(w)]),
        Resampling.of_tiles(2000, rounds=1000, seed=0),
    )
    assert time.process_time() - started < 10


def test_the_p_value_is_small_for_a_clear_difference_and_large_for_none():
    rng = np.random.default_rng(0)
    assert Estimate(0.3, rng.normal(0.3, 0.05, 999)).p_value == pytest.approx(2 / 1000)
    assert Estimate(0.0, rng.normal(0.0, 0.05, 999)).p_value > 0.5
    assert Estimate(0.0, np.zeros(100)).p_value == 1.0


def test_under_no_difference_the_p_value_is_below_a_twentieth_in_about_a_twentieth_of_trials():
    rng = np.random.default_rng(1)
    found = []
    for _ in range(300):
        difference = rng.normal(size=80)
        means = difference[rng.integers(80, size=(400, 80))].mean(axis=1)
        found.append(Estimate(difference.mean(), means).p_value)
    assert 0.01 < np.mean(np.asarray(found) < 0.05) < 0.11


def test_the_mean_over_draws_of_labels_has_an_interval_that_holds_their_spread():
    rng = np.random.default_rng(0)
    apart = [Estimate(v, v + rng.normal(0, 0.001, 1000)) for v in (0.4, 0.5, 0.6)]
    mean = mean_estimate(apart, seed=0)
    assert mean.value == pytest.approx(0.5)
    assert mean.interval.high - mean.interval.low > 0.1
    alike = mean_estimate([apart[1]] * 3, seed=0)
    assert alike.interval.high - alike.interval.low < 0.01
