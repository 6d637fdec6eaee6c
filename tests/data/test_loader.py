import threading

import numpy as np
import pyarrow as pa
import pytest
import torch

from swath.data.bands import BandGroup, TileFormat
from swath.data.loader import Loader
from swath.data.sampler import sample_at
from swath.data.store import TileStore
from swath.data.writer import TileWriter
from swath.errors import DataError

GROUPS = (BandGroup(("R", "G"), 4, "uint8"),)
FORMAT = TileFormat(("R", "G"), GROUPS, None, (0.0, 0.0), (255.0, 255.0), (0.5, 0.5), (0.2, 0.2))


@pytest.fixture
def store(tmp_path):
    """50 tiles whose first pixel is their row number."""
    pixels = np.random.default_rng(0).integers(0, 255, (50, 2, 4, 4)).astype(np.uint8)
    pixels[:, 0, 0, 0] = np.arange(50)
    with TileWriter(tmp_path / "tiles.lance", groups=GROUPS, info={}) as writer:
        writer.append(pa.table({"id": [str(row) for row in range(50)]}), [pixels])
        writer.finish(FORMAT, vocabulary=(), task=None)
    return TileStore(tmp_path / "tiles.lance")


def test_batches_follow_the_sample_stream_and_carry_their_pixels(store):
    rows = np.arange(5, 45)
    batches = list(Loader(store, rows=rows, batch_size=7, seed=3, steps=100))
    positions, epochs = sample_at(0, 700, n=40, seed=3)
    assert np.concatenate([batch.rows for batch in batches]).tolist() == rows[positions].tolist()
    assert np.concatenate([batch.epochs for batch in batches]).tolist() == epochs.tolist()
    for batch in batches:
        assert batch.groups[0].shape == (7, 2, 4, 4)
        assert batch.groups[0].dtype == torch.uint8
        assert batch.groups[0][:, 0, 0, 0].tolist() == batch.rows.tolist()
        assert batch.wait_s >= 0


@pytest.mark.parametrize("batch_size", [1, 7, 64, 600])
def test_starting_at_a_cursor_continues_the_same_stream(store, batch_size):
    rows = np.arange(50)
    whole = list(Loader(store, rows=rows, batch_size=batch_size, seed=0, steps=9))
    rest = list(Loader(store, rows=rows, batch_size=batch_size, seed=0, steps=5, cursor=4 * batch_size))
    assert [batch.rows.tolist() for batch in rest] == [batch.rows.tolist() for batch in whole[4:]]


def test_iterating_twice_gives_the_same_batches(store):
    loader = Loader(store, rows=np.arange(50), batch_size=8, seed=1, steps=4)
    assert len(loader) == 4
    assert [b.rows.tolist() for b in loader] == [b.rows.tolist() for b in loader]


class CountingStore:
    """Tiles of 43 kB; counts the stretches it is asked for, a gap of one tile bridged as Lance does."""

    path, tile_bytes = "counting", 43_200

    def __init__(self) -> None:
        self.stretches = 0

    def read(self, rows):
        self.stretches += 1 + int((np.diff(np.unique(rows)) > 2).sum())
        return [rows[:, None]]


@pytest.mark.parametrize(
    ("batch_size", "share"),
    [(64, slice(None)), (256, slice(128, 256)), (512, slice(64, 128)), (1024, slice(0, 512))],
)
@pytest.mark.parametrize("step", [0, 3, 301], ids=["start", "resumed", "later"])
def test_blocks_are_few_stretches_for_every_rank_in_every_epoch(batch_size, share, step):
    store = CountingStore()
    loader = Loader(
        store, rows=np.arange(8_000), batch_size=batch_size, seed=0, steps=120, cursor=step * batch_size,
        share=share, order="blocks",
    )  # fmt: skip
    tiles = sum(len(batch.rows) for batch in loader)
    assert store.stretches / tiles < 0.1


def test_a_step_of_blocks_holds_the_samples_of_the_stream_whatever_the_number_of_ranks():
    def steps(cursor, count, share=slice(None)):
        return list(
            Loader(
                CountingStore(), rows=np.arange(1_100), batch_size=96, seed=0, steps=count, cursor=cursor,
                share=share, order="blocks",
            )
        )  # fmt: skip

    whole = steps(0, 40)
    for step, batch in enumerate(whole):
        positions, epochs = sample_at(step * 96, 96, n=1_100, seed=0, order="blocks")
        assert sorted(zip(epochs, positions, strict=True)) == list(zip(batch.epochs, batch.rows, strict=True))
    halves = zip(steps(0, 40, slice(0, 48)), steps(0, 40, slice(48, 96)), strict=True)
    assert [[*a.rows, *b.rows] for a, b in halves] == [batch.rows.tolist() for batch in whole]
    assert [batch.rows.tolist() for batch in steps(7 * 96, 33)] == [b.rows.tolist() for b in whole[7:]]


def test_large_tiles_are_read_a_batch_at_a_time(store):
    store.tile_bytes = 2**30
    loader = Loader(store, rows=np.arange(50), batch_size=8, seed=1, steps=6)
    assert [len(batch.rows) for batch in loader] == [8] * 6


def test_where_there_is_a_gpu_tiles_lie_in_pinned_memory(store, monkeypatch):
    pinned = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self)
    assert len(list(Loader(store, rows=np.arange(50), batch_size=8, seed=1, steps=2))) == 2
    assert pinned


def test_no_steps_give_no_batches(store):
    assert list(Loader(store, rows=np.arange(50), batch_size=8, seed=1, steps=0)) == []


def test_no_rows_are_an_error_at_once(store):
    with pytest.raises(DataError, match="no tiles to load"):
        Loader(store, rows=np.array([], dtype=np.int64), batch_size=8, seed=0, steps=1)


def test_an_error_of_the_reading_thread_reaches_the_consumer(store, monkeypatch):
    calls = []

    def fail_at_the_third(rows):
        calls.append(len(rows))
        if len(calls) == 3:
            raise DataError("the disk changed a tile")
        return [np.zeros((len(rows), 2, 4, 4), np.uint8)]

    monkeypatch.setattr(store, "read", fail_at_the_third)
    seen = []

    def consume():
        for batch in Loader(store, rows=np.arange(50), batch_size=512, seed=0, steps=9):
            seen.append(batch)  # noqa: PERF402 -- what was seen before the error counts

    with pytest.raises(DataError, match="the disk changed a tile"):
        consume()
    assert len(seen) == 2


def test_stopping_early_leaves_no_thread_behind(store):
    batches = iter(Loader(store, rows=np.arange(50), batch_size=512, seed=0, steps=1000))
    next(batches)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("swath-loader")]
