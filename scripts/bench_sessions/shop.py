"""The work that all contenders are measured on: one session, one request, one application.

Rules of this file:

* Every contender gets the same values, the same header fields (each its own cookie), the same application, and cookie
  attributes alike: ``Path=/; HttpOnly; SameSite=lax``, kept for 14 days.
* The application reads a count out of the session and stores it back, one higher: read + write. The *bare* application
  answers the same and knows no session; what a contender costs is what it takes more than that.
* Before anything is timed, a visitor sees the session arrive: begun, counted up twice over the cookies sent, all other
  values as they were. A contender that does not do the work is not measured but stops the benchmark.
* With many callers, the application lets others run between its two halves, as one that asks a database does; the bare
  one does so too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sessionkit.asgi import ASGIApp, ASGIMessage, Receive, Scope, Send

__all__ = [
    "LIFETIME",
    "NAME",
    "ask",
    "bare",
    "callers",
    "check",
    "pause_here",
    "requests",
    "shop",
    "values",
]

NAME = "session"
LIFETIME = 14 * 86_400

_USER = {"user": 4711, "name": "Ada Lovelace", "roles": ["staff", "billing"], "n": 100}
_ITEM = {"sku": "A-1042", "name": "Blue mug, 300 ml", "price": 1290, "quantity": 2, "gift": False, "note": None}

FOREIGN = b"theme=dark; consent=a1b2c3d4e5f6a7b8"
"""Cookies of others, which every request brings."""

_HEADERS = (
    (b"host", b"shop.example"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-language", b"en-GB,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br"),
)


def values(size: int) -> dict[str, Any]:
    """Return a session of so many octets as JSON: somebody with a cart, and a token to fill up with."""
    found: dict[str, Any] = {**_USER, "cart": []}
    while _octets({**found, "cart": [*found["cart"], _ITEM], "csrf": ""}) <= size - 32:
        found["cart"].append(dict(_ITEM))
    found["csrf"] = ""
    found["csrf"] = "k" * (size - _octets(found))
    if _octets(found) != size:
        msg = f"no session has {size} octets"
        raise ValueError(msg)
    return found


def _octets(value: Mapping[str, Any]) -> int:
    return len(json.dumps(value, separators=(",", ":")))


# --- applications -----------------------------------------------------------------------------------------------------


def shop(begun: Mapping[str, Any], pause: Callable[[], Awaitable[None]] | None = None) -> ASGIApp:
    """Return the application: ``/`` counts in the session, ``/begin`` begins one, ``/look`` shows it."""

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        path = scope["path"]
        body = b""
        if path == "/":
            session = scope["session"]
            n = session["n"]
            if pause is not None:
                await pause()
            session["n"] = n + 1
        elif path == "/begin":
            # One by one: asgi-sessions does not notice ``update``.
            for key, value in begun.items():
                scope["session"][key] = value
        elif path == "/look":
            body = json.dumps(dict(scope["session"])).encode()
        await _answer(send, body)

    return app


def bare(pause: Callable[[], Awaitable[None]] | None = None) -> ASGIApp:
    """Return an application that answers the same and knows no session."""

    async def app(_: Scope, __: Receive, send: Send) -> None:
        if pause is not None:
            await pause()
        await _answer(send, b"")

    return app


async def _answer(send: Send, body: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


def pause_here(loop: str) -> Callable[[], Awaitable[None]]:
    """Return what lets other tasks run, as cheaply as the loop has it."""
    if loop == "trio":
        import trio  # noqa: PLC0415 - only where it runs

        return trio.lowlevel.checkpoint
    import asyncio  # noqa: PLC0415 - as above

    return lambda: asyncio.sleep(0)


# --- requests ---------------------------------------------------------------------------------------------------------


def _template(path: str, cookie: bytes) -> Scope:
    cookies = b"; ".join(filter(None, (FOREIGN, cookie)))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [*_HEADERS, (b"cookie", cookies)],
        "client": ("203.0.113.7", 4711),
        "server": ("shop.example", 443),
    }


class _Body:
    """The request's body, which is empty; then a client that stays: Quart waits for it to leave."""

    __slots__ = ("_read",)

    def __init__(self) -> None:
        self._read = False

    async def __call__(self) -> ASGIMessage:
        if self._read:
            await anyio.sleep_forever()
        self._read = True
        return {"type": "http.request", "body": b"", "more_body": False}


async def _send(_: ASGIMessage) -> None:
    """Take what a server would take."""


def requests(app: ASGIApp, cookie: bytes, path: str = "/") -> Callable[[int], Awaitable[None]]:
    """Return a function that makes so many requests, one after the other."""
    template = _template(path, cookie)

    async def repeat(times: int) -> None:
        for _ in range(times):
            await app({**template, "state": {}}, _Body(), _send)

    return repeat


def callers(count: int, repeat: Callable[[int], Awaitable[None]]) -> Callable[[int], Awaitable[None]]:
    """Return a function that has so many callers make the requests at once."""
    if count == 1:
        return repeat

    async def each(times: int) -> None:
        await repeat(times)

    async def together(times: int) -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(count):
                tasks.start_soon(each, times // count)

    return together


async def ask(app: ASGIApp, path: str, cookie: bytes = b"") -> tuple[bytes, bytes]:
    """Make one request.

    Returns:
        The body of the answer, and the Cookie header field of a browser that has seen it.
    """
    sent: list[ASGIMessage] = []

    async def keep(message: ASGIMessage) -> None:
        sent.append(message)

    await app({**_template(path, cookie), "state": {}}, _Body(), keep)
    if sent[0]["status"] != 200:  # noqa: PLR2004 - HTTP's "OK"
        msg = f"{path} was answered with status {sent[0]['status']}"
        raise RuntimeError(msg)
    jar = dict(pair.split(b"=", 1) for pair in cookie.split(b"; ") if pair)
    for name, value in sent[0]["headers"]:
        if name.lower() == b"set-cookie":
            key, _, rest = value.partition(b"=")
            jar[key] = rest.partition(b";")[0]
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return body, b"; ".join(name + b"=" + value for name, value in jar.items())


async def check(app: ASGIApp, begun: Mapping[str, Any]) -> bytes:
    """See that a contender does the work.

    Returns:
        The Cookie header field of a browser whose session has begun.

    Raises:
        RuntimeError: if the session does not arrive.
    """
    _, first = await ask(app, "/begin")
    _, second = await ask(app, "/", first)
    _, third = await ask(app, "/", second)
    body, _ = await ask(app, "/look", third)
    if len({first, second, third}) < 3 or json.loads(body) != {**begun, "n": begun["n"] + 2}:  # noqa: PLR2004 - each
        msg = "the session did not arrive as it was stored"
        raise RuntimeError(msg)
    return first
