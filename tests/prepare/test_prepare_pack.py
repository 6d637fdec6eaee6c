import csv
import errno
import os
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest
from stretched_engine import stretched
from tile_archive import random_pixels, row, write_index, write_raster

from swath import storage
from swath.config import PackConfig
from swath.data.fragment import FragmentWriter
from swath.data.index import read_index
from swath.data.store import TileStore
from swath.engine import HERE
from swath.errors import DataError, MachineError, UsageError
from swath.prepare import pack

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture
def ready(tmp_path):
    """An index of 20 ready tiles, and their pixels."""
    pixels = random_pixels((20, 3, 8, 8))
    for number in range(20):
        write_raster(tmp_path / f"{number}.tif", pixels[number])
    return write_index(tmp_path / "index.parquet", [row(number) for number in range(20)]), pixels


def listing(tmp_path):
    with (tmp_path / "tiles.bad_tiles.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_a_catalogue_without_pixels_is_refused(tmp_path):
    index = write_index(tmp_path / "index.parquet", [row(0, paths=[])], root="")
    with pytest.raises(UsageError, match=r"is a catalogue without pixels\. .* swath index DIR"):
        pack.run(PackConfig(index=index, out=tmp_path / "tiles.lance"))


def test_ready_tiles_are_packed_as_they_are(ready, tmp_path):
    index, pixels = ready
    result = pack.run(PackConfig(index=index, out=tmp_path / "tiles.lance"))
    store = TileStore(tmp_path / "tiles.lance")
    assert np.array_equal(store.read(np.arange(20))[0], pixels)
    assert store.ids().tolist() == [f"t{number}" for number in range(20)]
    assert store.labels().tolist() == [[1, 0], [0, 1]] * 10
    assert (store.task, store.index_digest) == ("class", read_index(index).digest)
    assert store.info["attribution"] == "Somebody, 2020"
    assert store.format.gsd_m == 10.0
    assert not {"paths", "x_px", "width_px"} & set(store.column_names)
    assert (result.tiles, result.skipped, result.bands, result.size_px, result.bytes) == (
        20,
        0,
        ("R", "G", "B"),
        8,
        20 * 192,
    )
    assert result.tiles_per_s == pytest.approx(20 / result.seconds)
    assert result.mb_per_s == pytest.approx(20 * 192 / 1e6 / result.seconds)
    assert not list(tmp_path.glob("*.csv")) + list(tmp_path.glob(".*"))


def test_bands_are_chosen_and_ordered(ready, tmp_path):
    index, pixels = ready
    pack.run(PackConfig(index=index, out=tmp_path / "tiles.lance", bands=("B", "R")))
    store = TileStore(tmp_path / "tiles.lance")
    assert store.format.bands == ("B", "R")
    assert np.array_equal(store.read(np.array([4]))[0][0], pixels[4, [2, 0]])


def test_an_unknown_band_names_the_known_ones(ready, tmp_path):
    with pytest.raises(UsageError, match='no band "NIR"; bands here: R, G, B'):
        pack.run(PackConfig(index=ready[0], out=tmp_path / "tiles.lance", bands=("NIR",)))
    assert not (tmp_path / "tiles.lance").exists()


def test_statistics_are_of_the_tiles_that_may_be_trained_on(tmp_path):
    pixels = random_pixels((6, 3, 8, 8))
    for number in range(6):
        write_raster(tmp_path / f"{number}.tif", pixels[number])
    splits = ["train", None, "test", "val", "gap", "train"]
    index = write_index(tmp_path / "index.parquet", [row(n, split=split) for n, split in enumerate(splits)])
    pack.run(PackConfig(index=index, out=tmp_path / "tiles.lance"))
    store = TileStore(tmp_path / "tiles.lance")
    expected = pixels[[0, 1, 5]] / 255
    assert store.format.mean == pytest.approx(expected.mean(axis=(0, 2, 3)))
    assert store.format.std == pytest.approx(expected.std(axis=(0, 2, 3)))
    assert store.statistics["G"]["count"] == 3 * 64


def spoil(tmp_path):
    """Tiles that are cut (corpus row 4), corrupted (6), missing (18), short of a band (20) and blank (23)."""
    write_raster(tmp_path / "2.tif", random_pixels((3, 8, 8)))
    held = (tmp_path / "2.tif").read_bytes()
    (tmp_path / "2.tif").write_bytes(held[: len(held) - 100])
    write_raster(tmp_path / "5.tif", random_pixels((3, 8, 8)), compress="deflate")
    held = bytearray((tmp_path / "5.tif").read_bytes())
    held[-150:-50] = b"\xff" * 100
    (tmp_path / "5.tif").write_bytes(held)
    (tmp_path / "7.tif").unlink()
    write_raster(tmp_path / "11.tif", random_pixels((2, 8, 8)))
    write_raster(tmp_path / "13.tif", np.full((3, 8, 8), 7, np.uint8))
    return ["t2", "t5", "t7", "t11", "t13"]


def test_bad_tiles_stop_a_pack_and_are_all_listed(ready, tmp_path):
    bad = spoil(tmp_path)
    with pytest.raises(
        DataError,
        match=r'5 of 20 tiles are bad \(25.0%\): tile "t2": .*2\.tif .* same\. See .*bad_tiles.csv\. .* skip',
    ) as caught:
        pack.run(PackConfig(index=ready[0], out=tmp_path / "tiles.lance"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "tiles.lance").exists()
    assert not list(tmp_path.glob(".*"))
    found = listing(tmp_path)
    assert [entry["id"] for entry in found] == bad
    assert [entry["path"] for entry in found] == ["2.tif", "5.tif", "7.tif", "11.tif", "13.tif"]
    words = ["truncated", "fails to decompress", "missing", "has 2 bands", "blank"]
    assert all(word in entry["reason"] for word, entry in zip(words, found, strict=True))


def test_bad_tiles_are_left_out_when_asked_for_and_listed(ready, tmp_path):
    index, pixels = ready
    bad = spoil(tmp_path)
    result = pack.run(PackConfig(index=index, out=tmp_path / "tiles.lance", on_bad_tile="skip", max_bad=0.25))
    store = TileStore(tmp_path / "tiles.lance")
    good = [number for number in range(20) if f"t{number}" not in bad]
    assert store.ids().tolist() == [f"t{number}" for number in good]
    assert np.array_equal(store.read(np.arange(15))[0], pixels[good])
    assert (result.tiles, result.skipped) == (15, 5)
    assert len(listing(tmp_path)) == 5


def test_more_bad_tiles_than_allowed_stop_a_pack(ready, tmp_path):
    spoil(tmp_path)
    with pytest.raises(DataError, match=r"5 of 20 tiles are bad \(25.0%\).*more than --max-bad 0.2"):
        pack.run(PackConfig(index=ready[0], out=tmp_path / "tiles.lance", on_bad_tile="skip", max_bad=0.2))
    assert not (tmp_path / "tiles.lance").exists()


def test_no_good_tile_is_an_error_under_any_policy(ready, tmp_path):
    for path in tmp_path.glob("*.tif"):
        path.unlink()
    with pytest.raises(DataError, match=r'20 of 20 tiles are bad .*tile "t0": .*missing'):
        pack.run(PackConfig(index=ready[0], out=tmp_path / "tiles.lance", on_bad_tile="skip", max_bad=1.0))
    assert not (tmp_path / "tiles.lance").exists()


def test_an_existing_output_is_refused_and_nothing_is_touched(ready, tmp_path):
    (tmp_path / "tiles.lance").mkdir()
    with pytest.raises(UsageError, match="exists already; nothing was written"):
        pack.run(PackConfig(index=ready[0], out=tmp_path / "tiles.lance"))
    assert not list((tmp_path / "tiles.lance").iterdir())


def test_a_full_disk_leaves_no_half_pack(ready, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FragmentWriter, "append", full)
    with pytest.raises(MachineError, match="no space left"):
        pack.run(PackConfig(index=ready[0], out=tmp_path / "tiles.lance"))
    assert not [path for path in tmp_path.iterdir() if "lance" in path.name]


def test_packing_twice_gives_the_same_digest(ready, tmp_path):
    pack.run(PackConfig(index=ready[0], out=tmp_path / "a.lance"))
    pack.run(PackConfig(index=ready[0], out=tmp_path / "b.lance"))
    assert TileStore(tmp_path / "a.lance").digest == TileStore(tmp_path / "b.lance").digest


SLOW_PACK = """
import sys, time
from pathlib import Path
from swath.config import PackConfig
from swath.data.writer import TileWriter
from swath.prepare import pack
whole = TileWriter.finish
def slow(self, *args, **more):
    print("ready", flush=True)
    time.sleep(60)
TileWriter.finish = slow
pack.run(PackConfig(index=Path(sys.argv[1]), out=Path(sys.argv[2])))
"""


def test_a_killed_pack_does_not_open_and_the_next_one_succeeds(ready, tmp_path, caplog):
    command = [sys.executable, "-c", SLOW_PACK, str(ready[0]), str(tmp_path / "tiles.lance")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
    assert not (tmp_path / "tiles.lance").exists()
    (left,) = tmp_path.glob(".tiles.lance.*.tmp")
    with pytest.raises(DataError, match="interrupted"):
        TileStore(left)
    ours, other = (tmp_path / f".tiles.lance.{pid}.tmp" for pid in (os.getppid(), "mine"))
    ours.mkdir()
    other.mkdir()
    pack.run(PackConfig(index=ready[0], out=tmp_path / "tiles.lance"))
    assert len(TileStore(tmp_path / "tiles.lance")) == 20
    assert not left.exists()
    assert ours.exists(), "its process lives"
    assert f"{ours} belongs to a pack that still runs (pid {os.getppid()})" in caplog.text
    assert other.exists(), "not a name that swath gives"


def test_packed_tiles_or_a_folder_in_place_of_an_index_are_named(ready, tmp_path):
    pack.run(PackConfig(index=ready[0], out=tmp_path / "tiles.lance"))
    with pytest.raises(DataError, match=r"tiles.lance is packed tiles; expected an index"):
        pack.run(PackConfig(index=tmp_path / "tiles.lance", out=tmp_path / "again.lance"))
    with pytest.raises(DataError, match=rf"{tmp_path} is not an index, as made by: swath index"):
        pack.run(PackConfig(index=tmp_path, out=tmp_path / "again.lance"))


def test_tiles_on_s3_are_packed_as_those_here_and_bad_ones_are_named(ready, any_s3, tmp_path):
    index, pixels = ready
    spoil(tmp_path)
    for path in tmp_path.glob("*.tif"):
        with storage.object_aside(any_s3("tiles") / path.name) as aside:
            aside.write_bytes(path.read_bytes())
    rows = [row(number) for number in range(20)]
    there = write_index(any_s3("index.parquet"), rows, root=str(any_s3("tiles")))
    config = PackConfig(index=there, out=any_s3("tiles.lance"), on_bad_tile="skip", max_bad=0.5)
    pack.run(config)
    pack.run(config.model_copy(update={"index": index, "out": tmp_path / "tiles.lance"}))
    assert TileStore(config.out).digest == TileStore(tmp_path / "tiles.lance").digest
    good = [number for number in range(20) if number not in {2, 5, 7, 11, 13}]
    assert np.array_equal(TileStore(config.out).read(np.arange(15))[0], pixels[good])
    listed = storage.read_bytes(any_s3("tiles.bad_tiles.csv")).decode()
    assert f"{any_s3('tiles')}/7.tif is missing" in listed
    assert tempfile.gettempdir() not in listed


@pytest.mark.parametrize("spoilt", [False, True])
def test_tiles_packed_in_stretches_are_the_same_tiles(ready, tmp_path, monkeypatch, spoilt):
    bad = spoil(tmp_path) if spoilt else []
    asked = {"index": ready[0], "on_bad_tile": "skip" if spoilt else "error", "max_bad": 0.5}
    pack.run(PackConfig(out=tmp_path / "local.lance", **asked))
    monkeypatch.setattr(pack, "_BATCH", 2)
    engine = stretched(monkeypatch, "swath.prepare.pack")
    result = pack.run(PackConfig(out=tmp_path / "ray.lance", engine="ray", **asked))
    here, there = (TileStore(tmp_path / f"{name}.lance") for name in ("local", "ray"))
    assert (there.digest, there.format, there.statistics) == (here.digest, here.format, here.statistics)
    assert there.columns(*there.column_names).equals(here.columns(*here.column_names))
    assert np.array_equal(there.read(np.arange(len(there)))[0], here.read(np.arange(len(here)))[0])
    assert (engine.calls, result.skipped) == (10, len(bad))


def test_what_a_killed_worker_left_is_no_part_of_the_pack(ready, tmp_path, monkeypatch):
    engine, over = stretched(monkeypatch, "swath.prepare.pack"), HERE.over

    def twice(work, given, count, *, at_once):
        list(over(work, given, count, at_once=at_once))
        return over(work, given, count, at_once=at_once)

    engine.over = twice
    pack.run(PackConfig(index=ready[0], out=tmp_path / "tiles.lance", engine="ray"))
    assert len(list((tmp_path / "tiles.lance" / "data").iterdir())) == 1


def test_workers_with_a_disk_of_their_own_are_found_out(ready, tmp_path, monkeypatch):
    stretched(monkeypatch, "swath.prepare.pack")
    monkeypatch.setattr("swath.data.fragment.Written.files", lambda _: ["elsewhere.lance"])
    with pytest.raises(
        MachineError, match=r"lacks elsewhere\.lance, which a worker wrote: .* all machines share"
    ):
        pack.run(PackConfig(index=ready[0], out=tmp_path / "tiles.lance", engine="ray"))
    assert not (tmp_path / "tiles.lance").exists()
