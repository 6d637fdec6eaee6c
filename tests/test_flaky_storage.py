"""Reads from S3 that fail now and then are tried again; what comes back changed is refused."""

from datetime import timedelta

import flaky_s3
import numpy as np
import pytest
from s3_server import put_folder

from swath import storage
from swath.cli import main
from swath.data.store import TileStore
from swath.errors import DataError, MachineError
from swath.runtime.run import Run


@pytest.fixture
def flaky(moto_url, s3_at, monkeypatch):
    """A server that fails as told, and the environment leads there; requests time out after a second."""
    monkeypatch.setattr(storage, "_TIMEOUT", timedelta(seconds=1))
    monkeypatch.setattr(storage, "_RETRY_WITHIN", timedelta(seconds=20))
    storage._opened.cache_clear()
    with flaky_s3.before(moto_url) as server:
        yield server, s3_at(server.url)
    storage._opened.cache_clear()


FAULTS = (["503", "503"], ["reset"], ["short"], ["stall"], ["reset", "503", "short"])


@pytest.mark.parametrize("faults", FAULTS, ids="-".join)
def test_a_read_that_fails_now_and_then_is_had_in_the_end(flaky, faults):
    server, place = flaky
    path, content = place("object"), bytes(range(256)) * 2000
    with storage.object_aside(path) as aside:
        aside.write_bytes(content)
    server.faults = list(faults)
    assert storage.read_bytes(path) == content
    assert not server.faults
    assert server.reads == len(faults) + 1
    server.faults = list(faults)
    assert storage.read_range(path, 1000, 5000) == content[1000:6000]


def test_a_server_that_always_fails_is_given_up_in_one_line(flaky, monkeypatch):
    server, place = flaky
    monkeypatch.setattr(storage, "_RETRY_WITHIN", timedelta(seconds=1))
    path = place("object")
    with storage.object_aside(path) as aside:
        aside.write_bytes(b"x" * 1000)
    storage._opened.cache_clear()
    server.faults = ["503"] * 100
    with pytest.raises(MachineError, match="object: S3 answers") as caught:
        storage.read_bytes(path)
    assert "\n" not in str(caught.value)
    assert server.reads < 12


@pytest.mark.parametrize("faults", [["503", "503"], ["reset"], ["short"]], ids="-".join)
def test_packed_tiles_are_read_through_failures(packed, flaky, faults):
    server, place = flaky
    store = TileStore(put_folder(packed, place("tiles.lance")))
    rows = np.arange(40)
    server.faults = list(faults)
    (pixels,) = store.read(rows)
    assert not server.faults, "the failures were met"
    (same,) = TileStore(packed).read(rows)
    assert np.array_equal(pixels, same)


def test_a_flipped_byte_in_packed_tiles_is_refused(packed, flaky):
    server, place = flaky
    store = TileStore(put_folder(packed, place("tiles.lance")))
    server.faults = ["flip"] * 50
    with pytest.raises(DataError, match="checksum"):
        store.read(np.arange(40))


@pytest.fixture
def train(tiny, tmp_path, capsys):
    """Train on tiles as the command line does; its exit code, and the one line that it said."""

    def train(tiles, *flags):
        capsys.readouterr()
        words = ["pretrain", str(tiles), "--out", str(tmp_path / "run"), *tiny, "--quiet", *flags]
        code = main(words)
        (line,) = capsys.readouterr().err.splitlines()
        return code, line

    return train


IN_THE_MIDDLE = {
    "flip": (3, "do not match their checksum"),
    "denied": (5, "access denied (AccessDenied)"),
    "expired": (5, "S3 refuses the credentials (ExpiredToken)"),
}


def test_a_bucket_of_another_region_is_said_as_such(packed, flaky):
    server, place = flaky
    tiles = put_folder(packed, place("tiles.lance"))
    server.faults = ["moved"] * 50
    with pytest.raises(MachineError, match="in another region; set AWS_REGION"):
        storage.read_bytes(tiles / next(storage.list_files(tiles)))
    with pytest.raises(MachineError, match="in another region; set AWS_REGION"):
        TileStore(tiles)


def test_a_run_directory_of_another_region_is_one_line(flaky, tmp_path, capsys):
    server, place = flaky
    Run.create(tmp_path / "run", {}, command="swath pretrain")
    run = put_folder(tmp_path / "run", place("run"))
    server.faults = ["moved"] * 50
    assert main(["verify", str(run)]) == 5
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"swath: {run}/")
    assert line.endswith("bucket bucket is in another region; set AWS_REGION to it.")


@pytest.mark.parametrize("fault", ["denied", "expired"])
def test_what_s3_refuses_of_packed_tiles_is_a_machine_error(packed, flaky, fault):
    server, place = flaky
    store = TileStore(put_folder(packed, place("tiles.lance")))
    server.faults = [fault] * 50
    with pytest.raises(MachineError) as caught:
        store.read(np.arange(40))
    assert IN_THE_MIDDLE[fault][1] in str(caught.value)


@pytest.mark.cloud
@pytest.mark.parametrize("fault", IN_THE_MIDDLE)
def test_what_goes_wrong_in_the_middle_of_a_training_is_one_line(packed, flaky, train, tmp_path, fault):
    server, place = flaky
    tiles = put_folder(packed, place("tiles.lance"))
    server.faults = ["well"] * 10 + [fault] * 500
    code, line = train(tiles, "--steps", "200")
    assert (code, line.startswith(f"swath: {tiles}: ")) == (IN_THE_MIDDLE[fault][0], True)
    assert IN_THE_MIDDLE[fault][1] in line
    assert Run.open(tmp_path / "run").metrics(), "it had begun"


def test_a_byte_that_flipped_at_rest_is_caught_in_training(packed, s3, train):
    tiles = put_folder(packed, s3("tiles.lance"))
    (name,) = (name for name in storage.list_files(tiles) if name.startswith("data/"))
    content = bytearray(storage.read_bytes(tiles / name))
    (first,) = TileStore(packed).read(np.array([0]))
    content[content.index(first.tobytes()) + 100] ^= 1
    with storage.object_aside(tiles / name) as aside:
        aside.write_bytes(content)
    code, line = train(tiles, "--steps", "20")
    assert (code, "do not match their checksum" in line) == (3, True)
    assert "copy tiles.lance again" in line


def test_a_wrong_secret_ends_a_training_before_it_begins(packed, s3, train, tmp_path, monkeypatch):
    tiles = put_folder(packed, s3("tiles.lance"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wr0ng-s3cret")
    code, line = train(tiles)
    assert (code, "access denied (403)" in line) == (5, True)
    assert "wr0ng" not in line
    assert not (tmp_path / "run").exists()
