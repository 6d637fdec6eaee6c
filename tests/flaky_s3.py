"""A server that stands before an S3 server on loopback and answers reads badly, as often as it is told to."""

import contextlib
import http.client
import http.server
import socket
import struct
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

STALL_S = 6.0


class FlakyS3(http.server.ThreadingHTTPServer):
    """`faults` are used up by reads of objects, one each: a name below without its underscore."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream).netloc
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.faults: list[str] = []
        self.reads = 0
        self._lock = threading.Lock()

    def next_fault(self) -> str | None:
        with self._lock:
            self.reads += 1
            return self.faults.pop(0) if self.faults else None

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what this is about."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=30)
        upstream.request(self.command, self.path, body, dict(self.headers))
        answer = upstream.getresponse()
        content = b"" if self.command == "HEAD" else answer.read()
        upstream.close()
        is_read = self.command == "GET" and answer.status in {200, 206} and "list-type" not in self.path
        fault = self.server.next_fault() if is_read and content else None
        getattr(self, f"_{fault or 'well'}")(answer, content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815 -- names of http.server

    def _well(self, answer: http.client.HTTPResponse, content: bytes) -> None:
        self._head(answer, len(content))
        self.wfile.write(content)

    def _flip(self, answer: http.client.HTTPResponse, content: bytes) -> None:
        middle = len(content) // 2
        self._well(answer, content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])

    def _503(self, _answer: http.client.HTTPResponse, _content: bytes) -> None:
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _denied(self, _answer: http.client.HTTPResponse, _content: bytes) -> None:
        self._refuse("AccessDenied")

    def _expired(self, _answer: http.client.HTTPResponse, _content: bytes) -> None:
        self._refuse("ExpiredToken")

    def _moved(self, _answer: http.client.HTTPResponse, _content: bytes) -> None:
        self._refuse("PermanentRedirect")

    def _refuse(self, code: str) -> None:
        said = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        self.send_response({"ExpiredToken": 400, "PermanentRedirect": 301}.get(code, 403))
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def _reset(self, _answer: http.client.HTTPResponse, _content: bytes) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _short(self, answer: http.client.HTTPResponse, content: bytes) -> None:
        self._head(answer, len(content))
        self.wfile.write(content[: len(content) // 2])
        self.close_connection = True

    def _stall(self, answer: http.client.HTTPResponse, content: bytes) -> None:
        self._head(answer, len(content))
        self.wfile.write(content[: len(content) // 2])
        self.wfile.flush()
        time.sleep(STALL_S)
        self.close_connection = True

    def _head(self, answer: http.client.HTTPResponse, length: int) -> None:
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"content-length", "connection", "transfer-encoding", "date", "server"}:
                self.send_header(name, value)
        self.send_header("Content-Length", answer.getheader("Content-Length") if length == 0 else str(length))
        self.end_headers()


@contextlib.contextmanager
def before(upstream: str) -> Iterator[FlakyS3]:
    """A running one."""
    server = FlakyS3(upstream)
    threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.05}).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
