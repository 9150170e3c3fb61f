"""A Starlette application with sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute

from sessionkit import SessionMiddleware

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.websockets import WebSocket

    from sessionkit import Keyring


async def read(request: Request) -> JSONResponse:
    """Tell what the session holds."""
    return JSONResponse(dict(request.session))


async def write(request: Request) -> JSONResponse:
    """Merge a JSON object into the session."""
    request.session.update(await request.json())
    return JSONResponse(None)


async def nested(request: Request) -> JSONResponse:
    """Change a list inside the session, and nothing at its top."""
    request.session["list"].append("more")
    return JSONResponse(None)


async def login(request: Request) -> JSONResponse:
    """Give the session a new id, as every login should."""
    session: Any = request.session
    before = session.id
    session.regenerate(authenticated=True)
    session["user"] = "ann"
    return JSONResponse({"before": before, "after": session.id})


async def logout(request: Request) -> JSONResponse:
    """End the session."""
    session: Any = request.session
    session.destroy()
    return JSONResponse(None)


async def clear(request: Request) -> JSONResponse:
    """Empty the session."""
    request.session.clear()
    return JSONResponse(None)


async def big(request: Request) -> JSONResponse:
    """Store n characters."""
    request.session["big"] = "x" * int(request.query_params["n"])
    return JSONResponse(None)


async def health(request: Request) -> JSONResponse:
    """Answer without a session."""
    return JSONResponse({"session": "session" in request.scope})


async def boom(request: Request) -> JSONResponse:
    """Fail after a write."""
    request.session["lost"] = True
    raise LookupError("boom")


async def ws(socket: WebSocket) -> None:
    """Count in the session before accepting, then tell the count."""
    socket.session["sockets"] = socket.session.get("sockets", 0) + 1
    await socket.accept()
    await socket.send_text(str(socket.session["sockets"]))
    await socket.close()


def application(keyring: Keyring | str = "config/keyring.yaml", **options: Any) -> Starlette:
    """Return the application.

    Args:
        keyring: a ring, or the path of its file.
        options: of ``SessionMiddleware``.
    """
    return Starlette(
        routes=[
            Route("/read", read),
            Route("/write", write, methods=["POST"]),
            Route("/nested", nested, methods=["POST"]),
            Route("/login", login, methods=["POST"]),
            Route("/logout", logout, methods=["POST"]),
            Route("/clear", clear, methods=["POST"]),
            Route("/big", big, methods=["POST"]),
            Route("/health", health),
            Route("/boom", boom),
            WebSocketRoute("/ws", ws),
        ],
        middleware=[Middleware(SessionMiddleware, keyring=keyring, **options)],  # shown
    )
