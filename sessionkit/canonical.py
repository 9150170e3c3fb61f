"""What the application's own line about a request may say of its session: reference, key id, outcome.

Rules of this file:

* Nothing is bound to a context: whoever writes the line asks, with the scope of the request it is about. So nothing can
  get into the line of another request, whatever tasks and threads either runs in, and who never asks pays next to
  nothing.
* What is told is what the audit log tells: references in place of identifiers, and key ids that the ring knows.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sessionkit.backend.backend import SCOPE_KEY
from sessionkit.backend.messages import Loaded, Received, Rejected, Saved

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sessionkit.backend.service import SessionService
    from sessionkit.session import Record

__all__ = ["Account", "SessionOutcome", "canonical_fields"]


class SessionOutcome(StrEnum):
    """What became of a session in one request. Closed: dashboards and queries may rely on these words."""

    NONE = "none"
    """No session came, and none was begun."""
    LOADED = "loaded"
    """A session came; it was not written."""
    REJECTED = "rejected"
    """A cookie came and was not accepted (``session_reason``), and no session was begun."""
    CREATED = "created"
    """A new session was put on the response."""
    WRITTEN = "written"
    """The session that came was put on the response anew: changed, renewed, under a new id or another key."""
    DESTROYED = "destroyed"
    """The session that came was ended."""
    LOST = "lost"
    """A change did not reach the browser (``session_reason``)."""
    FAILED = "failed"
    """The session could not be stored (``session_reason`` is the error's type); nothing was sent of it."""
    UNAVAILABLE = "unavailable"
    """The session could not be read: the request was answered with 503."""


class Account:
    """Keeps what became of one session in one connection, until somebody asks, and hears of writes that come too late.

    A session holds on to it once its cookies are decided, so it knows neither session nor connection: in a circle they
    would all wait for the garbage collector, some twenty objects a request and whatever the session holds. No slots:
    what nearly no connection sets stands here once, instead of being set for each.

    Args:
        service: tells the log.
        received: what came.

    Attributes:
        late: why the first of the writes that came too late was so.
        finished: the application is through, so nobody else will tell of one.
        record: of the session when its cookies were decided.
        saved: what the backend decided about the response.
    """

    late: str | None = None
    finished = False
    record: Record | None = None
    saved: Saved | None = None
    _outcome: SessionOutcome | None = None
    _reason: str | None = None

    def __init__(self, service: SessionService, received: Received) -> None:
        self._service = service
        self._received = received

    def note_late(self, reason: str) -> None:
        """Note a write that came too late."""
        if self.late is None:
            self.late = reason
            if self.finished:
                self.lost(self.record, reason)

    def lost(self, record: Record | None, reason: str) -> None:
        """Note, and tell the log, that a change did not reach the browser."""
        self.note(SessionOutcome.LOST, reason)
        self._service.log.emit(self._service.trail.lost(record, reason))

    def note(self, outcome: SessionOutcome, reason: str | None = None) -> None:
        """Keep an outcome that is told from nothing else: the last one counts."""
        self._outcome = outcome
        self._reason = reason

    def fields(self) -> dict[str, str]:
        """Return the fields for a line, as far as they are known by now."""
        outcome, reason = self._outcome, self._reason
        if outcome is None:
            outcome, reason = self._told()
        elif outcome is SessionOutcome.FAILED and self.saved is not None and self.saved.lost is not None:
            outcome, reason = SessionOutcome.LOST, self.saved.lost  # of a later response: the last one counts
        told = {
            "session_outcome": outcome.value,
            "session_reason": reason,
            "session_ref": self._reference(),
            "session_kid": self._kid(),
        }
        return {name: value for name, value in told.items() if value is not None}

    def _told(self) -> tuple[SessionOutcome, str | None]:
        received, saved = self._received, self.saved
        if saved is not None and saved.kid is not None:
            return (SessionOutcome.CREATED if saved.begun else SessionOutcome.WRITTEN), None
        if saved is not None and saved.lost is not None:
            return SessionOutcome.LOST, saved.lost
        if isinstance(received, Loaded):
            ended = saved is not None and saved.names.issuperset(received.names)
            return (SessionOutcome.DESTROYED if ended else SessionOutcome.LOADED), None
        if isinstance(received, Rejected):
            return SessionOutcome.REJECTED, received.reason.value
        return SessionOutcome.NONE, None

    def _reference(self) -> str | None:
        trail = self._service.trail
        if self.saved is not None and self.saved.id is not None:
            return trail.reference_of(self.saved.id)
        return trail.reference(self._received.record) if isinstance(self._received, Loaded | Rejected) else None

    def _kid(self) -> str | None:
        if self.saved is not None and self.saved.kid is not None:
            return self.saved.kid
        key = self._received.key if isinstance(self._received, Loaded | Rejected) else None
        return None if key is None else key.kid


def canonical_fields(scope: Mapping[str, Any], name: str | None = None) -> dict[str, str]:
    """Return what may be said of a request's session in a log line of the application's own.

    Works at any time after the middleware has seen the request, also after the response, in any task, and in middleware
    on either side of ours, as long as it is the same scope or a copy of one that has been through it.

    Args:
        scope: the ASGI scope of the request.
        name: the cookie's name, where there are several sessions; by default the outermost.

    Returns:
        ``session_outcome`` (a word of ``SessionOutcome``), and where they apply ``session_ref``, ``session_kid`` and
        ``session_reason``. Empty for a request that the middleware does not serve.
    """
    accounts: Mapping[str, Account] = getattr(scope.get(SCOPE_KEY), "accounts", {})
    account = next(iter(accounts.values()), None) if name is None else accounts.get(name)
    return {} if account is None else account.fields()
