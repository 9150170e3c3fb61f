"""The ASGI side: loads a session before the application runs, and puts its cookies on the response.

Rules of this file:

* Pure ASGI. Nothing is buffered, copied or awaited that is not needed; a request without a cookie of ours whose
  session nobody touches costs no message at all.
* Cookies are decided once, exactly at the final ``http.response.start`` (or ``websocket.accept``), and appended to a
  new list of headers; what the application sent is never changed in place. Where nobody had touched the session when
  ``send`` was called, nothing is decided any more, and what is written from then on comes too late.
* A failure of our own never looks like an empty session: it is a 503, or an error in the application. The next save
  would overwrite a good cookie otherwise.
* State lies in one object per connection, reachable through the scope by reference; no context variable, lock or cancel
  scope is bound to the task that called us, so the application may send from any task.
"""

from __future__ import annotations

from copy import copy
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, Self, cast

from sessionkit import health
from sessionkit.asgi import marked
from sessionkit.audit import events
from sessionkit.backend.backend import SCOPE_KEY, cookie_fields, is_cleared, system_clock
from sessionkit.backend.messages import (
    ABSENT,
    NOTHING,
    Load,
    Loaded,
    Migrated,
    Received,
    Rejected,
    Reply,
    Save,
    Saved,
    Unsaved,
)
from sessionkit.backend.service import SessionService
from sessionkit.canonical import Account, SessionOutcome
from sessionkit.config import SessionConfig
from sessionkit.exceptions import ActorError, ConfigurationError, SessionKitError
from sessionkit.exclude import route_path
from sessionkit.headers import ORDINARY, Survey, sets_cookie, survey
from sessionkit.keyring.reloader import watch_folder
from sessionkit.lifespan import Lifespan
from sessionkit.revocation.lists import RevocationUnavailable
from sessionkit.session import Session, SessionInfo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path
    from uuid import UUID

    from sessionkit.asgi import ASGIApp, ASGIMessage, Receive, Scope, Send
    from sessionkit.audit.events import Event
    from sessionkit.audit.log import Sink
    from sessionkit.keyring.keyring import Keyring
    from sessionkit.revocation.gate import Gate
    from sessionkit.revocation.lists import RevocationList

__all__ = ["SessionMiddleware", "session_of"]

_MISSING = object()
_new = tuple.__new__
"""Makes a named tuple past its own constructor, as in ``wire.straight``."""

_LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
"""Browsers take these for secure without TLS."""


class SessionMiddleware:
    """Gives every connection an encrypted session in ``scope["session"]``.

    Args:
        app: the ASGI application.
        keyring: a ``Keyring``, the path of a keyring file (which is also watched), or one secret of 16, 24 or 32
            octets. Without one, the file that the configuration names.
        config: settings, or the path of a YAML file with them; by default those of the reference.
        clock: returns Unix seconds; for tests.
        logger: where audit lines go; by default ``structlog.get_logger("sessionkit")``.
        in_place: let an idle actor serve in the task of the request.
        watch: yields when the keyring file may have changed; for tests.
        revocations: the list of revocations, in place of the one that the configuration names.

    Raises:
        ConfigurationError: if keyring or settings cannot be used.
    """

    def __init__(
        self,
        app: ASGIApp,
        keyring: Keyring | str | PathLike[str] | bytes | None = None,
        config: SessionConfig | str | PathLike[str] | None = None,
        *,
        clock: Callable[[], float] = system_clock,
        logger: Sink | None = None,
        in_place: bool = True,
        watch: Callable[[Path], AsyncIterator[None]] = watch_folder,
        revocations: RevocationList | None = None,
    ) -> None:
        self.app = app
        self.config = _resolve(config)
        self.clock = clock
        self.service = SessionService(
            keyring,
            self.config,
            clock=clock,
            logger=logger,
            in_place=in_place,
            watch=watch,
            revocations=revocations,
        )
        self.gate = self.service.gate
        # Of the settings, what every request asks for.
        self.key = self.config.key
        self._scopes = self.config.scopes
        self._excludes = None if self.config.exclude is None else self.config.excludes
        self._opt_out = self.config.exclude_opt_key
        self.strict = self.config.strict
        self.save_on_error = self.config.save_on_error
        self.cache_control = self.config.cache_control.encode("latin-1") if self.config.cache_control else None
        names = {self.key, *(old.name for old in self.config.migrate)}
        self._name = self.key.encode("ascii")
        self._names = tuple(name.encode("ascii") for name in sorted(names))
        self._migrates = bool(self.config.migrate)
        self._health = self.config.health_path
        self._selects = self._health is not None or self._excludes is not None
        self._client_ref = self.config.audit.client_ref

    def __repr__(self) -> str:
        """Show the service."""
        return f"<SessionMiddleware {self.service!r}>"

    def around(self, app: ASGIApp) -> Self:
        """Return this middleware around another application: one service, and so one actor, for both.

        For frameworks that make a middleware for each route.
        """
        other = copy(self)
        other.app = app
        return other

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, the health page, or the application's lifespan."""
        if scope["type"] not in self._scopes or (self._selects and self._is_left_alone(scope)) or self.opted_out(scope):
            await self._pass_by(scope, receive, send)
            return
        registry = scope.get(SCOPE_KEY)
        if type(registry) is not _Registry:
            registry = scope[SCOPE_KEY] = _Registry()
            registry.owners, registry.accounts = {}, {}
        elif self.key in registry.owners:
            self._refuse_stranger(registry.owners[self.key].service)
            await self.app(scope, receive, send)
            return
        received: Received = ABSENT
        fields = cookie_fields(scope)
        # A test of substrings, before anything is parsed. (By ``find``: ``in`` takes octets for a number at first.)
        if fields and (
            fields[0].find(self._name) >= 0 or ((self._migrates or len(fields) > 1) and self._may_hold_ours(fields))
        ):
            load = _new(Load, (fields, _address(scope) if self._client_ref else None))
            try:
                # At once where the actor is idle, which spares a coroutine.
                reply = self.service.answer_now(load) if self.gate is None else None
                received = reply or await self._receive(load)  # type: ignore[assignment]  # the reply to Load
            except (ActorError, RevocationUnavailable):
                account = registry.accounts[self.key] = Account(self.service, ABSENT)
                account.note(SessionOutcome.UNAVAILABLE)
                await _unavailable(scope, send)
                return
        exchange = _Exchange(self, scope, send, received, registry)
        try:
            await self.app(scope, receive, exchange.send)
        except Exception:
            exchange.unanswered("exception")
            raise
        else:
            if not exchange.decided:
                exchange.unanswered("no_response")
        finally:
            exchange.finish()
            if self.gate is not None:
                await exchange.end_late(self.gate)

    async def _pass_by(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what gets no session."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._host(scope, receive, send)
        elif kind == "http" and self._health is not None and route_path(scope) == self._health:
            await health.answer(self.service, scope, send)
        else:
            await self.app(scope, receive, send)

    def _is_left_alone(self, scope: Scope) -> bool:
        """Tell whether it is the path that says no."""
        return (self._health is not None and scope["type"] == "http" and route_path(scope) == self._health) or (
            self._excludes is not None and self._excludes(scope)
        )

    def opted_out(self, scope: Scope) -> bool:
        """Tell whether the route says no: Litestar's ``opt``, an attribute of the endpoint, or a key in the scope."""
        option = self._opt_out
        if "route_handler" in scope or "endpoint" in scope:
            opt = getattr(scope.get("route_handler"), "opt", None)
            if (opt and opt.get(option)) or getattr(scope.get("endpoint"), option, False):
                return True
        return option in scope and bool(scope[option])

    # --- connections --------------------------------------------------------------------------------------------------

    async def revoke_subject(self, subject: str | int | UUID) -> None:
        """Revoke all sessions of a subject that began before now, for jobs that have no request.

        In a request, see ``sessionkit.revocation.subjects``.

        Raises:
            ConfigurationError: if no list of revocations is configured, or no ``revocation.subject_key``.
            TypeError: if ``subject`` is neither text, an integer nor a UUID.
            RevocationUnavailable: if the list did not take it down, whatever the policy: nobody was logged out.
        """
        if self.gate is None:
            raise ConfigurationError("revocation", "is not configured", "Name a list: revocation: {redis: …}.")
        await self.gate.revoke_subject(subject)

    async def _receive(self, load: Load) -> Received:
        """Have the session loaded by the actor when it comes to it, and the list of revocations asked if there is one.

        Raises:
            ActorError: if the actor does not answer.
            RevocationUnavailable: if the list does not, and that is to count.
        """
        reply = await self.service.ask(load)
        if self.gate is not None and isinstance(reply, Loaded | Migrated):
            return await self.gate.admit(reply, load)
        return reply  # type: ignore[return-value]  # the reply to Load

    def _may_hold_ours(self, fields: Sequence[bytes]) -> bool:
        """Tell whether one of our names occurs: a test of substrings, before anything is parsed."""
        for name in self._names:
            for field in fields:
                if field.find(name) >= 0:
                    return True
        return False

    def _refuse_stranger(self, outer: SessionService) -> None:
        """Refuse another middleware of the same cookie name inside ours, unless it shares a key and so means the same.

        Raises:
            ConfigurationError: if the two would destroy each other's cookies.
        """
        if not any(self.service.keyring.find(key.id) for key in outer.keyring.keys):
            raise ConfigurationError(
                "key",
                f"is {self.config.key!r} in two middlewares of one application that share no key",
                "Give one of them another cookie name, or both the same keyring.",
            )

    def tell_insecure(self, scope: Scope) -> None:
        """Say once that a Secure cookie was set over plain HTTP."""
        if self.service.told_insecure or not self.config.secure or scope.get("scheme", "http") not in {"http", "ws"}:
            return
        host = next((value for name, value in scope.get("headers") or () if name.lower() == b"host"), b"")
        if host.decode("latin-1").lower().startswith(_LOCAL_HOSTS):
            return
        self.service.told_insecure = True
        self.service.log.emit((events.SessionInsecureTransport(cookie=self.config.key),))

    # --- lifespan -----------------------------------------------------------------------------------------------------

    async def _host(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the service around the application's lifespan."""
        if self.service.hosted:
            # The same middleware, twice in one stack.
            await self.app(scope, receive, send)
            return
        lifespan = Lifespan(receive, send)
        async with self.service.host():
            await lifespan.run(self.app, scope)
        await lifespan.close()


class _Registry(dict[str, Any]):
    """The sessions of one connection by cookie name.

    Attributes:
        owners: whose they are, from the outside in.
        accounts: what became of them; stays when they are through.
    """

    __slots__ = ("accounts", "owners")
    owners: dict[str, _Exchange]
    accounts: dict[str, Account]


class _Exchange:
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
        self, middleware: SessionMiddleware, scope: Scope, send: Send, received: Received, registry: _Registry
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


_NONE = b""
"""In the place of the id of the session that the browser holds: none. ``None`` is the one that it came with."""

_FINAL = frozenset({"http.response.start", "websocket.http.response.start"})
_CLOSED = {"http": "response_started", "websocket": "websocket_open"}


def _resolve(config: object) -> SessionConfig:
    match config:
        case None:
            return SessionConfig()
        case SessionConfig():
            return config
        case str() | PathLike():
            return SessionConfig.load(config)
    raise ConfigurationError(
        "config", f"is a {type(config).__name__}", "Pass a SessionConfig, the path of a YAML file, or nothing."
    )


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


def _address(scope: Scope) -> str | None:
    client = scope.get("client")
    return client[0] if client else None


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


async def _unavailable(scope: Scope, send: Send) -> None:
    """Answer that the session cannot be read now: never with an empty one."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1013, "reason": "try again later"})
        return
    body = b"Service Unavailable"
    await send(
        {
            "type": "http.response.start",
            "status": 503,
            "headers": [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", str(len(body)).encode("ascii")),
                (b"retry-after", b"1"),
                (b"cache-control", b"no-store"),
            ],
        }
    )
    await send({"type": "http.response.body", "body": b"" if scope.get("method") == "HEAD" else body})
