"""Row 51 of the bad inputs, byte by byte over a real socket: a client library would tidy the addresses."""

import contextlib
import ipaddress
import re
import socket
import struct
from pathlib import Path

import pytest

from swath.serve.explore.access import Access
from swath.serve.explore.routes import make_app
from swath.serve.explore.server import Server, listen

_LISTENS = "0A"  # in /proc/net/tcp


@pytest.fixture
def served(explored):
    """The port and the token of a page."""
    with listen("127.0.0.1", None) as listener:
        port = listener.getsockname()[1]
        access = Access(port)
        with Server(make_app(explored, access), listener):
            yield port, access.token


def answered(port, line, *, host=None, cookie=""):
    """Status code, and all of the answer."""
    asked = f"{line} HTTP/1.1\r\nHost: {host or f'127.0.0.1:{port}'}\r\nConnection: close\r\n{cookie}\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as wire:
        wire.sendall(asked.encode())
        with wire.makefile("rb") as stream:
            whole = stream.read().decode()
    return int(whole.split()[1]), whole


def cookie_of(port, token):
    _, head = answered(port, f"GET /?token={token}")
    (cookie,) = re.findall(r"^set-cookie: ([^;]+)", head, re.MULTILINE | re.IGNORECASE)
    return f"Cookie: {cookie}\r\n"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("GET /../../etc/passwd", 404),
        ("GET /page/../../../../../../etc/passwd", 404),
        ("GET /%2e%2e/%2e%2e/etc/passwd", 404),
        ("GET /page/%2e%2e/%2e%2e/errors.py", 404),
        ("GET /labels/%2e%2e/config.yaml", 404),
        ("GET //etc/passwd", 404),
        ("POST /", 403),
        ("PUT /api/labels", 405),
    ],
)
def test_addresses_out_of_the_page_are_answered_with_nothing(served, line, code):
    port, token = served
    status, body = answered(port, line, cookie=cookie_of(port, token))
    assert status == code
    assert "root:" not in body
    assert "import" not in body


def test_another_host_and_a_stranger_are_refused(served):
    port, token = served
    cookie = cookie_of(port, token)
    assert answered(port, "GET /", cookie=cookie)[0] == 200
    assert answered(port, "GET /", cookie=cookie, host="evil.example")[0] == 421
    assert answered(port, "GET /")[0] == 403


@pytest.mark.skipif(not Path("/proc/net/tcp6").exists(), reason="no table of sockets")
def test_no_address_but_that_of_this_machine_is_listened_to(served):
    port, _ = served
    where = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            address, number = line.split()[1].split(":")
            if int(number, 16) == port and line.split()[3] == _LISTENS:
                words = [address[i : i + 8] for i in range(0, len(address), 8)]
                where.append(
                    ipaddress.ip_address(b"".join(struct.pack("=I", int(word, 16)) for word in words))
                )
    assert where == [ipaddress.ip_address("127.0.0.1")]


def test_hundreds_of_idle_connections_do_not_keep_others_out(served):
    port, token = served
    cookie = cookie_of(port, token)
    with contextlib.ExitStack() as held:
        for _ in range(300):
            held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        assert answered(port, "GET /", cookie=cookie)[0] == 200
