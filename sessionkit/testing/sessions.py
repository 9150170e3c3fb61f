"""The session that a client's cookies hold, read and set by a test: what Litestar's test client does, for any client.

Rules of this file:

* A session is opened and stored by the backend itself, as for a request: its id, dates and chunks, leftovers that are
  cleared, refusals, all as in production.
* What a jar does not keep, or would not send, is an error here and not a riddle two requests later.
"""

from __future__ import annotations

import http.cookiejar
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast
from urllib.parse import urljoin
from urllib.request import Request

from sessionkit.backend.backend import SessionBackend, system_clock
from sessionkit.backend.messages import ABSENT, Load, Loaded, Received, Save, Saved, Unsaved
from sessionkit.config import SessionConfig
from sessionkit.exceptions import ConfigurationError
from sessionkit.exchange import session_of
from sessionkit.session import Session
from sessionkit.testing.client import AsgiClient
from sessionkit.testing.jar import CookieJar
from sessionkit.testing.strict import HttpxClient, strict_jar_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from http.client import HTTPResponse

    from sessionkit.keyring.keyring import Keyring

    Browser = AsgiClient | CookieJar | http.cookiejar.CookieJar | HttpxClient

__all__ = ["Sessions"]

SITE = "https://testserver"
"""Where a jar's cookies are for, if nothing else is said: where ``AsgiClient`` goes."""


class Sessions:
    """Reads and writes the sessions in a client's cookies, under a ring and a configuration.

    A client is an ``AsgiClient``, any client of httpx (the test clients of Starlette, FastAPI and Litestar are), or a
    jar alone: this package's or Python's own. The latter, which clients of httpx have unless given a strict one, goes
    by the machine's clock, whatever the application's.

    Args:
        keyring: the application's.
        config: the application's; by default that of ``SessionMiddleware``.
        clock: returns Unix seconds; the application's, or another's to make sessions that are old already.
        url: where the application is; by default the client's ``base_url``, or ``SITE`` for a jar.
    """

    def __init__(
        self,
        keyring: Keyring,
        config: SessionConfig | None = None,
        *,
        clock: Callable[[], float] = system_clock,
        url: str | None = None,
    ) -> None:
        self._backend = SessionBackend(SessionConfig() if config is None else config, keyring, clock=clock)
        self._clock = clock
        self._url = url

    def __repr__(self) -> str:
        """Show cookie and ring."""
        return f"<Sessions {self._backend!r}>"

    def header(self, data: Mapping[str, Any]) -> bytes:
        """Return the value of a Cookie header that brings a new session with these values.

        Raises:
            SerializationError: if a value cannot be stored.
            SessionTooLargeError: if it needs more cookies than allowed.
        """
        saved = self._save(Session(data, clock=self._clock), ABSENT)
        return b"; ".join(cookie.partition(b";")[0] for cookie in saved.cookies)

    def read(self, client: Browser) -> Session:
        """Return the session that a client would bring with its next request; a new one if it is not accepted.

        Why it is not, ``session.info.rejected`` tells.
        """
        session = session_of(self._load(self._held(client)), self._clock)
        session.close("only_read", strict=False, on_late_write=_too_late)
        return session

    @contextmanager
    def edit(self, client: Browser) -> Iterator[Session]:
        """Give the session of a client for changes, and put it back when the context ends.

        ::

            with sessions.edit(client) as session:
                session.regenerate(authenticated=True)
                session["user"] = "ann"

        Raises:
            SerializationError: if a value cannot be stored.
            SessionTooLargeError: if it needs more cookies than allowed.
            ConfigurationError: if the client's jar does not keep the cookies, or would not send them.
        """
        held = self._held(client)
        received = self._load(held)
        session = session_of(received, self._clock)
        yield session
        saved = self._save(session, received)
        session.close("edit_over", strict=False, on_late_write=_too_late)
        disliked = held.store(saved.cookies)
        came = self._load(held)
        if saved.kid is None or (
            isinstance(came, Loaded) and came.payload == saved.stored and came.record.id == session.raw_id
        ):
            return
        told = f" ({'; '.join(disliked)})" if disliked else ""
        raise ConfigurationError(
            "cookies",
            f"those of this session are not kept, or do not go to {held.url}{told}",
            "Look at secure, domain, path and name of the cookie: a Secure one wants a base_url of https.",
        )

    # --- by the backend -----------------------------------------------------------------------------------------------

    def _load(self, held: _Held) -> Received:
        reply, _ = self._backend.handle(Load(tuple(held.fields())))
        return cast("Received", reply)

    def _save(self, session: Session, received: Received) -> Saved:
        reply, _ = self._backend.handle(Save(session, session, received))
        if isinstance(reply, Unsaved):
            raise reply.error
        return cast("Saved", reply)

    # --- in a jar -----------------------------------------------------------------------------------------------------

    def _held(self, client: Browser) -> _Held:
        match client:
            case AsgiClient(jar=jar, base_url=base):
                return _Strict(jar, self._where(base), client.clock)
            case CookieJar():
                return _Strict(client, self._where(SITE), self._clock)
            case http.cookiejar.CookieJar():
                return _Lenient(client, self._where(SITE))
        try:
            url, strict, lenient = self._where(str(client.base_url)), strict_jar_of(client), client.cookies.jar
        except AttributeError:
            raise TypeError(
                f"a {type(client).__name__} is no client: pass an AsgiClient, a client of httpx, or a cookie jar"
            ) from None
        return _Lenient(lenient, url) if strict is None else _Strict(strict, url, self._clock)

    def _where(self, base: str) -> str:
        url = base if self._url is None else self._url
        if not url:
            raise ConfigurationError(
                "url",
                "is not known",
                "Give the client a base_url, or say where the application is: Sessions(…, url=…).",
            )
        return urljoin(url, self._backend.config.path)


class _Held(Protocol):
    """The cookies that a client holds for one address."""

    @property
    def url(self) -> str:
        """The address."""

    def fields(self) -> list[bytes]:
        """Return the values of the Cookie fields of a request."""

    def store(self, cookies: Sequence[bytes]) -> list[str]:
        """Take these Set-Cookie fields from a response; return what is wrong with them, as far as that is known."""


@dataclass(frozen=True, slots=True)
class _Strict:
    """In this package's jar."""

    jar: CookieJar
    url: str
    clock: Callable[[], float]

    def fields(self) -> list[bytes]:
        return self.jar.header(self.url, self.clock())

    def store(self, cookies: Sequence[bytes]) -> list[str]:
        known = len(self.jar.refusals)
        self.jar.store([(b"set-cookie", cookie) for cookie in cookies], self.url, self.clock())
        return sorted({refusal.reason for refusal in self.jar.refusals[known:]})


@dataclass(frozen=True, slots=True)
class _Lenient:
    """In Python's jar, which httpx and requests use; it looks at the machine's clock."""

    jar: http.cookiejar.CookieJar
    url: str

    def fields(self) -> list[bytes]:
        request = Request(self.url)  # noqa: S310 - never opened
        self.jar.add_cookie_header(request)
        value = request.get_header("Cookie")
        return [] if value is None else [value.encode("latin-1")]

    def store(self, cookies: Sequence[bytes]) -> list[str]:
        response = _Answer(cookies)
        self.jar.extract_cookies(cast("HTTPResponse", response), Request(self.url))  # noqa: S310 - never opened
        return []


class _Answer:
    """As much of a response as Python's jar looks at."""

    def __init__(self, cookies: Sequence[bytes]) -> None:
        self._fields = Message()
        for cookie in cookies:
            self._fields["Set-Cookie"] = cookie.decode("latin-1")

    def info(self) -> Message:
        return self._fields


def _too_late(reason: str) -> NoReturn:
    raise RuntimeError(f"this write does not reach the client ({reason}): write within `with sessions.edit(client)`")
