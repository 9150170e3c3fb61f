"""What the list of revocations means for a session: where one comes in, where its cookie is written, where it ends.

Rules of this file:

* A session that came is looked up once, by its id and by its subject, before the application sees it.
* A cookie is written only while the session it continues still stands, by the list itself: what a logout has ended
  meanwhile is not renewed by a response that was slower.
* An id ends with ``destroy``, with an emptied session, and when the session goes on under another id. An end is told to
  the list before the response that tells the browser.
* A session that changes hands is another session: where the entry named by ``subject_key`` changes, the id does too,
  also where the application forgot ``regenerate``. So a user's id that is dropped from a session is a logout.
* Ids and subjects leave as marks: keyed hashes, bound to the ``context`` that sessions are sealed for.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import UUID

import anyio

from sessionkit.backend.messages import Loaded, Migrated, Rejected, Save, Saved
from sessionkit.exceptions import ConfigurationError, RejectReason, SerializationError
from sessionkit.migrate.old import OldRefusal
from sessionkit.migrate.reader import Refused
from sessionkit.revocation.guard import Guard
from sessionkit.revocation.lists import RevocationUnavailable, Standing
from sessionkit.revocation.memory import MemoryRevocationList
from sessionkit.session import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sessionkit.audit.events import Event
    from sessionkit.backend.messages import Load
    from sessionkit.backend.trail import Trail
    from sessionkit.config import SessionConfig
    from sessionkit.revocation.lists import RevocationList
    from sessionkit.revocation.settings import RevocationConfig

__all__ = ["Gate", "list_of"]

_MARK = 20
"""Octets of a mark: 160 bits, so that no two sessions share one."""


def list_of(settings: RevocationConfig, *, clock: Callable[[], float]) -> RevocationList:
    """Return the list that resolved settings name.

    Raises:
        ConfigurationError: if they name none, or redis-py is not installed.
    """
    if settings.memory:
        return MemoryRevocationList(clock=clock)
    address = settings.address
    if address is None:
        raise ConfigurationError(
            "revocation", "names no list", "Give redis: redis://HOST, memory: true, or in code a RevocationList."
        )
    try:
        from sessionkit.revocation.redis import RedisRevocationList  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "redis":
            raise
        raise ConfigurationError(
            "revocation.redis", "needs redis-py", "Install it: pip install 'asgi-sessionkit[redis]'."
        ) from None
    return RedisRevocationList(address, timeout=settings.timeout, prefix=settings.prefix)


class Gate:
    """Lets sessions in and out that have not been revoked.

    Args:
        revocations: the list.
        settings: resolved.
        config: of the sessions.
        key: key of the marks.
        skew: returns the seconds that clocks may differ by.
        clock: returns Unix seconds.
        trail: builds events.
        emit: takes them.
    """

    __slots__ = ("_clock", "_emit", "_guard", "_key", "_lifetime", "_skew", "_subject_key", "_trail")

    def __init__(
        self,
        revocations: RevocationList,
        settings: RevocationConfig,
        config: SessionConfig,
        *,
        key: bytes,
        skew: Callable[[], float],
        clock: Callable[[], float],
        trail: Trail,
        emit: Callable[[Iterable[Event]], None],
    ) -> None:
        self._guard = Guard(revocations, settings, clock=clock, emit=emit)
        self._subject_key = settings.subject_key
        self._key = hmac.digest(key, b"sessionkit revocation\0" + config.context.encode("utf-8"), hashlib.sha256)
        own = min(config.lifetime, config.absolute_max_age or config.lifetime)
        self._lifetime = max(own, *(old.age for old in config.migrate)) if config.migrate else own
        self._skew = skew
        self._clock = clock
        self._trail = trail
        self._emit = emit

    def __repr__(self) -> str:
        """Show whether the list answers."""
        return f"<Gate: the list {'does not answer' if self.unavailable else 'answers'}>"

    @property
    def unavailable(self) -> bool:
        """Whether the list did not answer when it was asked last."""
        return self._guard.unavailable

    async def start(self) -> None:
        """Get ready for the loop that runs now.

        Raises:
            ConfigurationError: if the list cannot work on it.
        """
        await self._guard.start()

    async def aclose(self) -> None:
        """Let go of what that loop held."""
        await self._guard.aclose()

    # --- in -----------------------------------------------------------------------------------------------------------

    async def admit(self, received: Loaded | Migrated, load: Load) -> Loaded | Migrated | Rejected:
        """Return a session that came, or why it is refused.

        Args:
            received: the session.
            load: the request it came with.

        Raises:
            RevocationUnavailable: if the list does not answer, and the policy is ``closed``.
            ConfigurationError: if the list cannot work on this loop.
        """
        session = self._mark(b"t", received.record.id) if isinstance(received, Loaded) else None
        subject = self._subject_mark(_named(received.data.get(self._subject_key)) if self._subject_key else None)
        if session is None and subject is None:
            return received
        standing = await self._guard.standing(session, subject)
        begun = received.record.created if isinstance(received, Loaded) else received.created
        reason = _refusal(standing, begun)
        if reason is None:
            return received
        if isinstance(received, Migrated):
            value = _value(load.fields, received.names)
            refused = Refused(received.source, received.names[0], OldRefusal.REVOKED, value)
            self._emit(self._trail.not_migrated(refused, load.client))
            return Rejected(reason, received.names)
        self._emit(self._trail.revoked(received, reason.value, load.client))
        return Rejected(
            reason,
            received.names + received.stale,
            size=received.size,
            chunks=len(received.names),
            key=received.key,
            record=received.record,
        )

    # --- out ----------------------------------------------------------------------------------------------------------

    def prepare(self, request: Save) -> None:
        """Give a session that changes hands another id, before it is saved.

        Raises:
            SerializationError: if what names the subject cannot.
        """
        problem = self._change_hands(request)
        if problem is not None:  # raised here, where no frame holds the session's values
            self._emit(self._trail.failed(request.session.record, SerializationError.__name__))
            raise SerializationError(f'session["{self._subject_key}"]', problem)

    def _change_hands(self, request: Save) -> str | None:
        """Give a session that changes hands another id; return what is wrong with what should name its subject."""
        key, session, received = self._subject_key, request.session, request.received
        if key is None or request.failed:
            return None
        goes_on = received if isinstance(received, Loaded | Migrated) and not session.destroyed else None
        entry, entered = _entry(request.value, key), None if goes_on is None else goes_on.data.get(key)
        subject, before = _named(entry), _named(entered)
        if subject is None and entry is not None and entry not in ("", entered):
            return f"is a {type(entry).__name__}; revocation.subject_key wants text, an integer or a UUID there"
        if subject == before:
            return None
        if isinstance(goes_on, Loaded) and session.raw_id == goes_on.record.id:
            session.regenerate(authenticated=subject is not None, reason="subject_changed")
        elif subject is not None and session.signed_in is None:
            session.signed_in = self._clock()
        return None

    async def confirm(self, request: Save, saved: Saved) -> Saved:
        """Return what was decided about a response, unless the session was revoked meanwhile.

        Args:
            request: what was to be saved.
            saved: what was decided.

        Raises:
            RevocationUnavailable: if the list does not answer, and the policy is ``closed``.
            ConfigurationError: if the list cannot work on this loop.
        """
        session, written = request.session, saved.kid is not None
        loaded = request.received if isinstance(request.received, Loaded) else None
        ends = loaded is not None and (
            session.destroyed
            or (session.raw_id != loaded.record.id if written else saved.names.issuperset(loaded.names))
        )
        subject = self._subject_mark(_named(_entry(request.value, self._subject_key))) if written else None
        if not ends and not (written and (loaded is not None or subject is not None)):
            return saved
        standing = await self._guard.settle(
            None if loaded is None else self._mark(b"t", loaded.record.id),
            subject,
            terminate_for=self._keep_for() if ends else None,
            definite=session.destroyed or not written,
        )
        if not written:
            return saved
        if session.destroyed:
            standing = standing._replace(terminated=False)  # what is written has nothing to do with what ended
        reason = _refusal(standing, self._begun(request))
        if reason is None:
            return saved
        # As where its key was revoked meanwhile: the cookie stays, and the next request is refused for it.
        return Saved(
            stored=saved.stored,
            events=tuple(self._trail.lost(None if loaded is None else loaded.record, reason.value)),
            lost=reason.value,
        )

    def _begun(self, request: Save) -> float:
        """Return when the session that was written begins, as the backend reckons it."""
        session, received = request.session, request.received
        if session.signed_in is not None:
            return session.signed_in
        if session.destroyed or not isinstance(received, Loaded | Migrated):
            return self._clock()
        return received.record.created if isinstance(received, Loaded) else received.created

    async def end(self, session_id: bytes) -> None:
        """End a session whose cookies could not be cleared: the response was under way already, or there was none.

        Never raises for want of an answer: then it is told to the list later.
        """
        with anyio.CancelScope(shield=True):  # the client may be gone; the list has a deadline
            try:
                await self._guard.settle(
                    self._mark(b"t", session_id), None, terminate_for=self._keep_for(), definite=True
                )
            except RevocationUnavailable:
                return

    async def revoke_subject(self, subject: str | int | UUID) -> None:
        """Revoke all sessions of a subject that began before now; see ``sessionkit.revocation.subjects``.

        Raises:
            ConfigurationError: if no entry of the session says whose it is.
            TypeError: if that names no subject.
            RevocationUnavailable: if the list did not take it down, whatever the policy.
        """
        if self._subject_key is None:
            raise ConfigurationError(
                "revocation.subject_key", "is missing", "Name the entry of the session that says whose it is."
            )
        mark = self._subject_mark(_named(subject))
        if mark is None:
            problem = f"a subject is text that is not empty, an integer or a UUID; this is a {type(subject).__name__}"
            raise TypeError(problem)
        await self._guard.revoke(mark, self._clock(), keep_for=self._keep_for())

    # --- marks --------------------------------------------------------------------------------------------------------

    def _keep_for(self) -> float:
        """Return for how long a cookie may still be accepted that was issued by any host until now."""
        return self._lifetime + self._skew()

    def _mark(self, kind: bytes, value: bytes) -> bytes:
        return hmac.digest(self._key, kind + value, hashlib.sha256)[:_MARK]

    def _subject_mark(self, subject: str | None) -> bytes | None:
        return None if subject is None else self._mark(b"s", subject.encode("utf-8", "surrogatepass"))


def _named(value: object) -> str | None:
    """Return the text that names a subject: 7 and "7" are the same; ``None`` if it names nobody."""
    if isinstance(value, str):
        return str.__str__(value) or None
    if isinstance(value, int | UUID) and not isinstance(value, bool):
        return str(value)
    return None


def _entry(value: object, key: str | None) -> object:
    """Return an entry of what is to be stored: a dict, or an object in the session's place. Looking is no access."""
    if key is None:
        return None
    if isinstance(value, dict):
        return dict.get(value, key)
    return value.get(key) if isinstance(value, Mapping) else getattr(value, key, None)


def _refusal(standing: Standing, begun: float) -> RejectReason | None:
    if standing.terminated:
        return RejectReason.TERMINATED
    if milliseconds(begun) < milliseconds(standing.not_before):  # as cookies hold it
        return RejectReason.SUBJECT
    return None


def _value(fields: Sequence[bytes], names: Sequence[str]) -> bytes:
    """Return the values of some cookies together, for a reference."""
    wanted = {name.encode("ascii") for name in names}
    pairs = (pair.strip(b" \t").partition(b"=") for field in fields for pair in field.split(b";"))
    return b"".join(value for name, _, value in pairs if name in wanted)
