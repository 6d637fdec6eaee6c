"""Who may ask the page's server for anything: the right Host, the token, the same origin.

A page of another site can make a browser send requests here, and by DNS rebinding read the answers; so a
request must name this server in its Host header and carry the token, which came in the link and is then kept
in a cookie that no script and no other site can use.
"""

import ipaddress
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

STREETS = "https://tile.openstreetmap.org"
_ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
_METHODS = {"GET", "HEAD", "POST"}
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True)
class Access:
    """`token` opens the page; `any_address`: it is open to other machines, which know it by its address."""

    port: int
    any_address: bool = False
    names: frozenset[str] = frozenset()
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @property
    def cookie(self) -> str:
        """Its name; cookies know no ports, so the port is in it."""
        return f"swath_{self.port}"

    def knows_host(self, host: str) -> bool:
        """Whether a Host header names this server. An address in figures cannot be rebound, a name can."""
        try:
            parts = urlsplit(f"//{host}")
            name, port = parts.hostname or "", parts.port
        except ValueError:
            return False
        if port != self.port and not (port is None and self.port == 80):
            return False
        if name in _LOOPBACK or name in self.names:
            return True
        return self.any_address and _is_address(name)

    def holds(self, token: str) -> bool:
        """Whether it is the token, compared in constant time."""
        return secrets.compare_digest(token.encode(), self.token.encode())


@dataclass(frozen=True)
class Gate:
    """ASGI middleware: passes on what may be asked, and says with every answer what the page may load."""

    app: App
    access: Access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if scope["path"] == "/" and self._is_link(headers, query):
            await _answer(send, 303, "", {"location": "/", "set-cookie": self._set_cookie()})
            return
        refused = self._refusal(scope["method"], headers)
        if refused:
            await _answer(send, *refused)
            return
        await self.app(scope, receive, _with_headers(send, _policy(streets="streets" in query)))

    def _is_link(self, headers: dict[str, str], query: dict[str, list[str]]) -> bool:
        token = query.get("token", [""])[0]
        return self.access.knows_host(headers.get("host", "")) and self.access.holds(token)

    def _set_cookie(self) -> str:
        return f"{self.access.cookie}={self.access.token}; Path=/; HttpOnly; SameSite=Strict"

    def _refusal(self, method: str, headers: dict[str, str]) -> tuple[int, str] | None:
        if not self.access.knows_host(headers.get("host", "")):
            return 421, "This server does not answer to that name. Use the link that swath explore printed."
        if method not in _METHODS:
            return 405, "This page is for reading."
        if not self.access.holds(_cookie(headers.get("cookie", ""), self.access.cookie)):
            return 403, "Open the whole link that swath explore printed, with its token."
        origin = headers.get("origin")
        if method == "POST" and (
            (origin is not None and urlsplit(origin).netloc != headers.get("host"))
            or headers.get("content-type", "").split(";")[0] != "application/json"
        ):
            return 403, "Labels are taken from the page alone."
        return None


def _policy(*, streets: bool) -> dict[str, str]:
    """Nothing from elsewhere, but for the background map where this one page was asked for with it."""
    pictures = f"'self' blob: {STREETS}" if streets else "'self' blob:"
    policy = (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src {pictures}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    referrer = "strict-origin-when-cross-origin" if streets else "no-referrer"
    return {**_ALWAYS, "content-security-policy": policy, "referrer-policy": referrer}


def _with_headers(send: Send, more: dict[str, str]) -> Send:
    async def sending(message: Scope) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in more.items())]
        await send(message)

    return sending


async def _answer(send: Send, status: int, text: str, more: dict[str, str] | None = None) -> None:
    headers = {
        "content-type": "text/plain; charset=utf-8",
        "cache-control": "no-store",
        **_policy(streets=False),
        **(more or {}),
    }
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": text.encode()})


def _cookie(header: str, name: str) -> str:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return found.value if found else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
