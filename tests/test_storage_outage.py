"""Training from S3 while the server goes away and comes back, or its disk goes bad."""

import contextlib
import os
import sys
import time

import pytest
from s3_server import put_folder
from waiting import started, until

from swath.cli import main
from swath.location import S3Path
from swath.runtime.run import Run

pytestmark = pytest.mark.cloud
TILES = S3Path("bucket", "tiles.lance")
STEPS = ("--steps", "250", "--save-every", "1000", "--order", "blocks")


def test_a_training_whose_server_is_killed_and_started_again_is_the_training_of_local_tiles(
    server, packed, tiny, tmp_path
):
    words = [
        sys.executable,
        "-m",
        "swath.cli",
        "pretrain",
        str(TILES),
        "--out",
        str(tmp_path / "run"),
        *tiny,
        *STEPS,
    ]
    log = tmp_path / "run/metrics.jsonl"
    with contextlib.ExitStack() as stack:
        with server():
            put_folder(packed, TILES)
            process = stack.enter_context(started(words, env={**os.environ, "OMP_NUM_THREADS": "1"}))
            until(lambda: log.exists() and log.stat().st_size, within_s=90)
        size = -1
        while size != log.stat().st_size:  # what was read before the outage is used up, and a read waits
            size = log.stat().st_size
            time.sleep(3)
        assert process.poll() is None
        with server():
            assert process.wait(120) == 0
    assert main(["pretrain", str(packed), "--out", str(tmp_path / "local"), *tiny, *STEPS, "--quiet"]) == 0
    hashes = [Run.open(tmp_path / name).summary["state_hash"] for name in ("run", "local")]
    assert hashes[0] == hashes[1]
