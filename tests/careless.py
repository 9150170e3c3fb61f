"""Servers that are known, to see what they do found: ``python -m tests.careless WHAT PORT`` runs uvicorn around it."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn

from server_survey.application import application
from server_survey.servers import KEYRING
from sessionkit import Keyring

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionkit.asgi import ASGIApp, ASGIMessage, Receive, Scope, Send

__all__ = ["LIMIT", "WRONG"]

LIMIT = 8_000
"""Octets of cookies that a strict one takes."""

_COOKIE, _SET_COOKIE = b"cookie", b"set-cookie"


def _named(headers: Any, name: bytes) -> list[tuple[bytes, bytes]]:
    return [header for header in headers if header[0] == name]


async def _one_set_cookie(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Let one Set-Cookie of a response through, as a mapping of headers does."""

    async def send_one(message: ASGIMessage) -> None:
        headers = message.get("headers", ())
        extra = _named(headers, _SET_COOKIE)[1:]
        await send({**message, "headers": [header for header in headers if header not in extra]})

    await app(scope, receive, send_one)


async def _one_cookie_field(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Keep the last of several Cookie fields."""
    if scope["type"] != "lifespan":
        extra = _named(scope["headers"], _COOKIE)[:-1]
        scope["headers"] = [header for header in scope["headers"] if header not in extra]
    await app(scope, receive, send)


async def _bare_websockets(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Hand no cookies to websockets."""
    if scope["type"] == "websocket":
        scope["headers"] = [header for header in scope["headers"] if header[0] != _COOKIE]
    await app(scope, receive, send)


async def _raises(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Raise when all is done."""
    await app(scope, receive, send)
    if scope["type"] == "http" and scope["path"] == "/read":
        raise RuntimeError("after the answer")


async def _strict(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse longer headers, whenever their parts come."""
    if scope["type"] == "lifespan" or sum(len(value) for _, value in _named(scope["headers"], _COOKIE)) <= LIMIT:
        await app(scope, receive, send)
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close"})
    else:
        await send({"type": "http.response.start", "status": 431, "headers": []})
        await send({"type": "http.response.body"})


async def _as_it_is(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


WRONG: dict[str, Callable[..., Any]] = {
    "one Set-Cookie": _one_set_cookie,
    "one Cookie field": _one_cookie_field,
    "no cookies for websockets": _bare_websockets,
    "an old ring": _as_it_is,
    "raises": _raises,
}
"""What is done wrong."""

KNOWN = WRONG | {"strict": _strict}


def main(what: str, port: str) -> None:
    """Serve in one way."""
    path = os.environ[KEYRING]
    # A ring is not watched, a file is.
    app = partial(KNOWN[what], application(Keyring.load(path) if what == "an old ring" else path))
    # Of uvicorn's websockets, those that take long headers.
    uvicorn.run(
        app, interface="asgi3", loop="asyncio", ws="wsproto", host="127.0.0.1", port=int(port), log_level="warning"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
