"""FastAPI: dependencies that give the session, or a model inside it.

The middleware itself is added as to any Starlette application: ``app.add_middleware(SessionMiddleware, …)``. A
dependency declared with these needs no ``Request``, and serves websockets too::

    CartSession = Annotated[TypedSession[Cart], Depends(typed(CART))]


    @app.post("/cart")
    async def add(item: str, cart: CartSession) -> None:
        cart.value.items.append(item)
        cart.save()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import BaseModel

from sessionkit.contrib import extra
from sessionkit.exceptions import ConfigurationError
from sessionkit.session import Session

with extra("fastapi"):
    from fastapi import Depends
    from fastapi.requests import HTTPConnection  # noqa: TC002 - FastAPI looks annotations up here

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionkit.typed import SessionModel, TypedSession

__all__ = ["CurrentSession", "current_session", "typed"]

Model = TypeVar("Model", bound=BaseModel)


async def current_session(connection: HTTPConnection) -> Session:
    """Return the session of a request or a websocket.

    Raises:
        ConfigurationError: if it has none: no middleware, or a route that opted out.
    """
    session = connection.scope.get("session")
    if not isinstance(session, Session):
        raise ConfigurationError(
            "session",
            "is asked for on a route that has none of sessionkit's",
            "Add sessionkit's SessionMiddleware to the application, or drop the route's skip_session or exclude.",
        )
    return session


CurrentSession = Annotated[Session, Depends(current_session)]
"""A parameter of this type is the session."""


def typed(schema: SessionModel[Model]) -> Callable[[HTTPConnection], Awaitable[TypedSession[Model]]]:
    """Return a dependency that gives the session together with the model it holds.

    Its callers get ``TypedSessionError`` where the session's data does not fit, so FastAPI answers 500.
    """

    async def dependency(connection: HTTPConnection) -> TypedSession[Model]:
        return schema.of(await current_session(connection))

    return dependency
