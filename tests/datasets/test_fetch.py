"""Against a server on loopback that breaks off, lies and refuses."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from swath.datasets import fetch as fetching
from swath.datasets.fetch import RemoteFile, fetch
from swath.errors import DataError, MachineError

CONTENT = np.random.default_rng(0).bytes(300_000)
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


class Server(ThreadingHTTPServer):
    """Answers with one step of `plan` a request, the last for ever; `asked` are the ranges asked for."""

    daemon_threads = True

    def __init__(self, plan):
        super().__init__(("127.0.0.1", 0), Answer)
        self.plan, self.asked = list(plan), []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/data/file.tar.gz?download=1"


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.asked.append(asked)
        step = server.plan.pop(0) if len(server.plan) > 1 else server.plan[0]
        if isinstance(step, int):
            self.send_error(step)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and "ignore range" not in step else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        if start:
            self.send_response(206)
            place = start + 7 if "wrong place" in step else start
            self.send_header("Content-Range", f"bytes {place}-{len(CONTENT) - 1}/{len(CONTENT)}")
        else:
            self.send_response(200)
        length = len(CONTENT) - start + (1000 if "says more" in step else -1000 if "says less" in step else 0)
        if "no length" not in step:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        end = start + 100_000 if "break off" in step else len(CONTENT)
        body = CONTENT if "other bytes" not in step else bytes(len(CONTENT))
        self.wfile.write(body[start:end][: max(length, 0)])

    def log_message(self, *words):
        pass


@pytest.fixture
def serve(monkeypatch):
    """`serve(*plan)` starts a server; all stop with the test. Nobody waits between tries."""
    monkeypatch.setattr(fetching, "pause", lambda _: None)
    running = []

    def start(*plan):
        server = Server(plan)
        running.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return server

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def got(server, folder, **changes):
    heard = []
    remote = RemoteFile(**{"url": server.url, "md5": MD5, **changes})
    path = fetch(remote, folder, on_bytes=heard.append)
    assert path == folder / "file.tar.gz"
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in folder.iterdir()] == ["file.tar.gz"]
    return sum(heard)


@pytest.mark.parametrize("num_bytes", [None, len(CONTENT)])
def test_a_file_comes_whole(tmp_path, serve, num_bytes):
    server = serve("all")
    assert got(server, tmp_path, num_bytes=num_bytes) == len(CONTENT)
    assert server.asked == [None]
    assert got(server, tmp_path) == len(CONTENT)  # it is there, and looked at again
    assert server.asked == [None]


def test_a_line_that_breaks_is_taken_up_where_it_broke(tmp_path, serve):
    server = serve("break off", "break off", 503, "break off", "all")
    assert got(server, tmp_path) == len(CONTENT)
    assert server.asked == [None, "bytes=100000-", "bytes=200000-", "bytes=200000-"]


def test_what_an_earlier_command_got_is_used(tmp_path, serve):
    (tmp_path / "file.tar.gz.part").write_bytes(CONTENT[:250_000])
    server = serve("all")
    assert got(server, tmp_path) == 50_000
    assert server.asked == ["bytes=250000-"]


def test_a_whole_part_is_only_checked(tmp_path, serve):
    (tmp_path / "file.tar.gz.part").write_bytes(CONTENT)
    server = serve(404)
    assert got(server, tmp_path, num_bytes=len(CONTENT)) == 0
    assert server.asked == []
    (tmp_path / "file.tar.gz").rename(tmp_path / "file.tar.gz.part")
    server = serve("all")  # where the size is not known, the server says that nothing is left
    assert got(server, tmp_path) == 0


@pytest.mark.parametrize("plan", [("break off ignore range", "ignore range"), ("break off", "ignore range")])
def test_a_server_that_ignores_the_range_begins_again(tmp_path, serve, plan):
    assert got(serve(*plan), tmp_path) == 100_000 + len(CONTENT)


@pytest.mark.parametrize(("plan", "asked"), [(("all no length",), 1), (("says more", "all"), 2)])
def test_a_length_that_is_missing_or_too_large_does_no_harm(tmp_path, serve, plan, asked):
    server = serve(*plan)
    assert got(server, tmp_path) == len(CONTENT)
    assert len(server.asked) == asked


@pytest.mark.parametrize("lie", ["says less", "other bytes"])
def test_other_bytes_are_removed_and_said(tmp_path, serve, lie):
    with pytest.raises(DataError, match=rf"has md5 \w+; the published file has {MD5}. It was removed"):
        got(serve(lie), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_size_that_was_not_published_is_refused_before_a_byte(tmp_path, serve):
    with pytest.raises(DataError, match=r"has 300,000 bytes; the published file has 12\. Try a mirror"):
        got(serve("all"), tmp_path, num_bytes=12)
    assert list(tmp_path.iterdir()) == []


def test_an_answer_from_another_place_is_refused(tmp_path, serve):
    (tmp_path / "file.tar.gz.part").write_bytes(CONTENT[:250_000])
    with pytest.raises(
        DataError, match='asked for bytes from 250,000, the server sends "250007-299999/300000"'
    ):
        got(serve("wrong place"), tmp_path)


def test_a_file_that_is_not_there_is_said_at_once(tmp_path, serve):
    server = serve(404)
    with pytest.raises(DataError, match=r"the server answers 404 Not Found. If the file has moved.*--table"):
        got(server, tmp_path)
    assert len(server.asked) == 1


@pytest.mark.parametrize("plan", [(503,), ("break off", 503), ("break off ignore range",)])
def test_a_server_that_never_gets_on_is_given_up_and_the_part_kept(tmp_path, serve, plan):
    server = serve(*plan)
    with pytest.raises(MachineError, match=r"8 times in a row. [\d,]+ bytes are kept in .*file.tar.gz.part"):
        got(server, tmp_path)
    assert len(server.asked) <= 10


def test_nobody_there_is_said(tmp_path, serve):
    server = serve("all")
    server.shutdown()
    server.server_close()
    with pytest.raises(MachineError, match="not reached"):
        fetch(RemoteFile(server.url, MD5), tmp_path, on_bytes=lambda _: None)


def test_another_file_of_that_name_is_not_touched(tmp_path, serve):
    (tmp_path / "file.tar.gz").write_text("mine")
    with pytest.raises(DataError, match="Remove or rename it"):
        got(serve("all"), tmp_path)
    assert (tmp_path / "file.tar.gz").read_text() == "mine"


def test_too_little_space_is_said_before_the_first_byte(tmp_path, serve, monkeypatch):
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(MachineError, match=r"file.tar.gz needs 0.0 GB more, .* has 0.0 GB"):
        got(serve("all"), tmp_path)


def test_without_a_published_md5_that_is_said(tmp_path, serve, caplog):
    got(serve("all"), tmp_path, md5=None)
    assert "not checked" in caplog.text
