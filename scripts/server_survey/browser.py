"""A browser with a strict jar, and a connection of its own for each request, so that any worker may take it.

Rules of this file:

* Over HTTP/2 each cookie goes as a field of its own, as browsers send them (RFC 9113, 8.2.3); over HTTP/1.1 all in one.
* What a server does instead of answering is an answer too, and told as such.
* Nothing waits longer than ``TIMEOUT``: by then, saying nothing is an answer as well.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol
from zlib import crc32

import anyio
import httpx

from rotation_shop.browser import connections
from rotation_shop.server import HOST
from server_survey import http1, http2
from server_survey.answer import Answer
from sessionkit.testing import CookieJar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server_survey.servers import Server

    Fields = Sequence[tuple[bytes, bytes]]

__all__ = ["Browser"]

TIMEOUT = 5.0
"""Seconds that a server has for an answer."""

HANDSHAKE = 3.0
"""Seconds that it has for one to a handshake: some have none to one that is too long."""

SILENCE = "no answer"

_TIMEOUTS = httpx.Timeout(TIMEOUT).as_dict()


class _Connections(Protocol):
    """The modules below httpx, one a version of HTTP."""

    async def get(self, host: str, port: int, path: str, headers: Fields) -> Answer:
        """Make a GET request."""

    async def socket(self, host: str, port: int, path: str, headers: Fields) -> Answer | None:
        """Open a websocket."""


class Browser:
    """One visitor of the application, who knows what the session must hold.

    Args:
        server: which one is asked.
        port: where it listens.
    """

    def __init__(self, server: Server, port: int) -> None:
        self.server = server
        self.port = port
        self.jar = CookieJar()
        self.text: int | None = None
        self.url = f"http://{HOST}:{port}"
        self._below: _Connections = http2 if server.http2 else http1

    def __repr__(self) -> str:
        """Show whom it asks."""
        return f"<Browser of {self.server.name}, {self.jar!r}>"

    @property
    def names(self) -> set[str]:
        """The names of the cookies that are held."""
        return {cookie.name.decode() for cookie in self.jar}

    def holds(self, answer: Answer) -> bool:
        """Tell whether an answer shows the session as it must be."""
        return "text" in answer.told and answer.told["text"] == self.text

    async def read(self) -> Answer:
        """Ask for the session."""
        return await self._ask("GET", "/read")

    async def write(self, text: str) -> Answer:
        """Store a text in the session."""
        self.text = crc32(text.encode())
        return await self._ask("POST", "/write", text.encode())

    async def clear(self) -> Answer:
        """Empty the session."""
        self.text = None
        return await self._ask("POST", "/clear")

    def cookies(self, *, crumbs: bool) -> list[tuple[bytes, bytes]]:
        """Return the Cookie fields of a request."""
        return [(b"cookie", value) for value in self.jar.header(self.url, time.time(), crumbs=crumbs)]

    async def crumbs(self) -> Answer:
        """Ask for the session with one Cookie field a cookie, over either HTTP."""
        return await self._ask("GET", "/read", crumbs=True)

    async def _ask(self, method: str, path: str, body: bytes = b"", *, crumbs: bool | None = None) -> Answer:
        headers = self.cookies(crumbs=self.server.http2 if crumbs is None else crumbs)
        url = self.url + path
        request = httpx.Request(method, url, headers=headers, content=body, extensions={"timeout": _TIMEOUTS})
        try:
            async with connections(http2=self.server.http2) as transport:
                response = await transport.handle_async_request(request)
                answer = Answer(response.status_code, response.headers.raw, await response.aread())
        except httpx.TimeoutException:
            return Answer(refused=SILENCE)
        except httpx.TransportError as error:
            return Answer(refused=type(error).__name__)
        self.jar.store(answer.headers, url, time.time())
        return answer

    async def bare(self, cookies: Sequence[bytes] = ()) -> Answer:
        """Ask for the session with further cookies, which may be too much for the server."""
        fields = [*cookies, *self.jar.header(self.url, time.time(), crumbs=True)]
        headers = [(b"cookie", field) for field in (fields if self.server.http2 else [b"; ".join(fields)])]
        with anyio.move_on_after(TIMEOUT):
            return await self._below.get(HOST, self.port, "/read", headers)
        return Answer(refused=SILENCE)

    async def socket(self, path: str) -> Answer | None:
        """Open a websocket and return what came of it; ``None`` if the server offers none over this HTTP."""
        headers = self.cookies(crumbs=self.server.http2)
        answer: Answer | None = Answer(refused=SILENCE)
        with anyio.move_on_after(HANDSHAKE):
            answer = await self._below.socket(HOST, self.port, path, headers)
        if answer is not None:
            self.jar.store(answer.headers, self.url + path, time.time())
        return answer
