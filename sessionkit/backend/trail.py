"""Which events a backend's decisions are worth: pure, and built only at or above the configured level."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionkit.audit import events
from sessionkit.audit.events import Event, Level, timestamp
from sessionkit.exceptions import RejectReason, SessionTooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sessionkit.audit.pseudonyms import Pseudonyms
    from sessionkit.backend.messages import Migrated
    from sessionkit.config import AuditConfig
    from sessionkit.keyring.key import Key
    from sessionkit.migrate.reader import Reader, Refused
    from sessionkit.session import Record, Session
    from sessionkit.wire.codec import Loaded, Rejected, Sealed

__all__ = ["LARGE", "Trail"]

LARGE = 7_500
"""Octets of cookies from which on it is said: nginx takes 8 kB a header line, gunicorn 8,180 octets a field."""

EXPIRY_GRACE = 300.0
"""Seconds after its deadline within which a session is called expired; later, it is called used after expiry."""


class Trail:
    """Builds events.

    Args:
        config: level, and whether clients are referred to.
        references: makes the references.
    """

    __slots__ = ("_client_ref", "_level", "_refs")

    def __init__(self, config: AuditConfig, references: Pseudonyms) -> None:
        self._level = Level[config.level.upper()]
        self._client_ref = config.client_ref
        self._refs = references

    def _admitted(self, *built: Event) -> tuple[Event, ...]:
        return tuple(event for event in built if event.severity >= self._level)

    def accepted(self, loaded: Loaded, now: float) -> Sequence[Event]:
        """Tell of a cookie that was accepted; the backend asks only where there may be something to tell."""
        reference, kid = self._refs.session(loaded.record.id), loaded.key.kid
        built: list[Event] = [
            events.SessionLoaded(
                session_ref=reference,
                kid=kid,
                key_state=loaded.key.state.value,
                age=round(max(0.0, now - loaded.record.created), 3),  # begun by a clock ahead of ours
                idle=round(now - loaded.record.issued, 3),
            )
        ]
        if loaded.header_size >= LARGE:
            built.append(
                events.SessionLarge(what="request_cookies", size=loaded.header_size, limit=LARGE, session_ref=reference)
            )
        if loaded.candidates > 1:
            built.append(events.SessionDuplicate(session_ref=reference, kid=kid, candidates=loaded.candidates))
        return self._admitted(*built)

    def refused(self, rejected: Rejected, client: str | None, now: float) -> Sequence[Event]:
        """Tell of a cookie that was not accepted."""
        if self._level > Level.WARNING:
            return ()
        key, record = rejected.key, rejected.record
        if rejected.reason is RejectReason.EXPIRED and record is not None and key is not None:
            late = now - rejected.deadline
            kind = events.SessionExpired if late <= EXPIRY_GRACE else events.SessionUseAfterExpire
            return self._admitted(
                kind(
                    session_ref=self._refs.session(record.id),
                    kid=key.kid,
                    reason="absolute" if rejected.absolute else "idle",
                    expired_for=round(late, 3),
                )
            )
        cookie_ref = self._refs.cookie(rejected.value)
        client_ref = self._refs.client(client) if self._client_ref and client is not None else None
        if rejected.reason is RejectReason.REVOKED and key is not None:
            return (
                events.SessionRevoked(
                    cookie_ref=cookie_ref,
                    kid=key.kid,
                    reason="key_revoked" if record is None else "not_before",
                    session_ref=self.reference(record),
                    client_ref=client_ref,
                ),
            )
        return (
            events.SessionRejected(
                reason=rejected.reason.value,
                cookie_ref=cookie_ref,
                size=rejected.size,
                chunks=rejected.chunks,
                kid=None if key is None else key.kid,
                delta=None if rejected.delta is None else round(rejected.delta, 3),
                client_ref=client_ref,
            ),
        )

    def revoked(self, loaded: Loaded, reason: str, client: str | None) -> Sequence[Event]:
        """Tell of a session that the list of revocations refused: ``terminated``, or by its ``subject``."""
        return self._admitted(
            events.SessionRevoked(
                kid=loaded.key.kid,
                reason=reason,
                session_ref=self._refs.session(loaded.record.id),
                client_ref=self._refs.client(client) if self._client_ref and client is not None else None,
            )
        )

    def created(self, record: Record, sealed: Sealed, key: Key, scope_type: str) -> Sequence[Event]:
        """Tell of the first cookie of a session."""
        if self._level > Level.INFO and sealed.size < LARGE:
            return ()
        reference, size, chunks = self._refs.session(record.id), sealed.size, len(sealed.values)
        return self._admitted(
            events.SessionCreated(
                session_ref=reference,
                kid=key.kid,
                expires_at=timestamp(sealed.deadline),
                size=size,
                chunks=chunks,
                scope_type=scope_type,
            ),
            *self._large(reference, size, chunks),
        )

    def migrated(self, migrated: Migrated, record: Record, key: Key) -> Sequence[Event]:
        """Tell of a session that came from another library."""
        return self._admitted(
            events.SessionMigrated(
                session_ref=self._refs.session(record.id),
                kid=key.kid,
                source=migrated.source,
                age=round(max(0.0, record.issued - migrated.created), 3),
            )
        )

    def not_migrated(self, refused: Refused, client: str | None) -> Sequence[Event]:
        """Tell of a cookie of another library that was not taken over."""
        return self._admitted(
            events.SessionMigrationRefused(
                reason=refused.reason.value,
                source=refused.source,
                cookie=refused.cookie,
                cookie_ref=self._refs.cookie(refused.value),
                size=len(refused.value),
                client_ref=self._refs.client(client) if self._client_ref and client is not None else None,
            )
        )

    def over(self, readers: Iterable[Reader], now: float) -> Sequence[Event]:
        """Tell of moves that have come to their end."""
        return self._admitted(
            *(
                events.SessionMigrationOver(source=reader.source, cookie=reader.cookie, until=timestamp(reader.until))
                for reader in readers
                if now >= reader.until
            )
        )

    def written(
        self, session: Session, loaded: Loaded, record: Record, sealed: Sealed, key: Key, *, changed: bool
    ) -> Sequence[Event]:
        """Tell of a session that was written again."""
        moved, renamed = loaded.key.id != key.id, record.id != loaded.record.id
        size, chunks = sealed.size, len(sealed.values)
        if self._level > Level.DEBUG and size < LARGE and not (moved or renamed or session.renewed):
            return ()
        reference, kid = self._refs.session(record.id), key.kid
        built: list[Event] = []
        if renamed:
            built.append(
                events.SessionRegenerated(
                    session_ref=reference,
                    previous_session_ref=self._refs.session(loaded.record.id),
                    kid=kid,
                    reason=session.reason or "privilege_change",
                )
            )
        if moved:
            built.append(
                events.SessionRekeyed(
                    session_ref=reference,
                    previous_kid=loaded.key.kid,
                    previous_key_state=loaded.key.state.value,
                    kid=kid,
                )
            )
        if changed:
            built.append(events.SessionUpdated(session_ref=reference, kid=kid, size=size, chunks=chunks))
        if session.renewed or not (changed or renamed):
            built.append(
                events.SessionRenewed(
                    session_ref=reference,
                    kid=kid,
                    previous_expires_at=timestamp(loaded.deadline),
                    expires_at=timestamp(sealed.deadline),
                    automatic=not session.renewed,
                )
            )
        return self._admitted(*built, *self._large(reference, size, chunks))

    @staticmethod
    def _large(reference: str, size: int, chunks: int) -> tuple[Event, ...]:
        if size < LARGE:
            return ()
        return (events.SessionLarge(what="session", size=size, limit=LARGE, session_ref=reference, chunks=chunks),)

    def ended(self, session: Session, loaded: Loaded) -> Sequence[Event]:
        """Tell of a session that the application ended, by ``destroy`` or by emptying it."""
        if self._level > Level.INFO:
            return ()
        reason = session.reason if session.destroyed and session.reason else "cleared"
        reference = self._refs.session(loaded.record.id)
        return (events.SessionDestroyed(session_ref=reference, kid=loaded.key.kid, reason=reason),)

    def reference(self, record: Record | None) -> str | None:
        """Return the ``session_ref`` of a stored session."""
        return None if record is None else self._refs.session(record.id)

    def reference_of(self, session_id: bytes) -> str:
        """Return the ``session_ref`` of a session by its id."""
        return self._refs.session(session_id)

    def failed(self, record: Record | None, error_type: str) -> Sequence[Event]:
        """Tell of a session that could not be written."""
        return self._admitted(events.SessionSaveFailed(error_type=error_type, session_ref=self.reference(record)))

    def lost(self, record: Record | None, reason: str) -> Sequence[Event]:
        """Tell of a change that did not reach the browser."""
        return self._admitted(events.SessionWriteLost(reason=reason, session_ref=self.reference(record)))

    def oversized(self, record: Record | None, error: SessionTooLargeError) -> Sequence[Event]:
        """Tell of a session that needs more cookies than allowed."""
        return self._admitted(
            events.SessionOversized(
                size=error.size,
                limit=error.limit,
                chunks=error.chunks,
                session_ref=self.reference(record),
                largest_key=error.largest[0][0] if error.largest else None,
            )
        )
