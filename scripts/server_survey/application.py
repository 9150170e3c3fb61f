"""The application that every server serves: it keeps a text in the session, and tells what it sees of the server."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any
from zlib import crc32

import structlog

from sessionkit import SessionConfig, SessionMiddleware

if TYPE_CHECKING:
    from sessionkit import Keyring
    from sessionkit.asgi import ASGIApp, Receive, Scope, Send

__all__ = ["MAX_COOKIES", "NAME", "application"]

NAME = "session"

MAX_COOKIES = 16
"""Cookies that a session may take: the most that can be configured, so that servers set the limits."""


async def _respond(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve requests and websockets; it has never heard of lifespan, as many applications have not.

    Raises:
        ValueError: for everything else.
    """
    if scope["type"] == "websocket":
        await _socket(scope, receive, send)
        return
    if scope["type"] != "http":
        raise ValueError(scope["type"])
    text = b""
    more = scope["method"] == "POST"
    while more:
        message = await receive()
        text += message.get("body", b"")
        more = message.get("more_body", False)
    match scope["path"]:
        case "/health":
            await _answer({"pid": os.getpid()}, send)
            return
        case "/write":
            scope["session"]["text"] = text.decode()
        case "/clear":
            scope["session"].clear()
    await _answer(_seen(scope), send)


async def _socket(scope: Scope, receive: Receive, send: Send) -> None:
    """Count the websocket in the session before its handshake is answered, with yes or (``/refuse``) no."""
    await receive()
    told = _seen(scope)
    scope["session"]["sockets"] = scope["session"].get("sockets", 0) + 1
    if scope["path"] != "/refuse":
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": json.dumps(told)})
        await receive()  # the browser leaves
    elif "websocket.http.response" in (scope.get("extensions") or {}):
        await _answer(told, send, "websocket.http.response", 403)
    else:
        await send({"type": "websocket.close"})


async def _answer(told: dict[str, Any], send: Send, kind: str = "http.response", status: int = 200) -> None:
    body = json.dumps(told).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})


def _seen(scope: Scope) -> dict[str, Any]:
    """Return what the session holds, and what can be seen of the server from here."""
    session = scope["session"]
    text = session.get("text")
    service = scope["survey"]
    return {
        "text": None if text is None else crc32(text.encode()),
        "sockets": session.get("sockets", 0),
        "kid": session.info.kid,
        "cookies": session.info.chunks,
        "fields": sum(name == b"cookie" for name, _ in scope["headers"]),
        "http": scope.get("http_version"),
        "loop": _loop(),
        "hosted": service.hosted,
        "generation": service.keyring.generation,
        "pid": os.getpid(),
    }


def _loop() -> str:
    """Return the library whose loop runs us."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return "trio"
    return type(loop).__module__.partition(".")[0]


def application(keyring: Keyring | str) -> ASGIApp:
    """Return the application.

    ``/health`` is without sessions and has the process id alone, for whoever waits until all workers are there.

    Args:
        keyring: a ring, or the path of its file.
    """
    logger = structlog.wrap_logger(structlog.WriteLogger(), processors=[structlog.processors.JSONRenderer()])
    config = SessionConfig(key=NAME, max_chunks=MAX_COOKIES, exclude="/health")
    middleware = SessionMiddleware(_respond, keyring, config, logger=logger)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["survey"] = middleware.service
        await middleware(scope, receive, send)

    return app
