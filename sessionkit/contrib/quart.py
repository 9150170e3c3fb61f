"""Quart: a session interface, so that ``quart.session`` is ours.

::

    app = Quart(__name__)
    SessionInterface(app, "config/keyring.yaml")

Rules of this file:

* Quart's ways in and out (the ``session`` proxy, ``permanent``, ``modified``, ``new``, ``flash``, websockets, the test
  client) lead to the one middleware of this package, which is put around ``app.asgi_app``; nothing of it is done again
  here. It knows the moment a websocket is accepted, which a session interface is not told.
* What stands behind the proxy holds nothing of its own: each read and each write is one of the middleware's session.
* The cookie is what the application's configuration says (``SESSION_COOKIE_SECURE`` …): who moves in loses no setting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Self, SupportsIndex

from sessionkit.backend.backend import SCOPE_KEY, SessionBackend, system_clock
from sessionkit.config import SessionConfig
from sessionkit.contrib import extra
from sessionkit.exceptions import ConfigurationError
from sessionkit.keyring.reloader import watch_folder
from sessionkit.middleware import SessionMiddleware
from sessionkit.session import Session
from sessionkit.yamlfile import discreet

with extra("quart"):
    from quart.sessions import NullSession, SessionMixin
    from quart.sessions import SessionInterface as QuartSessionInterface

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from os import PathLike
    from pathlib import Path

    from quart import Quart
    from quart.typing import ResponseTypes
    from quart.wrappers import BaseRequestWebsocket

    from sessionkit.asgi import Receive, Scope, Send
    from sessionkit.audit.log import Sink
    from sessionkit.keyring.keyring import Keyring
    from sessionkit.revocation import RevocationList

__all__ = ["QuartSession", "SessionInterface"]

_INSIDE = "sessionkit.quart"
"""Set in scopes that went through the middleware: without a session there, the connection is to have none."""

_PERMANENT = "_permanent"
"""Where Flask's and Quart's own sessions say that they are permanent."""


class QuartSession(SessionMixin):
    """The session as Quart knows sessions, over one of ours; whatever else that one can do, it can do too.

    Quart 0.23 sets ``accessed`` on every response, also of pages that never looked at their session. It is kept here,
    and read by nobody: ours knows better whether it was looked at, and so whether the response depends on it.

    Args:
        ours: the session.
        scope: what its cookies came in, if no request brought it.
    """

    def __init__(self, ours: Session, scope: dict[str, Any] | None = None) -> None:
        self.ours = ours
        self.scope = scope
        self.accessed = False

    def __getitem__(self, key: str) -> Any:
        """Read."""
        return self.ours[key]

    def __contains__(self, key: object) -> bool:
        """Read."""
        return key in self.ours

    def __iter__(self) -> Iterator[str]:
        """Read."""
        return iter(self.ours)

    def __len__(self) -> int:
        """Read."""
        return len(self.ours)

    def __setitem__(self, key: str, value: Any) -> None:
        """Write."""
        self.ours[key] = value

    def __delitem__(self, key: str) -> None:
        """Write."""
        del self.ours[key]

    def __reversed__(self) -> Iterator[str]:
        """Read."""
        return reversed(self.ours)

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        """Read: the union is a plain dict."""
        return self.ours | other

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        """Read: the union is a plain dict."""
        return other | self.ours

    def __ior__(self, other: Mapping[str, Any]) -> Self:
        """Write."""
        self.ours |= other
        return self

    def popitem(self) -> tuple[str, Any]:
        """Write: the entry that was added last goes, as with any dict."""
        return self.ours.popitem()

    def __getattr__(self, name: str) -> Any:
        """Return what our session alone has: ``id``, ``regenerate``, ``destroy`` and so on."""
        return getattr(self.ours, name)

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Copy and pickle as ours does: as a plain dict."""
        return self.ours.__reduce_ex__(protocol)

    def __repr__(self) -> str:
        """Show how many keys there are, nothing of them."""
        return f"<QuartSession {self.ours!r}>"

    @property
    def modified(self) -> bool:
        """Whether it was written to; what is *saved* is decided by comparing values."""
        return self.ours.modified

    @modified.setter
    def modified(self, modified: bool) -> None:
        if modified:
            self.ours.mark_modified()

    @property
    def remember(self) -> bool:
        """Whether the cookie has a Max-Age, where the configuration does not give one to all."""
        return self.ours.remember

    @remember.setter
    def remember(self, remember: bool) -> None:
        if remember is not self.ours.remember:
            self.ours.remember = remember

    @property
    def permanent(self) -> bool:
        """Quart's word for ``remember``."""
        return self.remember

    @permanent.setter
    def permanent(self, permanent: bool) -> None:
        self.remember = bool(permanent)

    @property
    def new(self) -> bool:  # type: ignore[override]  # a plain attribute there
        """Whether no session came with the request."""
        return self.ours.record is None


class _NoSession(NullSession):
    """Stands where a connection is to have no session: reads as an empty one, takes nothing."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise ConfigurationError(
            "session",
            "is written on a connection that has none",
            "Drop its path from exclude, its kind from what scopes leaves out, or its skip_session.",
        )

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = update = setdefault = _refuse


class SessionInterface(QuartSessionInterface):
    """Gives an application its sessions: its ``session_interface`` from now on, and around its ``asgi_app``.

    Args:
        app: the application, configured as far as its cookie is concerned.
        keyring: a ``Keyring``, the path of a keyring file (which is also watched), or one secret of 16, 24 or 32
            octets. Without one, the file that the configuration names.
        config: a ``SessionConfig``, or the path of a YAML file with the settings, instead of the application's own.
        clock: returns Unix seconds; for tests.
        logger: where audit lines go; by default ``structlog.get_logger("sessionkit")``.
        in_place: let an idle actor serve in the task of the request.
        watch: yields when the keyring file may have changed; for tests.
        revocations: the list of revocations, in place of the one that the configuration names.
        settings: fields of ``SessionConfig`` beside, or instead of, what the application's configuration says.

    Attributes:
        sessions: the middleware around the application.

    Raises:
        ConfigurationError: if keyring or settings cannot be used.
    """

    null_session_class = _NoSession

    @discreet
    def __init__(
        self,
        app: Quart,
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
        if settings and config is not None:
            raise ConfigurationError(
                "config", "is given together with single settings", "Pass a configuration, or settings by name."
            )
        inner: Any = app.asgi_app  # its types of scopes and messages are narrower than ASGI's

        async def inside(scope: Scope, receive: Receive, send: Send) -> None:
            scope[_INSIDE] = True
            await inner(scope, receive, send)

        self.sessions = SessionMiddleware(
            inside,
            keyring,
            _settings(app, settings) if config is None else config,
            clock=clock,
            logger=logger,
            in_place=in_place,
            watch=watch,
            revocations=revocations,
        )
        app.asgi_app = self.sessions  # type: ignore[method-assign,assignment]  # Quart's documented way
        app.session_interface = self  # type: ignore[assignment]  # typed as the one it has by default

    def __repr__(self) -> str:
        """Show the service."""
        return f"<SessionInterface {self.sessions.service!r}>"

    async def open_session(self, app: Quart, request: BaseRequestWebsocket) -> Any:  # noqa: ARG002 - Quart hands it over
        """Return the session of a connection, or ``None`` if it is to have none."""
        scope: Any = request.scope
        ours = scope.get("session")
        if not isinstance(ours, Session):
            return None if scope.get(_INSIDE) else await self._apart(scope)
        session = QuartSession(ours)
        if dict.__contains__(ours, _PERMANENT):  # taken over from Flask or Quart
            session.permanent = ours.pop(_PERMANENT)
        return session

    async def save_session(
        self,
        app: Quart,  # noqa: ARG002 - Quart hands it over
        session: Any,
        response: ResponseTypes | None,
    ) -> None:
        """Put the session of a test's context into a response; those of requests are the middleware's to save.

        Raises:
            SerializationError: if a value cannot be stored.
            SessionTooLargeError: if it needs more cookies than allowed.
        """
        if response is None or session.scope is None or not session.modified:
            return
        made: dict[str, Any] = {}
        await self._core().store_in_message(session.ours, made, session.scope)
        for _, value in made["headers"]:
            response.headers.add("set-cookie", value.decode("ascii"))

    def _core(self) -> SessionBackend:
        """Return this package's own backend, under the ring now in force."""
        service = self.sessions.service
        return SessionBackend(service.config, service.keyring, clock=self.sessions.clock)

    async def _apart(self, connection: Scope) -> QuartSession:
        """Return the session of a context that no request made, as Quart's test client makes them."""
        core = self._core()
        scope: dict[str, Any] = {"headers": list(connection.get("headers") or ())}
        core.get_session_id(scope)  # puts a session there that knows its record
        ours: Session = scope[SCOPE_KEY][self.sessions.key]
        dict.update(ours, await core.load_from_connection(scope))
        return QuartSession(ours, scope)


def _settings(app: Quart, settings: dict[str, Any]) -> SessionConfig:
    """Return what an application's configuration says of its session's cookie, with single settings beside.

    Raises:
        ConfigurationError: if one cannot be used.
    """
    own = app.config
    said = {
        "key": own["SESSION_COOKIE_NAME"],
        "max_age": app.permanent_session_lifetime,
        "path": own["SESSION_COOKIE_PATH"] or own["APPLICATION_ROOT"],
        "domain": own["SESSION_COOKIE_DOMAIN"] or None,
        "secure": own["SESSION_COOKIE_SECURE"],
        "httponly": own["SESSION_COOKIE_HTTPONLY"],
        "samesite": (own["SESSION_COOKIE_SAMESITE"] or "lax").lower(),  # what browsers take its absence for
        "partitioned": own["SESSION_COOKIE_PARTITIONED"],
        "persistent": False,  # those that are permanent alone
    }
    return SessionConfig(**(said | settings))
