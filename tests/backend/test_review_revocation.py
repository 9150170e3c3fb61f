"""A key that is revoked, promoted or gone between the load and the save of one request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sessionkit.audit.events import Event, SessionWriteLost
from sessionkit.backend.backend import SessionBackend
from sessionkit.backend.messages import Load, Loaded, Rejected, Reload, Save, Saved
from sessionkit.config import AuditConfig, SessionConfig
from sessionkit.exceptions import RejectReason
from sessionkit.keyring import rotation
from sessionkit.keyring.key import KeyState
from sessionkit.keyring.keyring import Keyring
from sessionkit.session import Session
from sessionkit.testing import FixedClock
from tests.middleware.apps import key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RING = Keyring([key(1), key(2, KeyState.STAGED)], generation=1)
REVOKED = rotation.revoke(RING, "key-1", 1_800_000_000.0)
PROMOTED = rotation.promote(RING, 1_800_000_000.0, force=True)


class Desk:
    """A backend, and one request after the other against it."""

    def __init__(self, ring: Keyring = RING) -> None:
        self.clock = FixedClock()
        self.backend = SessionBackend(SessionConfig(audit=AuditConfig(level="debug")), ring, clock=self.clock)

    def save(self, session: Session, received: Loaded | None = None) -> Saved:
        """Save a session."""
        message = Save(session, session) if received is None else Save(session, session, received)
        reply = self.backend.handle(message)[0]
        assert isinstance(reply, Saved)
        return reply

    def load(self, cookies: Sequence[bytes]) -> Loaded | Rejected:
        """Load what a save has set."""
        reply = self.backend.handle(Load(tuple(cookie.partition(b";")[0] for cookie in cookies)))[0]
        assert isinstance(reply, Loaded | Rejected)
        return reply

    def open(self, cookies: Sequence[bytes]) -> tuple[Session, Loaded]:
        """Begin a request with cookies that are accepted."""
        loaded = self.load(cookies)
        assert isinstance(loaded, Loaded)
        return Session(loaded.data, record=loaded.record, clock=self.clock), loaded

    def first(self) -> tuple[bytes, ...]:
        """Return the cookies of a session that key 1 sealed."""
        return self.save(Session({"user": 7}, clock=self.clock)).cookies


def _write(session: Session) -> None:
    session["more"] = 1


def _log_in(session: Session) -> None:
    session.regenerate(authenticated=True)


@pytest.mark.parametrize("act", [_write, _log_in, Session.renew])
def test_nothing_carries_a_session_over_the_revocation_of_its_key(act: Callable[[Session], None]) -> None:
    """Whatever a request does that was under way when its key was revoked, no valid cookie comes of it.

    Whoever held the key may have made the session up; sealed anew, it would outlive the revocation.
    """
    desk = Desk()
    cookies = desk.first()
    session, loaded = desk.open(cookies)
    desk.backend.handle(Reload(REVOKED))
    act(session)
    saved = desk.save(session, loaded)
    assert saved.cookies == ()
    refused = desk.load(cookies)
    assert isinstance(refused, Rejected)
    assert refused.reason is RejectReason.REVOKED


def test_nor_does_half_of_its_life_being_over() -> None:
    """An automatic renewal does not either; and as nothing was written, nothing is said to be lost."""
    desk = Desk()
    session, loaded = desk.open(desk.first())
    desk.backend.handle(Reload(REVOKED))
    desk.clock.advance(desk.backend.config.lifetime * 0.75)
    assert desk.save(session, loaded) == Saved(stored=loaded.payload)


def test_a_write_that_a_revocation_overtook_is_told() -> None:
    """The write is lost and said so, without a reference: nothing under that key is trusted."""
    desk = Desk()
    session, loaded = desk.open(desk.first())
    desk.backend.handle(Reload(REVOKED))
    session["more"] = 1
    told: tuple[Event, ...] = desk.save(session, loaded).events
    assert told == (SessionWriteLost(reason="key_revoked", session_ref=None),)


def test_what_is_new_is_kept() -> None:
    """``destroy`` begins a session that owes nothing to the revoked key: it is sealed under the active one."""
    desk = Desk()
    session, loaded = desk.open(desk.first())
    desk.backend.handle(Reload(REVOKED))
    session.destroy()
    session["user"] = 8
    fresh = desk.load(desk.save(session, loaded).cookies)
    assert isinstance(fresh, Loaded)
    assert (fresh.data, fresh.key.label) == ({"user": 8}, "key-2")
    assert fresh.record.id != loaded.record.id


def test_an_ended_session_is_cleared_all_the_same() -> None:
    """Logging out clears the cookies, also those of a revoked key."""
    desk = Desk()
    session, loaded = desk.open(desk.first())
    desk.backend.handle(Reload(REVOKED))
    session.destroy()
    [cleared] = desk.save(session, loaded).cookies
    assert cleared.startswith(b"session=null;")


@pytest.mark.parametrize("ring", [PROMOTED, Keyring([key(2)], generation=2)], ids=["retired", "gone"])
def test_a_key_that_is_merely_retired_or_gone_loses_no_write(ring: Keyring) -> None:
    """What came under a key that a publish retired, or took out, is sealed under the active one."""
    desk = Desk()
    session, loaded = desk.open(desk.first())
    desk.backend.handle(Reload(ring))
    session["more"] = 1
    fresh = desk.load(desk.save(session, loaded).cookies)
    assert isinstance(fresh, Loaded)
    assert (fresh.data, fresh.key.label) == ({"user": 7, "more": 1}, "key-2")


@pytest.mark.parametrize("ring", [RING, PROMOTED], ids=["still staged", "promoted meanwhile"])
def test_a_session_under_the_staged_key_is_renewed_under_it(ring: Keyring) -> None:
    """Whether or not the key has become active since it was loaded, the session goes on under it."""
    desk = Desk(PROMOTED)
    cookies = desk.first()
    desk.backend.handle(Reload(RING))
    session, loaded = desk.open(cookies)
    assert loaded.key.state is KeyState.STAGED
    desk.clock.advance(desk.backend.config.lifetime * 0.75)
    desk.backend.handle(Reload(ring))
    renewed = desk.load(desk.save(session, loaded).cookies)
    assert isinstance(renewed, Loaded)
    assert renewed.record.issued == desk.clock()
    assert renewed.key.id == loaded.key.id
