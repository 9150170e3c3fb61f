"""A shop for a real browser: pages with forms, a page to be embedded elsewhere, a websocket, a gate to hold writers.

Its data is told as JSON inside the page, so a test reads what the browser was shown.
"""

from __future__ import annotations

import json
import queue
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from anyio import to_thread

from tests.middleware.apps import noise

if TYPE_CHECKING:
    from sessionkit import Session, SessionMiddleware
    from sessionkit.asgi import ASGIApp, Receive, Scope, Send

__all__ = ["Heard", "Shop", "live", "page", "portal"]

PATIENCE = 30.0
"""Seconds to wait for something at most."""

PAGE = """<!doctype html><meta charset="utf-8"><title>shop</title><link rel="icon" href="data:,">
<pre id="told">{told}</pre>
<form method="post" action="/put"><input name="octets" value="0"><button id="put">Put</button></form>
<form method="post" action="/login"><button id="login">Log in</button></form>
<form method="post" action="/logout"><button id="logout">Log out</button></form>
"""

EMBEDDED = """<!doctype html><meta charset="utf-8"><title>embedded</title>
<script>parent.postMessage({told}, "*")</script>
"""

EMBEDDING = """<!doctype html><meta charset="utf-8"><title>portal</title><link rel="icon" href="data:,">
<script>
    const heard = new Promise(resolve => addEventListener("message", event => resolve(event.data)));
</script>
<iframe src="https://{shop}/embedded?octets={octets}"></iframe>
"""


class Heard:
    """Takes audit lines in the server's thread, for a test in its own."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self._news: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def debug(self, event: str, /, **fields: Any) -> None:
        """Take a line."""
        line = {"event": event, **fields}
        self.lines.append(line)
        self._news.put(line)

    info = warning = error = critical = debug

    def names(self) -> set[str]:
        """Return the names of all lines so far."""
        return {line["event"] for line in self.lines}

    def wait(self, event: str, **fields: Any) -> None:
        """Wait for a line that has these fields; forget those before it.

        Raises:
            queue.Empty: if it does not come.
        """
        while True:
            line = self._news.get(timeout=PATIENCE)
            if line["event"] == event and fields.items() <= line.items():
                return


class Shop:
    """The application.

    Attributes:
        arrived: names of the writers that are held at the gate, as they arrive.
    """

    def __init__(self) -> None:
        self.arrived: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._gates: dict[str, threading.Event] = {}

    def hold(self, *names: str) -> None:
        """Close a gate before each of these writers."""
        self._gates = {name: threading.Event() for name in names}

    def release(self, name: str) -> None:
        """Open a writer's gate."""
        self._gates[name].set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, or the lifespan."""
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        session: Session = scope["session"]
        if scope["type"] == "websocket":
            await _count_sockets(session, receive, send)
            return
        body = await _body(receive)
        given = {name: values[0] for name, values in parse_qs((scope["query_string"] or body).decode()).items()}
        match scope["path"]:
            case "/embedded":
                session["visits"] = session.get("visits", 0) + 1
                session["notes"] = noise(int(given["octets"]))
                await page(send, EMBEDDED.format(told=json.dumps(session["visits"])))
            case "/":
                await page(send, PAGE.format(told=json.dumps({"id": session.id, **session})))
            case "/held":
                self.arrived.put(given["name"])
                await to_thread.run_sync(self._gates[given["name"]].wait, PATIENCE)
                session["last"] = given["name"]
                session["notes"] = noise(int(given["octets"]))
                await page(send, "done")
            case path:
                _act(path, session, given)
                # As forms are answered, so that a reload repeats nothing: the cookies come with a redirect.
                await _answer(send, 303, [(b"location", b"/")])


def _act(path: str, session: Session, given: dict[str, str]) -> None:
    match path:
        case "/put":
            session["puts"] = session.get("puts", 0) + 1
            session["notes"] = noise(int(given["octets"]), session["puts"])
        case "/login":
            session.regenerate(authenticated=True)
            session["user"] = "ann"
        case "/logout":
            session.destroy()
        case _:
            raise LookupError(path)


async def _count_sockets(session: Session, receive: Receive, send: Send) -> None:
    session["sockets"] = session.get("sockets", 0) + 1
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": str(session["sockets"])})
    await send({"type": "websocket.close"})


async def live(receive: Receive, send: Send) -> None:
    """Live through a lifespan."""
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def page(send: Send, text: str) -> None:
    """Answer with a page."""
    await _answer(send, 200, [(b"content-type", b"text/html; charset=utf-8")], text.encode())


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> None:
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def portal(shop: SessionMiddleware, octets: int = 0) -> ASGIApp:
    """Return other sites beside a shop, told apart by their hosts, whose pages embed one of the shop's.

    Args:
        shop: served at ``shop.test``.
        octets: that the embedded page puts into its session.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        host = dict(scope["headers"]).get(b"host", b"").decode() if scope["type"] == "http" else ""
        name, _, port = host.partition(":")
        if scope["type"] != "http" or name == "shop.test":
            await shop(scope, receive, send)
            return
        await page(send, EMBEDDING.format(shop=f"shop.test:{port}", octets=octets))

    return app
