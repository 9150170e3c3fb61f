"""The strict cookie jar for clients of httpx: a cookie that no browser keeps or sends is not kept or sent there either.

Rules of this file:

* httpx is not imported: whatever has its event hooks will do, so httpx 2, Starlette's and Litestar's test clients too.
* Nothing of a user's is dropped silently: a request with a Cookie header of its own is sent as it is, and cookies in
  the client's own, lenient jar are an error.
"""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Protocol

from sessionkit.backend.backend import system_clock
from sessionkit.exceptions import ConfigurationError
from sessionkit.testing.jar import CookieJar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HttpxClient", "strict_cookies", "strict_jar_of"]


class HttpxClient(Protocol):
    """What is needed of a client of httpx, synchronous or not."""

    @property
    def cookies(self) -> Any:
        """Its own jar."""

    @property
    def base_url(self) -> Any:
        """What paths are relative to."""

    @property
    def event_hooks(self) -> dict[str, list[Callable[..., Any]]]:
        """Functions called with each request and with each response."""

    @event_hooks.setter
    def event_hooks(self, hooks: dict[str, list[Callable[..., Any]]]) -> None: ...

    @property
    def send(self) -> Callable[..., Any]:
        """Sends a request."""


def strict_cookies(
    client: HttpxClient, jar: CookieJar | None = None, *, clock: Callable[[], float] = system_clock
) -> CookieJar:
    """Let a client keep its cookies in a strict jar, and return the jar.

    The handshakes of websockets carry its cookies, but what they set is not seen: use ``AsgiClient`` for that.

    Args:
        client: ``httpx.Client``, ``httpx.AsyncClient``, or a test client of Starlette, FastAPI or Litestar.
        jar: by default a new one.
        clock: returns Unix seconds; give the application's.

    Raises:
        ConfigurationError: if it has one already, or if its own jar holds cookies, here or at a later request.
    """
    if strict_jar_of(client) is not None:
        raise ConfigurationError(
            "jar", "is the second strict one of this client", "Use the one that it was given first."
        )
    keeper = _Keeper(client, CookieJar() if jar is None else jar, clock)
    keeper.refuse_others()
    asynchronous = iscoroutinefunction(client.send)
    hooks = client.event_hooks
    client.event_hooks = {
        "request": [*hooks["request"], keeper.send_later if asynchronous else keeper.send],
        "response": [keeper.receive_later if asynchronous else keeper.receive, *hooks["response"]],
    }
    return keeper.jar


def strict_jar_of(client: HttpxClient) -> CookieJar | None:
    """Return the strict jar that a client was given, if it was."""
    owners = (getattr(hook, "__self__", None) for hook in client.event_hooks["request"])
    return next((owner.jar for owner in owners if isinstance(owner, _Keeper)), None)


class _Keeper:
    """Stands in the hooks of one client."""

    def __init__(self, client: HttpxClient, jar: CookieJar, clock: Callable[[], float]) -> None:
        self.jar = jar
        self._client = client
        self._clock = clock

    def refuse_others(self) -> None:
        """See that the client's own jar is empty.

        Raises:
            ConfigurationError: if it is not.
        """
        if self._client.cookies:
            raise ConfigurationError(
                "cookies",
                "the client's own jar holds cookies, which the strict one knows nothing of",
                "Put them into the strict jar (its `plant`, or `Sessions.edit`), or give a request a Cookie header.",
            )

    def send(self, request: Any) -> None:
        """Put the jar's cookies on a request that brings none of its own."""
        self.refuse_others()
        if "cookie" in request.headers:
            return
        for value in self.jar.header(str(request.url), self._clock(), method=request.method):
            request.headers.encoding = "latin-1"  # octets are what they are
            request.headers["cookie"] = value.decode("latin-1")

    def receive(self, response: Any) -> None:
        """Store what a response sets, and have the client's own jar, which has done so too, forget it."""
        self.jar.store(response.headers.raw, str(response.request.url), self._clock())
        self._client.cookies.clear()

    async def send_later(self, request: Any) -> None:
        """As ``send``, for a client that awaits it."""
        self.send(request)

    async def receive_later(self, response: Any) -> None:
        """As ``receive``, for a client that awaits it."""
        self.receive(response)
