"""Requests in parallel: which of two cookies wins, and what never brings a session back (group L)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from sessionkit.config import SessionConfig
from sessionkit.keyring.key import KeyState
from sessionkit.middleware import SessionMiddleware
from sessionkit.testing import AsgiClient
from tests.middleware.apps import Log, answer, key, page, ring
from tests.middleware.hosting import BOTH_WAYS, Stage, counter

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionkit.asgi import Receive, Scope, Send
    from sessionkit.session import Session


class Gates:
    """An application that acts on its session by the path, and answers when the path's gate opens."""

    def __init__(self, **acts: Callable[[Session], object]) -> None:
        self.acts = acts
        self.gates = {name: anyio.Event() for name in acts}
        self.seen: list[dict[str, object]] = []

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Serve one request."""
        name = scope["path"].strip("/")
        if name in self.acts:
            self.acts[name](scope["session"])
            await self.gates[name].wait()
        else:
            self.seen.append(dict(scope["session"]))
        await answer(send)

    async def race(self, stage: Stage, *order: str) -> None:
        """Start one request for each path at once, and let them answer in this order."""
        async with anyio.create_task_group() as tasks:
            for name in order:
                tasks.start_soon(stage.client.get, f"/{name}")
            await anyio.wait_all_tasks_blocked()
            for name in order:
                self.gates[name].set()
                await anyio.wait_all_tasks_blocked()


def _write(**values: object) -> Callable[[Session], object]:
    return lambda session: session.update(values)


@BOTH_WAYS
async def test_the_last_of_two_writes_wins(in_place: bool) -> None:
    """Case 119: of two parallel writes the later answer stays, whole; the log tells both, of one session."""
    app = Gates(first=_write(a=1), second=_write(b=2), start=_write(n=0))
    stage = Stage(app, in_place=in_place)
    async with stage.client.lifespan():
        await app.race(stage, "start")
        await app.race(stage, "second", "first")
        await stage.client.get("/")
    assert app.seen == [{"n": 0, "a": 1}]
    first, second = stage.log.named("session.updated")
    assert first["session_ref"] == second["session_ref"]
    assert first["timestamp"] <= second["timestamp"]


@BOTH_WAYS
async def test_slow_reader_does_not_undo_a_write(in_place: bool) -> None:
    """Case 120: a response that only read sends no cookie, so a write that overtook it stays."""
    app = Gates(start=_write(n=0), writer=_write(n=1), reader=lambda session: session["n"])
    stage = Stage(app, in_place=in_place)
    async with stage.client.lifespan():
        await app.race(stage, "start")
        await app.race(stage, "writer", "reader")
        await stage.client.get("/")
    assert app.seen == [{"n": 1}]


async def test_slow_reader_does_not_undo_a_logout() -> None:
    """Case 121: within the first half of a session's life a reader never writes, so a logout that overtook it stays."""
    app = Gates(start=_write(n=0), logout=lambda session: session.destroy(), reader=lambda session: session["n"])
    stage = Stage(app)
    await app.race(stage, "start")
    stage.clock.advance(stage.middleware.config.lifetime / 2 - 1)
    await app.race(stage, "logout", "reader")
    assert stage.cookies == {}


async def test_refresh_keeps_the_session_what_it_was() -> None:
    """Case 122: a renewal by half life changes neither id nor creation nor login, and no value."""
    seen: list[tuple[object, ...]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        session = scope["session"]
        if scope["path"] == "/login":
            session.regenerate(authenticated=True)
            session["user"] = "ann"
        elif "user" in session:
            seen.append((session.id, session.created, session.authenticated, session["user"]))
        await answer(send)

    stage = Stage(app)
    await stage.client.get("/login")
    for _ in range(2):
        stage.clock.advance(stage.middleware.config.lifetime / 2)
        response = await stage.client.get("/")
        assert len(response.set_cookies) == 1
    assert seen[0] == seen[1]
    assert [line["automatic"] for line in stage.log.named("session.renewed")] == [True, True]
    assert stage.log.named("session.updated") == []


def _log_in(session: Session) -> None:
    session.regenerate(authenticated=True)
    session["user"] = "ann"


async def test_login_is_not_overwritten_by_an_older_reader() -> None:
    """Case 123: a request that began before the login and only read does not bring the old id back."""
    app = Gates(
        start=_write(n=0),
        login=_log_in,
        reader=lambda session: session["n"],
    )
    stage = Stage(app)
    await app.race(stage, "start")
    await app.race(stage, "login", "reader")
    await stage.client.get("/")
    assert app.seen == [{"n": 0, "user": "ann"}]


async def test_rotation_causes_no_stampede() -> None:
    """Case 124: after a rotation reads and public routes send no cookie; the next write moves a session, once."""
    stage = Stage(_counter_or_public)
    await stage.count()
    after = ring(key(1, KeyState.RETIRED, created=1.0, retired=2.0), key(2, created=1.5, activates=2.0))
    rotated = Stage(_counter_or_public, after)
    rotated.client.jar = stage.client.jar
    assert (await rotated.client.get("/public")).set_cookies == []
    assert (await rotated.client.get("/read")).set_cookies == []
    assert len((await rotated.client.get("/")).set_cookies) == 1
    assert (await rotated.client.get("/read")).set_cookies == []
    assert len(rotated.log.named("session.rekeyed")) == 1


async def _counter_or_public(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/public":
        await answer(send)
    else:
        await counter(scope, receive, send)


async def test_state_of_one_tab_lives_in_a_session_of_its_own() -> None:
    """Case 125: what a flow keeps under a cookie name of its own survives a parallel write to the main session."""
    app = Gates(main=_write(n=1), flow=lambda _: None)

    async def flow(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/flow":
            scope["sessionkit"]["flow"]["state"] = "xyz"
        scope["session"] = scope["sessionkit"]["session"]
        await app(scope, receive, send)

    stage = Stage(SessionMiddleware(flow, ring(key(2)), SessionConfig(key="flow", max_age=600), logger=Log()))
    await app.race(stage, "flow", "main")
    assert sorted(stage.cookies) == ["flow", "session"]


@BOTH_WAYS
async def test_two_tasks_of_one_request_share_a_session(in_place: bool) -> None:
    """Case 126: whatever another task writes meanwhile, what is sealed is whole, and what came too late is told."""
    started, done = anyio.Event(), anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        session = scope["session"]
        if scope["path"] == "/read":
            assert session == {"items": ["early"]}
            await answer(send)
            return

        async def write() -> None:
            await started.wait()
            session["items"].append("late")
            done.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            session["items"] = ["early"]
            await answer(send)

    async def overtake(message: object) -> None:
        started.set()
        await done.wait()

    stage = Stage(app, in_place=in_place)
    async with stage.client.lifespan():
        await stage.client.get("/", on_send=overtake)
        await stage.client.get("/read")
    assert stage.reasons() == ["response_started"]


@pytest.mark.unmeasured
@BOTH_WAYS
async def test_thousands_at_once_are_bounded(in_place: bool) -> None:
    """Case 127: what does not fit into the mailbox is refused at once with 503, and no session is lost."""
    stage = Stage(in_place=in_place, capacity=100)
    statuses: list[int] = []

    async def visit() -> None:
        client = AsgiClient(stage.middleware, jar=stage.client.jar.copy(), clock=stage.clock)
        response = await client.get("/read")
        statuses.append(response.status)
        if response.status == 503:
            assert response.values(b"retry-after") == [b"1"]
            assert response.set_cookies == []

    async with stage.client.lifespan():
        await stage.count()
        await stage.actor.hold()
        async with anyio.create_task_group() as tasks:
            for _ in range(2000):
                tasks.start_soon(visit)
            await anyio.wait_all_tasks_blocked()
            assert statuses == [503] * 1900
            assert stage.service.stats()["depth"] == 100
            stage.actor.release()
        assert await stage.count() == "2"
    assert statuses == [503] * 1900 + [200] * 100
    assert [line["depth"] for line in stage.log.named("actor.overloaded")] == [100]
    assert [line["rejected"] for line in stage.log.named("actor.recovered")] == [1900]


async def test_page_without_session_costs_no_message() -> None:
    """Case 127: a request without a cookie of ours, whose session nobody touches, does not trouble the actor."""
    stage = Stage(page())
    async with stage.client.lifespan():
        await stage.client.get("/")
        assert stage.service.stats()["handled"] == 0
