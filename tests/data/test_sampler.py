import numpy as np
import pytest

from swath.data.sampler import sample_at
from swath.draws import permutation


def plain_stream(n, seed, length):
    stream = []
    epoch = 0
    while len(stream) < length:
        stream += [(int(position), epoch) for position in permutation(n, seed=seed, epoch=epoch)]
        epoch += 1
    return stream[:length]


def test_the_stream_is_one_permutation_after_another():
    positions, epochs = sample_at(0, 35, n=10, seed=3)
    assert list(zip(positions.tolist(), epochs.tolist(), strict=True)) == plain_stream(10, 3, 35)


def test_any_cut_into_batches_gives_the_same_stream():
    whole = plain_stream(13, 7, 60)
    for batch in (1, 4, 13, 60):
        pieces = [sample_at(cursor, min(batch, 60 - cursor), n=13, seed=7) for cursor in range(0, 60, batch)]
        positions = np.concatenate([piece[0] for piece in pieces]).tolist()
        epochs = np.concatenate([piece[1] for piece in pieces]).tolist()
        assert list(zip(positions, epochs, strict=True)) == whole


def test_every_epoch_visits_every_position_once():
    positions, epochs = sample_at(0, 300, n=100, seed=0)
    for epoch in range(3):
        assert sorted(positions[epochs == epoch].tolist()) == list(range(100))


def test_epochs_and_seeds_have_different_orders():
    first, _ = sample_at(0, 100, n=100, seed=0)
    next_epoch, _ = sample_at(100, 100, n=100, seed=0)
    other_seed, _ = sample_at(0, 100, n=100, seed=1)
    assert first.tolist() != next_epoch.tolist()
    assert first.tolist() != other_seed.tolist()


def test_a_batch_may_span_more_than_two_epochs():
    positions, epochs = sample_at(2, 8, n=3, seed=1)
    assert epochs.tolist() == [0, 1, 1, 1, 2, 2, 2, 3]
    assert list(zip(positions.tolist(), epochs.tolist(), strict=True)) == plain_stream(3, 1, 10)[2:]


def test_sequential_order_counts_up_and_wraps():
    positions, epochs = sample_at(3, 4, n=5, seed=9, order="sequential")
    assert positions.tolist() == [3, 4, 0, 1]
    assert epochs.tolist() == [0, 0, 1, 1]


def test_the_caller_may_write_into_what_it_gets():
    positions, _ = sample_at(0, 10, n=10, seed=0)
    positions[:] = 0
    assert sorted(sample_at(0, 10, n=10, seed=0)[0].tolist()) == list(range(10))


@pytest.mark.parametrize(("cursor", "count", "n"), [(0, 1, 0), (-1, 1, 5), (0, -1, 5)])
def test_impossible_requests_are_refused(cursor, count, n):
    with pytest.raises(ValueError, match="cannot take"):
        sample_at(cursor, count, n=n, seed=0)


def test_blocks_are_one_permutation_after_another_and_the_same_however_cut():
    positions, epochs = sample_at(0, 2_500, n=1_100, seed=5, order="blocks")
    for epoch in range(2):
        assert sorted(positions[epochs == epoch].tolist()) == list(range(1_100))
    assert positions[:1_100].tolist() != positions[1_100:2_200].tolist()
    pieces = [sample_at(cursor, 50, n=1_100, seed=5, order="blocks")[0] for cursor in range(0, 2_500, 50)]
    assert np.concatenate(pieces).tolist() == positions.tolist()


@pytest.mark.parametrize("window", [1, 17, 40])
def test_a_window_of_blocks_is_few_stretches_of_the_pack_in_no_order(window):
    """Of the first epoch and of later ones, whose number of tiles is no multiple of a window."""
    positions, _ = sample_at(512 * window, 512, n=8_000, seed=1, order="blocks")
    assert len(set((positions // 16).tolist())) <= 34
    assert abs(np.corrcoef(np.arange(512), positions)[0, 1]) < 0.2
    batch = positions[:64]
    assert len(set((batch // 16).tolist())) > 20, "a batch sees most blocks of its window"
