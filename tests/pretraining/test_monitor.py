"""Which tiles the check of learning asks, and which answer."""

import numpy as np
import pyarrow.parquet as pq
import pytest

import swath
from swath.data.store import TileStore
from swath.pretraining.monitor import monitored_rows


def test_a_block_asks_or_answers_but_never_both(packed):
    store = TileStore(packed)
    bank, queries = monitored_rows(store, seed=0)
    blocks = np.asarray(store.columns("block")["block"].to_pylist())
    assert len(bank)
    assert len(queries) >= (len(bank) + len(queries)) // 5
    assert not set(blocks[bank]) & set(blocks[queries])
    assert set(store.splits()[np.concatenate([bank, queries])]) == {"train"}
    for again, before in zip(monitored_rows(store, seed=0), (bank, queries), strict=True):
        np.testing.assert_array_equal(again, before)


@pytest.mark.parametrize("split", [{"by": "random", "val_share": 0.0}, {"by": "random", "val_share": 0.2}])
def test_without_blocks_a_fifth_asks_and_with_val_that_does(packed, tmp_path, split):
    index = packed.with_name("index.parquet")
    swath.split(index, out=tmp_path / "s.parquet", **split)
    swath.pack(tmp_path / "s.parquet", out=tmp_path / "t.lance")
    bank, queries = monitored_rows(TileStore(tmp_path / "t.lance"), seed=0)
    splits = np.asarray(pq.read_table(tmp_path / "s.parquet")["split"].to_pylist())
    if split["val_share"]:
        assert set(splits[queries]) == {"val"}
    else:
        assert len(queries) == (len(bank) + len(queries)) // 5
