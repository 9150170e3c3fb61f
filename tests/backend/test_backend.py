"""The behaviour as a pure function of messages, a ring and a clock; and the reference's methods."""

from __future__ import annotations

import os
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import pytest
from pydantic import BaseModel

from sessionkit.audit.events import Event, KeyUsage, Level, RotationOverdue, SessionRejected
from sessionkit.audit.pseudonyms import Pseudonyms
from sessionkit.backend.backend import SCOPE_KEY, SessionBackend, cookie_fields, is_cleared, system_clock
from sessionkit.backend.messages import (
    ABSENT,
    NOTHING,
    Absent,
    Inspect,
    Inspected,
    Load,
    Loaded,
    Received,
    Rejected,
    Reload,
    Reloaded,
    Save,
    Saved,
    Tally,
    Unsaved,
)
from sessionkit.backend.trail import Trail
from sessionkit.config import AuditConfig, SessionConfig
from sessionkit.exceptions import ConfigurationError, RejectReason, SerializationError, SessionTooLargeError
from sessionkit.keyring.key import Key, KeyState
from sessionkit.keyring.keyring import Keyring, Policy
from sessionkit.session import Record, Session
from sessionkit.testing import CookieJar, FixedClock
from sessionkit.wire.cookies import CHUNK_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY = Key.from_secret(bytes(32))
NEXT = Key.from_secret(bytes(31) + b"\x01", label="next")
RING = Keyring([KEY])
URL = "http://testserver/"


@pytest.fixture(autouse=True)
def _same_nonces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the same tokens on every run: one chunk in 256 looks like another session's cookie and is left alone."""
    monkeypatch.setattr(os, "urandom", Random(1).randbytes)


class Browser:
    """A backend, a clock, and the cookies it set."""

    def __init__(
        self, ring: Keyring = RING, *, level: str = "debug", client_ref: bool = False, **settings: Any
    ) -> None:
        self.clock = FixedClock()
        audit = AuditConfig(level=level, client_ref=client_ref)
        self.backend = SessionBackend(SessionConfig(audit=audit, **settings), ring, clock=self.clock)
        self.jar = CookieJar()
        self.events: list[Event] = []

    def load(self, fields: tuple[bytes, ...] | None = None, client: str | None = None) -> tuple[Received, Session]:
        """Load what the jar holds."""
        fields = tuple(self.jar.header(URL, self.clock())) if fields is None else fields
        reply, told = self.backend.handle(Load(fields, client))
        self.events.extend(told)
        assert isinstance(reply, Loaded | Rejected | Absent)
        if isinstance(reply, Loaded):
            return reply, Session(reply.data, record=reply.record, clock=self.clock)
        return reply, Session(clock=self.clock)

    def save(self, session: Session, received: Received = ABSENT, value: object = ..., **more: Any) -> Saved:
        """Save, and keep the cookies."""
        message = Save(session if value is ... else value, session, received, **more)
        reply, told = self.backend.handle(message)
        assert told == ()
        assert isinstance(reply, Saved)
        self.events.extend(reply.events)
        self.jar.store([(b"set-cookie", cookie) for cookie in reply.cookies], URL, self.clock())
        return reply

    def begin(self, **values: Any) -> Session:
        """Store a new session."""
        session = Session(values, clock=self.clock)
        self.save(session)
        return session

    def told(self) -> list[str]:
        """Return the names of the events since the last call."""
        names = [event.name for event in self.events]
        self.events.clear()
        return names


def test_a_session_is_stored_and_loaded() -> None:
    """A new session is created, and comes back with its id."""
    browser = Browser()
    session = browser.begin(user="ann")
    received, loaded = browser.load()

    assert loaded == {"user": "ann"}
    assert loaded.id == session.id
    assert isinstance(received, Loaded)
    assert browser.told() == ["session.created", "session.loaded"]


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_events_below_the_level_are_not_built(level: str) -> None:
    """Case 200: whatever happens, no event below the configured level is made."""
    browser = Browser(Keyring([KEY, Key.from_secret(bytes(16), label="old", state=KeyState.RETIRED)]), level=level)
    browser.begin(user="ann")
    received, session = browser.load()
    session["user"] = "x" * 6_000
    browser.save(session, received)
    received, session = browser.load()
    session.regenerate()
    session.renew()
    browser.save(session, received)
    received, session = browser.load()
    session.destroy()
    browser.save(session, received)
    browser.load((b"session=rubbish",))
    session["user"] = object()
    reply, _ = browser.backend.handle(Save(session, session))
    assert isinstance(reply, Unsaved)
    browser.events.extend(reply.events)

    floor = Level[level.upper()]
    assert all(event.severity >= floor for event in browser.events)
    assert bool(browser.events) is (level != "critical")


def test_large_sessions_are_told_at_any_level_up_to_warning() -> None:
    """Case 162: a warning is built also where the lines of normal traffic are not."""
    browser = Browser(level="warning")
    browser.begin(text="x" * 6_000)
    received, session = browser.load()
    session["text"] = "y" * 6_000
    browser.save(session, received)

    assert browser.told() == ["session.large", "session.large", "session.large"]


def test_clients_are_referred_to_on_request() -> None:
    """Case 205: a keyed hash of the client's address is in rejections only if that is switched on."""
    quiet, telling = Browser(), Browser(client_ref=True)
    for browser in (quiet, telling):
        browser.load((b"session=rubbish",), "192.0.2.1")
        browser.load((b"session=rubbish",))

    assert [event.client_ref for event in quiet.events if isinstance(event, SessionRejected)] == [None, None]
    references = [event.client_ref for event in telling.events if isinstance(event, SessionRejected)]
    assert references[0] is not None
    assert "192.0.2.1" not in references[0]
    assert references[1] is None


def test_a_refusal_without_a_record_is_told_as_a_refusal() -> None:
    """Case 200: an expiry of which nothing is known is told like any other refusal."""
    trail = Trail(AuditConfig(), Pseudonyms())

    for reason in (RejectReason.EXPIRED, RejectReason.REVOKED):
        (event,) = trail.refused(Rejected(reason, ("session",)), None, 0.0)
        assert isinstance(event, SessionRejected)
        assert event.reason == reason


def test_a_ring_takes_over_between_two_messages() -> None:
    """After ``Reload`` the new ring seals, the old key still opens, and sessions move when they are written."""
    browser = Browser()
    browser.begin(user="ann")
    ring = Keyring([Key.from_secret(bytes(32), state=KeyState.RETIRED), NEXT], generation=2)

    reply, told = browser.backend.handle(Reload(ring))

    assert (reply, told) == (Reloaded(ring.digest, 2), ())
    assert browser.backend.keyring is ring
    received, session = browser.load()
    session["user"] = "bob"
    browser.save(session, received)
    received, session = browser.load()
    assert isinstance(received, Loaded)
    assert received.key is NEXT
    assert "session.rekeyed" in browser.told()


def test_a_ring_that_does_not_suit_is_refused() -> None:
    """A ring that would prune keys before sessions end is refused at start and at ``Reload``, and changes nothing."""
    short = Keyring([NEXT], policy=Policy(token_lifetime=3_600))
    with pytest.raises(ConfigurationError, match="max_age: is 7200 s"):
        SessionBackend(SessionConfig(max_age=7_200), short)
    browser = Browser()
    browser.begin(user="ann")

    with pytest.raises(ConfigurationError):
        browser.backend.handle(Reload(short))

    assert browser.backend.keyring is RING
    assert browser.load()[1] == {"user": "ann"}
    assert SessionBackend(SessionConfig(max_age=3_600), short).keyring is short


def test_inspection() -> None:
    """``Inspect`` tells which ring is in force, and nothing happens."""
    browser = Browser()

    reply, told = browser.backend.handle(Inspect())

    assert reply == Inspected(RING.digest, 0, KEY.kid, {"staged": 0, "active": 1, "retired": 0, "revoked": 0})
    assert told == ()
    assert repr(browser.backend) == "<SessionBackend 'session' <Keyring gen 0: 1 active>>"


def _usage(told: Sequence[Event]) -> dict[str, KeyUsage]:
    assert all(isinstance(event, KeyUsage) for event in told)
    return {event.kid: event for event in told if isinstance(event, KeyUsage)}


@pytest.mark.parametrize(("created", "activates"), [(1000.0, None), (0.0, 1000.0)])
def test_a_rotation_that_is_overdue_is_told_daily(created: float, activates: float | None) -> None:
    """An active key that has sealed for more than 90 days is named once a day; a key without dates never."""
    clock = FixedClock(1000.0 + 90 * 86_400)
    ring = Keyring([Key.from_secret(bytes(32), label="old", created=created, activates=activates)], generation=3)
    backend = SessionBackend(SessionConfig(), ring, clock=clock)
    told: list[tuple[float, float]] = []
    for _ in range(49):
        told += [
            (clock.now, event.active_for) for event in backend.handle(Tally())[1] if isinstance(event, RotationOverdue)
        ]
        clock.advance(3600)
    first = 1000.0 + 90 * 86_400 + 3600
    assert told == [(first, first - 1000), (first + 86_400, first + 86_400 - 1000)]
    undated = SessionBackend(SessionConfig(), Keyring.from_secret(bytes(32)), clock=clock)
    assert undated.handle(Tally())[1] == []


def test_the_tally_of_each_key() -> None:
    """``Tally`` tells what each key did since the last one: opened, sealed, was left for another, failed."""
    browser = Browser(Keyring([KEY, Key.from_secret(bytes(31) + b"\x01", label="next", state=KeyState.STAGED)]))
    assert browser.backend.handle(Tally())[1] == []
    browser.begin(user="ann")
    value = browser.jar.get("session") or b""
    browser.backend.handle(Reload(Keyring([Key.from_secret(bytes(32), state=KeyState.RETIRED), NEXT])))
    browser.clock.advance(60)
    browser.backend.handle(Tally())
    received, session = browser.load()
    session["user"] = "bob"
    browser.save(session, received)
    browser.load((b"session=" + value[:-4] + b"AAAA",))
    browser.load((b"session=rubbish",))
    browser.clock.advance(30)

    reply, told = browser.backend.handle(Tally(all_keys=True))

    assert isinstance(reply, Inspected)
    usage = _usage(told)
    old, new = usage[KEY.kid], usage[NEXT.kid]
    assert (old.opened, old.sealed, old.rekeyed_from, old.failed) == (1, 0, 1, 1)
    assert (new.opened, new.sealed, new.rekeyed_from, new.failed) == (0, 1, 0, 0)
    assert old.window == new.window == 30.0
    assert (old.last_sealed_at, new.last_opened_at) == (None, None)
    assert old.last_opened_at == new.last_sealed_at is not None
    idle = _usage(browser.backend.handle(Tally(all_keys=True))[1])
    assert {(event.opened, event.sealed, event.window) for event in idle.values()} == {(0, 0, 0.0)}


def test_an_expired_session_is_no_failure_of_its_key() -> None:
    """What ended in time does not count as an attack on the key."""
    browser = Browser()
    browser.begin(user="ann")
    fields = tuple(browser.jar.header(URL, browser.clock()))
    browser.backend.handle(Tally())
    browser.clock.advance(1_209_600)
    browser.load(fields)

    assert browser.backend.handle(Tally())[1] == []


# --- decisions of a save ----------------------------------------------------------------------------------------------


def test_nothing_to_save() -> None:
    """Case 53: no session, none before: nothing."""
    browser = Browser()

    assert browser.save(Session(clock=browser.clock)) is NOTHING
    assert browser.save(Session(clock=browser.clock), value=None) is NOTHING
    assert browser.save(Session(clock=browser.clock), Absent(("session",))) is NOTHING
    assert repr(NOTHING) == "<Saved []>"


def test_an_absent_session_that_is_destroyed() -> None:
    """Case 33: ``destroy`` clears also a cookie that held no session."""
    browser = Browser()
    session = Session(clock=browser.clock)
    session.destroy()

    saved = browser.save(session, Absent(("session", "session-0")))

    assert saved.names == {"session", "session-0"}
    assert repr(saved) == "<Saved ['session', 'session-0']>"
    assert saved.events == ()


def test_what_depends_on_touch() -> None:
    """Cases 96 and 97: renewing waits for a response that depends on the session, clearing for one no cache stores."""
    browser = Browser(max_age=100)
    browser.begin(user="ann")
    browser.clock.advance(50)
    received, session = browser.load((*browser.jar.header(URL, browser.clock()), b"session-4=left"))

    assert browser.save(session, received, touched=False, shared=True).cookies == ()
    assert browser.save(session, received, touched=False).names == {"session-4"}
    assert browser.save(session, received, touched=True, shared=True).names == {"session", "session-4"}


def test_a_rejected_cookie_is_replaced_on_a_write() -> None:
    """Case 55: a new session takes the name of what was refused, and clears its other parts."""
    browser = Browser()
    received, session = browser.load((b"session-0=Z; session-2=Z",))
    session["user"] = "ann"

    saved = browser.save(session, received, scope_type="websocket")

    assert [cookie.partition(b"=")[0] for cookie in saved.cookies] == [b"session", b"session-0", b"session-2"]
    assert browser.load()[1] == {"user": "ann"}


def test_an_absolute_limit_that_is_passed_by_writing() -> None:
    """Case 173: writing never moves the absolute limit."""
    browser = Browser(max_age=100, absolute_max_age=150)
    browser.begin(user="ann")
    browser.clock.advance(90)
    received, session = browser.load()
    session["user"] = "bob"
    browser.save(session, received)

    received, _ = browser.load()
    assert isinstance(received, Loaded)
    assert received.deadline == FixedClock().now + 150


def test_unsaved_sessions() -> None:
    """Cases 85 and 161: what cannot be stored is a reply with the error to raise, and its event."""
    browser = Browser(max_chunks=1)
    session = Session({"big": "x" * 9_000, "small": 1}, clock=browser.clock)

    reply, _ = browser.backend.handle(Save(session, session))
    assert isinstance(reply, Unsaved)
    assert isinstance(reply.error, SessionTooLargeError)
    assert reply.error.largest == (("big", 9_010), ("small", 11))
    assert [event.name for event in reply.events] == ["session.oversized"]

    session["bad"] = object()
    reply, _ = browser.backend.handle(Save(session, session))
    assert isinstance(reply, Unsaved)
    assert isinstance(reply.error, SerializationError)
    assert [event.name for event in reply.events] == ["session.save_failed"]


def test_messages_say_nothing_of_what_they_carry() -> None:
    """Case 194: messages are frozen, and their text shows no value."""
    session = Session({"a": "planted"}, clock=FixedClock())
    load, save = Load((b"session=planted",)), Save({"a": "planted"}, session)

    assert "planted" not in repr([load, save, Saved((b"session=planted",))])
    with pytest.raises(AttributeError):
        load.client = "x"  # type: ignore[misc]  # that is the point


# --- the reference's methods ------------------------------------------------------------------------------------------


class Profile(BaseModel):
    """A pydantic model."""

    name: str
    tags: set[str]


@dataclass
class Point:
    """A dataclass."""

    x: int
    y: Decimal


def _scope(*fields: bytes) -> dict[str, Any]:
    return {"type": "http", "headers": [(b"cookie", field) for field in fields]}


def _pairs(backend: SessionBackend, data: Any) -> list[bytes]:
    values = backend.dump_data(data)
    names = [backend.config.key] if len(values) == 1 else [f"session-{number}" for number in range(len(values))]
    return [name.encode() + b"=" + value for name, value in zip(names, values, strict=True)]


@pytest.fixture
def backend() -> SessionBackend:
    """A backend at a fixed time."""
    return SessionBackend(SessionConfig(), RING, clock=FixedClock())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, {}),
        (
            {"a": [1, None, "x"], "id": UUID(int=5), "t": (1, {2})},
            {"a": [1, None, "x"], "id": UUID(int=5), "t": (1, {2})},
        ),
        (Profile(name="ann", tags={"x"}), {"name": "ann", "tags": {"x"}}),
        (Point(1, Decimal("2.5")), {"x": 1, "y": Decimal("2.5")}),
        ({"n": np.int64(3), "a": np.array([[1, 2]])}, {"n": 3, "a": [[1, 2]]}),
    ],
)
def test_dump_and_load(backend: SessionBackend, data: Any, expected: dict[str, Any]) -> None:
    """``dump_data`` and ``load_data``: what is serialisable, pydantic models and numpy types among it, comes back."""
    assert backend.load_data(backend.dump_data(data)) == expected


@pytest.mark.parametrize("octets", [0, 1, 2_900, 3_000, 6_000, 20_000])
def test_dump_cuts_into_chunks(backend: SessionBackend, octets: int) -> None:
    """``dump_data``: chunks of one base64url string, each of at most ``CHUNK_SIZE`` octets."""
    chunks = backend.dump_data({"text": "x" * octets})

    assert all(0 < len(chunk) <= CHUNK_SIZE for chunk in chunks)
    assert all(chunk.replace(b"-", b"").replace(b"_", b"").isalnum() for chunk in chunks)
    assert len(chunks) == -(-sum(map(len, chunks)) // CHUNK_SIZE)
    assert backend.load_data(chunks) == {"text": "x" * octets}


def test_dump_refuses(backend: SessionBackend) -> None:
    """``dump_data``: what cannot be stored, or needs too many cookies, is a typed error."""
    with pytest.raises(SerializationError):
        backend.dump_data({"a": object()})
    with pytest.raises(SessionTooLargeError):
        backend.dump_data({"a": "x" * 40_000})


@pytest.mark.parametrize("data", [[], [b""], [b"rubbish"], [b"A" * 4_000] * 20, [b"null"]])
def test_load_of_anything(backend: SessionBackend, data: list[bytes]) -> None:
    """``load_data``: what is not accepted is an empty session, never an error."""
    assert backend.load_data(data) == {}


def test_cookie_keys(backend: SessionBackend) -> None:
    """``get_cookie_keys`` and ``get_cookie_key_set``: names by number, whatever the order; nothing but ours."""
    scope = _scope(b"session-10=a; session-2=b; other=c", b"session=null; session-0=d; session-1=", b"session-x=e")

    assert backend.get_cookie_keys(scope) == ["session", "session-0", "session-1", "session-2"]
    assert backend.get_cookie_key_set(scope) == {"session", "session-0", "session-1", "session-2"}
    assert backend.get_cookie_keys({}) == []
    assert backend.get_cookie_keys({"headers": None}) == []


def test_cookie_fields() -> None:
    """Cases 24, 26 and 40: all Cookie fields in any spelling, of headers in any shape."""
    headers = ((b"cookie", b"a"), (b"Cookie", b"b"), (b"x-cookie", b"c"), [b"COOKIE", b"d"])

    assert cookie_fields({"headers": headers}) == (b"a", b"b", b"d")
    assert cookie_fields({}) == ()


def test_cookie_fields_are_gathered_once() -> None:
    """However many fields a client sends, each is gathered once: a tuple that grows by one takes minutes here."""
    count = 400_000
    assert cookie_fields({"headers": [(b"cookie", b"a=b")] * count}) == (b"a=b",) * count


async def test_store_and_load(backend: SessionBackend) -> None:
    """``store_in_message`` and ``load_from_connection``: a session on a message, and back from a connection."""
    message: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]}
    headers = message["headers"]

    await backend.store_in_message({"user": "ann"}, message, _scope())

    assert headers == [(b"a", b"b")]
    assert message["headers"][0] == (b"a", b"b")
    (cookie,) = (value for name, value in message["headers"] if name == b"set-cookie")
    assert await backend.load_from_connection(_scope(cookie.partition(b";")[0])) == {"user": "ann"}


@pytest.mark.parametrize("given", [{}, {"headers": None}, {"headers": ()}])
async def test_store_on_any_message(backend: SessionBackend, given: dict[str, Any]) -> None:
    """``store_in_message``: a message without headers gets some."""
    message = dict(given)
    await backend.store_in_message({"user": "ann"}, message, _scope())

    assert [name for name, _ in message["headers"]] == [b"set-cookie"]


@pytest.mark.parametrize("empty", [None, {}, Session(clock=FixedClock())])
async def test_store_clears(backend: SessionBackend, empty: Any) -> None:
    """``store_in_message``: an empty session clears every cookie that came, by ``null``; if none came, none."""
    message: dict[str, Any] = {"headers": []}
    await backend.store_in_message(empty, message, _scope(*_pairs(backend, {"text": "x" * 5_000})))
    cleared = [value for _, value in message["headers"]]

    assert [value.partition(b";")[0] for value in cleared] == [b"session-0=null", b"session-1=null"]
    assert all(b"Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT" in value for value in cleared)
    message = {"headers": []}
    await backend.store_in_message(empty, message, _scope())
    assert message["headers"] == []


async def test_store_clears_what_is_no_longer_needed(backend: SessionBackend) -> None:
    """``store_in_message``: a session that shrinks clears the parts it needs no more."""
    message: dict[str, Any] = {"headers": []}

    await backend.store_in_message({"a": 1}, message, _scope(*_pairs(backend, {"text": "x" * 5_000})))

    names = [value.partition(b"=")[0] for _, value in message["headers"]]
    assert names == [b"session", b"session-0", b"session-1"]


@pytest.mark.parametrize("fields", [(), (b"other=1",), (b"session=rubbish",), (b"session-1=Z",)])
async def test_load_of_no_session(backend: SessionBackend, fields: tuple[bytes, ...]) -> None:
    """``load_from_connection``: nothing, or nothing acceptable, is an empty session."""
    assert await backend.load_from_connection(_scope(*fields)) == {}


def test_session_id(backend: SessionBackend) -> None:
    """``get_session_id``: a new one is made once a connection and kept there; a stored session keeps its own."""
    scope = _scope()
    made = backend.get_session_id(scope)

    assert made is not None
    assert len(bytes.fromhex(made)) == 16
    assert backend.get_session_id(scope) == made
    assert backend.get_session_id(_scope()) != made
    stored = [b"session=" + backend.dump_data({"a": 1}, scope)[0]]
    assert backend.get_session_id(_scope(*stored)) == made


async def test_the_record_survives_without_the_middleware() -> None:
    """Case 173: id, beginning and login of a session are kept by ``store_in_message``, so its absolute limit holds."""
    clock = FixedClock()
    backend = SessionBackend(SessionConfig(absolute_max_age=1_000), RING, clock=clock)
    scope = _scope()
    cookie = b""
    for _ in range(2):
        message: dict[str, Any] = {}
        await backend.store_in_message({"a": 1}, message, scope)
        cookie = message["headers"][0][1].partition(b";")[0]
        clock.advance(600)
        scope = _scope(cookie)

    assert await backend.load_from_connection(_scope(cookie)) == {}


def test_what_the_application_asked_of_its_session_is_heeded(backend: SessionBackend) -> None:
    """``dump_data`` with a scope heeds the session object in it: its new id, its login, whether to be remembered."""
    record = Record(bytes(16), FixedClock().now - 500, 0.0, FixedClock().now - 100)
    session = Session({"a": 1}, record=record, clock=FixedClock())
    session.regenerate(authenticated=True)
    session.remember = True
    scope = {"headers": [], SCOPE_KEY: {"session": session}}

    described = backend.describe([b"session=" + backend.dump_data(session, scope)[0]])

    assert isinstance(described, Loaded)
    now = FixedClock().now
    assert described.record == Record(session.raw_id, now, now, now, remember=True)


def test_a_replaced_session_stays_replaced(backend: SessionBackend) -> None:
    """``get_session_id`` does not undo what an application put in its session's place."""
    scope: dict[str, Any] = {"headers": [], SCOPE_KEY: {"session": {"user": "bob"}}}

    assert backend.get_session_id(scope) is not None
    assert scope[SCOPE_KEY] == {"session": {"user": "bob"}}


def test_cleared_values() -> None:
    """Case 189: ``None`` and Litestar's ``Empty`` mean no session; nothing else does."""
    litestar = type("EmptyType", (), {"__module__": "litestar.types.empty"})
    other = type("EmptyType", (), {"__module__": "shop.types"})

    assert is_cleared(None)
    assert is_cleared(litestar())
    assert not is_cleared(other())
    assert not is_cleared(type("Session", (), {"__module__": "litestar.types"})())
    assert not is_cleared({})


def test_the_system_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 177: the time is looked up when it is needed."""
    monkeypatch.setattr("time.time", lambda: 5.0)

    assert system_clock() == 5.0
