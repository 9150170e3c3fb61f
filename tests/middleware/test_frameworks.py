"""Starlette, its TestClient, FastAPI and Litestar, each as its users embed the middleware."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi import Request as FastAPIRequest
from fastapi import WebSocket as FastAPIWebSocket
from litestar import Litestar, Request, delete, get, post
from litestar.middleware import DefineMiddleware
from litestar.response import Response as LitestarResponse
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient

from sessionkit.middleware import SessionMiddleware
from sessionkit.testing import AsgiClient, FixedClock
from tests.middleware.apps import Log, ring
from tests.middleware.hosting import BOTH_WAYS, Stage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request as StarletteRequest
    from starlette.responses import Response as StarletteResponse
    from starlette.websockets import WebSocket


async def visit(request: StarletteRequest) -> StarletteResponse:
    """Count visits."""
    request.session["n"] = request.session.get("n", 0) + 1
    return PlainTextResponse(str(request.session["n"]))


async def socket(websocket: WebSocket) -> None:
    """Tell the count over a websocket."""
    await websocket.accept()
    await websocket.send_text(str(websocket.session.get("n")))
    await websocket.close()


def starlette(log: Log, **options: Any) -> Starlette:
    """Return a Starlette application with the middleware among its own."""
    return Starlette(
        routes=[Route("/", visit), WebSocketRoute("/ws", socket), Mount("/below", routes=[Route("/", visit)])],
        middleware=[Middleware(SessionMiddleware, keyring=ring(), logger=log)],
        **options,
    )


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_test_client_without_lifespan(backend: Any) -> None:
    """Case 128: TestClient without "with" makes a new loop for each request; the session goes on all the same."""
    log = Log()
    client = TestClient(starlette(log), backend=backend)
    assert [client.get("/").text for _ in range(3)] == ["1", "2", "3"]
    assert client.get("/below/").text == "4"
    with client.websocket_connect("/ws") as session:
        assert session.receive_text() == "4"
    assert [line["reason"] for line in log.named("actor.inline")] == ["no_lifespan"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_test_client_with_lifespan_speaks_to_starlettes_own(backend: Any) -> None:
    """Case 130: middleware added to Starlette itself gets its lifespan, so the actor runs inside "with"."""
    log, seen = Log(), []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        seen.append("up")
        yield
        seen.append("down")

    with TestClient(starlette(log, lifespan=lifespan), backend=backend) as client:
        assert [client.get("/").text for _ in range(3)] == ["1", "2", "3"]
        assert seen == ["up"]
    assert seen == ["up", "down"]
    assert [line["event"] for line in log.lines if line["category"] == "actor"] == ["actor.started", "actor.stopped"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_test_client_around_the_middleware(backend: Any) -> None:
    """Case 130: wrapped around the application, the same."""
    log = Log()
    app = SessionMiddleware(Starlette(routes=[Route("/", visit)]), ring(), logger=log)
    with TestClient(app, backend=backend) as client:
        assert [client.get("/").text for _ in range(2)] == ["1", "2"]
        assert app.service.hosted
    assert client.get("/").text == "3"
    assert [line["reason"] for line in log.named("actor.inline")] == ["stopped"]


def test_lifespan_that_fails_reaches_the_test_client() -> None:
    """Case 131: an error of the application's start comes out as it was raised, in no exception group."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if app.routes:
            raise LookupError("no database")
        yield

    with pytest.raises(LookupError, match="no database"), TestClient(starlette(Log(), lifespan=lifespan)):
        pass


def _user(request: FastAPIRequest) -> str | None:
    user: str | None = request.session.get("user")
    return user


def fastapi() -> FastAPI:
    """Return a FastAPI application with sync and async endpoints and a dependency that reads the session."""
    app = FastAPI()

    @app.post("/login/{user}")
    def login(user: str, request: FastAPIRequest) -> dict[str, str]:
        request.scope["session"].regenerate(authenticated=True)
        request.session["user"] = user
        return {"user": user}

    @app.get("/me")
    async def me(user: Annotated[str | None, Depends(_user)]) -> dict[str, str | None]:
        return {"user": user}

    @app.post("/logout")
    async def logout(request: FastAPIRequest) -> None:
        request.session.clear()

    @app.websocket("/ws")
    async def ws(websocket: FastAPIWebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(str(websocket.session.get("user")))
        await websocket.close()

    return app


@BOTH_WAYS
@pytest.mark.parametrize("inside", [True, False])
async def test_fastapi(in_place: bool, inside: bool) -> None:
    """Case 191: request.session is ours in FastAPI, as added middleware and as a wrapper, in threads too."""
    log, clock, app = Log(), FixedClock(), fastapi()
    client = AsgiClient(app, clock=clock)
    if inside:
        app.add_middleware(SessionMiddleware, keyring=ring(), logger=log, clock=clock, in_place=in_place)
    else:
        client.app = SessionMiddleware(app, ring(), logger=log, clock=clock, in_place=in_place)
    async with client.lifespan():
        await client.post("/login/ann")
        assert (await client.get("/me")).text == '{"user":"ann"}'
        async with client.websocket("/ws") as session:
            assert await session.receive_text() == "ann"
        await client.post("/logout")
        assert len(client.jar) == 0
        assert (await client.get("/me")).text == '{"user":null}'
    assert len(log.named("actor.started")) == 1
    assert log.named("session.write_lost") == []


@get("/", sync_to_thread=False)
def _litestar_read(request: Request[Any, Any, Any]) -> dict[str, Any]:
    return dict(request.session)


@post("/")
async def _litestar_write(request: Request[Any, Any, Any]) -> None:
    request.session["n"] = request.session.get("n", 0) + 1


@post("/replace")
async def _litestar_replace(request: Request[Any, Any, Any]) -> None:
    request.set_session({"replaced": True})


@delete("/")
async def _litestar_clear(request: Request[Any, Any, Any]) -> None:
    request.clear_session()


@get("/skipped", skip_session=True, sync_to_thread=False)
def _litestar_skipped(request: Request[Any, Any, Any]) -> LitestarResponse[str]:
    return LitestarResponse(str("session" in request.scope))


def litestar(**options: Any) -> Litestar:
    """Return a Litestar application that uses every accessor Litestar has for sessions."""
    handlers = [_litestar_read, _litestar_write, _litestar_replace, _litestar_clear, _litestar_skipped]
    return Litestar(handlers, openapi_config=None, logging_config=None, **options)


@BOTH_WAYS
@pytest.mark.parametrize("inside", [True, False])
async def test_litestar(in_place: bool, inside: bool) -> None:
    """Case 106: Litestar's accessors work outside, and inside, where it makes one middleware for each route."""
    log, clock = Log(), FixedClock()
    options: dict[str, Any] = {"keyring": ring(), "logger": log, "clock": clock, "in_place": in_place}
    ours: Any = SessionMiddleware  # Litestar's own types of scopes and messages are narrower than ASGI's
    app: Any = litestar(middleware=[DefineMiddleware(ours, **options)]) if inside else ours(litestar(), **options)
    client = AsgiClient(app, clock=clock)
    async with client.lifespan():
        for _ in range(2):
            assert (await client.post("/")).status == 201
        assert (await client.get("/")).text == '{"n":2}'
        assert (await client.post("/replace")).status == 201
        assert (await client.get("/")).text == '{"replaced":true}'
        assert (await client.get("/nowhere")).status == 404
        assert (await client.request("DELETE", "/")).status == 204
        assert len(client.jar) == 0
        assert (await client.get("/")).text == "{}"
    lives = {line["event"] for line in log.lines if line["category"] == "actor"}
    assert lives == ({"actor.inline"} if inside else {"actor.started", "actor.stopped"})
    assert {line["session_ref"] for line in log.named("session.destroyed")} == {
        line["session_ref"] for line in log.named("session.created")
    }
    assert log.named("session.write_lost") == []


async def test_litestar_route_opts_out() -> None:
    """Case 106: skip_session on a route is heeded where the route is known, inside Litestar."""
    ours: Any = SessionMiddleware
    app: Any = litestar(middleware=[DefineMiddleware(ours, keyring=ring(), logger=Log())])
    assert (await AsgiClient(app).get("/skipped")).text == "False"


async def test_starlette_mounts_the_middleware_itself() -> None:
    """Case 99: below a Mount, and around it, with one ring: transparent inside, one cookie, one count."""
    inner = SessionMiddleware(Starlette(routes=[Route("/", visit)]), ring(), logger=Log())
    stage = Stage(Starlette(routes=[Route("/", visit), Mount("/below", app=inner)]))
    assert (await stage.client.get("/")).text == "1"
    below = await stage.client.get("/below/")
    assert (below.text, len(below.set_cookies)) == ("2", 1)
    assert (await stage.client.get("/")).text == "3"
