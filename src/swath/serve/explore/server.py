"""A web server for the page alone: on one address, until a signal."""

import socket
import threading
from types import TracebackType
from typing import Any, Self

from swath.errors import MachineError
from swath.runtime.signals import StopFlag
from swath.serve.explore.access import App

_GRACE_S = 2  # for answers under way once a stop is asked
_LOOK_S = 0.1


def listen(host: str, port: int | None) -> socket.socket:
    """A listening socket on `port`, or on a free one.

    Raises:
        MachineError: the address is not of this machine, or the port is taken.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    except OSError as error:
        where = f"{host}:{port}" if port else host
        raise MachineError(
            f"cannot listen on {where} ({error.strerror}). Choose another --port, or give none."
        ) from error


class Server:
    """Answers in a thread from `with` on; `wait` returns when it was asked to stop."""

    def __init__(self, app: App, listener: socket.socket) -> None:
        try:
            import uvicorn  # noqa: PLC0415 -- of the extra [serve]
        except ImportError as error:
            raise MachineError(
                'swath explore needs FastAPI and uvicorn, which are not installed: pip install "swath[serve]"'
            ) from error
        asgi: Any = app
        config = uvicorn.Config(
            asgi, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=_GRACE_S
        )
        self._server = uvicorn.Server(config)
        self._listener = listener
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="swath-explore", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(_GRACE_S + 3)
        self._listener.close()

    def wait(self) -> str | None:
        """Until SIGINT or SIGTERM, whose name it gives, or until the server ended by itself."""
        with StopFlag() as stop:
            while self._thread.is_alive() and not stop:
                self._thread.join(_LOOK_S)
        return stop.signal
