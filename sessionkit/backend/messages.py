"""What the middleware and the backend say to each other: frozen, slotted, and silent about what they carry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sessionkit.wire.codec import ABSENT, Absent, Loaded, Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sessionkit.audit.events import Event
    from sessionkit.exceptions import SessionKitError
    from sessionkit.keyring.keyring import Keyring
    from sessionkit.session import Session

__all__ = [
    "ABSENT",
    "NOTHING",
    "Absent",
    "Inspect",
    "Inspected",
    "Load",
    "Loaded",
    "Message",
    "Migrated",
    "Received",
    "Rejected",
    "Reload",
    "Reloaded",
    "Reply",
    "Save",
    "Saved",
    "Tally",
    "Unsaved",
]


@dataclass(frozen=True, slots=True, repr=False)
class Migrated:
    """A session of another library came; it is written as ours on the first response that may carry it.

    Attributes:
        data: its values.
        source: whose it was.
        created: Unix seconds at which it began.
        payload: what ``data`` is stored as, for comparison at save.
        typed: whether the payload holds tagged values.
        names: cookies that go once it is written: the old ones, and those of ours that were not accepted.
    """

    data: dict[str, Any]
    source: str
    created: float
    payload: bytes
    typed: bool
    names: tuple[str, ...]


Received = Loaded | Migrated | Rejected | Absent


class Load(NamedTuple):
    """Open the session of a request. Replies: ``Loaded``, ``Migrated``, ``Rejected`` or ``Absent``.

    Attributes:
        fields: values of all its Cookie header fields.
        client: the client's address, for ``client_ref`` where that is switched on.
    """

    fields: tuple[bytes, ...]
    client: str | None = None

    def __repr__(self) -> str:
        """Show nothing of it."""
        return "<Load>"


class Save(NamedTuple):
    """Decide what to do with the session of a response. Replies: ``Saved`` or ``Unsaved``.

    Attributes:
        value: what is to be stored: the session, or what the application put in its place; ``None`` to clear.
        session: the session object, for what the application asked of it.
        received: the reply to ``Load``.
        touched: the response depends on the session, so an incidental cookie does no harm.
        shared: the application lets caches store the response, so an incidental cookie would do harm.
        failed: the response is an error whose changes are not kept; ends and clears are.
        scope_type: ``http`` or ``websocket``.
    """

    value: object
    session: Session
    received: Received = ABSENT
    touched: bool = True
    shared: bool = False
    failed: bool = False
    scope_type: str = "http"

    def __repr__(self) -> str:
        """Show nothing of it."""
        return "<Save>"


@dataclass(frozen=True, slots=True, repr=False)
class Reload:
    """Put another ring in force. Reply: ``Reloaded``."""

    keyring: Keyring


@dataclass(frozen=True, slots=True)
class Inspect:
    """Prove to be alive. Reply: ``Inspected``."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Report what each key did since the last tally, as ``keyring.key_usage`` events. Reply: ``Inspected``.

    Attributes:
        all_keys: also keys that did nothing.
    """

    all_keys: bool = False


class Saved(NamedTuple):
    """What to send.

    Attributes:
        cookies: ``Set-Cookie`` values to append; empty if nothing changed.
        names: names of the cookies they set or clear.
        stored: the payload that was dealt with, for telling later writes.
        events: to be emitted once the response has been handed to the server.
        kid: id of the key that the session was sealed under; ``None`` if it was not written.
        lost: why a change is not kept, if one is not.
        id: of the session that was written.
        begun: it is a new one.
    """

    cookies: tuple[bytes, ...] = ()
    names: frozenset[str] = frozenset()
    stored: bytes = b"{}"
    events: tuple[Event, ...] = ()
    kid: str | None = None
    lost: str | None = None
    id: bytes | None = None
    begun: bool = False

    def __repr__(self) -> str:
        """Show names, no values."""
        return f"<Saved {sorted(self.names)}>"


NOTHING = Saved()


@dataclass(frozen=True, slots=True)
class Unsaved:
    """The session cannot be stored. Nothing is to be sent; the browser keeps what it has.

    Attributes:
        error: what to raise in the application.
        events: to be emitted.
    """

    error: SessionKitError
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Reloaded:
    """A ring is in force."""

    digest: str
    generation: int


@dataclass(frozen=True, slots=True)
class Inspected:
    """The backend is alive.

    Attributes:
        digest: of the ring in force.
        generation: likewise.
        active_kid: key that seals now.
        counts: keys by state.
    """

    digest: str
    generation: int
    active_kid: str
    counts: Mapping[str, int]


Message = Load | Save | Reload | Inspect | Tally
Reply = Loaded | Migrated | Rejected | Absent | Saved | Unsaved | Reloaded | Inspected
