import os
import pickle

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.utils.data import DataLoader

from swath.data.bands import BandGroup, TileFormat
from swath.data.dataset import TileDataset
from swath.data.index import SCHEMA
from swath.data.writer import TileWriter
from swath.errors import UsageError

GROUPS = (BandGroup(("G", "R"), 4, "uint8"),)
FORMAT = TileFormat(("R", "G"), GROUPS, None, (0.0, 0.0), (255.0, 255.0), (0.5, 0.5), (0.2, 0.2))
PIXELS = np.random.default_rng(0).integers(0, 255, (10, 2, 4, 4)).astype(np.uint8)


@pytest.fixture
def small_pack(tmp_path):
    rows = [
        {
            "id": str(row),
            "labels": [["a"], ["b"], ["a", "b"], None][row % 4],
            "split": "test" if row > 6 else "train",
        }
        for row in range(10)
    ]
    columns = pa.Table.from_pylist(
        rows, schema=pa.schema([SCHEMA.field(n) for n in ("id", "labels", "split")])
    )
    with TileWriter(tmp_path / "tiles.lance", groups=GROUPS, info={}) as writer:
        writer.append(columns, [PIXELS])
        writer.finish(FORMAT, vocabulary=("a", "b"), task="multilabel")
    return tmp_path / "tiles.lance"


def test_an_item_is_a_unit_tile_in_band_order_and_a_multi_hot_label(small_pack):
    tiles = TileDataset(small_pack)
    assert len(tiles) == 10
    tile, label = tiles[2]
    assert tile.dtype == label.dtype == torch.float32
    assert np.allclose(tile, PIXELS[2, ::-1] / 255, atol=1e-6)
    assert label.tolist() == [1.0, 1.0]
    assert tiles.labelled.tolist()[:4] == [True, True, True, False]


def test_a_split_holds_its_own_tiles_only(small_pack):
    tests = TileDataset(str(small_pack), split="test")
    assert tests.row_numbers.tolist() == [7, 8, 9]
    assert np.allclose(tests[1][0], PIXELS[8, ::-1] / 255, atol=1e-6)


def test_an_unknown_split_names_the_known_ones(small_pack):
    with pytest.raises(UsageError, match=r'no split "tets"; splits here: test, train. Did you mean "test"\?'):
        TileDataset(small_pack, split="tets")


def test_a_data_loader_collates_batches(small_pack):
    batches = list(DataLoader(TileDataset(small_pack), batch_size=4))
    assert [tuple(tiles.shape) for tiles, _ in batches] == [(4, 2, 4, 4), (4, 2, 4, 4), (2, 2, 4, 4)]
    assert torch.cat([labels for _, labels in batches]).sum() == 5 + 5


def test_a_pickled_dataset_opens_its_own_store(small_pack):
    tiles = TileDataset(small_pack, split="train")
    again = pickle.loads(pickle.dumps(tiles))  # noqa: S301 -- as DataLoader's worker processes do
    assert torch.equal(again[3][0], tiles[3][0])
    assert torch.equal(again[3][1], tiles[3][1])


def test_a_forked_process_is_told_what_to_do_instead_of_hanging(small_pack, monkeypatch):
    tiles = TileDataset(small_pack)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(UsageError, match='multiprocessing_context="spawn"'):
        tiles[0]
    copy = pickle.loads(pickle.dumps(tiles))  # noqa: S301 -- what spawn does
    assert copy[0][0].shape == (2, 4, 4)
