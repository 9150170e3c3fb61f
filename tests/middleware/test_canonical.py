"""What the application's own line about a request can say of its session (case 111)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
import structlog

from sessionkit.canonical import canonical_fields
from sessionkit.config import AuditConfig, SessionConfig
from sessionkit.exceptions import SerializationError
from sessionkit.keyring.key import KeyState
from sessionkit.middleware import SessionMiddleware
from sessionkit.session import Session
from sessionkit.testing import AsgiClient
from tests.middleware.apps import Log, answer, key, noise, ring
from tests.middleware.hosting import BOTH_WAYS, Stage, counter

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionkit.asgi import ASGIApp, Receive, Scope, Send


class Lines:
    """A middleware as applications have it: one line a request, written when all is over."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.lines: list[dict[str, str]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, then write the line."""
        try:
            await self.app(scope, receive, send)
        finally:
            if scope["type"] != "lifespan":
                self.lines.append(canonical_fields(scope))


def acting(act: Callable[[Session], object] | None, status: int = 200) -> ASGIApp:
    """Return an application that does something with its session, then answers."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if act is not None:
            act(scope["session"])
        await answer(send, status=status)

    return app


class Shop:
    """An application behind the middleware, lines of its own around both, one browser, and the audit log."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.outside = Lines(stage.middleware)
        self.client = AsgiClient(self.outside, clock=stage.clock, base_url="https://testserver")

    async def line(self, act: Callable[[Session], object] | None = None, status: int = 200) -> dict[str, str]:
        """Make a request and return the line about it."""
        self.stage.middleware.app = acting(act, status)
        await self.client.get("/")
        return self.outside.lines[-1]


def write(session: Session) -> None:
    """Change a session."""
    session["n"] = session.get("n", 0) + 1


@BOTH_WAYS
async def test_the_life_of_a_session(in_place: bool) -> None:
    """Each outcome has its word; reference and key id are those of the audit log, at whatever level that is."""
    shop = Shop(Stage(in_place=in_place, audit=AuditConfig(level="debug")))
    async with shop.client.lifespan():
        assert await shop.line() == {"session_outcome": "none"}
        created = await shop.line(write)
        [told] = shop.stage.log.named("session.created")
        known = {"session_ref": told["session_ref"], "session_kid": told["kid"]}
        assert created == {"session_outcome": "created", **known}
        assert await shop.line(dict) == {"session_outcome": "loaded", **known}
        assert await shop.line() == {"session_outcome": "loaded", **known}
        assert await shop.line(write) == {"session_outcome": "written", **known}
        assert await shop.line(write, 500) == {
            "session_outcome": "lost",
            "session_reason": "error_response",
            **known,
        }
        regenerated = await shop.line(lambda session: session.regenerate())
        assert regenerated["session_outcome"] == "written"
        assert regenerated["session_ref"] == shop.stage.log.named("session.regenerated")[0]["session_ref"]
        assert regenerated["session_ref"] != known["session_ref"]
        known["session_ref"] = regenerated["session_ref"]
        assert await shop.line(lambda session: session.destroy(), 500) == {"session_outcome": "destroyed", **known}
        assert await shop.line() == {"session_outcome": "none"}


async def test_a_session_that_took_anothers_place_is_new() -> None:
    """Ended and begun anew in one request, it is the new session that the line is about."""
    shop = Shop(Stage())
    first = await shop.line(write)

    def again(session: Session) -> None:
        session.destroy()
        write(session)

    line = await shop.line(again)
    assert line["session_outcome"] == "created"
    assert line["session_ref"] != first["session_ref"]


async def test_a_cookie_that_is_not_accepted() -> None:
    """The reason stands there; a reference only if the session was authentic, a key id only if the ring knows it."""
    shop = Shop(Stage(idle_timeout=60))
    session = (await shop.line(write))["session_ref"]
    good = next(iter(shop.client.jar)).value
    shop.stage.clock.advance(61)
    shop.client.jar.clear()
    for cookie, told in {
        good: {"session_reason": "expired", "session_ref": session, "session_kid": key(1).kid},
        good[:-4] + b"AAAA": {"session_reason": "bad_tag", "session_kid": key(1).kid},
        noise(100).encode(): {"session_reason": "unsupported_version"},
    }.items():
        shop.stage.middleware.app = acting(None)
        await shop.client.get("/", cookies=[b"session=" + cookie])
        assert shop.outside.lines[-1] == {"session_outcome": "rejected", **told}


async def test_a_session_that_moves_to_another_key() -> None:
    """The key id is that of the key the browser's cookie is now under."""
    shop = Shop(Stage())
    await shop.line(write)
    second = Shop(Stage(keyring=ring(key(1, KeyState.RETIRED), key(2))))
    second.client.jar = shop.client.jar
    assert (await second.line())["session_kid"] == key(1).kid
    assert (await second.line(write))["session_kid"] == key(2).kid


async def test_a_session_that_cannot_be_stored() -> None:
    """The error's type is the reason, and nothing was sent; the error went to the application."""
    shop = Shop(Stage())
    shop.stage.middleware.app = acting(lambda session: session.update(bad=object()))
    with pytest.raises(Exception, match="cannot be stored"):
        await shop.client.get("/")
    assert shop.outside.lines == [{"session_outcome": "failed", "session_reason": "SerializationError"}]


@pytest.mark.parametrize("act", [write, Session.regenerate, Session.destroy])
async def test_a_change_after_the_response_is_lost(act: Callable[[Session], object]) -> None:
    """What comes too late is told as lost, of the session that was sent before: also another id, and its end."""
    shop = Shop(Stage())

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        write(scope["session"])
        await answer(send)
        act(scope["session"])

    shop.stage.middleware.app = late
    await shop.client.get("/")
    [line] = shop.outside.lines
    assert (line["session_outcome"], line["session_reason"]) == ("lost", "response_started")
    assert line["session_ref"] == shop.stage.log.named("session.created")[0]["session_ref"]


async def test_without_the_actor() -> None:
    """A request that was answered with 503, since its session could not be read, says so."""
    shop = Shop(Stage(in_place=False))
    async with shop.client.lifespan():
        await shop.line(write)
        await shop.stage.actor.kill_for_good()
        assert await shop.line() == {"session_outcome": "unavailable"}


async def test_requests_that_have_no_session() -> None:
    """On an excluded path, and where no middleware is, there is nothing to say, and asking harms nothing."""
    shop = Shop(Stage(exclude="/"))
    assert await shop.line() == {}
    assert canonical_fields({"type": "http"}) == {}
    assert canonical_fields({"type": "http", "sessionkit": {"session": {}}}) == {}


async def test_several_sessions() -> None:
    """With several in one stack, the outermost is told of, or the one that is named."""
    seen: list[dict[str, str]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await counter(scope, receive, send)
        seen.extend(canonical_fields(scope, name) for name in (None, "outer", "inner", "none"))

    inner = SessionMiddleware(app, ring(key(2)), SessionConfig(key="inner"), logger=Log())
    outer = SessionMiddleware(inner, ring(), SessionConfig(key="outer"), logger=Log())
    await AsgiClient(outer).get("/")
    assert [line.get("session_outcome") for line in seen] == ["none", "none", "created", None]


@BOTH_WAYS
async def test_nothing_gets_into_the_line_of_another_request(in_place: bool) -> None:
    """Case 111: of requests that overlap, each line is about its own session; no context has anything of ours."""
    both = anyio.Event()
    entered: list[str] = []
    told: dict[str, tuple[dict[str, str], dict[str, Any]]] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        with structlog.contextvars.bound_contextvars(request_id=path):
            scope["session"]["path"] = path
            entered.append(path)
            if len(entered) == 2:
                both.set()
            await both.wait()
            await answer(send)
            told[path] = canonical_fields(scope), structlog.contextvars.get_contextvars()

    stage = Stage(app, in_place=in_place)
    async with stage.client.lifespan(), anyio.create_task_group() as tasks:
        for path in ("/a", "/b"):
            client = AsgiClient(stage.middleware, clock=stage.clock, base_url="https://testserver")
            tasks.start_soon(client.get, path)
    references = {line["session_ref"] for line in stage.log.named("session.created")}
    assert {fields["session_ref"] for fields, _ in told.values()} == references
    assert len(references) == 2
    assert {path: context for path, (_, context) in told.items()} == {
        "/a": {"request_id": "/a"},
        "/b": {"request_id": "/b"},
    }
    assert structlog.contextvars.get_contextvars() == {}


async def test_a_task_of_the_application_may_ask() -> None:
    """Who asks in a task of its own, with a copy of the scope, gets the same answer."""
    told: list[dict[str, str]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def respond() -> None:
            await counter(scope, receive, send)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(respond)
        told.append(canonical_fields(dict(scope)))

    await AsgiClient(SessionMiddleware(app, ring(), logger=Log())).get("/")
    assert told[0]["session_outcome"] == "created"


async def test_a_loss_behind_a_failure() -> None:
    """What is told of the last response counts: an error page that does not keep what was written once more."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        session = scope["session"]
        session.destroy()
        session["bad"] = object()
        with pytest.raises(SerializationError):
            await answer(send)
        session["n"] = 1
        await answer(send, status=500)

    shop = Shop(Stage())
    shop.stage.middleware.app = app
    await shop.client.get("/")
    assert shop.outside.lines == [{"session_outcome": "lost", "session_reason": "error_response"}]
