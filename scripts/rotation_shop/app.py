"""A small shop on Starlette: log in, fill a cart, and see which key sealed the session and how big it is.

Browsers get pages; programs that accept JSON get the state that the session holds, to compare it with what they did.
Each worker of a server is a process of its own and makes its own shop; all they share is the keyring file.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs
from zlib import crc32

import structlog
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.routing import Route

from rotation_shop.page import render
from sessionkit import SessionConfig, SessionMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from starlette.requests import Request
    from starlette.responses import Response

    from sessionkit import Keyring

__all__ = ["CART_LIMIT", "settings", "shop"]

NOTE_LIMIT = 8_000
"""Octets of a note: three cookies' worth."""

CART_LIMIT = 12


def settings(max_age: int, **more: Any) -> SessionConfig:
    """Return the settings of the shop's sessions.

    Args:
        max_age: seconds a session lives without being renewed.
        more: further settings.
    """
    # Not Secure, because the shop speaks plain http, over which Safari keeps no Secure cookie even from localhost.
    # config/sessionkit.yaml has what production needs.
    return SessionConfig(max_age=max_age, exclude="^/health$", **more)


def shop(
    keyring: str | Keyring, audit: TextIO, config: SessionConfig, *, clock: Callable[[], float] = time.time
) -> SessionMiddleware:
    """Return the shop behind its sessions.

    Args:
        keyring: the ring, or its file, which is watched.
        audit: where session events go, a JSON object a line.
        config: settings of the sessions.
        clock: returns Unix seconds.
    """
    routes = [
        Route("/", show),
        Route("/login", log_in, methods=["POST"]),
        Route("/logout", log_out, methods=["POST"]),
        Route("/cart", add, methods=["POST"]),
        Route("/cart/remove", remove, methods=["POST"]),
        Route("/note", write, methods=["POST"]),
        Route("/health", health),
    ]
    app = Starlette(routes=routes)
    logger = structlog.wrap_logger(structlog.WriteLogger(audit), processors=[structlog.processors.JSONRenderer()])
    middleware = SessionMiddleware(app, keyring=keyring, config=config, clock=clock, logger=logger)
    app.state.sessions = middleware.service
    return middleware


async def show(request: Request) -> Response:
    """Show the session; writes nothing."""
    return answer(request)


async def log_in(request: Request) -> Response:
    """Take the name at its word, and give the session a new id, as every login must."""
    request.session.regenerate(authenticated=True)  # type: ignore[attr-defined]  # Starlette says dict; it is a Session
    request.session["user"] = (await form(request)).get("name", "")[:40] or "guest"
    return counted(request)


async def log_out(request: Request) -> Response:
    """End the session."""
    request.session.destroy()  # type: ignore[attr-defined]  # as above
    return answer(request)


async def add(request: Request) -> Response:
    """Put an item into the cart, in place: the change is noticed all the same."""
    cart = request.session.setdefault("cart", [])
    cart.append((await form(request)).get("item", "")[:40] or "thing")
    del cart[:-CART_LIMIT]
    return counted(request)


async def remove(request: Request) -> Response:
    """Take the oldest item out of the cart."""
    cart = request.session.setdefault("cart", [])
    del cart[:1]
    return counted(request)


async def write(request: Request) -> Response:
    """Keep a note, which may be long enough for several cookies; an empty one takes it away."""
    note = (await form(request)).get("note", "")[:NOTE_LIMIT]
    if note:
        request.session["note"] = note
    else:
        request.session.pop("note", None)
    return counted(request)


async def health(request: Request) -> Response:
    """Tell which ring this worker runs."""
    keyring = request.app.state.sessions.keyring
    return JSONResponse({"pid": os.getpid(), "digest": keyring.digest, "generation": keyring.generation})


async def form(request: Request) -> dict[str, str]:
    """Return the fields of a form."""
    fields = parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[-1] for name, values in fields.items()}


def counted(request: Request) -> Response:
    """Count a write in the session, so that a lost one shows, and answer."""
    request.session["writes"] = request.session.get("writes", 0) + 1
    return answer(request)


def answer(request: Request) -> Response:
    """Answer with the state, a page, or the way to the page."""
    if request.headers.get("accept") == "application/json":
        return JSONResponse(state(request))
    if request.method == "POST":
        return RedirectResponse("/", status_code=303)
    return HTMLResponse(render(state(request), request.app.state.sessions.keyring))


def state(request: Request) -> dict[str, object]:
    """Return what the session holds and what its cookie was like when it came."""
    session = request.session
    info = session.info  # type: ignore[attr-defined]  # as above
    return {
        "user": session.get("user"),
        "cart": session.get("cart", []),
        "writes": session.get("writes", 0),
        "note": crc32(session.get("note", "").encode()),
        "kid": info.kid,
        "size": info.size,
        "chunks": info.chunks,
        "pid": os.getpid(),
    }
