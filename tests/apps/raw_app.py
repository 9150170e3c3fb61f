"""An application in plain ASGI with sessions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from sessionkit import SessionMiddleware

if TYPE_CHECKING:
    from sessionkit import Keyring, Session
    from sessionkit.asgi import ASGIApp, Receive, Scope, Send


def act(path: str, session: Session, query: str, body: bytes) -> object:
    """Do what a page does with the session, and return what it answers.

    Raises:
        LookupError: at ``/boom``, and if there is no such page.
    """
    match path:
        case "/read":
            return dict(session)
        case "/write":
            session.update(json.loads(body))
        case "/nested":
            session["list"].append("more")
        case "/login":
            before = session.id
            session.regenerate(authenticated=True)
            session["user"] = "ann"
            return {"before": before, "after": session.id}
        case "/logout":
            session.destroy()
        case "/clear":
            session.clear()
        case "/big":
            session["big"] = "x" * int(parse_qs(query)["n"][0])
        case _:
            session["lost"] = True
            raise LookupError(path)
    return None


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve requests and websockets; it has never heard of lifespan.

    Raises:
        LookupError: at ``/boom``.
    """
    assert scope["type"] in {"http", "websocket"}
    if scope["type"] == "websocket":
        session = scope["session"]
        session["sockets"] = session.get("sockets", 0) + 1
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": str(session["sockets"])})
        await send({"type": "websocket.close"})
        return
    body = (await receive())["body"]
    if scope["path"] == "/health":
        told: object = {"session": "session" in scope}
    else:
        told = act(scope["path"], scope["session"], scope["query_string"].decode(), body)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})


def application(keyring: Keyring | str = "config/keyring.yaml", **options: Any) -> ASGIApp:
    """Return the application.

    Args:
        keyring: a ring, or the path of its file.
        options: of ``SessionMiddleware``.
    """
    return SessionMiddleware(app, keyring, **options)  # shown
