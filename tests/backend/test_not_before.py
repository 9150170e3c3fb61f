"""A ring's ``not_before``: sessions that began before it are refused, in loads and in saves, whatever their key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from sessionkit.audit.events import Event, SessionRevoked, SessionWriteLost
from sessionkit.backend.backend import SessionBackend
from sessionkit.backend.messages import Load, Loaded, Rejected, Reload, Save, Saved
from sessionkit.config import AuditConfig, SessionConfig
from sessionkit.exceptions import RejectReason
from sessionkit.keyring.key import KeyState
from sessionkit.keyring.keyring import Keyring
from sessionkit.session import Session
from sessionkit.testing import FixedClock
from tests.middleware.apps import key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NOW = 1_800_000_000.0
RING = Keyring([key(1), key(2, KeyState.STAGED)], generation=1)


@dataclass
class Browser:
    """What a browser has, and what was told when it last came."""

    cookies: tuple[bytes, ...] = ()
    told: Sequence[Event] = ()


class Desk:
    """A backend, and one request after the other against it."""

    def __init__(self, ring: Keyring = RING, now: float = NOW) -> None:
        self.clock = FixedClock(now)
        config = SessionConfig(audit=AuditConfig(level="debug"), absolute_max_age=9_000_000)
        self.backend = SessionBackend(config, ring, clock=self.clock)

    def end(self, at: float) -> None:
        """Put a ring in force that refuses what began before a time."""
        self.backend.handle(Reload(RING.changed(not_before=at, generation=2)))

    def load(self, browser: Browser) -> Loaded | Rejected:
        """Load what the browser has."""
        fields = tuple(cookie.partition(b";")[0] for cookie in browser.cookies)
        reply, browser.told = self.backend.handle(Load(fields))
        assert isinstance(reply, Loaded | Rejected)
        return reply

    def open(self, browser: Browser) -> tuple[Session, Loaded]:
        """Begin a request with a session that is accepted."""
        loaded = self.load(browser)
        assert isinstance(loaded, Loaded)
        return Session(loaded.data, record=loaded.record, clock=self.clock), loaded

    def save(self, session: Session, received: Loaded | None = None) -> Saved:
        """End a request."""
        message = Save(session, session) if received is None else Save(session, session, received)
        reply = self.backend.handle(message)[0]
        assert isinstance(reply, Saved)
        return reply

    def begin(self) -> Browser:
        """Begin a session."""
        return Browser(self.save(Session({"user": 7}, clock=self.clock)).cookies)

    def visit(self, browser: Browser, act: Callable[[Session], object]) -> None:
        """Make a whole request."""
        session, loaded = self.open(browser)
        act(session)
        browser.cookies = self.save(session, loaded).cookies or browser.cookies

    def refused(self, browser: Browser) -> bool:
        """Return whether what the browser has is refused as revoked."""
        reply = self.load(browser)
        return isinstance(reply, Rejected) and reply.reason is RejectReason.REVOKED


def _log_in(session: Session) -> None:
    session.regenerate(authenticated=True)


def _write(session: Session) -> None:
    session["more"] = 1


@pytest.mark.parametrize(("ahead", "refused"), [(-0.001, False), (0.0, False), (0.001, True), (1.0, True)])
def test_to_the_millisecond(ahead: float, refused: bool) -> None:
    """A session that began at that very time is accepted, one that began a millisecond before it is not."""
    desk = Desk()
    browser = desk.begin()
    desk.end(NOW + ahead)
    assert desk.refused(browser) is refused


def test_what_is_told() -> None:
    """It is told as a revocation with its reason, its key and, since it is authentic, whose session it was."""
    desk = Desk()
    browser = desk.begin()
    session, _ = desk.open(browser)
    [loaded] = browser.told
    desk.end(NOW + 1)
    rejected = desk.load(browser)
    assert isinstance(rejected, Rejected)
    assert not rejected.reason.keeps_cookie
    [event] = browser.told
    assert isinstance(event, SessionRevoked)
    assert (event.reason, event.kid) == ("not_before", key(1).kid)
    assert event.session_ref == loaded.as_fields()["session_ref"]
    assert session.id is not None


def test_a_revoked_key_is_told_apart() -> None:
    """Under a revoked key nothing is opened, so no session is named, whatever ``not_before`` says."""
    desk = Desk()
    browser = desk.begin()
    keys = [key(1, KeyState.REVOKED), key(2)]
    desk.backend.handle(Reload(Keyring(keys, generation=2, not_before=NOW + 1)))
    assert desk.refused(browser)
    [event] = browser.told
    assert isinstance(event, SessionRevoked)
    assert (event.reason, event.session_ref) == ("key_revoked", None)


def test_an_expired_session_is_expired() -> None:
    """What has ended by itself is told as that: a dashboard of stolen sessions shows what could have been used."""
    desk = Desk()
    browser = desk.begin()
    desk.end(NOW + 1)
    desk.clock.advance(desk.backend.config.max_age)
    rejected = desk.load(browser)
    assert isinstance(rejected, Rejected)
    assert rejected.reason is RejectReason.EXPIRED


@pytest.mark.parametrize("act", [_write, Session.renew, Session.regenerate])
def test_a_copy_that_was_renewed_since(act: Callable[[Session], object]) -> None:
    """Whoever copied a cookie and has it issued anew, on a node without the ring, is refused all the same."""
    desk, lagging = Desk(), Desk(now=NOW + 60)
    browser = desk.begin()
    desk.end(NOW + 30)
    lagging.visit(browser, act)
    assert desk.refused(browser)


def test_a_login_begins_a_session() -> None:
    """A login on a node without the ring begins a session, since a thief with a cookie alone cannot log in."""
    desk, lagging = Desk(), Desk(now=NOW + 60)
    browser = desk.begin()
    desk.end(NOW + 30)
    lagging.visit(browser, _log_in)
    assert not desk.refused(browser)


@pytest.mark.parametrize("act", [_write, _log_in, Session.renew])
def test_nothing_carries_a_session_over_it(act: Callable[[Session], object]) -> None:
    """Of a request that was under way comes no valid cookie; what it wrote is lost, and told with its session."""
    desk = Desk()
    browser = desk.begin()
    session, loaded = desk.open(browser)
    desk.end(NOW + 1)
    act(session)
    saved = desk.save(session, loaded)
    assert saved.cookies == ()
    assert desk.refused(browser)
    lost = [event.as_fields() for event in saved.events if isinstance(event, SessionWriteLost)]
    told = browser.told[0].as_fields()["session_ref"]
    assert [(one["reason"], one["session_ref"]) for one in lost] == ([("not_before", told)] if act is _write else [])
    assert len(saved.events) == len(lost)


def test_what_is_new_is_kept() -> None:
    """``destroy`` begins a session that owes nothing to the one that is refused."""
    desk = Desk()
    session, loaded = desk.open(desk.begin())
    desk.end(NOW)
    desk.clock.advance(5)
    desk.end(NOW + 5)
    session.destroy()
    session["user"] = 8
    fresh = desk.load(Browser(desk.save(session, loaded).cookies))
    assert isinstance(fresh, Loaded)
    assert (fresh.data, fresh.record.created) == ({"user": 8}, NOW + 5)


@pytest.mark.parametrize("behind", [0.0, 0.25, 299.0])
def test_a_clock_that_lags_ends_no_new_session(behind: float) -> None:
    """What begins under the ring is as old as its ``not_before`` at most, also where the clock says it is older."""
    desk = Desk(now=NOW - behind)
    desk.end(NOW)
    browser = desk.begin()
    assert not desk.refused(browser)
    desk.visit(browser, _log_in)
    loaded = desk.load(browser)
    assert isinstance(loaded, Loaded)
    assert loaded.record.created == NOW
    assert loaded.record.authenticated == loaded.record.issued == NOW - behind
    assert browser.told[0].as_fields()["age"] == 0.0
    assert not Desk(RING.changed(not_before=NOW), now=NOW + 300).refused(browser)


def test_a_clock_that_leads_is_not_stamped() -> None:
    """Where the time has come, sessions begin when they begin."""
    desk = Desk()
    desk.end(NOW - 60)
    loaded = desk.load(desk.begin())
    assert isinstance(loaded, Loaded)
    assert loaded.record.created == NOW
