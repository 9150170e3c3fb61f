"""A session that goes on as it came is saved by a short way; whatever it answers, the long way answers as well."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from sessionkit.backend.backend import SessionBackend
from sessionkit.backend.messages import ABSENT, Load, Loaded, Message, Received, Reload, Reply, Save, Saved, Tally
from sessionkit.config import AuditConfig, SessionConfig
from sessionkit.keyring.key import Key, KeyState
from sessionkit.keyring.keyring import Keyring
from sessionkit.session import Session
from sessionkit.testing import FixedClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sessionkit.audit.events import Event

KEY = Key.from_secret(bytes(32))
NEXT = Key.from_secret(bytes(31) + b"\x01", label="next")
RING = Keyring([KEY])
HALF_LIFE = 604_800.0


@pytest.fixture(autouse=True)
def _one_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let both ways seal under one nonce, so that they can be compared octet by octet."""
    monkeypatch.setattr(os, "urandom", bytes)


class Short(SessionBackend):
    """Notes whether the short way was taken."""

    taken = False

    def _save_again(self, message: Save) -> Any:
        saved = super()._save_again(message)
        self.taken = type(saved) is Saved
        return saved


class Long(SessionBackend):
    """Knows no short way."""

    def _save_again(self, _: Save) -> Any:
        return None


class Pair:
    """Both backends, whose browser has a session of ``{"n": 1}``."""

    def __init__(
        self, ring: Keyring = RING, *, level: str = "info", begun: dict[str, Any] | None = None, **settings: Any
    ) -> None:
        self.clock = FixedClock()
        config = SessionConfig(audit=AuditConfig(level=level), **settings)
        self.short = Short(config, ring, clock=self.clock)
        self.long = Long(config, ring, clock=self.clock)
        new = self.session(ABSENT)
        new.update({"n": 1} if begun is None else begun)
        new.raw_id  # noqa: B018 - made now, or each of the two would make one
        saved = self.both(Save(new, new))
        assert isinstance(saved, Saved)
        self.fields = tuple(cookie.partition(b";")[0] for cookie in saved.cookies)

    def both(self, message: Message) -> Reply:
        """Return what the short way answers, which is what the long one does."""
        told: list[tuple[Reply, Sequence[Event]]] = [one.handle(message) for one in (self.short, self.long)]
        assert told[0] == told[1]
        return told[0][0]

    def load(self, *more: bytes) -> Received:
        """Load what the browser holds."""
        reply = self.both(Load((b"; ".join((*self.fields, *more)),)))
        assert isinstance(reply, Loaded)
        return reply

    def session(self, received: Received) -> Session:
        """Return what an application would see of it."""
        if isinstance(received, Loaded):
            return Session(received.data, record=received.record, clock=self.clock)
        return Session(clock=self.clock)

    def tallies(self) -> None:
        """See that both have counted the same of each key."""
        self.both(Tally(all_keys=True))


def _count(session: Session) -> None:
    session["n"] += 1


def _look(session: Session) -> None:
    session.get("n")


@pytest.mark.parametrize("change", [_count, _look])
@pytest.mark.parametrize(
    "settings",
    [{}, {"persistent": False}, {"absolute_max_age": 1_000_000}, {"cache_control": None}, {"level": "error"}],
)
def test_the_ordinary_is_saved_the_short_way(change: Callable[[Session], None], settings: dict[str, Any]) -> None:
    """A session of plain values under the active key, read or written: cookies, tales and counts are the same."""
    pair = Pair(**settings)
    pair.clock.advance(60)
    received = pair.load()
    session = pair.session(received)
    change(session)

    saved = pair.both(Save(session, session, received))

    assert pair.short.taken
    assert isinstance(saved, Saved)
    assert len(saved.cookies) == (change is _count)
    pair.tallies()


def _reordered(session: Session) -> None:
    session["m"] = 1
    session["n"] = session.pop("n")
    del session["m"]


def _model(_: Session) -> object:
    class Count(BaseModel):
        n: int = 5

    return Count()


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        pytest.param(_reordered, True, id="another order of keys"),
        pytest.param(lambda session: session.update(n=1.0), True, id="equal to Python, and another value"),
        pytest.param(lambda session: session.update(n=(1,)), False, id="typed"),
        pytest.param(lambda session: session.update(n=object()), False, id="not to be stored"),
        pytest.param(lambda session: session.clear(), False, id="emptied"),
        pytest.param(lambda session: session.destroy(), False, id="ended"),
        pytest.param(lambda session: session.regenerate(), False, id="another id"),
        pytest.param(lambda session: session.renew(), False, id="renewed"),
        pytest.param(lambda session: setattr(session, "remember", True), False, id="to be remembered"),
        pytest.param(lambda session: session.update(n="x" * 4000), False, id="too long for one cookie"),
        pytest.param(lambda session: session.update(n="x" * 200_000), False, id="too long for any number"),
    ],
)
@pytest.mark.parametrize("failed", [False, True])
def test_what_a_session_may_become(change: Callable[[Session], object], taken: bool, failed: bool) -> None:
    """Whatever an application does to a session, and an error response on top: the short way agrees or stands back."""
    pair = Pair()
    received = pair.load()
    session = pair.session(received)
    change(session)

    saves = [one.handle(Save(session, session, received, failed=failed)) for one in (pair.short, pair.long)]

    assert [repr(saved) for saved, _ in saves] == [repr(saves[0][0])] * 2
    if isinstance(saves[0][0], Saved):
        assert saves[0] == saves[1]
    assert pair.short.taken == (taken and not failed)
    pair.tallies()


@pytest.mark.parametrize("value", [None, {"n": 2}, {}, _model(Session(clock=FixedClock()))])
def test_what_may_stand_in_its_place(value: object) -> None:
    """What an application puts in the session's place is stored as such, cleared if it is nothing."""
    pair = Pair()
    received = pair.load()
    pair.both(Save(value, pair.session(received), received))
    assert pair.short.taken == bool(value)


@pytest.mark.parametrize("touched", [False, True])
def test_half_a_life_later(touched: bool) -> None:
    """A session that nobody changed is written anew from half of its life on, where the response depends on it."""
    for age, taken in ((HALF_LIFE - 1, True), (HALF_LIFE, False), (HALF_LIFE + 1, False)):
        pair = Pair()
        pair.clock.advance(age)
        received = pair.load()
        session = pair.session(received)
        pair.both(Save(session, session, received, touched))
        assert pair.short.taken == taken


@pytest.mark.parametrize("change", [_count, _look])
@pytest.mark.parametrize("state", [KeyState.RETIRED, KeyState.REVOKED])
def test_the_ring_has_changed_meanwhile(change: Callable[[Session], None], state: KeyState) -> None:
    """Between load and save a key retires or is revoked: the session moves, or stays as it was."""
    pair = Pair()
    received = pair.load()
    session = pair.session(received)
    change(session)
    pair.both(Reload(Keyring([Key.from_secret(bytes(32), state=state), NEXT], generation=1)))

    pair.both(Save(session, session, received))

    assert pair.short.taken == (change is _look)
    pair.tallies()


def test_further_cookies_and_a_level_that_tells_all() -> None:
    """Leftovers that are to be cleared, and events of every read and write, are not for the short way."""
    pair = Pair()
    received = pair.load(b"session-3=x")
    session = pair.session(received)
    _count(session)
    pair.both(Save(session, session, received))
    assert not pair.short.taken

    pair = Pair(level="debug")
    received = pair.load()
    session = pair.session(received)
    _count(session)
    pair.both(Save(session, session, received))
    assert not pair.short.taken


def test_a_session_in_several_cookies() -> None:
    """What came in several cookies is saved the long way."""
    pair = Pair(begun={"n": 1, "text": "x" * 8000})
    received = pair.load()
    session = pair.session(received)
    _count(session)
    pair.both(Save(session, session, received))
    assert not pair.short.taken


_VALUES = st.dictionaries(
    st.sampled_from(["n", "m"]),
    st.recursive(
        st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.0, "1", "é", (1,)]),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
        max_leaves=4,
    ),
    max_size=2,
)


@given(_VALUES, _VALUES, st.sampled_from([0.0, 1.0, HALF_LIFE, HALF_LIFE * 2]), st.booleans(), st.booleans())
def test_both_ways_agree(
    before: dict[str, Any], after: dict[str, Any], later: float, touched: bool, shared: bool
) -> None:
    """From any values to any others, at any age: the same cookies and the same payload."""
    pair = Pair(begun=before or {"n": 1})
    pair.clock.advance(later)
    reply = pair.both(Load(pair.fields))
    session = pair.session(reply if isinstance(reply, Loaded) else ABSENT)
    dict.clear(session)
    dict.update(session, after)
    session.raw_id  # noqa: B018 - as above
    pair.both(Save(session, session, reply, touched, shared))  # type: ignore[arg-type]  # the reply to Load
    pair.tallies()
