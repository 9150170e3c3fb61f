"""An application behind the middleware, in a lifespan or without, whose actor a test can hold and kill.

Rules of this file:

* Whatever is held or killed here is the service's own actor, reached through the two methods it offers to tests.
* The clock of sessions stands still unless it is moved; the loop's time is virtual (``tests/virtual_time.py``).
"""

from __future__ import annotations

import math
from itertools import repeat
from typing import TYPE_CHECKING, Any, NoReturn

import anyio
import pytest

from sessionkit.audit.events import Event
from sessionkit.backend.actor import Actor
from sessionkit.backend.messages import Message, Reply
from sessionkit.config import AuditConfig, SessionConfig
from sessionkit.middleware import SessionMiddleware
from sessionkit.testing import AsgiClient, FixedClock
from tests.middleware.apps import Log, answer, ring

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from os import PathLike
    from pathlib import Path

    from sessionkit.asgi import ASGIApp, Receive, Scope, Send
    from sessionkit.backend.parking import Envelope
    from sessionkit.keyring.keyring import Keyring

__all__ = ["BOTH_WAYS", "Puppet", "Stage", "counter", "never", "until"]

BOTH_WAYS = pytest.mark.parametrize("in_place", [True, False], ids=["in-place", "mailbox"])
"""Whether an idle actor serves in the task of the request."""

_KILL: Any = object()


async def counter(scope: Scope, receive: Receive, send: Send) -> None:
    """Count the visits of a session under ``n``; on ``/read`` look only. The count is in a header."""
    session = scope["session"]
    if scope["path"] != "/read":
        session["n"] = session.get("n", 0) + 1
    await answer(send, headers=[(b"x-count", str(session.get("n")).encode())])


async def never(path: Path) -> AsyncIterator[None]:
    """Watch a folder in which nothing ever happens."""
    await anyio.sleep_forever()
    yield


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens in a worker thread, or in a task of its own, and tells nobody."""
    with anyio.fail_after(30):
        for _ in repeat(None):
            if condition():
                return
            await anyio.sleep(0.01)


class Puppet(Actor[Message, Reply, Event]):
    """An actor whose loop can be held and killed."""

    _gate: anyio.Event | None = None
    _held: anyio.Event
    _loop: anyio.CancelScope

    async def hold(self) -> None:
        """Keep the loop from its mailbox: everything queues from now on."""
        self._gate, self._held = anyio.Event(), anyio.Event()
        self._loop.cancel()
        await self._held.wait()

    def release(self) -> None:
        """Let the loop go on."""
        assert self._gate is not None
        self._gate.set()

    def kill(self) -> None:
        """Crash the loop itself with its next message."""
        assert self._mailbox.put(self._home.envelope(_KILL, math.inf))

    async def kill_for_good(self) -> None:
        """Crash it once more often than it is restarted."""
        for _ in range(self._max_restarts + 1):
            self.kill()
            await anyio.wait_all_tasks_blocked()

    async def _receive(self) -> NoReturn:
        while True:
            with anyio.CancelScope() as self._loop:
                await super()._receive()
            assert self._gate is not None
            self._held.set()
            await self._gate.wait()

    def _deliver(self, envelope: Envelope[Message, Reply]) -> None:
        if envelope.message is _KILL:
            raise OSError("killed")
        super()._deliver(envelope)


class Stage:
    """An application behind the middleware, one browser, one clock, and what was logged.

    Args:
        app: the application.
        keyring: by default of key 1 alone.
        in_place: let an idle actor serve in the task of the request.
        watch: yields when the keyring file may have changed.
        capacity: places of the mailbox.
        base_url: where the browser goes.
        settings: of ``SessionConfig``.
    """

    def __init__(
        self,
        app: ASGIApp = counter,
        keyring: Keyring | str | PathLike[str] | None = None,
        *,
        in_place: bool = True,
        watch: Callable[[Path], AsyncIterator[None]] = never,
        capacity: int = 1024,
        base_url: str = "https://testserver",
        **settings: Any,
    ) -> None:
        self.clock = FixedClock()
        self.log = Log()
        self.middleware = SessionMiddleware(
            app,
            ring() if keyring is None else keyring,
            SessionConfig(**{"audit": AuditConfig(level="debug"), **settings}),
            clock=self.clock,
            logger=self.log,
            in_place=in_place,
            watch=watch,
        )
        self.service = self.middleware.service
        self.actor = self.service._actor = Puppet(
            self.service._behaviour,
            elsewhere=self.service._inline,
            on_events=self.service.log.emit,
            on_life=self.service._tell_life,
            in_place=in_place,
            capacity=capacity,
        )
        self.client = AsgiClient(self.middleware, clock=self.clock, base_url=base_url)

    @property
    def cookies(self) -> dict[str, bytes]:
        """The browser's cookies."""
        return {cookie.name.decode(): cookie.value for cookie in self.client.jar}

    async def count(self, url: str = "/") -> str:
        """Visit the ``counter`` and return what it counted."""
        response = await self.client.get(url)
        assert response.status == 200
        [counted] = response.values(b"x-count")
        return counted.decode()

    def reasons(self, event: str = "session.write_lost") -> list[str]:
        """Return the reasons of all lines of one name."""
        return [line["reason"] for line in self.log.named(event)]
