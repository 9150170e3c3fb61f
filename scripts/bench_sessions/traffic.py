"""Requests in process: a raw application, a session of 200 octets, and nothing between the two but the middleware."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from sessionkit import Keyring, SessionConfig, SessionMiddleware

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from sessionkit.asgi import ASGIApp, ASGIMessage, Receive, Scope, Send

__all__ = ["SECRET", "VALUES", "Silent", "begins", "begun", "reads", "requests", "served", "writes"]

SECRET = bytes(range(32))
VALUES = {"user": 4711, "name": "Ada Lovelace", "roles": ["staff", "billing"], "csrf": "k" * 121, "n": 0}
"""200 octets as JSON, or a few more as the count grows."""

_HEADERS = ((b"host", b"shop.example"), (b"accept", b"*/*"), (b"user-agent", b"bench"))


async def reads(scope: Scope, _: Receive, send: Send) -> None:
    """Look into the session, as every page that greets somebody does."""
    scope["session"].get("user")
    await _answer(send)


async def writes(scope: Scope, _: Receive, send: Send) -> None:
    """Look into the session and change it."""
    scope["session"]["n"] += 1
    await _answer(send)


async def begins(scope: Scope, _: Receive, send: Send) -> None:
    """Begin a session, as a login does."""
    scope["session"].update(VALUES)
    await _answer(send)


async def _answer(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def _scope(cookies: Sequence[bytes], client: str) -> Scope:
    headers = [*_HEADERS, *((b"cookie", cookie) for cookie in cookies)]
    return {"type": "http", "method": "GET", "path": "/", "headers": headers, "client": (client, 4711)}


async def begun(**settings: Any) -> bytes:
    """Return the Cookie header field of a browser that has a session."""
    sent: list[ASGIMessage] = []

    async def keep(message: ASGIMessage) -> None:
        sent.append(message)

    middleware = SessionMiddleware(begins, Keyring.from_secret(SECRET), SessionConfig(**settings), logger=Silent())
    await middleware(_scope((), ""), _receive, keep)
    [cookie] = [value for name, value in sent[0]["headers"] if name == b"set-cookie"]
    found: bytes = cookie.partition(b";")[0]
    return found


class Silent:
    """A logger that writes nothing."""

    def debug(self, _: str, /, **__: object) -> None:
        """Write nothing."""

    info = warning = error = critical = debug


async def _receive() -> ASGIMessage:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(_: ASGIMessage) -> None:
    """Take what a server would take."""


def requests(
    app: ASGIApp, cookies: Sequence[bytes] = (), client: str = "203.0.113.7"
) -> Callable[[int], Awaitable[None]]:
    """Return a function that makes so many requests, one after the other."""
    template = _scope(cookies, client)

    async def repeat(times: int) -> None:
        for _ in range(times):
            await app(dict(template), _receive, _send)

    return repeat


@asynccontextmanager
async def served(
    app: ASGIApp, config: SessionConfig, cookies: Sequence[bytes] = (), **options: Any
) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """Run an application behind the middleware, its actor in a lifespan, and yield what makes requests to it."""
    middleware = SessionMiddleware(app, Keyring.from_secret(SECRET), config, **options)
    async with middleware.service.host():
        yield requests(middleware, cookies)
