"""Mounts, copies of scopes, and several sessions in one stack (group I)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware as StarletteSessions
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from sessionkit.backend.backend import SessionBackend
from sessionkit.config import AuditConfig, SessionConfig
from sessionkit.exceptions import ConfigurationError
from sessionkit.middleware import SessionMiddleware
from sessionkit.testing import AsgiClient
from tests.middleware.apps import Log, answer, key, ring
from tests.middleware.hosting import BOTH_WAYS, Stage, counter

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from sessionkit.asgi import ASGIApp, Receive, Scope, Send


def under(app: ASGIApp, name: str, number: int = 1, log: Log | None = None, **settings: Any) -> SessionMiddleware:
    """Put an application behind another middleware, with a cookie name and a ring of one numbered key."""
    config = SessionConfig(key=name, audit=AuditConfig(level="debug"), **settings)
    return SessionMiddleware(app, ring(key(number)), config, logger=Log() if log is None else log)


@BOTH_WAYS
async def test_one_middleware_twice_is_transparent_inside(in_place: bool) -> None:
    """Case 99: installed around the application and again inside, a session is loaded once and written once."""
    inner_log = Log()
    stage = Stage(under(counter, "session", log=inner_log), in_place=in_place)
    async with stage.client.lifespan():
        assert await stage.count() == "1"
        response = await stage.client.get("/")
    assert len(response.set_cookies) == 1
    assert response.values(b"x-count") == [b"2"]
    assert len(stage.log.named("session.loaded")) == 1
    assert inner_log.named("session.loaded") == []


async def test_the_very_same_object_twice_starts_one_actor() -> None:
    """Case 99: a lifespan that passes one middleware object twice starts its actor once."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await counter(scope, receive, send)

    stage = Stage(app)
    stage.middleware.app = twice = SessionMiddleware(app, ring(), logger=Log())
    twice.service = stage.service
    async with stage.client.lifespan():
        assert await stage.count() == "1"
        assert await stage.count() == "2"
    assert len(stage.log.named("actor.started")) == 1


async def test_one_name_and_no_common_key_is_an_error() -> None:
    """Case 100: two that would destroy each other's cookies are refused, with the field and the remedy."""
    stage = Stage(under(counter, "session", number=2))
    with pytest.raises(ConfigurationError, match="share no key") as caught:
        await stage.client.get("/")
    assert caught.value.field == "key"


@BOTH_WAYS
async def test_two_names_are_two_sessions(in_place: bool) -> None:
    """Case 101: the inner one owns scope["session"] inside, the outer one around it; each has its own name."""
    seen: list[object] = []

    async def inside(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["session"] is scope["sessionkit"]["cart"]
        scope["session"]["who"] = "inner"
        scope["sessionkit"]["session"]["both"] = True
        await answer(send)

    inner = under(inside, "cart", number=2)

    async def around(scope: Scope, receive: Receive, send: Send) -> None:
        before = scope["session"]
        before["who"] = "outer"
        await inner(scope, receive, send)
        assert scope["session"] is before
        seen.append(dict(before))

    stage = Stage(around, in_place=in_place)
    async with stage.client.lifespan():
        response = await stage.client.get("/")
        assert len(response.set_cookies) == 2
        assert len(response.values(b"vary")) == 1
        assert sorted(stage.cookies) == ["cart", "session"]
        await stage.client.get("/")
    assert seen == [{"who": "outer", "both": True}] * 2
    assert stage.reasons() == []


async def test_inner_session_replaced_leaves_the_outer_alone() -> None:
    """Case 101: what the application puts in the inner session's place is stored under the inner name."""
    seen: list[dict[str, Any]] = []

    async def inside(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append({name: dict(session) for name, session in scope["sessionkit"].items()})
        scope["session"] = {"replaced": True}
        await answer(send)

    async def around(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["outer"] = True
        await under(inside, "cart", number=2)(scope, receive, send)

    stage = Stage(around)
    await stage.client.get("/")
    await stage.client.get("/")
    assert seen[1] == {"session": {"outer": True}, "cart": {"replaced": True}}


async def test_write_inside_a_copied_scope_is_saved() -> None:
    """Case 102: frameworks copy scopes; the session object is shared by the copies, and so is the table of names."""

    async def copies(scope: Scope, receive: Receive, send: Send) -> None:
        await counter(dict(scope), receive, send)

    stage = Stage(copies)
    assert [await stage.count() for _ in range(3)] == ["1", "2", "3"]


async def test_replacement_inside_a_copied_scope_goes_by_the_table_of_names() -> None:
    """Case 102: scope["sessionkit"] is one dict for all copies, so what is put there is seen from outside."""

    async def copies(scope: Scope, receive: Receive, send: Send) -> None:
        copy = dict(scope)
        if scope["path"] == "/replace":
            copy["sessionkit"]["session"] = {"n": 40}
        await counter(copy, receive, send)

    stage = Stage(copies)
    await stage.count()
    await stage.client.get("/replace")
    assert await stage.count() == "41"


async def test_starlette_mount_shares_the_session() -> None:
    """Case 102: Starlette updates the scope in place for what is mounted; reads and writes go to one session."""

    async def visit(request: Request) -> PlainTextResponse:
        request.session["seen"] = [*request.session.get("seen", []), request.scope["root_path"]]
        return PlainTextResponse(",".join(request.session["seen"]))

    routes = [Mount("/shop", routes=[Route("/", visit)]), Mount("/blog", app=Starlette(routes=[Route("/", visit)]))]
    stage = Stage(Starlette(routes=routes))
    await stage.client.get("/shop/")
    assert (await stage.client.get("/blog/")).text == "/shop,/blog"


async def test_foreign_session_of_a_mounted_framework_is_left_alone() -> None:
    """Case 103: a mounted application with a session cookie of its own keeps it, through writes and clears of ours."""

    async def foreign(request: Request) -> Response:
        response = PlainTextResponse(request.cookies.get("foreign", "none"))
        response.set_cookie("foreign", "theirs")
        if "end" in request.query_params:
            request.scope["session"].destroy()
        else:
            request.scope["session"]["ours"] = True
        return response

    stage = Stage(Starlette(routes=[Mount("/legacy", app=Starlette(routes=[Route("/", foreign)]))]))
    assert (await stage.client.get("/legacy/")).text == "none"
    assert sorted(stage.cookies) == ["foreign", "session"]
    assert (await stage.client.get("/legacy/?end=1")).text == "theirs"
    assert stage.cookies == {"foreign": b"theirs"}


async def test_session_object_of_another_library_is_no_replacement() -> None:
    """Case 103: Starlette's own middleware inside ours keeps its session to itself; ours is not overwritten."""

    async def visit(request: Request) -> Response:
        request.session["theirs"] = request.session.get("theirs", 0) + 1
        request.scope["sessionkit"]["session"]["ours"] = True
        return PlainTextResponse(str(request.session["theirs"]))

    inner = Starlette(routes=[Route("/", visit)])
    inner.add_middleware(StarletteSessions, secret_key="theirs", session_cookie="foreign")
    stage = Stage(inner)
    assert [(await stage.client.get("/")).text for _ in range(3)] == ["1", "2", "3"]
    service = stage.middleware.service
    backend = SessionBackend(service.config, service.keyring, clock=stage.middleware.clock)
    assert backend.load_data([stage.cookies["session"]]) == {"ours": True}
    assert "foreign" in stage.cookies


@pytest.mark.parametrize(
    ("path", "root"), [("/app/health", "/app"), ("/health", "/app"), ("/health", ""), ("/app/health", "/app/")]
)
async def test_exclude_is_matched_without_root_path(path: str, root: str) -> None:
    """Case 104: whether or not the server puts root_path in front of path, a pattern means the path within the app."""
    stage = Stage(_has_session, exclude="/health")
    response = await stage.client.get(path, scope={"root_path": root})
    assert response.status == 404
    assert (await stage.client.get("/app/healthy", scope={"root_path": root})).status == 200


async def test_scope_of_the_bare_minimum_works() -> None:
    """Case 105: no root_path, state, extensions, client, scheme, path or headers."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    stage = Stage(_writes, secure=True, exclude="/health")
    await stage.middleware({"type": "http"}, receive, send)
    assert sent[0]["status"] == 200
    assert b"set-cookie" in dict(sent[0]["headers"])
    assert len(stage.log.named("session.insecure_transport")) == 1


async def test_one_scope_served_twice_is_loaded_twice() -> None:
    """A fallback calls one application after another with one scope: the second call has its session loaded too."""
    stage = Stage()

    async def fallback(scope: Scope, receive: Receive, send: Send) -> None:
        messages: list[Any] = []

        async def drop(message: Any) -> None:
            messages.append(message)

        await stage.middleware(scope, receive, drop)
        await stage.middleware(scope, receive, send)

    await stage.count()
    client = AsgiClient(fallback, jar=stage.client.jar, clock=stage.clock)
    response = await client.get("/")
    assert response.values(b"x-count") == [b"2"]
    assert len(response.set_cookies) == 1


async def test_foreign_value_around_is_restored_and_never_ours() -> None:
    """Another layer's session around ours is put back, and a look at ours after the start loses nothing."""
    log = Log()

    async def streams(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["n"] = 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert scope["session"]["n"] == 1
        await send({"type": "http.response.body", "body": b""})

    inner = under(streams, "session", log=log)
    theirs = {"theirs": True}

    async def around(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"] = theirs
        await inner(scope, receive, send)
        assert scope["session"] is theirs

    await AsgiClient(around).get("/")
    assert log.named("session.write_lost") == []


async def _has_session(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, status=200 if "session" in scope else 404)


async def _writes(scope: Scope, receive: Receive, send: Send) -> None:
    scope["session"]["n"] = 1
    await answer(send)
