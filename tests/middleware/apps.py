"""A site for tests: raw ASGI applications behind the middleware, one browser, one clock, and what was logged."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from sessionkit.config import AuditConfig, SessionConfig
from sessionkit.keyring.key import Key, KeyState
from sessionkit.keyring.keyring import Keyring
from sessionkit.middleware import SessionMiddleware
from sessionkit.testing import AsgiClient, CookieJar, FixedClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sessionkit.asgi import ASGIApp, Receive, Scope, Send
    from sessionkit.revocation import RevocationList
    from sessionkit.session import Session
    from sessionkit.testing import Response

__all__ = ["Log", "Site", "answer", "key", "noise", "page", "ring", "secret"]

Headers = tuple[tuple[bytes, bytes], ...]


def secret(number: int) -> bytes:
    """Return the secret of a numbered key."""
    return bytes([number]) * 32


def key(number: int, state: KeyState = KeyState.ACTIVE, **dates: float | None) -> Key:
    """Return a numbered key."""
    return Key.from_secret(secret(number), label=f"key-{number}", state=state, **dates)


def ring(*keys: Key) -> Keyring:
    """Return a ring, by default of key 1 alone."""
    return Keyring(keys or [key(1)])


def noise(octets: int, seed: int = 1) -> str:
    """Return text of a length, the same on every run."""
    return "".join(Random(seed).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=octets))


class Log:
    """Takes audit lines and keeps them, each as a dict with its name under ``event``."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def debug(self, event: str, /, **fields: Any) -> None:
        """Keep a line."""
        self.lines.append({"event": event, **fields})

    info = warning = error = critical = debug

    def named(self, name: str) -> list[dict[str, Any]]:
        """Return the lines of one name."""
        return [line for line in self.lines if line["event"] == name]

    def names(self) -> list[str]:
        """Return what was told of sessions, in order."""
        return [line["event"] for line in self.lines if line["category"] == "session"]


async def answer(send: Send, *, status: int = 200, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Send a whole response."""
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": b"page"})


def page(act: Callable[[Scope], object] | None = None, *, status: int = 200, headers: Headers = ()) -> ASGIApp:
    """Return an application that does something with its scope, then answers."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if act is not None:
            act(scope)
        await answer(send, status=status, headers=headers)

    return app


class Site:
    """One application behind the middleware, and one browser.

    Args:
        keyring: by default of key 1 alone.
        site: another site, whose browser, clock and log to share.
        base_url: where the browser goes.
        revocations: the list of revocations.
        settings: of ``SessionConfig``.
    """

    def __init__(
        self,
        keyring: Keyring | None = None,
        *,
        site: Site | None = None,
        base_url: str = "https://testserver",
        revocations: RevocationList | None = None,
        **settings: Any,
    ) -> None:
        self.clock: FixedClock = FixedClock() if site is None else site.clock
        self.log: Log = Log() if site is None else site.log
        self.jar: CookieJar = CookieJar() if site is None else site.jar
        self.config = SessionConfig(**{"audit": AuditConfig(level="debug"), **settings})
        self.middleware = SessionMiddleware(
            self._app,
            ring() if keyring is None else keyring,
            self.config,
            clock=self.clock,
            logger=self.log,
            revocations=revocations,
        )
        self.client = AsgiClient(self.middleware, jar=self.jar, clock=self.clock, base_url=base_url)
        self._current: ASGIApp = page()

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"  # as applications that have never heard of lifespan
        await self._current(scope, receive, send)

    async def run(self, app: ASGIApp, url: str = "/", *, method: str = "GET", **options: Any) -> Response:
        """Make a request that an application answers; see ``AsgiClient.request``."""
        self._current = app
        return await self.client.request(method, url, **options)

    async def visit(
        self,
        act: Callable[[Session], object] | None = None,
        url: str = "/",
        *,
        status: int = 200,
        headers: Headers = (),
        **options: Any,
    ) -> Response:
        """Make a request during which the application does something with its session, or nothing."""
        app = page(None if act is None else lambda scope: act(scope["session"]), status=status, headers=headers)
        return await self.run(app, url, **options)

    async def write(self, url: str = "/", **values: Any) -> Response:
        """Make a request that puts values into the session."""
        return await self.visit(lambda session: session.update(values), url)

    async def read(self, **options: Any) -> dict[str, Any]:
        """Make a request and return the session the application saw."""
        seen: list[dict[str, Any]] = []
        response = await self.visit(lambda session: seen.append(dict(session)), **options)
        assert response.status == 200
        return seen[0]

    def cookies(self) -> dict[str, bytes]:
        """Return the browser's cookies."""
        return {cookie.name.decode(): cookie.value for cookie in self.jar}

    def put(self, *pairs: tuple[str, bytes]) -> None:
        """Replace the browser's cookies."""
        self.jar.clear()
        for name, value in pairs:
            self.jar.plant(name, value, self.client.base_url)
