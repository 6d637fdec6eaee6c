"""The command: it prints a link, serves, and ends in order; what cannot be opened is said in one line."""

import json
import signal
import socket
import subprocess
import sys

import httpx
import pyarrow.parquet as pq
import pytest

import swath
from swath.data.store import TileStore
from swath.errors import MachineError, UsageError
from swath.runtime.run import Run
from swath.serve.explore import routes, server
from swath.serve.explore.archive import open_archive


def test_a_signal_ends_it_in_order_with_its_result(explored):
    words = ["explore", str(explored.run), "--quiet", "--json"]
    command = [sys.executable, "-m", "swath.cli", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        link = process.stderr.readline().split()[-1]
        with httpx.Client(follow_redirects=True) as client:
            assert "<title>swath explore</title>" in client.get(link).text
            process.send_signal(signal.SIGINT)
            said, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    result = json.loads(said.splitlines()[-1])
    assert result == {"tiles": 144, "labels": [], "stopped_by": "SIGINT"}
    assert errors == ""


def test_a_port_that_is_taken_is_said(explored):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(MachineError, match=rf"cannot listen on 127.0.0.1:{port} .*Choose another --port"):
            swath.explore(explored.run, port=port)


def test_what_is_no_run_is_refused_before_anything_listens(tmp_path):
    with pytest.raises(UsageError, match="is not a run"):
        swath.explore(tmp_path)


def test_without_its_packages_the_extra_is_named(explored, access, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(MachineError, match=r'pip install "swath\[serve\]"'):
        routes.make_app(explored, access)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with socket.socket() as listener, pytest.raises(MachineError, match=r'pip install "swath\[serve\]"'):
        server.Server(None, listener)


def test_features_of_the_class_token_that_are_there_are_used(explored):
    kept = explored.run / "features.parquet"
    before = kept.read_bytes()
    try:
        swath.embed(explored.run, explored.store.path, out=kept, features="cls")
        assert open_archive(Run.open(explored.run), None).features.shape == (144, 24)
        assert pq.read_schema(kept).field("features").type.list_size == 24
    finally:
        kept.write_bytes(before)


def test_features_of_other_tiles_do_not_take_the_place_of_those_of_the_run(explored, archive, tmp_path):
    other, index = tmp_path / "other.lance", tmp_path / "index.parquet"
    swath.index(archive / "scene.tif", out=index, layout="scenes", tile_px=32, stride_px=64)
    swath.pack(index, out=other)
    before = (explored.run / "features.parquet").read_bytes()
    assert len(open_archive(Run.open(explored.run), other)) == 36
    assert (explored.run / "features.parquet").read_bytes() == before
    digest = TileStore(other).digest
    assert (explored.run / "explore" / f"features-{digest[:8]}.parquet").exists()


def test_errors_of_the_probe_become_a_colour(explored):
    assert "error" not in {each.key for each in explored.colourings}
    swath.probe(explored.run, explored.store.path, rounds=100)
    try:
        again = open_archive(Run.open(explored.run), None)
        assert "error" in {each.key for each in again.colourings}
    finally:
        for path in explored.run.glob("probe-linear*"):
            path.unlink()
