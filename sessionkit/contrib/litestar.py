"""Litestar: a configuration that takes the place of ``CookieBackendConfig``, and a plugin that hosts the actor.

::

    sessions = CookieBackendConfig("config/keyring.yaml")
    app = Litestar([...], middleware=[sessions.middleware], plugins=[sessions.plugin])

Rules of this file:

* Litestar's ways in and out (``request.session``, ``set_session``, ``clear_session``, ``Empty``, ``skip_session``,
  ``SessionAuth``, the test client's helpers) lead to the one middleware of this package; nothing of it is done again
  here.
* Litestar makes a middleware for each route. All those of one configuration share one service, so one actor.
* What Litestar says of an application is asked when it is complete: with its first request.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel

from sessionkit import health
from sessionkit.backend.backend import SCOPE_KEY, SessionBackend, system_clock
from sessionkit.config import SessionConfig
from sessionkit.contrib import extra
from sessionkit.exceptions import ConfigurationError
from sessionkit.keyring.reloader import watch_folder
from sessionkit.middleware import SessionMiddleware
from sessionkit.session import Session
from sessionkit.yamlfile import discreet

with extra("litestar"):
    from litestar import Litestar, asgi
    from litestar.datastructures import MutableScopeHeaders
    from litestar.exceptions import NotFoundException
    from litestar.middleware.base import AbstractMiddleware, DefineMiddleware
    from litestar.middleware.session.base import BaseBackendConfig, BaseSessionBackend
    from litestar.middleware.session.base import SessionMiddleware as LitestarSessionMiddleware
    from litestar.plugins import InitPlugin
    from litestar.utils.scope.state import ScopeState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from os import PathLike
    from pathlib import Path

    from litestar.config.app import AppConfig
    from litestar.connection import ASGIConnection
    from litestar.types import ASGIApp, Message, Receive, Scope, ScopeSession, Send

    from sessionkit.audit.log import Sink
    from sessionkit.keyring.keyring import Keyring
    from sessionkit.revocation import RevocationList

__all__ = ["CookieBackend", "CookieBackendConfig", "SessionPlugin"]


class CookieBackend(BaseSessionBackend["CookieBackendConfig"]):
    """What Litestar's test client and ``SessionAuth`` ask of a backend; requests go by the actor instead.

    Args:
        config: whose keyring and settings to use.
    """

    __slots__ = ()

    @property
    def core(self) -> SessionBackend:
        """This package's own backend, under the ring now in force."""
        sessions = self.config.sessions
        return SessionBackend(sessions.service.config, sessions.service.keyring, clock=sessions.clock)

    def dump_data(self, data: Any, scope: Scope | None = None) -> list[bytes]:
        """Serialise, encrypt, encode and cut data into cookie values; see ``SessionBackend.dump_data``."""
        return self.core.dump_data(data, scope)  # type: ignore[arg-type]  # Litestar's scopes are TypedDicts

    def load_data(self, data: list[bytes]) -> dict[str, Any]:
        """Return the session inside cookie values given in order; an empty one if they are not accepted."""
        return self.core.load_data(data)

    def get_cookie_keys(self, connection: ASGIConnection[Any, Any, Any, Any]) -> list[str]:
        """Return the names of a connection's session cookies: the unnumbered one, then by number."""
        return self.core.get_cookie_keys(_scope(connection))

    def get_cookie_key_set(self, connection: ASGIConnection[Any, Any, Any, Any]) -> set[str]:
        """Return the names of a connection's session cookies as a set."""
        return self.core.get_cookie_key_set(_scope(connection))

    async def store_in_message(
        self, scope_session: ScopeSession, message: Message, connection: ASGIConnection[Any, Any, Any, Any]
    ) -> None:
        """Put the session into a message as cookies; an empty one, or one that shrinks, clears cookies.

        Raises:
            SerializationError: if a value cannot be stored.
            SessionTooLargeError: if it needs more cookies than allowed.
        """
        app = connection.scope.get("litestar_app")
        if isinstance(app, Litestar):  # the test client may speak to something around it
            self.config.adopt(app)
        made: dict[str, Any] = {}
        await self.core.store_in_message(scope_session, made, _scope(connection))
        # In place: the test client keeps a reference to the list.
        MutableScopeHeaders.from_message(message).headers.extend(made["headers"])

    async def load_from_connection(self, connection: ASGIConnection[Any, Any, Any, Any]) -> dict[str, Any]:
        """Return the session of a connection; an empty one if there is none or it is not accepted."""
        return await self.core.load_from_connection(_scope(connection))

    def get_session_id(self, connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
        """Return the id of a connection's session in hexadecimal; if it has none yet, make one and keep it there."""
        return self.core.get_session_id(_scope(connection))


def _scope(connection: ASGIConnection[Any, Any, Any, Any]) -> dict[str, Any]:
    """Return as much of a scope as the backend looks at, with the cookies that Litestar sees.

    The test client hands over a connection without headers, whose cookies are parsed already.
    """
    cookies = "; ".join(f"{name}={value}" for name, value in connection.cookies.items()).encode("utf-8")
    scope: Any = connection.scope
    return {"headers": [(b"cookie", cookies)], SCOPE_KEY: scope.setdefault(SCOPE_KEY, {})}


class _RouteMiddleware(LitestarSessionMiddleware[CookieBackend]):
    """The middleware of one route.

    Litestar's ``FlashPlugin`` looks for a subclass of its own. Nothing else is inherited: which connections have no
    session is decided in one place, where exclusion means the same with every framework.
    """

    def __init__(self, app: ASGIApp, backend: CookieBackend) -> None:
        AbstractMiddleware.__init__(self, app)
        self.backend = backend
        self._config = backend.config
        self._sessions: Any = backend.config.sessions.around(self._enter)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._config.adopt(scope["litestar_app"])
        await self._sessions(scope, receive, send)

    async def _enter(self, scope: Any, receive: Any, send: Any) -> None:
        session = scope.get("session")
        if isinstance(session, Session):
            ScopeState.from_scope(scope).session_id = session.id
        await self.app(scope, receive, send)


class CookieBackendConfig(BaseBackendConfig[CookieBackend]):
    """Settings of one session cookie: those of Litestar's class of the same name, with a keyring as its ``secret``.

    Its attributes are for reading: what they say was checked and built in when it was made. Applications that share it
    share their ``type_encoders`` too.

    Args:
        keyring: a ``Keyring``, the path of a keyring file (which is also watched), or one secret of 16, 24 or 32
            octets. Without one, the file that the configuration names.
        config: a ``SessionConfig``, or the path of a YAML file with the settings.
        clock: returns Unix seconds; for tests.
        logger: where audit lines go; by default ``structlog.get_logger("sessionkit")``.
        in_place: let an idle actor serve in the task of the request.
        watch: yields when the keyring file may have changed; for tests.
        revocations: the list of revocations, in place of the one that the configuration names.
        settings: fields of ``SessionConfig``, instead of ``config``.

    Attributes:
        sessions: the middleware that all routes share.

    Raises:
        ConfigurationError: if keyring or settings cannot be used.
    """

    _backend_class = CookieBackend

    @discreet
    def __init__(
        self,
        keyring: Keyring | str | PathLike[str] | bytes | None = None,
        config: SessionConfig | str | PathLike[str] | None = None,
        *,
        clock: Callable[[], float] = system_clock,
        logger: Sink | None = None,
        in_place: bool = True,
        watch: Callable[[Path], AsyncIterator[None]] = watch_folder,
        revocations: RevocationList | None = None,
        **settings: Any,
    ) -> None:
        if "secret" in settings:
            raise ConfigurationError(
                "secret",
                "is what the keyring has taken the place of",
                "Pass a keyring: the path of a file, or for a start one secret as bytes.",
            )
        if settings and config is not None:
            raise ConfigurationError(
                "config", "is given together with single settings", "Pass a configuration, or settings by name."
            )
        self.sessions = SessionMiddleware(
            _nowhere,
            keyring,
            SessionConfig(**settings) if settings else config,
            clock=clock,
            logger=logger,
            in_place=in_place,
            watch=watch,
            revocations=revocations,
        )
        self._app: Litestar | None = None
        used = self.sessions.config
        self.key = used.key
        self.max_age = used.max_age
        self.scopes = set(used.scopes)  # type: ignore[arg-type]  # the words of Litestar's enumeration
        self.path = used.path
        self.domain = used.domain
        self.secure = used.secure
        self.httponly = used.httponly
        self.samesite = used.samesite
        self.exclude = None if callable(used.exclude) else used.exclude
        self.exclude_opt_key = used.exclude_opt_key

    def __repr__(self) -> str:
        """Show the service."""
        return f"<CookieBackendConfig {self.sessions.service!r}>"

    def __deepcopy__(self, memo: object) -> Self:
        """Return itself: Litestar copies routers with all they hold, and the actor is to stay one."""
        return self

    @property
    def middleware(self) -> DefineMiddleware:
        """The middleware, for the list of any of Litestar's layers."""
        return DefineMiddleware(_RouteMiddleware, backend=CookieBackend(self))

    @property
    def plugin(self) -> SessionPlugin:
        """The plugin that runs the actor with the application; without it, sessions work but in their own task."""
        return SessionPlugin(self)

    def adopt(self, app: Litestar) -> None:
        """Take over the ``type_encoders`` of an application, beside those of the settings, which come first."""
        if self._app is app:
            return
        self._app = app
        own: dict[Any, Callable[[Any], Any]] = dict(app.type_encoders or {})
        if getattr(own.get(BaseModel), "__module__", "").startswith("litestar."):
            # Litestar's own would turn dates, sets and octets inside a model into text. Here they stay what they are.
            del own[BaseModel]
        self.sessions.service.learn(own)


async def _nowhere(scope: object, receive: object, send: object) -> None:
    """Stand where an application does; routes put theirs here, by ``around``."""


class SessionPlugin(InitPlugin):
    """Runs the actor, the keyring's reloader and the tallies within the application's lifespan.

    Args:
        config: whose they are.
    """

    def __init__(self, config: CookieBackendConfig) -> None:
        self.config = config

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Put the actor around all else that the lifespan holds, and give ``health_path`` a route if it is set.

        Middleware of Litestar's sees routes alone.
        """
        app_config.lifespan.insert(0, self._host)
        settings = self.config.sessions.config
        if settings.health_path is not None:
            own = {settings.exclude_opt_key: True, "exclude_from_auth": True}
            app_config.route_handlers.append(asgi(settings.health_path, opt=own, copy_scope=False)(self._health))
        return app_config

    async def _health(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002 - by these names Litestar calls
        if scope["type"] != "http":
            raise NotFoundException
        await health.answer(self.config.sessions.service, scope, send)

    @asynccontextmanager
    async def _host(self, app: Litestar) -> AsyncIterator[None]:  # noqa: ARG002 - Litestar hands it over
        service = self.config.sessions.service
        async with nullcontext() if service.hosted else service.host():  # hosted: by another application
            yield
