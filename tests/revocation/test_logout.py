"""What has ended stays ended, whoever copied its cookie: by id, by subject, and while requests overtake each other."""

from __future__ import annotations

from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import UUID

import anyio
import pytest
from pydantic import BaseModel

from sessionkit.canonical import canonical_fields
from sessionkit.config import AuditConfig, SessionConfig
from sessionkit.exceptions import ConfigurationError, SerializationError
from sessionkit.middleware import SessionMiddleware
from sessionkit.migrate import Migration
from sessionkit.revocation import RevocationConfig
from sessionkit.revocation.memory import MemoryRevocationList
from sessionkit.revocation.subjects import revoke_subject
from sessionkit.testing import AsgiClient, FixedClock
from tests.middleware.apps import Log, Site, answer, page, ring
from tests.migrate.peers import PEERS
from tests.revocation.lists import Watched

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionkit.asgi import Receive, Scope, Send
    from sessionkit.session import Session

USER = RevocationConfig(subject_key="user")
UNTIL = datetime(2100, 1, 1, tzinfo=UTC)


def site(revocations: MemoryRevocationList | None = None, **settings: Any) -> Site:
    """Return a site with a list, whose clock is the site's."""
    made = Site(revocations=Watched() if revocations is None else revocations, **{"revocation": USER, **settings})
    revocations = made.middleware.gate._guard._list  # type: ignore[union-attr,assignment]  # there is one
    assert isinstance(revocations, MemoryRevocationList)
    revocations._clock = made.clock
    return made


def watched(of: Site) -> Watched:
    """Return the list of a site."""
    assert of.middleware.gate is not None
    revocations = of.middleware.gate._guard._list
    assert isinstance(revocations, Watched)
    return revocations


def log_in(name: object = "ann", **values: object) -> Callable[[Session], None]:
    """Return what a login does."""

    def act(session: Session) -> None:
        session.regenerate(authenticated=True)
        session.update({"user": name, **values})

    return act


def begin_anew(session: Session, **values: object) -> None:
    """End a session and begin another one in its place."""
    session.destroy()
    session.update(values)


def replace_by(value: object) -> Callable[[Scope], None]:
    """Return an application that puts something in the session's place."""

    def act(scope: Scope) -> None:
        scope["session"] = value

    return act


def on_session(act: Callable[[Session], object]) -> Callable[[Scope], object]:
    """Return what an application does to a scope that does something to its session."""
    return lambda scope: act(scope["session"])


ENDS: dict[str, Callable[[Scope], object]] = {
    "destroy": on_session(lambda session: session.destroy()),
    "clear": on_session(lambda session: session.clear()),
    "replaced by nothing": replace_by(None),
    "replaced by an empty dict": replace_by({}),
    "destroyed and begun anew": on_session(lambda session: begin_anew(session, n=1)),
    "regenerate": on_session(lambda session: session.regenerate()),
    "another login": on_session(log_in("bob")),
    "user dropped": on_session(lambda session: session.pop("user")),
    "user changed without regenerate": on_session(lambda session: session.update(user="bob")),
    "replaced by another user's": replace_by({"user": "bob"}),
}


@pytest.mark.parametrize("way", ENDS)
async def test_a_copied_cookie_ends_with_its_session(way: str) -> None:
    """Whichever way a session ends or goes on under another id, the cookie it had before opens nothing any more."""
    here = site()
    await here.visit(log_in(cart=[1]))
    copied = here.cookies()
    await here.run(page(ENDS[way]))
    here.put(*copied.items())
    here.clock.advance(5.0)
    assert await here.read() == {}
    [line] = here.log.named("session.revoked")
    [created] = here.log.named("session.created")[:1]
    assert (line["reason"], line["session_ref"], line["kid"]) == ("terminated", created["session_ref"], created["kid"])
    assert "cookie_ref" not in line


@pytest.mark.parametrize("way", ["destroy", "regenerate", "user dropped"])
async def test_without_a_list_it_does_not(way: str) -> None:
    """The same copies work where no list is configured: that is what the list is for."""
    here = Site()
    await here.visit(log_in(cart=[1]))
    copied = here.cookies()
    await here.run(page(ENDS[way]))
    here.put(*copied.items())
    assert await here.read() == {"user": "ann", "cart": [1]}
    assert here.middleware.gate is None


async def test_who_goes_on_goes_on() -> None:
    """A session that was given another id is served under that, for as long as any session."""
    here = site()
    await here.visit(log_in(cart=[1]))
    await here.visit(lambda session: session.regenerate())
    for _ in range(3):
        here.clock.advance(here.config.lifetime * 0.6)
        assert await here.read() == {"user": "ann", "cart": [1]}
    assert here.log.named("session.revoked") == []


async def test_a_refused_cookie_is_left_alone() -> None:
    """A request that was overtaken by a login brings the old id: it must not clear what the browser holds by now."""
    here = site()
    await here.write(cart=[1])
    old = here.cookies()
    await here.visit(log_in())
    new = here.cookies()
    here.put(*old.items())
    seen: list[str | None] = []
    response = await here.visit(lambda session: seen.append(session.get("user") or session.info.rejected))
    assert seen == ["terminated"]
    assert response.set_cookies == []
    here.put(*new.items())
    assert await here.read() == {"cart": [1], "user": "ann"}


async def test_writing_after_a_refusal_begins_anew() -> None:
    """What is written into the empty session is a new session, under an id of its own."""
    here = site()
    await here.visit(log_in())
    copied = here.cookies()
    await here.visit(lambda session: session.destroy())
    here.put(*copied.items())
    await here.write(n=1)
    assert await here.read() == {"n": 1}
    first, second = here.log.named("session.created")
    assert first["session_ref"] != second["session_ref"]


async def test_an_end_is_remembered_as_long_as_a_cookie_may_live() -> None:
    """Until the last cookie of the session that any host may have issued has expired, clocks included."""
    here = site()
    await here.visit(log_in())
    await here.visit(lambda session: session.destroy())
    [ended] = [asked for asked in watched(here).asked if asked.terminate_for is not None]
    assert ended.terminate_for == here.config.lifetime + ring().policy.skew
    short = site(idle_timeout=600, absolute_max_age=3600)
    await short.visit(log_in())
    await short.visit(lambda session: session.destroy())
    assert watched(short).asked[-1].terminate_for == 600 + ring().policy.skew
    moving = site(key="ours", migrate=[Migration(source="flask", secret=b"old", until=UNTIL)])
    await moving.visit(log_in())
    await moving.visit(lambda session: session.destroy())
    assert watched(moving).asked[-1].terminate_for == PEERS["flask"].max_age + ring().policy.skew


# --- subjects ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("entry", "subject"), [("7", 7), (7, "7"), (UUID(int=7), str(UUID(int=7))), ("ä", "ä")])
async def test_all_sessions_of_a_subject_end_at_once(entry: Any, subject: Any) -> None:
    """On every device and however often renewed; other people's and nobody's go on, and a login works again."""
    here = site()
    browsers: dict[str, dict[str, bytes]] = {}
    for name, user in (("phone", entry), ("laptop", entry), ("other", 8), ("nobody", None)):
        here.jar.clear()
        await here.visit(log_in(user) if user is not None else lambda session: session.update(n=1))
        browsers[name] = here.cookies()
    here.clock.advance(here.config.lifetime / 2)
    here.put(*browsers["phone"].items())
    await here.visit(lambda session: session.renew())
    browsers["phone"] = here.cookies()
    here.clock.advance(1.0)
    await here.middleware.revoke_subject(subject)
    served: dict[str, bool] = {}
    for name, cookies in browsers.items():
        here.put(*cookies.items())
        served[name] = bool(await here.read())
    assert served == {"phone": False, "laptop": False, "other": True, "nobody": True}
    assert [line["reason"] for line in here.log.named("session.revoked")] == ["subject", "subject"]
    here.jar.clear()
    await here.visit(log_in(entry))
    assert (await here.read())["user"] == entry


async def test_who_logs_out_everywhere_may_stay() -> None:
    """In a request: everybody with the name goes, and ``regenerate(authenticated=True)`` keeps the one that asks."""
    here = site()
    await here.visit(log_in())
    other = here.cookies()
    here.jar.clear()
    await here.visit(log_in())
    here.clock.advance(10.0)

    async def log_out_elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
        await revoke_subject(scope, "ann")
        scope["session"].regenerate(authenticated=True)
        await answer(send)

    await here.run(log_out_elsewhere)
    assert await here.read() == {"user": "ann"}
    here.put(*other.items())
    assert await here.read() == {}


async def test_who_logs_out_everywhere_goes_too() -> None:
    """Without that, the session that asked is refused with its next request."""
    here = site()
    await here.visit(log_in())
    here.clock.advance(10.0)

    async def log_out(scope: Scope, receive: Receive, send: Send) -> None:
        await revoke_subject(scope, "ann", "session")
        await answer(send)

    await here.run(log_out)
    assert await here.read() == {}


async def test_an_earlier_time_does_not_bring_sessions_back() -> None:
    """A host whose clock lags revokes for its own time; what another one had revoked stays revoked."""
    revocations = Watched()
    here = site(revocations)
    await here.visit(log_in())
    here.clock.advance(10.0)
    await here.middleware.revoke_subject("ann")
    here.clock.advance(-20.0)
    await here.middleware.revoke_subject("ann")
    here.clock.advance(20.0)
    assert await here.read() == {}


async def test_a_change_of_user_is_a_login() -> None:
    """The entry that says whose it is changes: a new id and a new start, also where the application forgot to ask."""
    here = site()
    await here.write(cart=[1])
    here.clock.advance(100.0)
    seen: list[tuple[str, float | None, float | None]] = []

    def look(session: Session) -> None:
        seen.append((session.id, session.created, session.authenticated))

    def forget_to_regenerate(session: Session) -> None:
        look(session)
        session["user"] = "ann"

    await here.visit(forget_to_regenerate)
    await here.visit(look)
    [(before, created, _), (after, anew, authenticated)] = seen
    assert before != after
    assert created is not None
    assert (anew, authenticated) == (created + 100.0, created + 100.0)
    [line] = here.log.named("session.regenerated")
    assert line["reason"] == "subject_changed"
    await here.visit(lambda session: session.update(user="ann", n=1))
    assert len(here.log.named("session.regenerated")) == 1


async def test_an_application_that_gives_a_new_id_itself_gets_that_one() -> None:
    """``regenerate()`` without ``authenticated`` beside a new user: the id is the application's, the start is new."""
    here = site()
    await here.write(cart=[1])
    here.clock.advance(100.0)
    ids: list[str] = []

    def act(session: Session) -> None:
        session.regenerate(reason="my_own")
        session["user"] = "ann"
        ids.append(session.id)

    await here.visit(act)
    await here.visit(lambda session: ids.append(session.id))
    assert ids[0] == ids[1]
    assert [line["reason"] for line in here.log.named("session.regenerated")] == ["my_own"]
    here.clock.advance(-50.0)  # another host, whose clock lags, revokes what began before its now
    await here.middleware.revoke_subject("ann")
    here.clock.advance(50.0)
    assert (await here.read())["user"] == "ann"


@pytest.mark.parametrize("name", [None, "", 0])
async def test_who_is_nobody(name: object) -> None:
    """Nothing and empty text are nobody's; 0 is a number like any other."""
    here = site()
    await here.visit(lambda session: session.update(user=name, n=1))
    asked = len(watched(here).asked)
    assert (await here.read())["n"] == 1
    [question] = watched(here).asked[asked:]
    assert (question.subject is None) == (name != 0)


@pytest.mark.parametrize("entry", [{"id": 7}, ["ann"], True, 1.5, b"ann"])
async def test_what_names_nobody_is_refused_when_it_is_written(entry: object) -> None:
    """A session that could never be revoked by its subject is an error in the application, with the place."""
    here = site()
    with pytest.raises(SerializationError, match=rf'^session\["user"\]: is a {type(entry).__name__}; revocation'):
        await here.visit(lambda session: session.update(user=entry))
    assert here.cookies() == {}
    assert here.log.named("session.save_failed") != []
    plain = Site(site=here)
    await plain.visit(lambda session: session.update(user=entry))  # from before the list was configured
    await here.visit(lambda session: session.update(n=1))
    assert await here.read() == {"user": entry, "n": 1}


async def test_error_responses_change_no_hands() -> None:
    """What a failed response would have written is not kept, so neither the session nor its id is another."""
    here = site()
    await here.write(cart=[1])
    before = here.cookies()
    await here.visit(lambda session: session.update(user=["nobody"]), status=500)
    assert here.cookies() == before
    await here.visit(lambda session: session.regenerate(), status=500)
    assert await here.read() == {"cart": [1]}


@pytest.mark.parametrize("kind", ["model", "mapping"])
async def test_an_object_in_the_sessions_place_says_whose_it_is(kind: str) -> None:
    """A model that frameworks store as the session has attributes, a mapping that is no dict has entries."""

    class Account(BaseModel):
        user: str

    value: object = Account(user="ann") if kind == "model" else MappingProxyType({"user": "ann"})
    here = site()
    await here.write(n=1)
    await here.run(page(replace_by(value)))
    assert [line["reason"] for line in here.log.named("session.regenerated")] == ["subject_changed"]
    here.clock.advance(1.0)
    await here.middleware.revoke_subject("ann")
    assert await here.read() == {}


async def test_without_subjects_there_is_one_question_less() -> None:
    """Where no entry says whose it is, none is looked for; revoking a subject says what is missing."""
    here = site(revocation=RevocationConfig())
    await here.visit(log_in())
    await here.read()
    assert {asked.subject for asked in watched(here).asked} == {None}
    with pytest.raises(ConfigurationError, match=r"^revocation\.subject_key: is missing\. Name the entry"):
        await here.middleware.revoke_subject("ann")
    with pytest.raises(TypeError, match="this is a list"):
        await site().middleware.revoke_subject([])  # type: ignore[arg-type]  # what is refused
    with pytest.raises(ConfigurationError, match="revocation: is not configured"):
        await Site().middleware.revoke_subject("ann")
    with pytest.raises(ConfigurationError, match="revocation: is not configured for this request"):
        await revoke_subject({"type": "http"}, "ann")


async def test_the_innermost_of_two_sessions_is_meant_unless_named() -> None:
    """Two middlewares, two cookies, two lists: ``name`` says whose."""
    inner, outer = Watched(), Watched()
    clock = FixedClock()
    inner._clock = outer._clock = clock
    asked: dict[str, str | None] = {"/inner": None, "/outer": "outer"}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in asked:
            await revoke_subject(scope, "ann", asked[scope["path"]])
        elif scope["path"] == "/strange":
            await revoke_subject(scope, "ann", "strange")
        await answer(send)

    stack = SessionMiddleware(app, ring(), _named("inner"), clock=clock, logger=Log(), revocations=inner)
    stack = SessionMiddleware(stack, ring(), _named("outer"), clock=clock, logger=Log(), revocations=outer)
    client = AsgiClient(stack, clock=clock)
    await client.get("/inner")
    assert (len(inner._subjects), len(outer._subjects)) == (1, 0)
    await client.get("/outer")
    assert (len(inner._subjects), len(outer._subjects)) == (1, 1)
    with pytest.raises(ConfigurationError):
        await client.get("/strange")


def _named(key: str) -> SessionConfig:
    return SessionConfig(key=key, revocation=USER)


# --- requests that overtake each other --------------------------------------------------------------------------------


class Slow:
    """An application whose path tells what to do, and whose answer waits for a test."""

    def __init__(self, **acts: Callable[[Session], object]) -> None:
        self.acts = acts
        self.gates = {name: anyio.Event() for name in acts}

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Act, wait, answer."""
        name = scope["path"].strip("/")
        if name in self.acts:
            self.acts[name](scope["session"])
            await self.gates[name].wait()
        await answer(send)


SLOW: dict[str, Callable[[Session], object]] = {
    "writer": lambda session: session.update(n=1),
    "renewer": lambda session: session.renew(),
    "reader past half life": lambda session: session["user"],
    "regenerate": lambda session: session.regenerate(),
    "login": log_in("ann"),
}


@pytest.mark.parametrize("how", ["destroy", "subject"])
@pytest.mark.parametrize("slow", SLOW)
async def test_a_slower_response_brings_nothing_back(slow: str, how: str) -> None:
    """Case 121: what was loaded before the logout, and would be written after it, is not; and that is told."""
    here = site()
    await here.visit(log_in())
    here.clock.advance(here.config.lifetime / 2)
    app = Slow(slow=SLOW[slow], logout=lambda session: session.destroy())
    browser = AsgiClient(here.middleware, jar=here.jar.copy(), clock=here.clock)
    here._current = app
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(browser.get, "/slow")
        await anyio.wait_all_tasks_blocked()
        if how == "destroy":
            tasks.start_soon(here.client.get, "/logout")
            await anyio.wait_all_tasks_blocked()
            app.gates["logout"].set()
            await anyio.wait_all_tasks_blocked()
        else:
            here.clock.advance(1.0)
            await here.middleware.revoke_subject("ann")
        app.gates["slow"].set()
    begun = len(here.log.named("session.created"))
    here.jar.clear()
    for cookie in browser.jar:
        here.jar.plant(cookie.name.decode(), cookie.value, here.client.base_url)
    assert await here.read() == {}
    assert begun == 1
    reason = "terminated" if how == "destroy" else "subject"
    assert reason in [line["reason"] for line in here.log.named("session.write_lost")]


async def test_of_two_that_regenerate_at_once_one_goes_on() -> None:
    """An id is replaced once: its data does not go on as two sessions."""
    here = site()
    await here.write(cart=[1])
    app = Slow(one=log_in("ann"), two=log_in("bob"))
    here._current = app
    clients = {name: AsgiClient(here.middleware, jar=here.jar.copy(), clock=here.clock) for name in app.acts}
    async with anyio.create_task_group() as tasks:
        for name, client in clients.items():
            tasks.start_soon(client.get, f"/{name}")
        await anyio.wait_all_tasks_blocked()
        for gate in app.gates.values():
            gate.set()
            await anyio.wait_all_tasks_blocked()
    assert len(here.log.named("session.regenerated")) == 1
    assert [line["reason"] for line in here.log.named("session.write_lost")] == ["terminated"]


async def test_a_login_after_the_end_of_what_it_came_with_stands() -> None:
    """``destroy()`` and a new login in one request: the new session has nothing to do with the end of the old one."""
    here = site()
    await here.visit(log_in())
    app = Slow(again=lambda session: begin_anew(session, user="ann"), logout=lambda s: s.destroy())
    here._current = app
    other = AsgiClient(here.middleware, jar=here.jar.copy(), clock=here.clock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(here.client.get, "/again")
        tasks.start_soon(other.get, "/logout")
        await anyio.wait_all_tasks_blocked()
        for name in ("logout", "again"):
            app.gates[name].set()
            await anyio.wait_all_tasks_blocked()
    assert await here.read() == {"user": "ann"}


# --- too late for cookies ---------------------------------------------------------------------------------------------


async def test_a_logout_after_the_response_began_ends_the_session() -> None:
    """The cookie cannot be cleared any more, and that is told; but it opens nothing."""
    here = site()
    await here.visit(log_in())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        scope["session"].destroy()
        await send({"type": "http.response.body", "body": b""})

    await here.run(app)
    assert here.cookies() != {}
    assert await here.read() == {}
    assert [line["reason"] for line in here.log.named("session.write_lost")] == ["response_started"]


async def test_a_logout_after_the_session_was_written_ends_what_was_written() -> None:
    """Of a session that was begun, or given an id, by this very response, the browser holds the new id."""
    here = site()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        log_in()(scope["session"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        scope["session"].destroy()
        await send({"type": "http.response.body", "body": b""})

    await here.run(app)
    assert here.cookies() != {}
    assert await here.read() == {}


async def test_what_was_begun_after_a_logout_in_time_goes_on() -> None:
    """Ended and begun anew before the response: nothing is left to end when the request is over."""
    here = site()
    await here.visit(log_in())
    await here.visit(lambda session: begin_anew(session, n=1))
    assert await here.read() == {"n": 1}
    assert len([asked for asked in watched(here).asked if asked.terminate_for is not None]) == 1


async def test_a_logout_in_a_request_that_fails_ends_the_session() -> None:
    """The page for the error carries no cookies; the session has ended all the same."""
    here = site()
    await here.visit(log_in())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"].destroy()
        raise LookupError("after the logout")

    with pytest.raises(LookupError):
        await here.run(app)
    assert here.cookies() != {}
    assert await here.read() == {}


async def test_a_logout_on_an_error_page_ends_the_session() -> None:
    """Status 500: changes are not kept, ends are."""
    here = site()
    await here.visit(log_in())
    copied = here.cookies()
    await here.visit(lambda session: session.destroy(), status=500)
    here.put(*copied.items())
    assert await here.read() == {}


async def test_a_logout_on_a_websocket_ends_the_session() -> None:
    """When the socket closes; its handshake was answered long before."""
    here = site()
    await here.visit(log_in())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await receive()
        scope["session"].destroy()

    client = AsgiClient(here.middleware, jar=here.jar, clock=here.clock)
    here.middleware.app = app
    async with client.websocket("/") as socket:
        assert socket.accepted
    here.middleware.app = here._app
    assert await here.read() == {}


async def test_a_cancelled_request_ends_its_session() -> None:
    """The client went away while the logout was under way: it holds, and the cancellation goes on."""
    here = site()
    await here.visit(log_in())
    reached = anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"].destroy()
        reached.set()
        await anyio.sleep_forever()

    here._current = app
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(here.client.get, "/")
        await reached.wait()
        tasks.cancel_scope.cancel()
    assert await here.read() == {}


# --- what it costs, and what is told ----------------------------------------------------------------------------------


async def test_requests_without_a_session_ask_nothing() -> None:
    """Nothing came, something came that is no session of ours, or a session was only begun: no question."""
    here = site()
    await here.visit()
    await here.read()
    here.put(("session", b"forged"))
    await here.read()
    here.jar.clear()
    await here.write(n=1)
    assert watched(here).asked == []


async def test_a_request_asks_once_and_then_not_for_a_second() -> None:
    """Id and subject are one question, whose answer is believed for ``cache`` seconds; a write asks afresh."""
    here = site()
    await here.visit(log_in())
    revocations = watched(here)
    asked = len(revocations.asked)
    for _ in range(3):
        await here.read()
    assert len(revocations.asked) == asked + 1
    assert None not in revocations.asked[-1][:2]
    here.clock.advance(1.0)
    await here.read()
    assert len(revocations.asked) == asked + 2
    await here.write(n=1)
    assert len(revocations.asked) == asked + 3


async def test_nothing_leaves_in_clear() -> None:
    """What the list is given tells neither ids nor subjects; another ``context`` has other marks for the same ones."""
    marks: list[set[bytes]] = []
    for context in ("", "shop"):
        here = site(context=context)
        ids: list[bytes] = []
        await here.visit(log_in())
        await here.visit(lambda session, ids=ids: ids.append(session.raw_id))  # type: ignore[misc]  # bound for the loop
        await here.middleware.revoke_subject("ann")
        asked = watched(here).asked[-1]
        assert asked.session is not None
        assert asked.subject is not None
        assert watched(here)._subjects.get(asked.subject, here.clock()) == here.clock()
        assert len({*ids, b"ann", asked.session, asked.subject}) == 4
        assert not any(clear in mark for clear in (*ids, b"ann") for mark in (asked.session, asked.subject))
        marks.append({asked.subject})
    assert marks[0] != marks[1]


async def test_the_account_of_a_request_tells_of_a_refusal() -> None:
    """The application's own line says ``rejected`` and why."""
    here = site()
    await here.visit(log_in())
    copied = here.cookies()
    await here.visit(lambda session: session.destroy())
    here.put(*copied.items())
    told: list[dict[str, str]] = []
    await here.run(page(lambda scope: told.append(canonical_fields(scope))))
    assert told[0]["session_outcome"] == "rejected"
    assert told[0]["session_reason"] == "terminated"
    assert told[0]["session_ref"] == here.log.named("session.revoked")[0]["session_ref"]


async def test_a_client_is_referred_to_by_opt_in() -> None:
    """As in every other refusal."""
    here = site(audit=AuditConfig(client_ref=True))
    await here.visit(log_in())
    copied = here.cookies()
    await here.visit(lambda session: session.destroy())
    here.put(*copied.items())
    await here.read()
    assert len(here.log.named("session.revoked")[0]["client_ref"]) == 16


async def test_sessions_of_other_libraries_are_revoked_by_subject() -> None:
    """One that would be taken over is refused if it began before; others are taken over as before."""
    peer = PEERS["starlette"]
    here = site(key="ours", migrate=[Migration(source="starlette", secret=peer.secret, until=UNTIL)])
    old = {name: peer.at(here.clock(), {"user": name}) for name in ("ann", "bob")}
    nobody = peer.at(here.clock(), {"n": 1})
    here.clock.advance(10.0)
    await here.middleware.revoke_subject("ann")
    here.put(*old["ann"])
    assert await here.read() == {}
    [line] = here.log.named("session.migration_refused")
    [(_, value)] = old["ann"]
    assert here.middleware.service.trail._refs.cookie(value) == line["cookie_ref"]
    assert (line["reason"], line["source"], line["cookie"]) == ("revoked", "starlette", peer.cookie)
    here.put(*old["bob"])
    assert await here.read() == {"user": "bob"}
    asked = len(watched(here).asked)
    here.put(*nobody)
    assert await here.read() == {"n": 1}
    assert len(watched(here).asked) == asked
