"""The session as an application sees it: a dict that knows whether it was touched and what is to become of it.

Rules of this file:

* ``Session`` is a real dict that is filled before the application runs: ``json.dumps``, ``dict(session)`` and
  ``isinstance(session, dict)`` work, and no access needs ``await``.
* Reading sets ``accessed``, writing sets ``modified`` too. Both are hints for headers; whether something is *saved* is
  decided by comparing values, so a change inside a nested list is never lost.
* Its repr shows no key and no value. Copies and pickles are plain dicts.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, SupportsIndex, TypeVar

from sessionkit.exceptions import SessionClosedError

if TYPE_CHECKING:
    from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView

__all__ = ["ID_SIZE", "Asked", "Record", "Session", "SessionInfo", "milliseconds"]

ID_SIZE = 16
"""Octets of a session id: 128 random bits, twice what OWASP asks for."""


def milliseconds(when: float) -> int:
    """Return a Unix time in whole milliseconds, as tokens hold it and as times of sessions are compared.

    Args:
        when: in seconds; a clock that was never set may give less than 0, which is 0.
    """
    return int(when * 1000 + 0.5) if when > 0 else 0


Found_co = TypeVar("Found_co", covariant=True)


class Loader(Protocol[Found_co]):
    """Makes something of a session."""

    def load(self, session: Session, /) -> Found_co:
        """Return it."""


class Record(NamedTuple):
    """What is known of a session beside its data; travels encrypted in the token's header. Times are Unix seconds.

    Attributes:
        id: ``ID_SIZE`` random octets.
        created: start of the absolute window: creation, or the last real login.
        authenticated: time of the last login told by ``regenerate(authenticated=True)``; 0 if there was none.
        issued: when this token was made; the idle time counts from here.
        remember: this session's cookie has a Max-Age although the configuration says browser session.
    """

    id: bytes
    created: float
    authenticated: float
    issued: float
    remember: bool = False


class SessionInfo(NamedTuple):
    """Facts about the cookie a request came with; all empty when it came without one.

    Attributes:
        kid: id of the key that sealed it, in hexadecimal.
        size: octets of the token over all its cookies.
        chunks: number of cookies.
        expires_at: Unix time at which it will be refused if nothing renews it.
        rejected: why a cookie was not accepted, if one was not.
    """

    kid: str | None = None
    size: int = 0
    chunks: int = 0
    expires_at: float | None = None
    rejected: str | None = None


_NO_INFO = SessionInfo()


class Asked:
    """What an application asked of a session beside storing values; nearly no request does, so it is kept apart.

    Attributes:
        destroyed: it is to end.
        renewed: its idle time is to be extended.
        signed_in: Unix time of a login in this request.
        previous_id: the id it came with, if it is to have another.
        reason: of the end, or of the new id; a word for the audit log.
        remember: whether its cookie gets a Max-Age; ``None`` leaves that as it was.
    """

    __slots__ = ("destroyed", "previous_id", "reason", "remember", "renewed", "signed_in")

    def __init__(self) -> None:
        self.destroyed = self.renewed = False
        self.signed_in: float | None = None
        self.previous_id: bytes | None = None
        self.reason: str | None = None
        self.remember: bool | None = None


_NOTHING_ASKED = Asked()
"""Read where nothing was asked, written never."""


class Session(dict[str, Any]):
    """The session of one request.

    Args:
        data: what was stored.
        record: its record, or ``None`` for a new session.
        info: facts about the cookie it came with, or what makes them when they are asked for.
        clock: returns Unix seconds; used by ``regenerate``, ``expired`` and ``require_recent_auth``.

    Attributes:
        accessed: it was read or written.
        modified: it was written.
        asked: what else the application asked of it, ``None`` for nothing; for this package, which looks once here in
            place of at each property below.
        record: as given; ``None`` after ``destroy``.
    """

    # Whoever sets an attribute that a session does not have (``permanent``, a slip of the pen) is told so.
    __slots__ = ("__weakref__", "_clock", "_id", "_info", "_late", "accessed", "asked", "modified", "record")

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        record: Record | None = None,
        info: SessionInfo | Callable[[], SessionInfo] = _NO_INFO,
        clock: Callable[[], float],
    ) -> None:
        # Every request makes one, hence so few attributes, and ``dict`` by name: by ``super()`` it is 0.17 µs more.
        if data:
            dict.__init__(self, data)
        self._clock = clock
        self._info = info
        self._late: tuple[str, bool, Callable[[str], None]] | None = None
        self.asked: Asked | None = None
        self.accessed = self.modified = False
        self.record = record
        self._id = None if record is None else record.id

    # --- what an application may ask of it ----------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The session's id in hexadecimal: stable until ``regenerate`` or ``destroy``. Do not log it."""
        return self.raw_id.hex()

    @property
    def raw_id(self) -> bytes:
        """The session's id: ``ID_SIZE`` octets, made when first asked for."""
        if self._id is None:
            self._id = os.urandom(ID_SIZE)
        return self._id

    @property
    def info(self) -> SessionInfo:
        """Facts about the cookie the request came with."""
        info = self._info
        if not isinstance(info, SessionInfo):
            info = self._info = info()
        return info

    @property
    def destroyed(self) -> bool:
        """Whether the application ended what came."""
        return self.asked is not None and self.asked.destroyed

    @property
    def renewed(self) -> bool:
        """Whether the application asked to extend the idle time."""
        return self.asked is not None and self.asked.renewed

    @property
    def previous_id(self) -> bytes | None:
        """The id that the session came with, if ``regenerate`` has given it another."""
        return (self.asked or _NOTHING_ASKED).previous_id

    @property
    def reason(self) -> str | None:
        """Why it was ended, or got another id: a word for the audit log."""
        return (self.asked or _NOTHING_ASKED).reason

    @property
    def signed_in(self) -> float | None:
        """Unix time of a login in this request."""
        return (self.asked or _NOTHING_ASKED).signed_in

    @signed_in.setter
    def signed_in(self, when: float) -> None:
        self._ask().signed_in = when

    def _ask(self) -> Asked:
        """Return what is asked of the session, to ask something more."""
        if self.asked is None:
            self.asked = Asked()
        return self.asked

    @property
    def created(self) -> float | None:
        """Unix time at which the absolute window began; ``None`` for a session not stored yet."""
        return None if self.record is None else self.record.created

    @property
    def authenticated(self) -> float | None:
        """Unix time of the last login, or ``None``."""
        if self.signed_in is not None:
            return self.signed_in
        return (self.record.authenticated or None) if self.record is not None else None

    @property
    def remember(self) -> bool:
        """Whether the cookie gets a Max-Age although the configuration says browser session; may be set."""
        asked = (self.asked or _NOTHING_ASKED).remember
        if asked is None:
            return self.record is not None and self.record.remember
        return asked

    @remember.setter
    def remember(self, remember: bool) -> None:
        self.mark_modified()
        self._ask().remember = bool(remember)  # of a form, say: ``None`` is a box that was not ticked

    def regenerate(self, *, authenticated: bool = False, reason: str = "privilege_change") -> None:
        """Give the session a new id and keep its data; call it on login and on every change of privilege.

        Args:
            authenticated: the user has just proved who they are: notes the time and begins a new absolute window.
            reason: a word for the audit log.
        """
        self.mark_modified()
        asked = self._ask()
        if asked.previous_id is None and self.record is not None:
            asked.previous_id = self.record.id
        self._id = None
        asked.reason = reason
        if authenticated:
            asked.signed_in = self._clock()

    def load_as(self, model: Loader[Found_co]) -> Found_co:
        """Return what the session holds as a model does: ``session.load_as(CART)``, the same as ``CART.load(session)``.

        Args:
            model: a ``sessionkit.typed.SessionModel``, or whatever else loads from a session.

        Raises:
            TypedSessionError: if it does not fit.
        """
        return model.load(self)

    def renew(self) -> None:
        """Extend the session's idle time on this response, whether or not its data changed."""
        self._tell_if_late()
        self.mark_accessed()
        self._ask().renewed = True

    def destroy(self, reason: str = "logout") -> None:
        """End the session: its data and its cookies go. Writing afterwards begins a new session with a new id."""
        self.mark_modified()
        super().clear()
        renewed = self.renewed
        asked = self.asked = Asked()  # what was asked before was about what ends here
        asked.destroyed, asked.renewed, asked.reason = True, renewed, reason
        self.record = None
        self._id = None

    def expired(self, now: float | None = None) -> bool:
        """Return whether the session has passed its deadline meanwhile, for connections that stay open long."""
        deadline = self.info.expires_at
        return deadline is not None and (self._clock() if now is None else now) >= deadline

    def require_recent_auth(self, seconds: float) -> bool:
        """Return whether the user logged in within the last ``seconds``; presenting the cookie never counts."""
        signed_in = self.authenticated
        return signed_in is not None and self._clock() - signed_in < seconds

    # --- Starlette's protocol -----------------------------------------------------------------------------------------

    def mark_accessed(self) -> None:
        """Note that the response depends on the session."""
        self.accessed = True

    def mark_modified(self) -> None:
        """Note a write; too late a write is reported, or refused in strict mode."""
        self.accessed = self.modified = True
        if self._late is not None:
            self._tell_if_late()

    def _tell_if_late(self) -> None:
        if self._late is None:
            return
        reason, strict, on_late_write = self._late
        if strict:
            raise SessionClosedError(reason)
        on_late_write(reason)

    def close(self, reason: str, strict: bool, on_late_write: Callable[[str], None]) -> None:  # noqa: FBT001 - as above
        """Note that cookies can no longer be sent; used by the middleware.

        Args:
            reason: ``response_started`` or ``websocket_open``.
            strict: later writes raise ``SessionClosedError``.
            on_late_write: told the reason at every later write otherwise.
        """
        self._late = reason, strict, on_late_write

    # --- dict, watched ------------------------------------------------------------------------------------------------

    def __getitem__(self, key: str) -> Any:
        """Read."""
        self.accessed = True
        return dict.__getitem__(self, key)

    def __contains__(self, key: object) -> bool:
        """Read."""
        self.accessed = True
        return super().__contains__(key)

    def __iter__(self) -> Iterator[str]:
        """Read."""
        self.accessed = True
        return super().__iter__()

    def __reversed__(self) -> Iterator[str]:
        """Read."""
        self.accessed = True
        return super().__reversed__()

    def __len__(self) -> int:
        """Read."""
        self.accessed = True
        return super().__len__()

    def __eq__(self, other: object) -> bool:
        """Read."""
        self.accessed = True
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        """Read."""
        self.accessed = True
        return super().__ne__(other)

    __hash__ = None  # as dict has it; naming __eq__ would reset it silently

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:  # type: ignore[override]  # a plain dict, on purpose
        """Read: the union is a plain dict."""
        return {**self, **other}

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:  # type: ignore[override]  # a plain dict, on purpose
        """Read: the union is a plain dict."""
        return {**other, **self}

    def get(self, key: str, default: Any = None) -> Any:
        """Read."""
        self.accessed = True
        return dict.get(self, key, default)

    def keys(self) -> KeysView[str]:  # type: ignore[override]  # typeshed names a private class
        """Read."""
        self.accessed = True
        return super().keys()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]  # typeshed names a private class
        """Read."""
        self.accessed = True
        return super().values()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]  # typeshed names a private class
        """Read."""
        self.accessed = True
        return super().items()

    def copy(self) -> dict[str, Any]:
        """Return a plain dict."""
        return dict(self)

    def __setitem__(self, key: str, value: Any) -> None:
        """Write."""
        self.accessed = self.modified = True
        if self._late is not None:
            self._tell_if_late()
        dict.__setitem__(self, key, value)

    def __delitem__(self, key: str) -> None:
        """Write."""
        self.mark_modified()
        super().__delitem__(key)

    def pop(self, key: str, *default: Any) -> Any:
        """Write, if there is something to take."""
        if key in self:
            self.mark_modified()
        return super().pop(key, *default)

    def popitem(self) -> tuple[str, Any]:
        """Write."""
        self.mark_modified()
        return super().popitem()

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Write, if the key is new."""
        if key not in self:
            self.mark_modified()
        return super().setdefault(key, default)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Write."""
        self.mark_modified()
        super().update(*args, **kwargs)

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]  # typeshed's overloads, folded
        """Write."""
        self.mark_modified()
        super().update(other)
        return self

    def clear(self) -> None:
        """Write: an empty session is cleared from the browser too."""
        self.mark_modified()
        super().clear()

    # --- what leaves it -----------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        """Show how many keys there are, nothing of them; looking is not access."""
        count = super().__len__()
        return f"<Session: {count} {'key' if count == 1 else 'keys'}>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Copy and pickle as a plain dict: no record, no clock, no hooks."""
        return dict, (dict(self),)
