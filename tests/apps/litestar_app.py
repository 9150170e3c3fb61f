"""A Litestar application with sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import Litestar, Request, WebSocket, get, post, websocket

from sessionkit.contrib.litestar import CookieBackendConfig

if TYPE_CHECKING:
    from sessionkit import Keyring

AnyRequest = Request[Any, Any, Any]
AnySocket = WebSocket[Any, Any, Any]


@get("/read", sync_to_thread=False)
def read(request: AnyRequest) -> dict[str, Any]:
    """Tell what the session holds."""
    return dict(request.session)


@post("/write", status_code=200)
async def write(request: AnyRequest) -> None:
    """Merge a JSON object into the session."""
    request.session.update(await request.json())


@post("/nested", status_code=200)
async def nested(request: AnyRequest) -> None:
    """Change a list inside the session, and nothing at its top."""
    request.session["list"].append("more")


@post("/login", status_code=200)
async def login(request: AnyRequest) -> dict[str, str | None]:
    """Give the session a new id, as every login should."""
    session: Any = request.session
    before = request.get_session_id()
    session.regenerate(authenticated=True)
    session["user"] = "ann"
    return {"before": before, "after": session.id}


@post("/logout", status_code=200)
async def logout(request: AnyRequest) -> None:
    """End the session."""
    session: Any = request.session
    session.destroy()


@post("/clear", status_code=200)
async def clear(request: AnyRequest) -> None:
    """Empty the session, in Litestar's way."""
    request.clear_session()


@post("/big", status_code=200)
async def big(request: AnyRequest) -> None:
    """Store n characters."""
    request.session["big"] = "x" * int(request.query_params["n"])


@get("/health", skip_session=True, sync_to_thread=False)
def health(request: AnyRequest) -> dict[str, bool]:
    """Answer without a session."""
    return {"session": "session" in request.scope}


@get("/boom", sync_to_thread=False)
def boom(request: AnyRequest) -> None:
    """Fail after a write."""
    request.session["lost"] = True
    raise LookupError("boom")


@websocket("/ws")
async def ws(socket: AnySocket) -> None:
    """Count in the session before accepting, then tell the count."""
    socket.session["sockets"] = socket.session.get("sockets", 0) + 1
    await socket.accept()
    await socket.send_text(str(socket.session["sockets"]))
    await socket.close()


def application(keyring: Keyring | str = "config/keyring.yaml", **options: Any) -> Litestar:
    """Return the application.

    Args:
        keyring: a ring, or the path of its file.
        options: of ``CookieBackendConfig``.
    """
    sessions = CookieBackendConfig(keyring, **options)  # shown
    return Litestar(
        [read, write, nested, login, logout, clear, big, health, boom, ws],
        middleware=[sessions.middleware],  # shown
        plugins=[sessions.plugin],  # shown
    )
