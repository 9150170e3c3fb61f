"""Django: an engine for its sessions and the middleware that goes with it, of one mind with Django's own.

::

    # settings.py
    SESSION_ENGINE = "sessionkit.contrib.django"
    SESSIONKIT = {"KEYRING": BASE_DIR / "config/keyring.yaml"}
    MIDDLEWARE = [..., "sessionkit.contrib.django.SessionMiddleware", ...]  # where Django's own stood

    # asgi.py
    from sessionkit.contrib.django import get_asgi_application

    application = get_asgi_application()

Rules of this file:

* Django's middleware around a view runs the one ASGI middleware of this package around that view. So chunks, the audit
  log, hot reloads and what becomes of a late write are the same as everywhere, and nothing of it is done again here.
* ``request.session`` is Django's ``SessionBase`` over the session of that middleware: one value, no copy. What Django
  keeps in a session (``_auth_user_id``, ``_session_expiry`` …) stands where Django looks for it.
* The cookie is what Django's settings say (``SESSION_COOKIE_SECURE`` …); ``SESSIONKIT`` holds what they cannot.
* It needs no ASGI server: under Django's test clients, which speak to views without one, all of it works but the actor.
"""

from __future__ import annotations

import sys
import threading
from datetime import datetime, timedelta
from http.cookies import Morsel
from typing import TYPE_CHECKING, Any, Self, SupportsIndex

from sessionkit.backend.backend import SCOPE_KEY, SessionBackend
from sessionkit.config import SessionConfig
from sessionkit.contrib import extra
from sessionkit.exceptions import ConfigurationError, SessionKitError, SessionTooLargeError
from sessionkit.middleware import SessionMiddleware as ASGISessionMiddleware
from sessionkit.session import Session
from sessionkit.yamlfile import discreet

with extra("django"):
    from asgiref.sync import async_to_sync, sync_to_async
    from django.conf import settings
    from django.contrib.auth.signals import user_logged_in
    from django.contrib.sessions.backends.base import SessionBase
    from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
    from django.core import asgi
    from django.core.handlers.exception import response_for_exception
    from django.core.signals import setting_changed
    from django.http import HttpResponse
    from django.utils.cache import patch_vary_headers
    from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from django.http import HttpRequest

    from sessionkit.asgi import ASGIApp, ASGIMessage, Receive, Scope, Send

__all__ = ["SessionMiddleware", "SessionStore", "around", "get_asgi_application", "sessions"]

_EXPIRY = "_session_expiry"
"""Where Django's ``set_expiry`` keeps what it was given."""

_KEPT_EMPTY = "_session_created"
"""Stands in a session that the application wants to have although it holds nothing: an empty one is not stored."""

_DJANGOS_OWN = "django.contrib.sessions.middleware.SessionMiddleware"

_OPTIONS = frozenset({"KEYRING", "CLOCK", "LOGGER", "IN_PLACE", "WATCH", "REVOCATIONS"})
"""Entries of ``SESSIONKIT`` that are arguments of the ASGI middleware; all others are fields of ``SessionConfig``."""

_OF_DJANGO = {
    "KEY": "SESSION_COOKIE_NAME",
    "PATH": "SESSION_COOKIE_PATH",
    "DOMAIN": "SESSION_COOKIE_DOMAIN",
    "SECURE": "SESSION_COOKIE_SECURE",
    "HTTPONLY": "SESSION_COOKIE_HTTPONLY",
    "SAMESITE": "SESSION_COOKIE_SAMESITE",
    "PERSISTENT": "SESSION_EXPIRE_AT_BROWSER_CLOSE",
}
"""Fields that Django has settings for, which its own checks look at: they are not said twice."""

_GREENLETS = (("gevent.monkey", "is_module_patched", "threading"), ("eventlet.patcher", "is_monkey_patched", "thread"))
"""Modules that run many requests in one thread, and how each is asked whether it does."""

_lock = threading.Lock()
_current: ASGISessionMiddleware | None = None


# --- settings ---------------------------------------------------------------------------------------------------------


def sessions() -> ASGISessionMiddleware:
    """Return the middleware that the settings describe: one for the process, and so one actor and one reloader.

    Raises:
        ConfigurationError: if a setting or the keyring cannot be used.
    """
    global _current  # noqa: PLW0603 - as the settings are: one for the process
    with _lock:
        if _current is None:
            _current = _made()
        return _current


@discreet
def _made() -> ASGISessionMiddleware:
    if _DJANGOS_OWN in settings.MIDDLEWARE:
        raise ConfigurationError(
            "MIDDLEWARE",
            f"lists {_DJANGOS_OWN!r}, which knows one cookie and writes no audit log",
            "Put 'sessionkit.contrib.django.SessionMiddleware' in its place.",
        )
    given: dict[str, Any] = dict(getattr(settings, "SESSIONKIT", {}))
    if "KEYRING" not in given:
        raise ConfigurationError(
            "SESSIONKIT['KEYRING']",
            "is missing",
            "Set SESSIONKIT = {'KEYRING': BASE_DIR / 'config/keyring.yaml'}; `sessionkit keyring init PATH` makes one.",
        )
    for name, setting in _OF_DJANGO.items():
        if name in given:
            raise ConfigurationError(
                f"SESSIONKIT[{name!r}]", "is a setting that Django has itself", f"Set {setting} instead."
            )
    options = {name.lower(): given.pop(name) for name in _OPTIONS & given.keys()}
    said = {
        "key": settings.SESSION_COOKIE_NAME,
        "max_age": settings.SESSION_COOKIE_AGE,
        "path": settings.SESSION_COOKIE_PATH,
        "domain": settings.SESSION_COOKIE_DOMAIN,
        "secure": settings.SESSION_COOKIE_SECURE,
        "httponly": settings.SESSION_COOKIE_HTTPONLY,
        "samesite": (settings.SESSION_COOKIE_SAMESITE or "lax").lower(),  # what browsers take its absence for
        "persistent": False,  # each session says so itself, see ``SessionStore.settle``
    }
    config = SessionConfig(**(said | {name.lower(): value for name, value in given.items()}))
    if config.max_age < settings.SESSION_COOKIE_AGE:
        raise ConfigurationError(
            "SESSIONKIT['MAX_AGE']",
            f"is {config.max_age} s, less than the {settings.SESSION_COOKIE_AGE} s of SESSION_COOKIE_AGE",
            "Give the longest that any session may live, or lower SESSION_COOKIE_AGE.",
        )
    return ASGISessionMiddleware(_nowhere, config=config, **options)


async def _nowhere(scope: object, receive: object, send: object) -> None:
    """Stand where an application does; ``around`` and each request put theirs here."""


def _forget(*, setting: str, **_: object) -> None:
    """Have the middleware made anew when a test overrides a setting of it."""
    global _current  # noqa: PLW0603 - as above
    if setting.startswith("SESSION"):
        _current = None


setting_changed.connect(_forget, dispatch_uid="sessionkit")


# --- asgi.py ----------------------------------------------------------------------------------------------------------


def get_asgi_application() -> ASGIApp:
    """Return Django's application, with the actor and the keyring's reloader in its lifespan.

    Raises:
        ConfigurationError: if a setting or the keyring cannot be used.
    """
    return around(asgi.get_asgi_application())


def around(app: ASGIApp) -> ASGIApp:
    """Return an application around one that has Django in it and something else beside, such as Channels.

    Its lifespan runs the actor; its websockets get the session in ``scope["session"]``. HTTP is left to Django's own
    middleware, so that errors of a session become error pages of Django's.

    Raises:
        ConfigurationError: if a setting or the keyring cannot be used.
    """
    middleware = sessions()

    async def beside(scope: Scope, receive: Receive, send: Send) -> None:
        session = scope.get("session")
        store = SessionStore.over(session if isinstance(session, Session) else None)
        store.begin(middleware.clock())
        await app(scope, receive, send)
        store.leave()

    hosted = middleware.around(beside)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await (app if scope["type"] == "http" else hosted)(scope, receive, send)

    return application


# --- request.session --------------------------------------------------------------------------------------------------


class SessionStore(SessionBase):  # type: ignore[misc]  # Django ships no types
    """Django's session over one of ours.

    Outside a request, where Django's test client makes one, ``session_key`` is the value of the session's cookie: there
    is no other place that it could be loaded from. Within a request it is the session's id.

    Args:
        session_key: value of the session's cookie.
    """

    def __init__(self, session_key: str | None = None) -> None:
        self._cookie = session_key
        self._within = False
        self._expired = False
        self._ours: Session | None = None
        self._scope: dict[str, Any] = {}

    @classmethod
    def over(cls, session: Session | None) -> Self:
        """Return the session of a request; ``None``: it is to have none, and says so to whoever asks."""
        store = cls()
        store._within, store._ours = True, session
        return store

    def __repr__(self) -> str:
        """Show how many keys there are, nothing of them."""
        return f"<SessionStore {self._ours!r}>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Copy and pickle as ours does: as a plain dict."""
        return self._get_session().__reduce_ex__(protocol)

    # --- the value ---

    @property
    def ours(self) -> Session:
        """The session itself, for what Django's have no word for: ``require_recent_auth``, ``renew``, ``info``.

        Raises:
            ConfigurationError: if the request is to have none.
        """
        return self._get_session()

    def _get_session(self, no_load: bool = False) -> Session:  # noqa: ARG002, FBT001, FBT002 - Django's signature
        if self._ours is None:
            if self._within:
                raise ConfigurationError(
                    "session",
                    "is asked for on a path that has none",
                    "Drop the path from SESSIONKIT['EXCLUDE'], or do without request.session there.",
                )
            self._ours = self._opened()
        return self._ours

    _session = property(_get_session)

    async def _aget_session(self, no_load: bool = False) -> Session:  # noqa: ARG002, FBT001, FBT002 - Django's signature
        return self._get_session()

    @property
    def accessed(self) -> bool:
        """Whether the response depends on the session."""
        return self._ours is not None and self._ours.accessed

    @property
    def modified(self) -> bool:
        """Whether it was written to; what is *saved* is decided by comparing values."""
        return self._ours is not None and self._ours.modified

    @modified.setter
    def modified(self, modified: bool) -> None:
        if modified:
            self._session.mark_modified()

    def clear(self) -> None:
        """Empty the session."""
        self._session.clear()

    def is_empty(self) -> bool:
        """Return whether there is nothing to keep, and no session came with the request."""
        return self.session_key is None

    @property
    def serializer(self) -> Any:
        """Django's, for its ``encode`` and ``decode`` alone: what is stored here does not go through it."""
        return import_string(settings.SESSION_SERIALIZER)

    # --- its key ---

    def _get_session_key(self) -> str | None:
        if not self._within:
            return self._cookie
        session = self._get_session()
        fresh = session.record is None and not dict.__len__(session)
        return None if fresh else session.id

    session_key = property(_get_session_key)

    def exists(self, session_key: str | None = None) -> bool:  # noqa: ARG002 - Django's signature
        """Return that no other session has this key: ids are random, and nothing lists them."""
        return False

    async def aexists(self, session_key: str | None = None) -> bool:
        """See ``exists``."""
        return self.exists(session_key)

    def create(self) -> None:
        """Have a session with a key, also if nothing is in it yet."""
        if not dict.__len__(self._session):
            self._session[_KEPT_EMPTY] = True

    async def acreate(self) -> None:
        """See ``create``."""
        self.create()

    def cycle_key(self) -> None:
        """Give the session a new id and keep its data."""
        self._session.regenerate()

    async def acycle_key(self) -> None:
        """See ``cycle_key``."""
        self.cycle_key()

    def flush(self) -> None:
        """End the session; what is written afterwards is a new one."""
        self._session.destroy()
        self._cookie = None

    async def aflush(self) -> None:
        """See ``flush``."""
        self.flush()

    def delete(self, session_key: str | None = None) -> None:
        """End the session.

        Raises:
            NotImplementedError: if the key is another session's.
        """
        if session_key is not None and session_key != self.session_key:
            raise NotImplementedError("a session in its visitor's cookies can be ended by its visitor's requests alone")
        self.flush()

    async def adelete(self, session_key: str | None = None) -> None:
        """See ``delete``."""
        self.delete(session_key)

    @classmethod
    def clear_expired(cls) -> None:
        """Do nothing: no session is kept here."""

    @classmethod
    async def aclear_expired(cls) -> None:
        """Do nothing: no session is kept here."""

    # --- its end ---

    def set_expiry(self, value: float | datetime | timedelta | None) -> None:
        """Set when the session expires, as Django's own does.

        Raises:
            ConfigurationError: if that is later than any session may live.
        """
        self._refuse_later(value)
        super().set_expiry(value)

    async def aset_expiry(self, value: float | datetime | timedelta | None) -> None:
        """See ``set_expiry``."""
        self.set_expiry(value)

    def _refuse_later(self, value: float | datetime | timedelta | None) -> None:
        if value is None:
            return
        if isinstance(value, datetime):
            seconds = value.timestamp() - sessions().clock()
        else:
            seconds = value.total_seconds() if isinstance(value, timedelta) else value
        limit = sessions().config.max_age
        if seconds > limit:
            raise ConfigurationError(
                "set_expiry",
                f"is given {seconds:.0f} s, and no session lives longer than {limit} s",
                "Set SESSIONKIT['MAX_AGE'] to the longest that you give; without a set_expiry of its own, a session "
                "lives for SESSION_COOKIE_AGE all the same.",
            )

    def begin(self, now: float) -> None:
        """End a session that has expired by ``set_expiry`` or ``SESSION_COOKIE_AGE``, before anybody sees it.

        As with Django's own, what counts is when the session was written last.
        """
        session = self._ours
        if session is None or session.record is None:
            return
        expiry = dict.get(session, _EXPIRY)
        if isinstance(expiry, str):
            ends = datetime.fromisoformat(expiry).timestamp()
        else:
            ends = session.record.issued + (expiry or self.get_session_cookie_age())
        if now >= ends:
            self._expired = True
            session.destroy("expired")
            session.accessed = session.modified = False  # not by the application: a page for all stays one

    def settle(self, now: float) -> None:
        """Say whether the cookie outlives the browser, and extend the session's life where that is due.

        By ``SESSION_SAVE_EVERY_REQUEST``, or when a request that looked at the session comes in the second half of a
        life that is shorter than the middleware knows of.
        """
        session = self._ours
        if session is None or not dict.__len__(session):
            return
        expiry = dict.get(session, _EXPIRY)
        if session.accessed:
            stays = not settings.SESSION_EXPIRE_AT_BROWSER_CLOSE if expiry is None else expiry != 0
            if session.remember is not stays:
                session.remember = stays
        if session.record is None:
            return
        life = 0.0 if isinstance(expiry, str) else expiry or self.get_session_cookie_age()
        due = session.accessed and life > 0 and now - session.record.issued >= life / 2
        if due or settings.SESSION_SAVE_EVERY_REQUEST:
            session.renew()

    def leave(self) -> None:
        """Leave a session that expired unseen as it came: nobody ended it, so no list of revocations is told."""
        ours = self._ours
        if self._expired and ours is not None and ours.asked is not None and not ours.accessed:
            ours.asked.destroyed = False

    # --- without a request ---

    def load(self) -> dict[str, Any]:
        """Return what is in it, as a plain dict."""
        return dict(self._session)

    async def aload(self) -> dict[str, Any]:
        """See ``load``."""
        return self.load()

    def save(self, must_create: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - Django's signature
        """Seal the session into its key; within a request that is done as the response leaves.

        Raises:
            SerializationError: if a value cannot be stored.
            SessionTooLargeError: if it needs more than one cookie.
        """
        if self._within:
            self.create()
            return
        session = self._get_session()
        values = _core(sessions()).dump_data(dict(session), self._scope)
        if len(values) > 1:
            size = sum(map(len, values))
            raise SessionTooLargeError(size=size, limit=len(values[0]), chunks=len(values), max_chunks=1)
        self._cookie = values[0].decode("ascii")

    async def asave(self, must_create: bool = False) -> None:  # noqa: FBT001, FBT002 - Django's signature
        """See ``save``."""
        self.save(must_create)

    def _opened(self) -> Session:
        """Return the session inside the cookie; an empty one if there is none or it is not accepted."""
        middleware = sessions()
        core, value = _core(middleware), (self._cookie or "").encode("utf-8", "replace")
        self._scope = {"headers": [(b"cookie", b"%b=%b" % (middleware.key.encode("ascii"), value))]}
        core.get_session_id(self._scope)  # puts a session there that knows its record
        session: Session = self._scope[SCOPE_KEY][middleware.key]
        self._ours = session
        dict.update(session, core.load_data([value]))
        self.begin(middleware.clock())
        return session


def _core(middleware: ASGISessionMiddleware) -> SessionBackend:
    """Return this package's own backend, under the ring now in force."""
    return SessionBackend(middleware.service.config, middleware.service.keyring, clock=middleware.clock)


def _signed_in(*, request: HttpRequest, **_: object) -> None:
    """Note a login: when it was, in a session whose absolute life begins with it."""
    store = getattr(request, "session", None)
    if isinstance(store, SessionStore):
        store.ours.regenerate(authenticated=True, reason="login")


user_logged_in.connect(_signed_in, dispatch_uid="sessionkit")


# --- the middleware ---------------------------------------------------------------------------------------------------


class SessionMiddleware(DjangoSessionMiddleware):  # type: ignore[misc]  # Django ships no types
    """Takes the place of Django's own middleware, of which it is one to ``admin`` and to Django's checks.

    Asynchronous alone: Django adapts it where a server or a test client is not.

    Args:
        get_response: the rest of Django.

    Raises:
        ConfigurationError: if another engine is set, or a setting or the keyring cannot be used.
    """

    sync_capable = False
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Awaitable[HttpResponse]]) -> None:
        super().__init__(get_response)
        if not issubclass(self.SessionStore, SessionStore):
            raise ConfigurationError(
                "SESSION_ENGINE",
                f"is {settings.SESSION_ENGINE!r}, which sessionkit's middleware does not work with",
                "Set SESSION_ENGINE = 'sessionkit.contrib.django'.",
            )
        _refuse_greenlets()
        self._sessions = sessions()

    def __call__(self, request: HttpRequest) -> Any:
        """Serve one request; also around a plain function, as tests make it."""
        return self.__acall__(request) if self.async_mode else async_to_sync(self.__acall__)(request)

    async def __acall__(self, request: HttpRequest) -> HttpResponse:
        """Serve one request."""
        rest = self.get_response if self.async_mode else sync_to_async(self.get_response)
        return await _Exchange(self._sessions, self.SessionStore, rest, request).run()


def _refuse_greenlets() -> None:
    """Refuse a server whose requests share a thread: asyncio has one loop a thread, so all of them but one would fail.

    Raises:
        ConfigurationError: if gevent or eventlet has patched threads.
    """
    for name, question, threads in _GREENLETS:
        module = sys.modules.get(name)
        if module is not None and getattr(module, question)(threads):
            library = name.partition(".")[0]
            raise ConfigurationError(
                "MIDDLEWARE",
                f"has sessionkit's, which cannot serve the greenlets of {library}: it needs asyncio",
                "Serve by ASGI, or by WSGI with threads (gunicorn -k gthread).",
            )


class _Exchange:
    """One request: to the ASGI middleware, the rest of Django as an application."""

    def __init__(
        self,
        middleware: ASGISessionMiddleware,
        store: type[SessionStore],
        get_response: Callable[[HttpRequest], Awaitable[HttpResponse]],
        request: HttpRequest,
    ) -> None:
        self._middleware = middleware
        self._store = store
        self._get_response = get_response
        self._request = request
        self._response: HttpResponse | None = None
        self._fields: list[tuple[bytes, bytes]] = []

    async def run(self) -> HttpResponse:
        """Return the response, with the session's cookies on it."""
        scope: Scope | None = getattr(self._request, "scope", None)
        if scope is None:
            scope = _scope(self._request)
        unasked: Any = None  # the request's body is Django's to read
        await self._middleware.around(self._view)(scope, unasked, self._take)
        return self._response

    async def _view(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - an ASGI application
        session = scope.get("session")
        clock = self._middleware.clock
        store = self._store.over(session if isinstance(session, Session) else None)
        store.begin(clock())
        self._request.session = store
        self._response = response = await self._get_response(self._request)
        match = self._request.resolver_match
        if match is not None:
            scope["endpoint"] = self._endpoint(match.func)
        store.settle(clock())
        try:
            await send(self._start(response))
        except SessionKitError as error:
            if not (isinstance(session, Session) and session.destroyed):
                raise  # Django makes its page of it, around us
            # What was begun after a logout cannot be stored: the page is made here, since it has to carry the logout.
            page = await sync_to_async(response_for_exception, thread_sensitive=False)(self._request, error)
            self._response = page
            await send(self._start(page))
        store.leave()

    def _start(self, response: HttpResponse) -> ASGIMessage:
        """Return the message that a response begins with."""
        self._fields = _fields(response)
        return {"type": "http.response.start", "status": response.status_code, "headers": self._fields}

    def _endpoint(self, view: Any) -> Any:
        """Return whose attribute says whether a view opts out: the function, or its class if it has no word of it."""
        return view if hasattr(view, self._middleware.config.exclude_opt_key) else getattr(view, "view_class", view)

    async def _take(self, message: ASGIMessage) -> None:
        """Put what the middleware adds on Django's response, or take over what it answers itself."""
        if self._response is None:
            self._response = HttpResponse(status=message["status"])
            del self._response["content-type"]
        response = self._response
        if message["type"] == "http.response.body":
            response.write(message["body"])
            return
        given = set(self._fields)
        for name, value in message["headers"]:
            if (name, value) in given:
                continue
            text = value.decode("latin-1")
            if name == b"set-cookie":
                _set_cookie(response, text)
            elif name == b"vary":
                patch_vary_headers(response, (text,))
            else:
                response[name.decode("ascii")] = text


class _Cookie(Morsel[str]):
    """A Set-Cookie field for Django's ``response.cookies``, which leaves as it was made.

    ``http.cookies`` would not: it knows ``Partitioned`` only from Python 3.14 on.
    """

    def __init__(self, field: str) -> None:
        super().__init__()
        pair, *attributes = field.split("; ")
        name, _, value = pair.partition("=")
        self.set(name, value, value)
        for attribute in attributes:
            label, _, given = attribute.partition("=")
            dict.__setitem__(self, label.lower(), given or True)
        self._field = field

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel into a cache of whole responses and back."""
        return type(self), (self._field,)

    def OutputString(self, attrs: object = None) -> str:  # noqa: ARG002, N802 - the name and signature of its base
        """Return the field."""
        return self._field


def _set_cookie(response: HttpResponse, field: str) -> None:
    """Put a Set-Cookie field of ours on a response, in the place of one of the same name by Django."""
    cookie = _Cookie(field)
    place = cookie.key
    if isinstance(response.cookies.get(place), _Cookie):  # one of another library, cleared at its own path or domain
        place = f"{place} {cookie.get('domain', '')}{cookie.get('path', '')}"
    dict.__setitem__(response.cookies, place, cookie)


def _scope(request: HttpRequest) -> dict[str, Any]:
    """Return as much of a scope as the middleware looks at, for a request that came in another way."""
    meta: Mapping[str, str] = request.META
    named = ((b"host", meta.get("HTTP_HOST")), (b"cookie", meta.get("HTTP_COOKIE")))
    return {
        "type": "http",
        "method": request.method,
        "scheme": request.scheme,
        "path": request.path,
        "root_path": meta.get("SCRIPT_NAME", ""),
        "headers": [(name, value.encode("latin-1", "replace")) for name, value in named if value],
        "client": (meta.get("REMOTE_ADDR"), 0),
    }


def _fields(response: HttpResponse) -> list[tuple[bytes, bytes]]:
    """Return a response's header as ASGI has it."""
    fields = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.items()]
    cookies = (cookie.OutputString().encode("latin-1") for cookie in response.cookies.values())
    return [*fields, *((b"set-cookie", cookie) for cookie in cookies)]
