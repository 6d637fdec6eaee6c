"""Reads from S3 that fail now and then are tried again; what comes back changed is refused."""

from datetime import timedelta

import flaky_s3
import numpy as np
import pytest

from swath import storage
from swath.data.store import TileStore
from swath.errors import DataError, MachineError


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


def put(packed, path):
    for file in packed.rglob("*"):
        if file.is_file():
            with storage.object_aside(path / file.relative_to(packed).as_posix()) as aside:
                aside.write_bytes(file.read_bytes())
    return path


@pytest.mark.parametrize("faults", [["503", "503"], ["reset"], ["short"]], ids="-".join)
def test_packed_tiles_are_read_through_failures(packed, flaky, faults):
    server, place = flaky
    store = TileStore(put(packed, place("tiles.lance")))
    rows = np.arange(40)
    server.faults = list(faults)
    (pixels,) = store.read(rows)
    assert not server.faults, "the failures were met"
    (same,) = TileStore(packed).read(rows)
    assert np.array_equal(pixels, same)


def test_a_flipped_byte_in_packed_tiles_is_refused(packed, flaky):
    server, place = flaky
    store = TileStore(put(packed, place("tiles.lance")))
    server.faults = ["flip"] * 50
    with pytest.raises(DataError, match="checksum"):
        store.read(np.arange(40))
