"""A Quart application with sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quart import Blueprint, Quart, jsonify, request, session, websocket

from sessionkit.contrib.quart import SessionInterface

if TYPE_CHECKING:
    from quart import Response

    from sessionkit import Keyring


pages = Blueprint("pages", __name__)


@pages.get("/read")
async def read() -> Response:
    """Tell what the session holds."""
    return jsonify(dict(session))


@pages.post("/write")
async def write() -> Response:
    """Merge a JSON object into the session."""
    session.update(await request.get_json())
    return jsonify(None)


@pages.post("/nested")
def nested() -> Response:
    """Change a list inside the session, and nothing at its top; in a thread."""
    session["list"].append("more")
    return jsonify(None)


@pages.post("/login")
async def login() -> Response:
    """Give the session a new id, as every login should."""
    ours: Any = session
    before = ours.id
    ours.regenerate(authenticated=True)
    session["user"] = "ann"
    return jsonify({"before": before, "after": ours.id})


@pages.post("/logout")
async def logout() -> Response:
    """End the session."""
    ours: Any = session
    ours.destroy()
    return jsonify(None)


@pages.post("/clear")
async def clear() -> Response:
    """Empty the session."""
    session.clear()
    return jsonify(None)


@pages.post("/big")
async def big() -> Response:
    """Store n characters."""
    session["big"] = "x" * int(request.args["n"])
    return jsonify(None)


@pages.get("/health")
async def health() -> Response:
    """Answer without a session."""
    return jsonify({"session": "session" in request.scope})


@pages.get("/boom")
async def boom() -> Response:
    """Fail after a write."""
    session["lost"] = True
    raise LookupError("boom")


@pages.websocket("/ws")
async def ws() -> None:
    """Count in the session before accepting, then tell the count."""
    session["sockets"] = session.get("sockets", 0) + 1
    await websocket.accept()
    await websocket.send(str(session["sockets"]))


def application(keyring: Keyring | str = "config/keyring.yaml", **options: Any) -> Quart:
    """Return the application.

    Args:
        keyring: a ring, or the path of its file.
        options: of ``SessionInterface``.
    """
    app = Quart(__name__)
    SessionInterface(app, keyring, **options)  # shown
    app.register_blueprint(pages)
    return app
