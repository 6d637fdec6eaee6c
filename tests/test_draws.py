import numpy as np
import pytest

from swath import draws

# First outputs of Vigna's splitmix64.c for state 1234567.
SPLITMIX64_1234567 = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
GOLDEN = 0x9E3779B97F4A7C15


def mix_in_python(state):
    """splitmix64 in unbounded integers: an oracle that cannot overflow."""
    z = (state + GOLDEN) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def uniforms_in_python(count, seed, epoch, sample, stream):
    key = mix_in_python(seed)
    for byte in stream.encode():
        key = mix_in_python(key ^ byte)
    key = mix_in_python(mix_in_python(key ^ epoch) ^ sample)
    return [(mix_in_python((key + GOLDEN * k) % 2**64) >> 40) / 2**24 for k in range(1, count + 1)]


def draw(count=4, *, seed=0, epochs=0, samples=(0,), stream="crop"):
    samples = np.asarray(samples, dtype=np.int64)
    return draws.uniforms(
        count,
        seed=seed,
        epochs=np.broadcast_to(np.int64(epochs), samples.shape),
        sample_ids=samples,
        stream=stream,
    )


def correlation(a, b):
    return abs(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_the_mixing_function_gives_the_reference_values_of_splitmix64():
    states = np.array([(1234567 + k * GOLDEN) % 2**64 for k in range(4)], dtype=np.uint64)
    assert draws._mix(states).tolist() == SPLITMIX64_1234567
    assert [mix_in_python(int(state)) for state in states] == SPLITMIX64_1234567


@pytest.mark.parametrize(("seed", "epoch", "sample"), [(0, 0, 0), (7, 3, 590_325), (2**63, 10_000, 2**40)])
def test_uniforms_equal_plain_integer_arithmetic(seed, epoch, sample):
    found = draw(6, seed=seed, epochs=epoch, samples=[sample], stream="jitter")
    assert found.dtype == np.float32
    assert found[0].tolist() == uniforms_in_python(6, seed, epoch, sample, "jitter")


def test_a_row_depends_on_its_own_sample_alone():
    whole = draw(samples=np.arange(100))
    order = np.random.default_rng(0).permutation(100)
    assert np.array_equal(draw(samples=order), whole[order])
    assert np.array_equal(draw(samples=[42]), whole[42:43])
    assert np.array_equal(draw(2, samples=[42]), whole[42:43, :2])


def test_rows_of_one_batch_may_be_of_different_epochs():
    epochs, samples = np.array([0, 1, 1]), np.array([9, 9, 4])
    mixed = draws.uniforms(3, seed=5, epochs=epochs, sample_ids=samples, stream="s")
    alone = [
        draw(3, seed=5, epochs=e, samples=[s], stream="s")[0] for e, s in zip(epochs, samples, strict=True)
    ]
    assert np.array_equal(mixed, np.stack(alone))


def test_numbers_are_uniform_on_zero_to_one():
    values = np.sort(draw(8, samples=np.arange(25_000)).ravel().astype(np.float64))
    assert values[0] >= 0
    assert values[-1] < 1
    grid = np.arange(1, values.size + 1) / values.size
    distance = np.abs(
        values - grid
    ).max()  # Kolmogorov-Smirnov; 1.95 / sqrt(n) is passed by 99.9 % of true uniforms
    assert distance < 1.95 / np.sqrt(values.size)


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"epochs": 1},
        {"stream": "jitter"},
        {"stream": "drop"},
        {"seed": 7, "stream": "drop"},
        {"seed": 2**40},
    ],
)
def test_another_seed_epoch_or_stream_gives_unrelated_numbers(other):
    here, there = draw(4, samples=np.arange(20_000)), draw(4, samples=np.arange(20_000), **other)
    assert correlation(here, there) < 4 / np.sqrt(here.size)
    assert (here == there).mean() < 1e-4


def test_columns_and_neighbouring_samples_are_unrelated():
    values = draw(6, samples=np.arange(50_000)).astype(np.float64)
    columns = np.corrcoef(values.T) - np.eye(6)
    assert np.abs(columns).max() < 4.5 / np.sqrt(len(values))
    assert correlation(values[:-1], values[1:]) < 4 / np.sqrt(values.size)


def test_an_order_visits_every_sample_once():
    for n in (0, 1, 2, 1000):
        assert np.array_equal(np.sort(draws.permutation(n, seed=0, epoch=3)), np.arange(n))


def test_orders_of_other_epochs_and_seeds_are_unrelated():
    first = draws.permutation(5000, seed=0, epoch=0)
    assert np.array_equal(first, draws.permutation(5000, seed=0, epoch=0))
    for seed, epoch in ((0, 1), (1, 0), (1, 1), (0, 2)):
        assert correlation(first, draws.permutation(5000, seed=seed, epoch=epoch)) < 4 / np.sqrt(5000)


def test_every_place_of_an_order_is_equally_likely():
    n, epochs = 12, 6000
    counts = np.zeros((n, n))
    for epoch in range(epochs):
        counts[np.arange(n), draws.permutation(n, seed=3, epoch=epoch)] += 1
    expected = epochs / n
    chi2 = ((counts - expected) ** 2 / expected).sum()
    freedom = (n - 1) ** 2
    assert abs(chi2 - freedom) < 4 * np.sqrt(2 * freedom)


def test_no_draw_touches_the_global_generator_or_warns():
    before = np.random.get_state()[1].copy()
    draw(seed=2**64 - 1, samples=[2**62])
    draws.permutation(10, seed=2**64 - 1, epoch=2**62)
    assert np.array_equal(np.random.get_state()[1], before)
