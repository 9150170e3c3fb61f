"""An ASGI client in process: one browser, one application, every message in sight.

Rules of this file:

* anyio only: it works on asyncio and trio, and within whatever loop the test runs on.
* It does what it is told and no more: no lifespan unless asked, no redirect followed, no header added but Host and
  Cookie, each of which a test may give itself.
* What the application raises comes out as it was raised, never wrapped in an exception group.
* What the application sends is stored as it is sent: a response that ends in an exception has set its cookies.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote, urljoin, urlsplit

import anyio
import anyio.lowlevel

from sessionkit.testing.jar import CookieJar
from sessionkit.testing.task import ApplicationTask

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from sessionkit.testing.task import Application, Message, Scope

    Headers = Iterable[tuple[bytes, bytes]]

__all__ = ["AsgiClient", "LifespanFailed", "Response", "WebSocket"]

_SOCKET_SCHEMES = {"https": "wss", "http": "ws"}


@dataclass(frozen=True, slots=True)
class Response:
    """What the application answered.

    Attributes:
        status: of the final response.
        headers: as they were sent.
        body: all parts of it.
        messages: every message the application sent, in order.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    messages: list[Message]

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode()

    @property
    def set_cookies(self) -> list[bytes]:
        """The values of all Set-Cookie fields."""
        return self.values(b"set-cookie")

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of all fields of a name, given in lower case."""
        return [value for field, value in self.headers if field.lower() == name]


class LifespanFailed(Exception):  # noqa: N818 - named as the message is
    """The application answered ``lifespan.startup.failed`` or ``lifespan.shutdown.failed``."""


class AsgiClient:
    """Speaks ASGI to an application as a server would, for one browser.

    Args:
        app: the application.
        jar: the browser's cookies; a strict one of its own by default.
        clock: returns Unix seconds; give the application's.
        base_url: what paths are relative to. Its scheme tells whether the connection is secure.
        client: address and port of the browser.
        spec_version: of ASGI's HTTP and websocket specification.

    Attributes:
        messages: what the application sent in the exchange begun last; also there when it raised.
        state: the lifespan's state, copied into every scope while a lifespan runs.
    """

    def __init__(
        self,
        app: Application,
        *,
        jar: CookieJar | None = None,
        clock: Callable[[], float] = time.time,
        base_url: str = "https://testserver",
        client: tuple[str, int] | None = ("127.0.0.1", 50_000),
        spec_version: str = "2.4",
    ) -> None:
        self.app = app
        self.jar = CookieJar() if jar is None else jar
        self.clock = clock
        self.base_url = base_url
        self.client = client
        self.spec_version = spec_version
        self.messages: list[Message] = []
        self.state: dict[str, Any] | None = None

    def __repr__(self) -> str:
        """Show where it points."""
        return f"<AsgiClient {self.base_url} {self.jar!r}>"

    async def get(self, url: str = "/", **options: Any) -> Response:
        """Make a GET request; see ``request``."""
        return await self.request("GET", url, **options)

    async def post(self, url: str = "/", **options: Any) -> Response:
        """Make a POST request; see ``request``."""
        return await self.request("POST", url, **options)

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | Sequence[bytes] = b"",
        headers: Headers = (),
        cookies: Sequence[bytes] | None = None,
        crumbs: bool = False,
        scope: Mapping[str, Any] | None = None,
        on_send: Callable[[Message], Awaitable[None]] | None = None,
    ) -> Response:
        """Make one request and return the answer.

        Args:
            method: in capital letters.
            url: relative to ``base_url``.
            body: sent in one message, or in one for each part.
            headers: sent after Host and before Cookie.
            cookies: values of the Cookie fields, instead of what the jar holds.
            crumbs: send one Cookie field for each cookie of the jar.
            scope: entries that replace or complete those of the connection's scope.
            on_send: called with each message before it counts as sent; what it raises, the application gets.

        Raises:
            RuntimeError: if the application ends without a response.
        """
        address = urljoin(self.base_url, url)
        fields = self._headers(address, headers, cookies, crumbs=crumbs, method=method)
        connection = self._scope("http", address, fields) | {"method": method} | dict(scope or {})
        parts = deque([body] if isinstance(body, bytes) else body or [b""])
        finished = anyio.Event()
        messages: list[Message] = []
        self.messages = messages

        async def receive() -> Message:
            if parts:
                return {"type": "http.request", "body": parts.popleft(), "more_body": bool(parts)}
            await finished.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if on_send is not None:
                await on_send(message)
            await anyio.lowlevel.checkpoint()
            messages.append(message)
            if message["type"] == "http.response.start":
                self.store(message, address)
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                finished.set()

        await self.app(connection, receive, send)
        return _response(messages, "http.response")

    def lifespan(self) -> _Lifespan:
        """Return a context in which the application's lifespan runs.

        Raises:
            LifespanFailed: on entering or leaving, if the application says so.
        """
        return _Lifespan(self)

    def websocket(
        self,
        url: str,
        *,
        subprotocols: Sequence[str] = (),
        headers: Headers = (),
        cookies: Sequence[bytes] | None = None,
        crumbs: bool = False,
        scope: Mapping[str, Any] | None = None,
    ) -> WebSocket:
        """Return a websocket; entering it makes the handshake. Arguments as for ``request``."""
        address = urljoin(self.base_url, url)
        fields = self._headers(address, headers, cookies, crumbs=crumbs, method="GET")
        connection = self._scope("websocket", address, fields)
        connection["scheme"] = _SOCKET_SCHEMES.get(connection["scheme"], connection["scheme"])
        connection["subprotocols"] = list(subprotocols)
        connection["extensions"] = {"websocket.http.response": {}}
        return WebSocket(self, connection | dict(scope or {}), address)

    def _headers(
        self, url: str, headers: Headers, cookies: Sequence[bytes] | None, *, crumbs: bool, method: str
    ) -> list[tuple[bytes, bytes]]:
        if cookies is None:
            cookies = self.jar.header(url, self.clock(), crumbs=crumbs, method=method)
        host = urlsplit(url).netloc.encode("ascii")
        return [(b"host", host), *headers, *((b"cookie", cookie) for cookie in cookies)]

    def _scope(self, kind: str, url: str, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
        parts = urlsplit(url)
        scope: dict[str, Any] = {
            "type": kind,
            "asgi": {"version": "3.0", "spec_version": self.spec_version},
            "http_version": "1.1",
            "scheme": parts.scheme,
            "path": unquote(parts.path) or "/",
            "raw_path": (parts.path or "/").encode("ascii"),
            "query_string": parts.query.encode("ascii"),
            "root_path": "",
            "headers": headers,
            "client": self.client,
            "server": (parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)),
        }
        if self.state is not None:
            scope["state"] = self.state.copy()
        return scope

    def store(self, message: Message, url: str) -> None:
        """Keep the cookies that a message of the application sets."""
        self.jar.store(list(message.get("headers", ())), url, self.clock())


class WebSocket:
    """A websocket seen from the browser; entering it makes the handshake, leaving it disconnects.

    Attributes:
        accepted: whether the application accepted it.
        headers: of the application's first message.
        subprotocol: that the application chose.
        denial: the HTTP response that the application gave instead of accepting.
        messages: every message the application sent, in order.
    """

    def __init__(self, client: AsgiClient, scope: Scope, url: str) -> None:
        self._client = client
        self._url = url
        self._task = ApplicationTask(client.app, scope)
        self._connected = True
        self.accepted = False
        self.headers: list[tuple[bytes, bytes]] = []
        self.subprotocol: str | None = None
        self.denial: Response | None = None
        self.messages = client.messages = self._task.messages

    @property
    def close_code(self) -> int | None:
        """The code with which the application closed the socket, if it did; before accepting, servers answer 403."""
        codes: list[int] = [part.get("code", 1000) for part in self.messages if part["type"] == "websocket.close"]
        return codes[-1] if codes else None

    async def __aenter__(self) -> Self:
        """Make the handshake."""
        self._task.tell({"type": "websocket.connect"})
        async with self._task.starting():
            first = message = await self._next()
            while message["type"] == "websocket.http.response.start" or message.get("more_body", False):
                message = await self._next()
        self._client.store(first, self._url)
        self.accepted = first["type"] == "websocket.accept"
        self.subprotocol = first.get("subprotocol")
        self.headers = list(first.get("headers", ()))
        if first is not message:
            self.denial = _response(self.messages, "websocket.http.response")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Disconnect, and wait for the application to end."""
        async with self._task.ending():
            self.close()

    async def send_text(self, text: str) -> None:
        """Send a text frame."""
        self._task.tell({"type": "websocket.receive", "text": text})
        await anyio.lowlevel.checkpoint()

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary frame."""
        self._task.tell({"type": "websocket.receive", "bytes": data})
        await anyio.lowlevel.checkpoint()

    async def receive(self) -> Message:
        """Return the application's next message.

        Raises:
            EOFError: if the application has ended.
        """
        return await self._next()

    async def receive_text(self) -> str:
        """Return the next message's text."""
        text: str = (await self._next())["text"]
        return text

    async def receive_bytes(self) -> bytes:
        """Return the next message's octets."""
        data: bytes = (await self._next())["bytes"]
        return data

    def close(self, code: int = 1000) -> None:
        """Disconnect, once."""
        if self._connected:
            self._connected = False
            self._task.tell({"type": "websocket.disconnect", "code": code, "reason": ""})

    async def _next(self) -> Message:
        message = await self._task.next()
        if message is None:
            raise EOFError("the application has ended")
        return message


class _Lifespan:
    """An application's lifespan; the value of the context is its state."""

    def __init__(self, client: AsgiClient) -> None:
        self._client = client
        self._state: dict[str, Any] = {}
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        self._task = ApplicationTask(client.app, scope)
        client.messages = self._task.messages

    async def __aenter__(self) -> dict[str, Any]:
        async with self._task.starting():
            await self._phase("lifespan.startup")
        self._client.state = self._state
        return self._state

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.state = None
        async with self._task.ending():
            await self._phase("lifespan.shutdown")

    async def _phase(self, name: str) -> None:
        """Announce a phase and wait for its completion.

        Raises:
            LifespanFailed: if it is not completed.
        """
        self._task.tell({"type": name})
        message = await self._task.next()
        if message is None:
            raise LifespanFailed(f"the application ended without an answer to {name}")
        if message["type"] != f"{name}.complete":
            raise LifespanFailed(message.get("message", ""))


def _response(messages: Sequence[Message], kind: str) -> Response:
    """Put a response together.

    Raises:
        RuntimeError: if there is none.
    """
    starts = [message for message in messages if message["type"] == f"{kind}.start" and message["status"] >= 200]  # noqa: PLR2004 - below it is informational
    if not starts:
        raise RuntimeError("the application ended without a response")
    body = b"".join(message.get("body", b"") for message in messages if message["type"] == f"{kind}.body")
    return Response(starts[0]["status"], list(starts[0].get("headers", ())), body, list(messages))
