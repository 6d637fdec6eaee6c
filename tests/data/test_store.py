import json
import subprocess
import sys

import lance
import numpy as np
import pyarrow as pa
import pytest

from swath import storage
from swath.data.bands import BandGroup, TileFormat
from swath.data.index import SCHEMA
from swath.data.store import TileStore
from swath.data.writer import TileWriter
from swath.errors import DataError, MachineError, UsageError

GROUPS = (BandGroup(("B04", "B02"), 6, "uint16"), BandGroup(("B11",), 3, "float32"))
FORMAT = TileFormat(("B02", "B04", "B11"), GROUPS, 10.0, (0.0,) * 3, (1.0,) * 3, (0.5,) * 3, (0.2,) * 3)
LABELS = (["farm"], None, [], ["water", "farm"])


def pixels_of(count, seed=0):
    draws = np.random.default_rng(seed)
    fine = draws.integers(0, 60_000, (count, 2, 6, 6)).astype(np.uint16)
    return [fine, draws.normal(0, 1, (count, 1, 3, 3)).astype(np.float32)]


def columns_of(start, count):
    rows = [
        {"id": f"t{row}", "labels": LABELS[row % 4], "split": ("train", "test", None)[row % 3]}
        for row in range(start, start + count)
    ]
    schema = pa.schema([SCHEMA.field(name) for name in ("id", "labels", "split", "geometry", "acquired")])
    return pa.Table.from_pylist(rows, schema=schema)


def write(path, batches=(5, 4, 3)):
    start = 0
    with TileWriter(path, groups=GROUPS, info={"attribution": "somebody"}) as writer:
        for count in batches:
            writer.append(columns_of(start, count), pixels_of(count, seed=start))
            start += count
        writer.finish(FORMAT, vocabulary=("farm", "water"), task="multilabel", index_digest="abc")
    return path


def stored_pixels(batches=(5, 4, 3)):
    starts = np.cumsum([0, *batches])[:-1]
    parts = [pixels_of(count, seed=int(start)) for start, count in zip(starts, batches, strict=True)]
    return [np.concatenate(group) for group in zip(*parts, strict=True)]


def test_what_is_written_comes_back_in_any_order_with_repeats(tmp_path):
    store = TileStore(write(tmp_path / "tiles.lance"))
    rows = np.array([11, 0, 5, 5, 3, 11], dtype=np.int64)
    for found, expected in zip(store.read(rows), stored_pixels(), strict=True):
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected[rows])
        assert found.flags.writeable


def test_a_pack_knows_what_it_holds(tmp_path):
    store = TileStore(str(write(tmp_path / "tiles.lance")))
    assert len(store) == 12
    assert store.format == FORMAT
    assert store.vocabulary == ("farm", "water")
    assert (store.task, store.index_digest, store.info) == ("multilabel", "abc", {"attribution": "somebody"})
    assert store.ids().tolist() == [f"t{row}" for row in range(12)]
    assert store.splits().tolist() == ["train", "test", ""] * 4
    assert store.tile_bytes == 2 * 36 * 2 + 9 * 4
    assert "geometry" in store.column_names


def test_labels_are_multi_hot_and_unlabelled_is_not_the_same_as_none_of_them(tmp_path):
    store = TileStore(write(tmp_path / "tiles.lance"))
    assert store.labels().tolist() == [[1, 0], [0, 0], [0, 0], [1, 1]] * 3
    assert store.labelled().tolist() == [True, False, True, True] * 3


def test_the_digest_depends_on_pixels_ids_and_bands_but_not_on_batches(tmp_path):
    first = TileStore(write(tmp_path / "a.lance", batches=(4,))).digest
    with TileWriter(tmp_path / "b.lance", groups=GROUPS, info={}) as writer:
        whole = pixels_of(4)
        writer.append(columns_of(0, 1), [group[:1] for group in whole])
        writer.append(columns_of(1, 3), [group[1:] for group in whole])
        writer.finish(FORMAT, vocabulary=("farm", "water"), task="multilabel")
    with TileWriter(tmp_path / "c.lance", groups=GROUPS, info={}) as writer:
        whole[1][2, 0, 1, 1] += 1
        writer.append(columns_of(0, 4), whole)
        other = writer.finish(FORMAT, vocabulary=("farm", "water"), task="multilabel")
    assert TileStore(tmp_path / "b.lance").digest == first
    assert other != first


def test_a_flipped_byte_names_the_tile(tmp_path):
    path = write(tmp_path / "tiles.lance")
    data_file = next((path / "data").iterdir())
    held = bytearray(data_file.read_bytes())
    place = held.find(stored_pixels()[0][7].tobytes())
    assert place > 0
    held[place + 10] ^= 1
    data_file.write_bytes(held)
    store = TileStore(path)
    store.read(np.arange(7))
    with pytest.raises(DataError, match=r'pixels of tile "t7" \(row 7\) do not match their checksum'):
        store.read(np.array([9, 7, 1]))


def test_a_row_that_is_not_there_is_refused(tmp_path):
    store = TileStore(write(tmp_path / "tiles.lance"))
    with pytest.raises(IndexError, match="0 to 11"):
        store.read(np.array([12]))


def test_reading_no_rows_gives_empty_arrays(tmp_path):
    store = TileStore(write(tmp_path / "tiles.lance"))
    assert [group.shape for group in store.read(np.array([], dtype=np.int64))] == [(0, 2, 6, 6), (0, 1, 3, 3)]


def test_an_error_while_writing_leaves_nothing(tmp_path):
    def fail_half_way():
        with TileWriter(tmp_path / "tiles.lance", groups=GROUPS, info={}) as writer:
            writer.append(columns_of(0, 5), pixels_of(5))
            raise RuntimeError("stop here")

    with pytest.raises(RuntimeError, match="stop here"):
        fail_half_way()
    assert list(tmp_path.iterdir()) == []


def test_a_pack_without_tiles_is_an_error_and_leaves_nothing(tmp_path):
    def write_nothing():
        with TileWriter(tmp_path / "tiles.lance", groups=GROUPS, info={}) as writer:
            writer.finish(FORMAT, vocabulary=(), task=None)

    with pytest.raises(DataError, match="no tiles"):
        write_nothing()
    assert list(tmp_path.iterdir()) == []


def test_an_existing_output_is_refused_and_not_touched(tmp_path):
    (tmp_path / "tiles.lance").mkdir()
    (tmp_path / "tiles.lance" / "mine.txt").write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        write(tmp_path / "tiles.lance")
    assert (tmp_path / "tiles.lance" / "mine.txt").read_text() == "precious"


FILL_THE_DISK = """
import resource, sys
sys.path.insert(0, sys.argv[2])
import numpy as np
import test_store as t
from pathlib import Path
from swath.data.bands import BandGroup
from swath.errors import MachineError
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
groups = (BandGroup(("R",), 200, "uint8"),)
try:
    with t.TileWriter(Path(sys.argv[1]), groups=groups, info={}) as writer:
        for start in range(0, 4000, 100):
            writer.append(t.columns_of(start, 100), [np.random.randint(0, 255, (100, 1, 200, 200), np.uint8)])
        writer.finish(t.FORMAT, vocabulary=(), task=None)
except MachineError as error:
    print(error)
"""


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path):
    """The file size limit of the process stands in for the disk: the same error from the same call."""
    here = str(__import__("pathlib").Path(__file__).parent)
    command = [sys.executable, "-c", FILL_THE_DISK, str(tmp_path / "tiles.lance"), here]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("no space left for"), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_disk_error_of_lance_becomes_a_machine_error(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError("LanceError(IO): No space left on device (os error 28)")

    monkeypatch.setattr("swath.data.fragment.write_fragments", full)
    with pytest.raises(MachineError, match="no space left"):
        write(tmp_path / "tiles.lance")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["missing", "file", "folder", "unfinished"])
def test_what_is_no_pack_says_how_to_make_one(tmp_path, what):
    path = tmp_path / "tiles.lance"
    if what == "file":
        path.write_text("hello")
    if what == "folder":
        path.mkdir()
    if what == "unfinished":
        write(path)
        for manifest in (path / "_versions").iterdir():
            manifest.unlink()
    with pytest.raises(DataError, match="swath pack INDEX --out"):
        TileStore(path)


def test_another_lance_dataset_is_not_taken_for_a_pack(tmp_path):
    lance.write_dataset(pa.table({"a": [1]}), str(tmp_path / "other.lance"))
    with pytest.raises(DataError, match="not one that swath pack wrote"):
        TileStore(tmp_path / "other.lance")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema_version": 99}, "schema version 99"),
        ({"complete": False}, "incomplete"),
        ({"tiles": 13}, "12 of 13"),
    ],
)
def test_other_versions_and_incomplete_packs_are_refused(tmp_path, change, said):
    path = write(tmp_path / "tiles.lance")
    dataset = lance.dataset(str(path))
    described = json.loads(dataset.schema.metadata[b"swath"]) | change
    dataset.update_schema_metadata({"swath": json.dumps(described)})
    with pytest.raises(DataError, match=said):
        TileStore(path)


def test_a_pack_on_s3_is_the_same_pack(any_s3, tmp_path):
    there, here = write(any_s3("tiles.lance")), write(tmp_path / "tiles.lance")
    store = TileStore(str(there))
    rows = np.array([11, 0, 5], dtype=np.int64)
    assert store.digest == TileStore(here).digest
    for found, expected in zip(store.read(rows), TileStore(here).read(rows), strict=True):
        assert np.array_equal(found, expected)
    with pytest.raises(UsageError, match=r"s3://bucket/.*/tiles.lance exists already"):
        write(there)


def test_a_pack_on_s3_that_fails_leaves_nothing(any_s3):
    path = any_s3("tiles.lance")

    def fail_halfway():
        with TileWriter(path, groups=GROUPS, info={}) as writer:
            writer.append(columns_of(0, 2), pixels_of(2))
            writer.append(columns_of(2, 2), pixels_of(2)[::-1])

    with pytest.raises(ValueError, match="do not fit"):
        fail_halfway()
    assert not storage.exists(path)
    with pytest.raises(DataError, match=r"s3://bucket/.* does not exist. Expected packed tiles"):
        TileStore(path)


def test_a_pack_on_s3_that_may_not_be_read_says_so(s3, monkeypatch):
    path = write(s3("tiles.lance"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wr0ng")
    with pytest.raises(MachineError, match=r"s3://bucket/.*tiles\.lance"):
        TileStore(path)
