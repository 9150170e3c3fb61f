"""Group S: the session object, and what applications put in its place."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import weakref
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI, Request
from litestar import Litestar, get
from litestar import Request as LitestarRequest
from litestar.types import Empty
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from sessionkit.exceptions import SerializationError
from sessionkit.middleware import SessionMiddleware
from sessionkit.testing import AsgiClient
from tests.middleware.apps import Log, Site, answer, page, secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request as StarletteRequest

    from sessionkit.asgi import ASGIMessage, Receive, Scope, Send
    from sessionkit.session import Session


def _ior(session: Session) -> None:
    session |= {"c": 3}


def _delete(session: Session) -> None:
    del session["a"]


def _set(session: Session) -> None:
    session["a"] = 9


def _set_and_delete(session: Session) -> None:
    session["c"] = 3
    del session["c"]


CHANGES: dict[str, tuple[Callable[[Session], object], dict[str, Any]]] = {
    "[]=": (_set, {"a": 9, "b": [2]}),
    "del": (_delete, {"b": [2]}),
    "pop": (lambda session: session.pop("a"), {"b": [2]}),
    "popitem": (lambda session: session.popitem(), {"a": 1}),
    "setdefault": (lambda session: session.setdefault("c", 3), {"a": 1, "b": [2], "c": 3}),
    "update": (lambda session: session.update(c=3), {"a": 1, "b": [2], "c": 3}),
    "|=": (_ior, {"a": 1, "b": [2], "c": 3}),
    "clear": (lambda session: session.clear(), {}),
    "nested": (lambda session: session["b"].append(3), {"a": 1, "b": [2, 3]}),
    "nested by get": (lambda session: session.get("b").append(3), {"a": 1, "b": [2, 3]}),
    "nested by values": (lambda session: next(v for v in session.values() if v == [2]).clear(), {"a": 1, "b": []}),
    "type": (lambda session: session.update(a=1.0), {"a": 1.0, "b": [2]}),
    "to a bool": (lambda session: session.update(a=True), {"a": True, "b": [2]}),
}

NO_CHANGES: dict[str, Callable[[Session], object]] = {
    "same value": lambda session: session.update(a=1),
    "set and deleted": _set_and_delete,
    "taken and put back": lambda session: session.update(a=session.pop("a")),
    "copy": lambda session: session.copy().update(c=3),
    "|": lambda session: (session | {"c": 3}).clear(),
    "setdefault": lambda session: session.setdefault("a", 3),
    "pop of nothing": lambda session: session.pop("c", None),
    "equal value": lambda session: session.update(b=[2]),
    "appended and taken": lambda session: session["b"].append(3) or session["b"].pop(),
}


@pytest.mark.parametrize(("act", "expected"), CHANGES.values(), ids=CHANGES)
async def test_changes_are_kept(act: Callable[[Session], object], expected: dict[str, Any]) -> None:
    """Case 188: every way of changing a dict is kept, also inside its values."""
    site = Site()
    await site.write(a=1, b=[2])

    response = await site.visit(act)

    assert len(response.set_cookies) == 1
    found = await site.read()
    assert found == expected
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in expected.items()
    }


@pytest.mark.parametrize("act", NO_CHANGES.values(), ids=NO_CHANGES)
async def test_what_is_no_change_sends_nothing(act: Callable[[Session], object]) -> None:
    """Case 188: what leaves the value as it was sends nothing, whatever was done meanwhile."""
    site = Site()
    await site.write(a=1, b=[2])

    assert (await site.visit(act)).set_cookies == []


async def test_a_cart() -> None:
    """Cases 159 and 188: ``session["cart"].append(x)`` is saved; the unchanged session sends no cookie."""
    site = Site()
    await site.write(cart=[])
    for _ in range(3):
        appended = await site.visit(lambda session: session["cart"].append("x"))
        unchanged = await site.visit(lambda session: session["cart"])
        assert (len(appended.set_cookies), len(unchanged.set_cookies)) == (1, 0)
    assert await site.read() == {"cart": ["x", "x", "x"]}


class Model(BaseModel):
    """A session as a model."""

    user: str
    visits: int = 0


@dataclass
class Data:
    """A session as a dataclass."""

    user: str


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"user": "bob"}, {"user": "bob"}),
        (MappingProxyType({"user": "bob"}), {"user": "bob"}),
        (Model(user="bob"), {"user": "bob", "visits": 0}),
        (Data("bob"), {"user": "bob"}),
        ({}, {}),
        (MappingProxyType({}), {}),
        (None, {}),
        (Empty, {}),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("stored", [True, False])
async def test_another_value_in_the_sessions_place(value: object, expected: dict[str, Any], stored: bool) -> None:
    """Case 189: what an application puts into ``scope["session"]`` is stored, and nothing of it clears."""
    site = Site()
    if stored:
        await site.write(user="ann", old=1)

    response = await site.run(page(lambda scope: scope.update(session=value)))

    assert len(response.set_cookies) == (1 if expected or stored else 0)
    assert response.values(b"vary") == [b"Cookie"]
    assert await site.read() == expected
    assert site.log.named("session.write_lost") == []


async def test_the_session_was_taken_out() -> None:
    """Case 189: a deleted ``scope["session"]`` clears."""
    site = Site()
    await site.write(user="ann")

    await site.run(page(lambda scope: scope.pop("session")))

    assert site.cookies() == {}


@pytest.mark.parametrize("value", [5, "text", [1], object()])
async def test_what_is_no_session(value: object) -> None:
    """Case 189: what is neither a mapping nor has fields is a typed error before anything is sent."""
    site = Site()
    await site.write(user="ann")

    with pytest.raises(SerializationError):
        await site.run(page(lambda scope: scope.update(session=value)))

    assert site.client.messages == []
    assert await site.read() == {"user": "ann"}


async def test_the_session_under_its_name() -> None:
    """Case 189: the session lies under the cookie's name too, and may be replaced there."""
    site = Site(key="shop")

    def act(scope: Any) -> None:
        assert scope["sessionkit"]["shop"] is scope["session"]
        scope["sessionkit"]["shop"] = {"user": "bob"}

    await site.run(page(act))

    assert await site.read() == {"user": "bob"}
    await site.run(page(lambda scope: scope["sessionkit"].update(shop=None)))
    assert await site.read() == {}


@pytest.mark.parametrize("theirs", [{"theirs": 1}, None])
async def test_a_session_that_was_there_before(theirs: object) -> None:
    """Case 190: a session of other middleware makes place for ours, and is back when its middleware looks."""
    site = Site()
    scope: dict[str, Any] = {"session": theirs}
    seen: list[Any] = []
    connection: dict[str, Any] = {}

    async def see(message: Any) -> None:
        seen.append(connection["session"])

    def act(found: Any) -> None:
        assert found["session"] == {}
        found["session"]["user"] = "ann"

    async def outer(found: Any, receive: Any, send: Any) -> None:
        connection.update(found)
        await site.middleware(connection, receive, send)

    site.client.app = outer
    await site.run(page(act), scope=scope, on_send=see)

    assert seen[0] is theirs
    assert connection["session"] is theirs
    site.client.app = site.middleware
    assert await site.read() == {"user": "ann"}


async def _visits(app: Any) -> list[Any]:
    """Visit a framework's application three times, and clear the session."""
    client = AsgiClient(SessionMiddleware(app, secret(1), logger=Log()))
    bodies = [json.loads((await client.get()).body) for _ in range(3)]
    await client.get("/clear")
    return [*bodies, len(client.jar)]


async def test_starlette() -> None:
    """Case 191: Starlette's ``request.session``."""

    async def visit(request: StarletteRequest) -> JSONResponse:
        request.session["visits"] = request.session.get("visits", 0) + 1
        return JSONResponse(dict(request.session))

    async def clear(request: StarletteRequest) -> JSONResponse:
        request.session.clear()
        return JSONResponse(None)

    app = Starlette(routes=[Route("/", visit), Route("/clear", clear)])

    assert await _visits(app) == [{"visits": 1}, {"visits": 2}, {"visits": 3}, 0]


async def test_fastapi() -> None:
    """Case 191: FastAPI's ``request.session``."""
    app = FastAPI()

    async def visit(request: Request) -> dict[str, Any]:
        request.session["visits"] = request.session.get("visits", 0) + 1
        return request.session

    async def clear(request: Request) -> None:
        request.session.clear()

    app.add_api_route("/", visit)
    app.add_api_route("/clear", clear)

    assert await _visits(app) == [{"visits": 1}, {"visits": 2}, {"visits": 3}, 0]


async def test_litestar() -> None:
    """Case 191: Litestar's ``request.session``, ``set_session`` and ``clear_session``."""

    @get("/")
    async def visit(request: LitestarRequest[Any, Any, Any]) -> dict[str, Any]:
        request.set_session({"visits": request.session.get("visits", 0) + 1})
        return request.session

    @get("/clear")
    async def clear(request: LitestarRequest[Any, Any, Any]) -> None:
        request.clear_session()

    app = Litestar([visit, clear], openapi_config=None)

    assert await _visits(app) == [{"visits": 1}, {"visits": 2}, {"visits": 3}, 0]


async def test_a_session_is_a_dict() -> None:
    """Cases 192 and 199: third parties find a dict, filled before the application runs."""
    site = Site()
    await site.write(user="ann", cart=[1])

    def act(session: Session) -> None:
        assert isinstance(session, dict)
        assert json.loads(json.dumps(session)) == {"user": "ann", "cart": [1]}
        assert dict(session) == {**session} == {"user": "ann", "cart": [1]}

    assert (await site.visit(act)).status == 200


async def test_starlettes_protocol() -> None:
    """Case 193: what Starlette's property calls is there, and alone it changes nothing."""
    site = Site()
    await site.write(user="ann")

    assert (await site.visit(lambda session: session.mark_accessed())).headers == [(b"vary", b"Cookie")]
    assert (await site.visit(lambda session: session.mark_modified())).headers == [(b"vary", b"Cookie")]


async def test_a_session_shows_no_values() -> None:
    """Case 194: its text tells how many keys there are, no key and no value."""
    site = Site()
    await site.write(token="planted-secret", n=1)
    shown: list[str] = []

    await site.visit(lambda session: shown.extend([repr(session), str(session), f"{session}"]))

    assert shown == ["<Session: 2 keys>"] * 3


async def test_copies_are_plain() -> None:
    """Case 195: copies and pickles are plain dicts: nothing of the library, no key, is reachable from them."""
    site = Site()
    await site.write(user="ann", cart=[1])
    copies: list[Any] = []

    await site.visit(
        lambda session: copies.extend(
            [copy.copy(session), copy.deepcopy(session), pickle.loads(pickle.dumps(session))]  # noqa: S301 - made here
        )
    )

    assert all(type(one) is dict and one == {"user": "ann", "cart": [1]} for one in copies)


async def test_a_new_id() -> None:
    """Case 196: ``regenerate`` keeps the data, changes the id, and says so with both references."""
    site = Site()
    await site.write(user="ann")
    ids: list[str] = []

    def act(session: Session) -> None:
        ids.append(session.id)
        session.regenerate(reason="login")
        ids.append(session.id)

    response = await site.visit(act)
    await site.visit(lambda session: ids.append(session.id))

    assert len(response.set_cookies) == 1
    assert ids[0] != ids[1] == ids[2]
    assert await site.read() == {"user": "ann"}
    (line,) = site.log.named("session.regenerated")
    assert line["reason"] == "login"
    assert line["previous_session_ref"] == site.log.named("session.created")[0]["session_ref"] != line["session_ref"]


async def test_a_new_session_after_the_end_of_the_old() -> None:
    """Case 197: what is written after ``destroy`` is a new session with a new id and a new absolute window."""
    site = Site(absolute_max_age=1_000)
    await site.write(user="ann", old=1)
    site.clock.advance(900)
    ids: list[str] = []

    def act(session: Session) -> None:
        ids.append(session.id)
        session.destroy()
        session["message"] = "goodbye"
        ids.append(session.id)

    await site.visit(act)
    site.clock.advance(900)

    assert await site.read() == {"message": "goodbye"}
    assert ids[0] != ids[1]
    assert site.log.names().count("session.destroyed") == 1
    assert site.log.names().count("session.created") == 2


async def test_an_id_that_was_shown_is_kept() -> None:
    """Case 197: the id a new session shows during its first request is the one it keeps."""
    site = Site()
    ids: list[str] = []

    def act(session: Session) -> None:
        session.setdefault("user", "ann")
        ids.append(session.id)

    await site.visit(act)
    await site.visit(act)

    assert ids[0] == ids[1]


async def test_facts_about_the_cookie() -> None:
    """Case 196: ``session.info`` tells which key sealed it, how big it is, and when it ends."""
    site = Site(idle_timeout=600)
    await site.write(user="ann")
    made = site.clock.now
    infos: list[Any] = []

    await site.visit(lambda session: infos.append(session.info))
    site.put(("session", b"rubbish"))
    await site.visit(lambda session: infos.append(session.info))
    await site.visit(lambda session: infos.append(session.info))

    assert (infos[0].chunks, infos[0].expires_at, infos[0].rejected) == (1, made + 600, None)
    assert (infos[1].kid, infos[1].rejected) == (None, "malformed")
    assert infos[2].rejected is None


@pytest.mark.parametrize("act", ["write", "read", "leave"])
async def test_nothing_of_a_request_waits_for_the_garbage_collector(act: str) -> None:
    """When a request is over its session is gone at once: nothing is left in a circle, however the session was used."""
    left: list[weakref.ref[Session]] = []

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        session = scope["session"]
        left.append(weakref.ref(session))
        if act == "write":
            session["n"] = session.get("n", 0) + 1
        elif act == "read":
            session.get("n")
        await answer(send)

    site = Site()
    begun = await site.visit(lambda session: session.update(n=1))
    cookie = begun.set_cookies[0].split(b";")[0]
    site.middleware.app = app

    async def receive() -> ASGIMessage:
        raise AssertionError  # the request's body is not asked for

    async def send(_: ASGIMessage) -> None:
        """Take a message."""

    async def call() -> None:
        scope: Scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"cookie", cookie)]}
        await site.middleware(scope, receive, send)

    collecting = gc.isenabled()
    gc.disable()
    try:
        await call()
        assert left[0]() is None
    finally:
        if collecting:
            gc.enable()
