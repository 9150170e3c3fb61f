"""A FastAPI application with sessions, one entry of which is a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket
from pydantic import BaseModel

from sessionkit import SessionMiddleware
from sessionkit.contrib.fastapi import CurrentSession, typed
from sessionkit.typed import SessionModel, TypedSession

if TYPE_CHECKING:
    from sessionkit import Keyring

router = APIRouter()


class Cart(BaseModel):
    """What a visitor is about to buy."""

    items: dict[str, int] = {}


CART = SessionModel(Cart, "cart")
CartSession = Annotated[TypedSession[Cart], Depends(typed(CART))]


@router.post("/cart/{item}")
async def add(item: str, cart: CartSession) -> dict[str, int]:
    """Put an item into the cart."""
    cart.value.items[item] = cart.value.items.get(item, 0) + 1
    cart.save()
    return cart.value.items


@router.get("/read")
async def read(session: CurrentSession) -> dict[str, Any]:
    """Tell what the session holds."""
    return dict(session)


@router.post("/write")
async def write(session: CurrentSession, data: dict[str, Any]) -> None:
    """Merge a JSON object into the session."""
    session.update(data)


@router.post("/nested")
def nested(session: CurrentSession) -> None:
    """Change a list inside the session, and nothing at its top; in a thread."""
    session["list"].append("more")


@router.post("/login")
async def login(session: CurrentSession) -> dict[str, str]:
    """Give the session a new id, as every login should."""
    before = session.id
    session.regenerate(authenticated=True)
    session["user"] = "ann"
    return {"before": before, "after": session.id}


@router.post("/logout")
async def logout(session: CurrentSession) -> None:
    """End the session."""
    session.destroy()


@router.post("/clear")
async def clear(session: CurrentSession) -> None:
    """Empty the session."""
    session.clear()


@router.post("/big")
async def big(session: CurrentSession, n: int) -> None:
    """Store n characters."""
    session["big"] = "x" * n


@router.get("/health")
async def health(request: Request) -> dict[str, bool]:
    """Answer without a session."""
    return {"session": "session" in request.scope}


@router.get("/boom")
async def boom(session: CurrentSession) -> None:
    """Fail after a write."""
    session["lost"] = True
    raise LookupError("boom")


@router.websocket("/ws")
async def ws(websocket: WebSocket, session: CurrentSession) -> None:
    """Count in the session before accepting, then tell the count."""
    session["sockets"] = session.get("sockets", 0) + 1
    await websocket.accept()
    await websocket.send_text(str(session["sockets"]))
    await websocket.close()


def application(keyring: Keyring | str = "config/keyring.yaml", **options: Any) -> FastAPI:
    """Return the application.

    Args:
        keyring: a ring, or the path of its file.
        options: of ``SessionMiddleware``.
    """
    app = FastAPI()
    app.include_router(router)
    app.add_middleware(SessionMiddleware, keyring=keyring, **options)  # shown
    return app
