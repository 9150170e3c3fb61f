"""The catalogue: every event is a frozen dataclass with a constant name, a level and flat, typed fields.

Rules of this file:

* The pure core *builds* events, the asynchronous shell *emits* them (``audit.log``). This module imports nothing.
* Fields hold references and numbers: a keyed hash of a session id, the id of a key, sizes, reasons. Never a cookie,
  a payload, a secret, a raw session id, a path or a user agent.
* Names are constant and dotted, fields flat and snake_case (OpenTelemetry's event conventions). Where OWASP's logging
  vocabulary has a word for it, ``owasp`` carries that word.
* ``hostile`` marks what a client can cause at will; only such events may be aggregated.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import IntEnum
from typing import ClassVar

__all__ = [
    "CATALOGUE",
    "SCHEMA",
    "ActorFailed",
    "ActorInline",
    "ActorMessageFailed",
    "ActorOverloaded",
    "ActorRecovered",
    "ActorRestarted",
    "ActorStarted",
    "ActorStopped",
    "AuditChainClosed",
    "AuditOverflow",
    "AuditRecovered",
    "AuditSummary",
    "Event",
    "KeyActivated",
    "KeyPruned",
    "KeyRetired",
    "KeyRevoked",
    "KeyStaged",
    "KeyUsage",
    "KeyringLoaded",
    "KeyringRecovered",
    "KeyringReloadFailed",
    "KeyringReloaded",
    "KeyringUnsafe",
    "Level",
    "RevocationListRecovered",
    "RevocationListUnavailable",
    "RotationOverdue",
    "SessionCacheable",
    "SessionCookieConflict",
    "SessionCreated",
    "SessionDestroyed",
    "SessionDuplicate",
    "SessionExpired",
    "SessionInsecureTransport",
    "SessionLarge",
    "SessionLoaded",
    "SessionMigrated",
    "SessionMigrationOver",
    "SessionMigrationRefused",
    "SessionOversized",
    "SessionRegenerated",
    "SessionRejected",
    "SessionRekeyed",
    "SessionRenewed",
    "SessionRevoked",
    "SessionSaveFailed",
    "SessionUpdated",
    "SessionUseAfterExpire",
    "SessionWriteLost",
    "timestamp",
]

SCHEMA = 1
"""Version of the catalogue, on every line."""


class Level(IntEnum):
    """Severity, with the numbers of Python's logging."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40
    CRITICAL = 50


_LAST = 253_402_300_799.0
"""The end of the year 9999 in Unix seconds."""


def timestamp(when: float) -> str:
    """Return Unix seconds as ISO 8601 in UTC with milliseconds, the one spelling used in all log lines.

    Of what lies beyond, the last date that there is: rings made in code may promise anything, and no request may fail
    because a line cannot be written.
    """
    return datetime.fromtimestamp(min(when, _LAST), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What all events share."""

    name: ClassVar[str]
    level: ClassVar[Level]
    outcome: ClassVar[str] = "success"
    owasp: ClassVar[str | None] = None
    hostile: ClassVar[bool] = False

    @property
    def severity(self) -> Level:
        """The level of this very event, where it depends on a field; else that of its class."""
        return self.level

    @property
    def vocabulary(self) -> str | None:
        """OWASP's word for this very event, where it depends on a field; else that of its class."""
        return self.owasp

    @property
    def category(self) -> str:
        """First word of the name: ``session``, ``keyring``, ``revocation``, ``actor`` or ``audit``."""
        return self.name.partition(".")[0]

    def as_fields(self) -> dict[str, object]:
        """Return the fields of this event alone, without those that are ``None``."""
        pairs = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: value for name, value in pairs if value is not None}


# --- sessions ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCreated(Event):
    """The first cookie of a new session was put on a response."""

    name: ClassVar[str] = "session.created"
    level: ClassVar[Level] = Level.INFO
    owasp: ClassVar[str | None] = "session_created"
    session_ref: str
    kid: str
    expires_at: str
    size: int
    chunks: int
    scope_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLoaded(Event):
    """A cookie was accepted."""

    name: ClassVar[str] = "session.loaded"
    level: ClassVar[Level] = Level.DEBUG
    session_ref: str
    kid: str
    key_state: str
    age: float
    idle: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionMigrated(Event):
    """A session of another library was written as ours; ``session.created`` precedes it."""

    name: ClassVar[str] = "session.migrated"
    level: ClassVar[Level] = Level.INFO
    session_ref: str
    kid: str
    source: str
    age: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionMigrationRefused(Event):
    """A cookie of another library was not taken over."""

    name: ClassVar[str] = "session.migration_refused"
    level: ClassVar[Level] = Level.WARNING
    outcome: ClassVar[str] = "failure"
    owasp: ClassVar[str | None] = "input_validation_fail"
    hostile: ClassVar[bool] = True
    reason: str
    source: str
    cookie: str
    cookie_ref: str
    size: int
    client_ref: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionMigrationOver(Event):
    """At start: the end date of a move has passed, and its entry in the settings can go."""

    name: ClassVar[str] = "session.migration_over"
    level: ClassVar[Level] = Level.WARNING
    source: str
    cookie: str
    until: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionUpdated(Event):
    """A changed session was encrypted again."""

    name: ClassVar[str] = "session.updated"
    level: ClassVar[Level] = Level.DEBUG
    session_ref: str
    kid: str
    size: int
    chunks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRenewed(Event):
    """A session's life was extended: by the application, or (``automatic``) because half of it was over."""

    name: ClassVar[str] = "session.renewed"
    level: ClassVar[Level] = Level.INFO
    owasp: ClassVar[str | None] = "session_renewed"
    session_ref: str
    kid: str
    previous_expires_at: str
    expires_at: str
    automatic: bool

    @property
    def severity(self) -> Level:
        """Sliding renewals happen all day long."""
        return Level.DEBUG if self.automatic else Level.INFO


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRegenerated(Event):
    """A session got a new id, as it must on every change of privilege."""

    name: ClassVar[str] = "session.regenerated"
    level: ClassVar[Level] = Level.INFO
    owasp: ClassVar[str | None] = "session_renewed"
    session_ref: str
    previous_session_ref: str
    kid: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRekeyed(Event):
    """A session that came under an older key was written under the active one."""

    name: ClassVar[str] = "session.rekeyed"
    level: ClassVar[Level] = Level.INFO
    session_ref: str
    previous_kid: str
    previous_key_state: str
    kid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionExpired(Event):
    """A session came soon after its ``idle`` or ``absolute`` deadline. ``expired_for`` is in seconds."""

    name: ClassVar[str] = "session.expired"
    level: ClassVar[Level] = Level.INFO
    outcome: ClassVar[str] = "failure"
    owasp: ClassVar[str | None] = "session_expired"
    session_ref: str
    kid: str
    reason: str
    expired_for: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionUseAfterExpire(Event):
    """A session was presented long after its deadline: an old cookie kept, or replayed."""

    name: ClassVar[str] = "session.use_after_expire"
    level: ClassVar[Level] = Level.WARNING
    outcome: ClassVar[str] = "failure"
    owasp: ClassVar[str | None] = "session_use_after_expire"
    hostile: ClassVar[bool] = True
    session_ref: str
    kid: str
    reason: str
    expired_for: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDestroyed(Event):
    """The application ended a session."""

    name: ClassVar[str] = "session.destroyed"
    level: ClassVar[Level] = Level.INFO
    owasp: ClassVar[str | None] = "session_expired"  # whose reasons, says OWASP, include a logout
    session_ref: str
    kid: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRevoked(Event):
    """A session was refused by rule: ``key_revoked`` (then nothing in it is trusted), or begun ``not_before``.

    Or by the list of revocations: ``terminated``, or begun before the sessions of its ``subject`` were revoked.
    """

    name: ClassVar[str] = "session.revoked"
    level: ClassVar[Level] = Level.WARNING
    outcome: ClassVar[str] = "failure"
    hostile: ClassVar[bool] = True
    kid: str
    reason: str
    cookie_ref: str | None = None
    session_ref: str | None = None
    client_ref: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRejected(Event):
    """A cookie was not accepted. ``kid`` is given only if the ring knows it; ``delta`` (s) for clocks that differ."""

    name: ClassVar[str] = "session.rejected"
    level: ClassVar[Level] = Level.WARNING
    outcome: ClassVar[str] = "failure"
    owasp: ClassVar[str | None] = "input_validation_fail"
    hostile: ClassVar[bool] = True
    reason: str
    cookie_ref: str
    size: int
    chunks: int
    kid: str | None = None
    delta: float | None = None
    client_ref: str | None = None

    @property
    def vocabulary(self) -> str | None:
        """Where a key was there to try, decryption failed; otherwise what came was no cookie of ours to begin with."""
        return "crypt_decrypt_fail" if self.reason in {"bad_tag", "wrong_context"} else self.owasp


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDuplicate(Event):
    """Two authentic cookies of one name arrived; the newer one was used."""

    name: ClassVar[str] = "session.duplicate"
    level: ClassVar[Level] = Level.DEBUG
    hostile: ClassVar[bool] = True
    session_ref: str
    kid: str
    candidates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOversized(Event):
    """Too much to store: nothing was sent, the browser keeps what it had."""

    name: ClassVar[str] = "session.oversized"
    level: ClassVar[Level] = Level.ERROR
    outcome: ClassVar[str] = "failure"
    size: int
    limit: int
    chunks: int
    session_ref: str | None = None
    largest_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLarge(Event):
    """A session, or the request's whole Cookie header, nears what servers and proxies accept (``limit``, octets)."""

    name: ClassVar[str] = "session.large"
    level: ClassVar[Level] = Level.WARNING
    hostile: ClassVar[bool] = True
    what: str
    size: int
    limit: int
    session_ref: str | None = None
    chunks: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSaveFailed(Event):
    """A session could not be written; the error went to the application."""

    name: ClassVar[str] = "session.save_failed"
    level: ClassVar[Level] = Level.ERROR
    outcome: ClassVar[str] = "failure"
    error_type: str
    session_ref: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionWriteLost(Event):
    """A change did not reach the browser: it came too late, or the response was an error."""

    name: ClassVar[str] = "session.write_lost"
    level: ClassVar[Level] = Level.WARNING
    outcome: ClassVar[str] = "failure"
    reason: str
    session_ref: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCookieConflict(Event):
    """The application set a cookie with the session's own name; the session's took its place."""

    name: ClassVar[str] = "session.cookie_conflict"
    level: ClassVar[Level] = Level.WARNING
    hostile: ClassVar[bool] = True
    cookie: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCacheable(Event):
    """A response that caches may store carries a session cookie."""

    name: ClassVar[str] = "session.cacheable_set_cookie"
    level: ClassVar[Level] = Level.WARNING
    hostile: ClassVar[bool] = True
    cookie: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInsecureTransport(Event):
    """A Secure cookie was set over plain HTTP: browsers drop it. Said once per process."""

    name: ClassVar[str] = "session.insecure_transport"
    level: ClassVar[Level] = Level.WARNING
    outcome: ClassVar[str] = "failure"
    cookie: str


# --- keyring ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyringLoaded(Event):
    """The first ring of this process is in force."""

    name: ClassVar[str] = "keyring.loaded"
    level: ClassVar[Level] = Level.INFO
    digest: str
    generation: int
    active_kid: str
    staged: int
    retired: int
    revoked: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyringReloaded(Event):
    """A different, valid ring took over. ``trigger`` is what made us look, ``duration`` is in seconds."""

    name: ClassVar[str] = "keyring.reloaded"
    level: ClassVar[Level] = Level.INFO
    digest: str
    previous_digest: str
    generation: int
    active_kid: str
    staged: int
    retired: int
    revoked: int
    trigger: str
    duration: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyringReloadFailed(Event):
    """A new ring was refused; the one named by ``digest`` keeps serving. ``stale_for`` (s): since the first refusal."""

    name: ClassVar[str] = "keyring.reload_failed"
    level: ClassVar[Level] = Level.ERROR
    outcome: ClassVar[str] = "failure"
    error_type: str
    location: str
    problem: str
    digest: str
    generation: int
    consecutive_failures: int
    stale_for: float
    trigger: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyringUnsafe(Event):
    """A ring was taken although it breaks a safety condition (``C1`` … ``C4``) by its dates, or after one missed."""

    name: ClassVar[str] = "keyring.unsafe"
    level: ClassVar[Level] = Level.WARNING
    condition: str
    problem: str
    digest: str
    generation: int
    kid: str | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyringRecovered(Event):
    """The file is good again after ``failures`` looks in a row that refused it, over ``stale_for`` seconds."""

    name: ClassVar[str] = "keyring.recovered"
    level: ClassVar[Level] = Level.INFO
    digest: str
    generation: int
    failures: int
    stale_for: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _KeyEvent(Event):
    """What happened to one key of a ring; ``digest`` and ``generation`` are of the ring it happened in."""

    kid: str
    label: str
    state: str
    digest: str
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStaged(_KeyEvent):
    """A key can now open cookies and will seal them once its time has come."""

    name: ClassVar[str] = "keyring.key_staged"
    level: ClassVar[Level] = Level.INFO
    activates_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyActivated(_KeyEvent):
    """A key seals from now on: by a publish, or because its time has come."""

    name: ClassVar[str] = "keyring.key_activated"
    level: ClassVar[Level] = Level.INFO


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRetired(_KeyEvent):
    """A key seals no more and still opens."""

    name: ClassVar[str] = "keyring.key_retired"
    level: ClassVar[Level] = Level.INFO
    prune_after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPruned(_KeyEvent):
    """A key is gone; its cookies are now ``unknown_key``. A warning if it went before its time."""

    name: ClassVar[str] = "keyring.key_pruned"
    level: ClassVar[Level] = Level.INFO
    prune_after: str | None = None
    early: bool = False

    @property
    def severity(self) -> Level:
        """Pruning early loses sessions."""
        return Level.WARNING if self.early else Level.INFO


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRevoked(_KeyEvent):
    """A key is refused from now on, with every session that hangs on it."""

    name: ClassVar[str] = "keyring.key_revoked"
    level: ClassVar[Level] = Level.WARNING


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUsage(Event):
    """What one key did in ``window`` seconds: how often it opened, sealed, was re-encrypted from, and failed."""

    name: ClassVar[str] = "keyring.key_usage"
    level: ClassVar[Level] = Level.INFO
    kid: str
    state: str
    digest: str
    generation: int
    window: float
    opened: int
    sealed: int
    rekeyed_from: int
    failed: int
    last_opened_at: str | None = None
    last_sealed_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationOverdue(Event):
    """The active key is past its planned life (seconds) and no successor took over."""

    name: ClassVar[str] = "keyring.rotation_overdue"
    level: ClassVar[Level] = Level.WARNING
    kid: str
    digest: str
    generation: int
    active_for: float
    max_age: float


# --- the list of revocations ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationListUnavailable(Event):
    """The list of revocations does not answer; ``policy`` says what holds. At most once a minute."""

    name: ClassVar[str] = "revocation.unavailable"
    level: ClassVar[Level] = Level.ERROR
    outcome: ClassVar[str] = "failure"
    error_type: str
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationListRecovered(Event):
    """The list answers again after ``failures`` questions without an answer; the policy decided ``unchecked`` times."""

    name: ClassVar[str] = "revocation.recovered"
    level: ClassVar[Level] = Level.INFO
    failures: int
    unchecked: int
    unavailable_for: float


# --- actor ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorStarted(Event):
    """The backend serves from now on."""

    name: ClassVar[str] = "actor.started"
    level: ClassVar[Level] = Level.INFO
    owasp: ClassVar[str | None] = "sys_startup"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorStopped(Event):
    """The backend has drained its mailbox and stopped."""

    name: ClassVar[str] = "actor.stopped"
    level: ClassVar[Level] = Level.INFO
    owasp: ClassVar[str | None] = "sys_shutdown"
    handled: int
    unanswered: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorRestarted(Event):
    """The loop crashed and was started again; the mailbox was kept."""

    name: ClassVar[str] = "actor.restarted"
    level: ClassVar[Level] = Level.ERROR
    outcome: ClassVar[str] = "failure"
    owasp: ClassVar[str | None] = "sys_restart"
    error_type: str
    where: str
    restarts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorFailed(Event):
    """The loop crashed too often and stays down: requests that carry a session are answered with 503."""

    name: ClassVar[str] = "actor.failed"
    level: ClassVar[Level] = Level.CRITICAL
    outcome: ClassVar[str] = "failure"
    owasp: ClassVar[str | None] = "sys_crash"
    error_type: str
    where: str
    restarts: int
    unanswered: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorMessageFailed(Event):
    """A handler raised; its caller alone was told."""

    name: ClassVar[str] = "actor.message_failed"
    level: ClassVar[Level] = Level.ERROR
    outcome: ClassVar[str] = "failure"
    message_type: str
    error_type: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorOverloaded(Event):
    """The mailbox is full; asks are refused until it has room."""

    name: ClassVar[str] = "actor.overloaded"
    level: ClassVar[Level] = Level.ERROR
    outcome: ClassVar[str] = "failure"
    depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorRecovered(Event):
    """The mailbox has room again after ``rejected`` refusals."""

    name: ClassVar[str] = "actor.recovered"
    level: ClassVar[Level] = Level.INFO
    rejected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorInline(Event):
    """No lifespan runs the actor: the same behaviour serves inside each request. Said once."""

    name: ClassVar[str] = "actor.inline"
    level: ClassVar[Level] = Level.INFO
    reason: str


# --- audit itself -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSummary(Event):
    """What was counted instead of written: ``count`` more events named ``summarised`` of one kind in one window."""

    name: ClassVar[str] = "audit.summary"
    level: ClassVar[Level] = Level.WARNING
    summarised: str
    count: int
    first_seen: str
    last_seen: str
    reason: str | None = None
    client_ref: str | None = None

    @property
    def severity(self) -> Level:
        """As severe as what was counted."""
        counted = CATALOGUE.get(self.summarised)
        return self.level if counted is None else counted.level


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditOverflow(Event):
    """More kinds of events at once than the bounded table holds: ``count`` were counted here alone."""

    name: ClassVar[str] = "audit.overflow"
    level: ClassVar[Level] = Level.WARNING
    count: int
    first_seen: str
    last_seen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecovered(Event):
    """Lines are written again after ``count`` were lost to a sink that failed, or to a full queue (``error_type``)."""

    name: ClassVar[str] = "audit.recovered"
    level: ClassVar[Level] = Level.WARNING
    outcome: ClassVar[str] = "failure"
    error_type: str
    count: int
    first_seen: str
    last_seen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditChainClosed(Event):
    """The hash chains of this process end in order; the line's ``chain_heads`` say how many lines each has."""

    name: ClassVar[str] = "audit.chain_closed"
    level: ClassVar[Level] = Level.INFO
    chains: int


def _catalogue(base: type[Event] = Event) -> dict[str, type[Event]]:
    named: dict[str, type[Event]] = {}
    for kind in base.__subclasses__():
        if hasattr(kind, "name"):
            named[kind.name] = kind
        named |= _catalogue(kind)
    return named


CATALOGUE = _catalogue()
"""Every event by name."""
