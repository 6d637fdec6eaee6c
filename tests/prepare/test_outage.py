"""Index and pack in s3:// while the server goes away and comes back: the result is that of a quiet day."""

import contextlib
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from s3_server import put_folder
from tile_archive import random_pixels, write_raster
from waiting import started

import swath
from swath import storage
from swath.data.store import TileStore
from swath.location import S3Path

pytestmark = [
    pytest.mark.cloud,
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
]
ARCHIVE, INDEX = S3Path("bucket", "chips"), S3Path("bucket", "index.parquet")
TILES = 60
# A server that never answered is given up after seconds, and 100 tries once ended within 27: this one is away
# for longer.
AWAY_S = 35.0
# Waits before the N-th call of a function, for a line of its standard input.
WAITS = """
import importlib, sys
from swath import cli

module, name = sys.argv[1].split(":")
owner, left = importlib.import_module(module), int(sys.argv[2])
*classes, last = name.split(".")
for part in classes:
    owner = getattr(owner, part)
original = getattr(owner, last)

def counted(*given):
    global left
    left -= 1
    if left == 0:
        print("half-way", flush=True)
        sys.stdin.readline()
    return original(*given)

setattr(owner, last, counted)
sys.exit(cli.main(sys.argv[3:]))
"""
READ, WRITTEN = (
    ("swath.storage:store_of", str(TILES // 2)),
    ("swath.data.fragment:FragmentWriter.append", "1"),
)


@pytest.fixture
def outlives(server):
    """Runs a command, and kills the server for a while when the command is half-way."""

    def run(place, *words):
        command = [sys.executable, "-c", WAITS, *place, *words, "--quiet"]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        with contextlib.ExitStack() as stack:
            with server():
                env = {**os.environ, "OMP_NUM_THREADS": "1"}
                process = stack.enter_context(started(command, **pipes, text=True, env=env))
                assert process.stdout.readline() == "half-way\n"
            process.stdin.write("\n")
            process.stdin.flush()
            time.sleep(AWAY_S)
            assert process.poll() is None, process.communicate()[1]
            with server():
                errors = process.communicate(timeout=120)[1]
                assert process.returncode == 0, errors
                return errors

    return run


@pytest.fixture
def chips(server, tmp_path):
    """Tiles at ARCHIVE on the server, and their index at INDEX, made on a quiet day."""
    for number, tile in enumerate(random_pixels((TILES, 3, 8, 8))):
        write_raster(tmp_path / "chips" / f"{number}.tif", tile)
    with server():
        put_folder(tmp_path / "chips", ARCHIVE)
        swath.index(ARCHIVE, out=INDEX, layout="folder")


@pytest.mark.usefixtures("chips")
def test_an_index_whose_server_is_killed_and_started_again_is_that_of_a_quiet_day(outlives, server):
    out = S3Path("bucket", "again.parquet")
    assert outlives(READ, "index", str(ARCHIVE), "--layout", "folder", "--out", str(out)) == ""
    with server():
        assert storage.read_bytes(out) == storage.read_bytes(INDEX)


@pytest.mark.usefixtures("chips")
@pytest.mark.parametrize("place", [READ, WRITTEN], ids=["reading", "writing"])
def test_a_pack_whose_server_is_killed_and_started_again_is_that_of_a_quiet_day(
    outlives, server, tmp_path, place
):
    out = S3Path("bucket", "tiles.lance")
    assert outlives(place, "pack", str(INDEX), "--out", str(out)) == ""
    with server():
        swath.pack(INDEX, out=tmp_path / "tiles.lance")
        here, there = TileStore(tmp_path / "tiles.lance"), TileStore(out)
        assert (there.digest, len(there)) == (here.digest, TILES)
        rows = np.arange(TILES)
        assert np.array_equal(there.read(rows)[0], here.read(rows)[0])
