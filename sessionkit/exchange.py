"""One connection: its session, what becomes of it, and the application's messages on their way out.

Rules of this file:

* Cookies are decided once, exactly at the final ``http.response.start`` (or ``websocket.accept``), and appended to a
  new list of headers; what the application sent is never changed in place. Where nobody had touched the session when
  ``send`` was called, nothing is decided any more, and what is written from then on comes too late.
* State lies in one object per connection, reachable through the scope by reference; no context variable, lock or cancel
  scope is bound to the task that called us, so the application may send from any task.
* Nothing waits for the garbage collector: neither session nor scope holds on to an exchange that is through.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast

from sessionkit.asgi import marked
from sessionkit.audit import events
from sessionkit.backend.backend import is_cleared
from sessionkit.backend.messages import (
    ABSENT,
    NOTHING,
    Loaded,
    Migrated,
    Received,
    Rejected,
    Reply,
    Save,
    Saved,
    Unsaved,
)
from sessionkit.canonical import Account, SessionOutcome
from sessionkit.exceptions import ActorError, SessionKitError
from sessionkit.headers import ORDINARY, Survey, sets_cookie, survey
from sessionkit.revocation.lists import RevocationUnavailable
from sessionkit.session import Session, SessionInfo

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionkit.asgi import ASGIMessage, Scope, Send
    from sessionkit.audit.events import Event
    from sessionkit.backend.service import SessionService
    from sessionkit.config import SessionConfig
    from sessionkit.revocation.gate import Gate

__all__ = ["Exchange", "Registry", "session_of"]

_MISSING = object()
_new = tuple.__new__
"""Makes a named tuple past its own constructor, as in ``wire.straight``."""

_NONE = b""
"""In the place of the id of the session that the browser holds: none. ``None`` is the one that it came with."""

_FINAL = frozenset({"http.response.start", "websocket.http.response.start"})
_CLOSED = {"http": "response_started", "websocket": "websocket_open"}


class Middleware(Protocol):
    """What an exchange asks of the middleware it belongs to; settings are ``SessionConfig``'s.

    Attributes:
        key: the cookie's name.
        config: all settings.
        strict: likewise, as are the next two: what every connection asks for.
        save_on_error: likewise.
        cache_control: as octets.
        clock: returns Unix seconds.
        service: answers messages.
        gate: what asks the list of revocations, if there is one.
    """

    key: str
    config: SessionConfig
    strict: bool
    save_on_error: bool
    cache_control: bytes | None
    clock: Callable[[], float]
    service: SessionService
    gate: Gate | None

    def opted_out(self, scope: Scope) -> bool:
        """Tell whether the route says no."""

    def tell_insecure(self, scope: Scope) -> None:
        """Say once that a Secure cookie was set over plain HTTP."""


class Registry(dict[str, Any]):
    """The sessions of one connection by cookie name.

    Attributes:
        owners: whose they are, from the outside in.
        accounts: what became of them; stays when they are through.
    """

    __slots__ = ("accounts", "owners")
    owners: dict[str, Exchange]
    accounts: dict[str, Account]


class Exchange:
    """One connection: its session, what became of it, and the application's messages on their way out.

    No slots: what nearly no connection sets stands here once, instead of being set for each.
    """

    decided = False
    """Its cookies are: what is written from now on comes too late."""

    _closed: str | None = None
    _outer: object = _MISSING
    _others = False
    _held: bytes | None = None
    """Id of the session that the browser holds, if it is another than came; kept only where there is a gate."""

    def __init__(
        self, middleware: Middleware, scope: Scope, send: Send, received: Received, registry: Registry
    ) -> None:
        self._middleware = middleware
        self._scope = scope
        self._send = send
        self._received = received
        self._registry = registry
        session = self._session = session_of(received, middleware.clock)
        if "session" in scope:
            self._outer = outer = scope["session"]
            self._others = not isinstance(outer, Session)
        name = middleware.key
        registry[name] = scope["session"] = session
        registry.owners[name] = self
        self._account = registry.accounts[name] = Account(middleware.service, received)

    @property
    def service(self) -> SessionService:
        """Whose session it is."""
        return self._middleware.service

    def unanswered(self, reason: str) -> None:
        """Tell what is lost where the application is through and cookies were never decided."""
        if not self.decided and self._changed():
            self._lost(reason)

    def finish(self) -> None:
        """Leave the scope as it was found."""
        account = self._account
        account.finished = True
        if self._closed is not None:
            reason = account.late
            if reason is None and self._changed():
                reason = self._closed
            if reason is not None:
                self._lost(reason)
        if self._outer is not _MISSING:
            self._scope["session"] = self._outer
        # Whoever calls an application twice with one scope (a fallback, a retry) has the session loaded again.
        self._registry.owners.pop(self._middleware.key, None)

    # --- on the way out -----------------------------------------------------------------------------------------------

    @marked
    def send(self, message: ASGIMessage) -> Awaitable[None]:
        """Pass a message of the application on, with cookies where they belong.

        No coroutine itself: most messages need none, and one costs as much as the rest of what is done here.
        """
        if self.decided:
            return self._send(message)
        kind = message["type"]
        if kind in _FINAL:
            if 100 <= message["status"] < 200:  # noqa: PLR2004 - informational, the final start is still to come
                return self._send(message)
            session, received, scope = self._session, self._received, self._scope
            if (
                session.accessed
                or not self._is_in_place()
                or self._others
                or (received is not ABSENT and _untidy(received))
            ):
                return self._respond(message, "http")
            # Nothing to send, and nothing but that to tell of what is written from now on.
            self.decided = True
            if not self._middleware.opted_out(scope):
                self._close(session, "response_started")
            return self._send(message)
        if kind == "websocket.accept":
            return self._accept(message)
        return self._refuse(message) if kind == "websocket.close" else self._send(message)

    async def _refuse(self, message: ASGIMessage) -> None:
        if not self.decided:  # looked at when it is sent: a task that was there first may have accepted meanwhile
            self.decided = True
            if self._changed():
                self._lost("handshake_refused")
        await self._send(message)

    async def _accept(self, message: ASGIMessage) -> None:
        if self.decided:  # by another task, since ``send`` was called
            await self._send(message)
            return
        if self._middleware.config.websocket_persistence == "accept":
            await self._respond(message, "websocket")
            return
        self.decided = True
        if self._changed():
            self._lost("websocket")
        self._session.accessed = False
        await self._pass_on(message, "websocket_open")

    async def _respond(self, message: ASGIMessage, scope_type: str) -> None:
        """Send the message in which cookies can be set, with those of the session if the response has to do with it."""
        if self.decided:  # by another task, since ``send`` was called
            await self._send(message)
            return
        self.decided = True
        middleware, session, received = self._middleware, self._session, self._received
        if middleware.opted_out(self._scope):  # a router resolved the route meanwhile
            await self._send(message)
            return
        in_place = self._is_in_place()
        touched = session.accessed or not (in_place or self._value() is session)
        told: tuple[Event, ...] = ()
        if touched or (received is not ABSENT and _untidy(received)):
            headers = list(message.get("headers") or ())
            found = survey(headers)
            failed = message.get("status", 200) >= 500 and not middleware.save_on_error  # noqa: PLR2004 - server errors
            request = self._request(
                in_place=in_place, touched=touched, shared=found.shared, failed=failed, scope_type=scope_type
            )
            try:
                if middleware.gate is not None:
                    saved = await self._save_unless_revoked(request)
                else:
                    saved = self._save_now(request) or await self._save_later(request)
            except SessionKitError as error:
                self._note_failure(error)
                raise
            self._account.saved = saved
            # From here on it tells whether anybody was at it after it was saved: also another task, while it is sent.
            session.accessed = False
            told = saved.events
            if saved.cookies:
                told += self._add_cookies(headers, saved, found)
            if touched and not found.varies:
                headers.append((b"vary", b"Cookie"))
            message = {**message, "headers": headers}
        await self._pass_on(message, _CLOSED[scope_type])
        if told:
            middleware.service.log.emit(told)

    def _request(self, *, in_place: bool, touched: bool, shared: bool, failed: bool, scope_type: str) -> Save:
        """Return what is to be asked; the session's value has no name in a frame that errors pass through."""
        session = self._session
        return _new(
            Save,
            (session if in_place else self._value(), session, self._received, touched, shared, failed, scope_type),
        )

    def _add_cookies(self, headers: list[tuple[bytes, bytes]], saved: Saved, found: Survey) -> tuple[Event, ...]:
        """Add cookies to headers, and make the application's go together with them; return what is to be told."""
        middleware = self._middleware
        told: tuple[Event, ...] = ()
        if found is not ORDINARY:
            told = self._reconcile(headers, saved.names, found)
        elif middleware.cache_control is not None:
            headers.append((b"cache-control", middleware.cache_control))
        for cookie in saved.cookies:
            headers.append((b"set-cookie", cookie))  # noqa: PERF401 - nearly always one: a list of it costs more
        if self._scope.get("scheme") != "https":
            middleware.tell_insecure(self._scope)
        return told

    def _reconcile(self, headers: list[tuple[bytes, bytes]], names: frozenset[str], found: Survey) -> tuple[Event, ...]:
        """Make the application's headers go together with cookies of ours; return what is to be told of that."""
        middleware = self._middleware
        told: tuple[Event, ...] = ()
        if found.sets_cookies:
            kept = [header for header in headers if not sets_cookie(header, names)]
            if len(kept) < len(headers):
                headers[:] = kept
                told += (events.SessionCookieConflict(cookie=middleware.key),)
        if found.shared:
            told += (events.SessionCacheable(cookie=middleware.key),)
        elif middleware.cache_control is not None and not found.cached:
            headers.append((b"cache-control", middleware.cache_control))
        return told

    def _note_failure(self, error: SessionKitError) -> None:
        """Tell of a session that could not be stored.

        If it was to take the place of one that is to end, the next response of this connection carries that end.
        """
        service, session = self.service, self._session
        name = type(error).__name__
        if isinstance(error, ActorError):
            service.log.emit(service.trail.failed(session.record, name))
        self._account.note(SessionOutcome.FAILED, name)
        if not session.destroyed or isinstance(error, RevocationUnavailable):
            return
        dict.clear(session)
        self._registry[self._middleware.key] = self._scope["session"] = session
        self.decided = False

    def _save_now(self, request: Save) -> Saved | None:
        """Have the session saved by an actor that is idle; ``None`` if it is to be asked.

        Raises:
            SessionKitError: into the application, before anything was sent.
        """
        if self._received is ABSENT and (request.value is None or self._is_empty(request.value)):
            # Nothing came and nothing is to go: visitors without a session are served even while the actor is not.
            return NOTHING
        return self._saved(self._middleware.service.answer_now(request))

    async def _save_later(self, request: Save) -> Saved:
        """Have the session saved by the actor when it comes to it.

        Raises:
            SessionKitError: into the application, before anything was sent.
        """
        return cast("Saved", self._saved(await self._middleware.service.ask(request)))

    def _saved(self, reply: Reply | None) -> Saved | None:
        """Return the reply to ``Save``, if it is one of success.

        Raises:
            SessionKitError: why the session cannot be stored.
        """
        if type(reply) is not Unsaved:
            return reply  # type: ignore[return-value]  # the reply to Save
        self._middleware.service.log.emit(reply.events)
        error = reply.error
        try:
            raise error
        finally:
            del reply, error  # or the error would hold this frame, and this frame the error

    async def _save_unless_revoked(self, request: Save) -> Saved:
        """Have the session saved, where there is a list of revocations.

        Raises:
            SessionKitError: into the application, before anything was sent.
        """
        gate = cast("Gate", self._middleware.gate)
        gate.prepare(request)
        try:
            saved = await gate.confirm(request, self._save_now(request) or await self._save_later(request))
        except RevocationUnavailable as error:
            self.service.log.emit(self.service.trail.failed(self._session.record, type(error).__name__))
            if self._session.destroyed:
                self._held = _NONE  # the gate has taken note of it
            raise
        if saved.kid is not None:
            self._held = self._session.raw_id
        elif isinstance(request.received, Loaded) and saved.names.issuperset(request.received.names):
            self._held = _NONE
        return saved

    async def end_late(self, gate: Gate) -> None:
        """End a session that the application destroyed when its cookies could not be cleared any more."""
        if not self._session.destroyed:
            return
        held = self._held
        if held is None:
            held = self._received.record.id if isinstance(self._received, Loaded) else _NONE
        # An id that the session still has is of what was begun in place of what was destroyed in time.
        if held and held != self._session.raw_id:
            await gate.end(held)

    async def _pass_on(self, message: ASGIMessage, closes: str) -> None:
        """Send the message after which cookies can no longer be set.

        Meanwhile the scope holds what other people's middleware put there, if any is around ours: what it sees in there
        it takes for its own. Middleware of ours knows better, see ``_current``.
        """
        if not self._others:
            await self._send(message)
        else:
            scope = self._scope
            mine, scope["session"] = scope.get("session"), self._outer
            try:
                await self._send(message)
            finally:
                scope["session"] = mine
        self._close(self._session, closes)

    def _close(self, session: Session, closes: str) -> None:
        account = self._account
        self._closed = closes
        account.record = session.record
        session.close(closes, self._middleware.strict, account.note_late)

    # --- what became of the session -----------------------------------------------------------------------------------

    def _is_in_place(self) -> bool:
        """Tell whether nothing took the session's place: nearly always."""
        registry, session = self._registry, self._session
        return registry.get(self._middleware.key) is session is self._scope.get("session") and len(registry.owners) == 1

    def _value(self) -> object:
        """Return what is to be stored: the session, what took its place in the scope or the registry, or ``None``."""
        session = self._session
        registered = self._registry.get(self._middleware.key)
        if registered is not session:
            return None if is_cleared(registered) else registered
        current = self._current()
        if current is session:
            return current
        if isinstance(current, Session) and any(current is other for other in self._registry.values()):
            return session
        if _is_foreign(current):
            return session
        return None if is_cleared(current) else current

    def _current(self) -> object:
        """Return what stands in the scope, or what a middleware inside ours found there before it put in its own."""
        current = self._scope.get("session")
        for exchange in reversed(self._registry.owners.values()):
            if exchange is self:
                return current
            if exchange._scope is self._scope:  # noqa: SLF001 - same class
                current = exchange._outer  # noqa: SLF001 - same class
        return self._session  # we are through, and the scope is another's again

    def _is_empty(self, value: object) -> bool:
        return value is self._session and not dict.__len__(self._session)

    def _changed(self) -> bool:
        """Tell whether the value differs from what the browser holds."""
        session = self._session
        if not session.accessed and self._is_in_place():
            return False
        value = self._value()
        if value is session and not session.accessed:
            return False
        saved = self._account.saved
        stored = _payload(self._received) if saved is None else saved.stored
        return self._middleware.service.differs(value, stored)

    def _lost(self, reason: str) -> None:
        self._account.lost(self._session.record, reason)


def session_of(received: Received, clock: Callable[[], float]) -> Session:
    """Return what an application gets to see of what came.

    Args:
        received: the reply to ``Load``.
        clock: returns Unix seconds.
    """
    if isinstance(received, Loaded):
        return Session(received.data, record=received.record, info=partial(_info, received), clock=clock)
    if isinstance(received, Migrated):
        return Session(received.data, clock=clock)
    if isinstance(received, Rejected):
        return Session(info=partial(_info, received), clock=clock)
    return Session(clock=clock)  # Absent


def _info(received: Loaded | Rejected) -> SessionInfo:
    """Return facts about the cookie that came; made when somebody asks, which few do."""
    if isinstance(received, Rejected):
        return SessionInfo(rejected=received.reason.value)
    return SessionInfo(received.key.kid, received.size, len(received.names), received.deadline)


def _payload(received: Received) -> bytes:
    return received.payload if isinstance(received, Loaded | Migrated) else b"{}"


def _is_foreign(value: object) -> bool:
    """Tell whether another library's middleware inside ours put its own session into the scope (Starlette, Quart).

    Such a session is a dict that keeps track of itself; data that an application puts there is not.
    """
    return isinstance(value, dict) and not isinstance(value, Session) and hasattr(value, "modified")


def _untidy(received: Received) -> bool:
    """Tell whether there may be cookies to clear although nobody touched the session."""
    if isinstance(received, Loaded):
        return bool(received.stale)
    if isinstance(received, Migrated):
        return True  # it is to become ours
    return isinstance(received, Rejected) and not received.reason.keeps_cookie
