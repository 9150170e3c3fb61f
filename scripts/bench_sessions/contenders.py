"""Those who carry a session from one request to the next: this package and its peers, each as its manual sets it up.

Rules of this file:

* A contender is a context manager that yields an ASGI application which answers as ``shop`` says. Lifespans are run:
  ours has its actor running.
* Frameworks that are an application themselves (Litestar, Quart) come twice, with a session and without: what the
  session costs there is the difference.
* Who signs and who encrypts, with what, stands beside the name.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench_sessions.shop import LIFETIME, NAME, bare, callers, check, pause_here, requests, shop, values
from bench_sessions.timing import Work
from bench_sessions.traffic import SECRET, Silent
from sessionkit import Keyring, SessionConfig, SessionMiddleware

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from sessionkit.asgi import ASGIApp

__all__ = ["CONTENDERS", "Contender", "Load", "work"]

TEXT_SECRET = SECRET.hex()


@dataclass(frozen=True, slots=True)
class Load:
    """How heavy the work is.

    Attributes:
        size: of the session as JSON, in octets.
        callers: at once.
        loop: it runs on.
        foreign: further cookies that the request brings.
        stranger: the request brings no session, and the application touches none.
    """

    size: int = 200
    callers: int = 1
    loop: str = "asyncio"
    foreign: int = 0
    stranger: bool = False

    def pause(self) -> Callable[[], Awaitable[None]] | None:
        """Return what lets other callers run, if there are any."""
        return pause_here(self.loop) if self.callers > 1 else None

    def app(self) -> ASGIApp:
        """Return the raw application to put behind a middleware."""
        return bare(self.pause()) if self.stranger else shop(values(self.size), self.pause())


@dataclass(frozen=True, slots=True)
class Contender:
    """Somebody to measure.

    Attributes:
        build: yields the application.
        over: the contender without sessions that it is measured over.
        about: what is done with the session, and how.
        asyncio_only: whether it runs on asyncio's loops alone.
    """

    build: Callable[[Load], AbstractAsyncContextManager[ASGIApp]]
    over: str | None
    about: str
    asyncio_only: bool = False


def work(name: str, load: Load) -> Work:
    """Return the work of making requests to a contender, checked before it is done for the first time."""
    contender = CONTENDERS[name]

    @asynccontextmanager
    async def prepare() -> AsyncIterator[Callable[[int], Awaitable[None]]]:
        async with contender.build(load) as app:
            if load.stranger:
                cookie = b""
            elif contender.over is None:
                cookie = b"session=" + b"a" * (load.size * 4 // 3)  # bare ones are sent as much, and do not look
            else:
                cookie = await check(app, values(load.size))
            others = [b"_track_%d=%s" % (number, b"v" * 24) for number in range(load.foreign)]
            yield callers(load.callers, requests(app, b"; ".join([*others, cookie])))

    return Work(name, prepare, contender.over)


# --- raw ASGI ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _bare(load: Load) -> AsyncIterator[ASGIApp]:
    yield bare(load.pause())


def ours(app: ASGIApp, **options: Any) -> SessionMiddleware:
    """Return this package's middleware around an application, with its defaults."""
    return SessionMiddleware(app, Keyring.from_secret(SECRET), SessionConfig(), logger=Silent(), **options)


def _ours(**options: Any) -> Callable[[Load], AbstractAsyncContextManager[ASGIApp]]:
    @asynccontextmanager
    async def build(load: Load) -> AsyncIterator[ASGIApp]:
        middleware = ours(load.app(), **options)
        async with middleware.service.host():
            yield middleware

    return build


@asynccontextmanager
async def _starlette(load: Load) -> AsyncIterator[ASGIApp]:
    from starlette.middleware.sessions import SessionMiddleware as Peer  # noqa: PLC0415 - each peer where it is used

    yield Peer(load.app(), TEXT_SECRET, NAME, LIFETIME)


@asynccontextmanager
async def _starsessions(load: Load) -> AsyncIterator[ASGIApp]:
    from starsessions import CookieStore, SessionAutoloadMiddleware  # noqa: PLC0415 - as above
    from starsessions import SessionMiddleware as Peer  # noqa: PLC0415 - as above

    yield Peer(
        SessionAutoloadMiddleware(load.app()),
        CookieStore(TEXT_SECRET),
        LIFETIME,
        cookie_name=NAME,
        cookie_https_only=False,
        cookie_path="/",
    )


@asynccontextmanager
async def _asgi_sessions(load: Load) -> AsyncIterator[ASGIApp]:
    from asgi_sessions import SessionMiddleware as Peer  # noqa: PLC0415 - as above

    app: Any = load.app()
    peer: Any = Peer(app, TEXT_SECRET[:32], session_type="fernet", cookie_name=NAME, max_age=LIFETIME)
    yield peer


# --- frameworks -------------------------------------------------------------------------------------------------------


def _litestar_app(load: Load, middleware: list[Any], plugins: list[Any]) -> ASGIApp:
    from litestar import Litestar, Request, Response, get  # noqa: PLC0415 - as above

    pause = load.pause()
    begun = values(load.size)

    async def count(request: Request[Any, Any, Any]) -> Response[bytes]:
        n = request.session["n"] if middleware else 0
        if pause is not None:
            await pause()
        if middleware:
            request.session["n"] = n + 1
        return Response(b"", media_type="text/plain")

    async def begin(request: Request[Any, Any, Any]) -> Response[bytes]:
        request.session.update(begun)
        return Response(b"", media_type="text/plain")

    async def look(request: Request[Any, Any, Any]) -> dict[str, Any]:
        return dict(request.session)

    for handler in (count, begin, look):
        # Litestar reads annotations by what the module knows; it imports Litestar in here alone.
        handler.__annotations__["request"] = Request
        handler.__annotations__["return"] = dict[str, Any] if handler is look else Response[bytes]
    routes = [get("/")(count), get("/begin")(begin), get("/look")(look)]
    app: Any = Litestar(routes, middleware=middleware, plugins=plugins, openapi_config=None, logging_config=None)
    served: ASGIApp = app
    return served


@asynccontextmanager
async def _litestar_bare(load: Load) -> AsyncIterator[ASGIApp]:
    yield _litestar_app(load, [], [])


@asynccontextmanager
async def _litestar_own(load: Load) -> AsyncIterator[ASGIApp]:
    from litestar.middleware.session.client_side import CookieBackendConfig  # noqa: PLC0415 - as above

    yield _litestar_app(load, [CookieBackendConfig(SECRET, max_age=LIFETIME).middleware], [])


@asynccontextmanager
async def _litestar_ours(load: Load) -> AsyncIterator[ASGIApp]:
    from sessionkit.contrib.litestar import CookieBackendConfig  # noqa: PLC0415 - as above

    sessions = CookieBackendConfig(Keyring.from_secret(SECRET), SessionConfig(), logger=Silent())
    async with sessions.sessions.service.host():
        yield _litestar_app(load, [sessions.middleware], [])


def _quart_app(load: Load, *, session_too: bool) -> ASGIApp:
    from quart import Quart, Response, session  # noqa: PLC0415 - as above
    from quart.sessions import SessionInterface  # noqa: PLC0415 - as above

    class _NoSession(SessionInterface):
        """What an application has that does without sessions."""

        async def open_session(self, app: Quart, request: Any) -> Any:  # noqa: ARG002 - Quart hands it over
            return self.null_session_class()

        async def save_session(self, *_: Any) -> None:
            """Have nothing to save."""

    app = Quart(__name__)
    app.secret_key = TEXT_SECRET
    app.config.update(SESSION_COOKIE_SAMESITE="Lax", SESSION_COOKIE_HTTPONLY=True)
    if not session_too:
        app.session_interface = _NoSession()  # type: ignore[assignment]  # Quart declares it by its own default's type
    begun: Mapping[str, Any] = values(load.size)
    pause = load.pause()

    @app.get("/")
    async def count() -> Response:
        n = session["n"] if session_too else 0
        if pause is not None:
            await pause()
        if session_too:
            session["n"] = n + 1
        return Response(b"", mimetype="text/plain")

    @app.get("/begin")
    async def begin() -> Response:
        session.permanent = True
        session.update(begun)
        return Response(b"", mimetype="text/plain")

    @app.get("/look")
    async def look() -> dict[str, Any]:
        return {key: value for key, value in session.items() if key != "_permanent"}

    served: Any = app
    found: ASGIApp = served
    return found


@asynccontextmanager
async def _quart_bare(load: Load) -> AsyncIterator[ASGIApp]:
    yield _quart_app(load, session_too=False)


@asynccontextmanager
async def _quart_own(load: Load) -> AsyncIterator[ASGIApp]:
    yield _quart_app(load, session_too=True)


CONTENDERS: dict[str, Contender] = {
    "bare app": Contender(_bare, None, "no session"),
    "sessionkit": Contender(_ours(), "bare app", "encrypted, XAES-256-GCM; the actor serves in place"),
    "sessionkit, by mailbox": Contender(
        _ours(in_place=False), "bare app", "encrypted, XAES-256-GCM; each message waits in the mailbox"
    ),
    "Starlette": Contender(_starlette, "bare app", "signed, HMAC-SHA-1"),
    "starsessions": Contender(_starsessions, "bare app", "signed, HMAC-SHA-1"),
    "asgi-sessions": Contender(_asgi_sessions, "bare app", "encrypted, Fernet: AES-128-CBC with HMAC-SHA-256"),
    "Litestar app": Contender(_litestar_bare, None, "no session"),
    "Litestar client-side": Contender(_litestar_own, "Litestar app", "encrypted, AES-256-GCM"),
    "sessionkit in Litestar": Contender(_litestar_ours, "Litestar app", "encrypted, XAES-256-GCM"),
    "Quart app": Contender(_quart_bare, None, "no session", asyncio_only=True),
    "Quart": Contender(_quart_own, "Quart app", "signed, HMAC-SHA-1", asyncio_only=True),
}
