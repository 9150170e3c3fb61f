"""The ASGI side: gives every connection its session, and hosts the service around the application's lifespan.

Rules of this file:

* Pure ASGI. Nothing is buffered, copied or awaited that is not needed; a request without a cookie of ours whose
  session nobody touches costs no message at all.
* A failure of our own never looks like an empty session: it is a 503, or an error in the application. The next save
  would overwrite a good cookie otherwise.
"""

from __future__ import annotations

from copy import copy
from os import PathLike
from typing import TYPE_CHECKING, Self

from sessionkit import health
from sessionkit.audit import events
from sessionkit.backend.backend import SCOPE_KEY, cookie_fields, system_clock
from sessionkit.backend.messages import ABSENT, Load, Loaded, Migrated, Received
from sessionkit.backend.service import SessionService
from sessionkit.canonical import Account, SessionOutcome
from sessionkit.config import SessionConfig
from sessionkit.exceptions import ActorError, ConfigurationError
from sessionkit.exchange import Exchange, Registry
from sessionkit.exclude import route_path
from sessionkit.keyring.reloader import watch_folder
from sessionkit.lifespan import Lifespan
from sessionkit.revocation.lists import RevocationUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path
    from uuid import UUID

    from sessionkit.asgi import ASGIApp, Receive, Scope, Send
    from sessionkit.audit.log import Sink
    from sessionkit.keyring.keyring import Keyring
    from sessionkit.revocation.lists import RevocationList

__all__ = ["SessionMiddleware"]

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
        if type(registry) is not Registry:
            registry = scope[SCOPE_KEY] = Registry()
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
        exchange = Exchange(self, scope, send, received, registry)
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


def _address(scope: Scope) -> str | None:
    client = scope.get("client")
    return client[0] if client else None


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
