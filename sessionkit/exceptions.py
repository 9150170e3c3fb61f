"""Every error sessionkit raises, under one root, and the closed list of reasons a cookie is refused for.

Rules of this file:

* An error says what is wrong, where, and what to do about it. Evidence is kept in attributes.
* No message, attribute or repr ever holds a secret, a cookie or a payload. Errors that stem from such a value are
  raised ``from None`` where they start, so that no traceback shows it either.
* A refused cookie is a reply (see ``backend.messages.Rejected``), never an exception that reaches an application.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "ActorError",
    "AskTimeout",
    "ConfigurationError",
    "KeyringError",
    "MessageFailed",
    "NotRunning",
    "Overloaded",
    "RejectReason",
    "RotationRefused",
    "SerializationError",
    "SessionClosedError",
    "SessionKitError",
    "SessionKitWarning",
    "SessionTooLargeError",
]


class RejectReason(StrEnum):
    """Why a cookie was not accepted. Closed: dashboards and queries may rely on these words."""

    MALFORMED = "malformed"
    """Not base64url, too short, or octets that no cookie value may hold."""
    TOO_LARGE = "too_large"
    """Longer than this configuration could ever have written."""
    CHUNK_MISSING = "chunk_missing"
    """A part of a split session did not arrive, or parts of two writes were mixed."""
    UNSUPPORTED_VERSION = "unsupported_version"
    """Written by another release of the format. The cookie is kept."""
    UNKNOWN_KEY = "unknown_key"
    """Names a key this ring does not hold (yet, or any more). The cookie is kept."""
    BAD_TAG = "bad_tag"
    """The key is known, the bytes are not what it sealed (also: sealed for another name or context)."""
    WRONG_CONTEXT = "wrong_context"
    """Sealed for another audience, where that can be told apart from altered bytes."""
    NOT_YET_VALID = "not_yet_valid"
    """Issued in the future by more than the clocks may differ. The cookie is kept: only a node of ours can have made
    it, so it is a clock of ours that is wrong."""
    EXPIRED = "expired"
    """Past its idle or its absolute limit."""
    REVOKED = "revoked"
    """Sealed under a revoked key, or begun before the ring's ``not_before``."""
    BAD_PAYLOAD = "bad_payload"
    """Authentic, but not a session this release can read."""
    TERMINATED = "terminated"
    """Ended by a logout, or replaced under another id, says the list of revocations. The cookie is kept: of requests
    that overtake each other, a late one brings the old id when the browser holds the new session already."""
    SUBJECT = "subject"
    """Begun before all sessions of its subject were revoked. The cookie is kept, as above."""

    @property
    def keeps_cookie(self) -> bool:
        """Whether the browser's cookie is left alone.

        Another node, or this one a moment later, may well open it; or what the browser holds by now is another one.
        """
        return self in _KEPT


_KEPT = frozenset(
    {
        RejectReason.UNKNOWN_KEY,
        RejectReason.UNSUPPORTED_VERSION,
        RejectReason.NOT_YET_VALID,
        RejectReason.TERMINATED,
        RejectReason.SUBJECT,
    }
)


class SessionKitError(Exception):
    """Root of all errors of this package."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel between processes: rebuilt without the constructor, which takes evidence and makes the message."""
        return _rebuilt, (type(self), self.args), vars(self)


def _rebuilt(kind: type[SessionKitError], args: tuple[Any, ...]) -> SessionKitError:
    return kind.__new__(kind, *args)


class SessionKitWarning(UserWarning):
    """Category of the warnings given at start-up for settings that work but are likely a mistake."""


class ConfigurationError(SessionKitError, ValueError):
    """A setting cannot be used.

    Attributes:
        field: name of the setting, dotted where nested, e.g. ``"samesite"``.
        problem: what is wrong with its value.
        remedy: what to write instead.
        path: the file it was read from, if any.
        line: its line in that file, counted from 1, if known.
    """

    def __init__(
        self,
        field: str,
        problem: str,
        remedy: str,
        *,
        path: Path | None = None,
        line: int | None = None,
    ) -> None:
        self.field = field
        self.problem = problem
        self.remedy = remedy
        self.path = path
        self.line = line
        where = "" if path is None else f"{path}: " if line is None else f"{path}:{line}: "
        super().__init__(f"{where}{field}: {problem}. {remedy}")


class KeyringError(ConfigurationError):
    """A keyring, or the file that describes it, cannot be used.

    Attributes:
        label: label of the key at fault, if one key is.
    """

    def __init__(
        self,
        field: str,
        problem: str,
        remedy: str,
        *,
        label: str | None = None,
        path: Path | None = None,
        line: int | None = None,
    ) -> None:
        self.label = label
        named = field if label is None else f"key {label!r}: {field}"
        super().__init__(named, problem, remedy, path=path, line=line)
        self.field = field


class RotationRefused(SessionKitError):  # noqa: N818 - says what happened, as the command line puts it
    """A step of a rotation would lose sessions.

    Attributes:
        reason: which condition it breaks.
        allowed_at: Unix time in seconds from which the step is safe, or ``None`` if waiting does not help.
    """

    def __init__(self, reason: str, *, allowed_at: float | None = None) -> None:
        self.reason = reason
        self.allowed_at = allowed_at
        super().__init__(reason)


class SerializationError(SessionKitError, TypeError):
    """A session holds a value that cannot be stored.

    Attributes:
        path: where it stands, e.g. ``session["cart"][3].owner``.
        problem: its type and what is wrong with it; never the value.
    """

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}")


class SessionTooLargeError(SessionKitError, ValueError):
    """A session needs more cookies than allowed. Nothing was sent; the browser keeps the old one.

    Attributes:
        size: octets of the token.
        limit: octets that fit.
        chunks: cookies it would have taken.
        max_chunks: cookies allowed.
        largest: names of the largest entries and their serialised octets, largest first.
    """

    def __init__(
        self, *, size: int, limit: int, chunks: int, max_chunks: int, largest: tuple[tuple[str, int], ...] = ()
    ) -> None:
        self.size = size
        self.limit = limit
        self.chunks = chunks
        self.max_chunks = max_chunks
        self.largest = largest
        named = ", ".join(f"{key!r} ({octets} octets)" for key, octets in largest)
        super().__init__(
            f"the session needs {size} octets in {chunks} cookies; {limit} octets in {max_chunks} fit. "
            f"Store less{f'; largest entries: {named}' if named else ''}, or raise max_chunks."
        )


class SessionClosedError(SessionKitError, RuntimeError):
    """A session was written after its cookies had been sent (raised only with ``strict=True``).

    Attributes:
        reason: ``response_started`` or ``websocket_open``.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"this write cannot reach the browser any more: {reason}. Write before the response starts.")


class ActorError(SessionKitError):
    """An ask ended without a reply."""


class NotRunning(ActorError):  # noqa: N818 - the actor world's own words, fixed by the public contract
    """The actor is not running: draining, failed, or its host is gone."""


class Overloaded(ActorError):  # noqa: N818 - as above
    """The mailbox is full; the message was not accepted."""


class AskTimeout(ActorError):  # noqa: N818 - as above
    """No reply within the time the caller gave."""


class MessageFailed(ActorError):  # noqa: N818 - as above
    """The handler raised. Other messages are not affected.

    Attributes:
        error_type: class name of what it raised; neither its text nor its traceback, which may hold a payload.
    """

    def __init__(self, error_type: str) -> None:
        self.error_type = error_type
        super().__init__(f"the handler raised {error_type}")
