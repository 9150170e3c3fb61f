"""An application in a task of its own, with a queue each way.

Rules of this file:

* The application's error is raised to whoever waits for its next message, as it was raised, once.
* Whoever started the task ends it; an application that does not end when told to is cancelled.
"""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import anyio
import anyio.lowlevel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[Scope, Receive, Send], Awaitable[None]]

__all__ = ["ApplicationTask"]

Item = TypeVar("Item")

PATIENCE = 5.0
"""Seconds that an application may take to end once it was told to."""


class ApplicationTask:
    """Runs an application in a task of its own, with a queue each way."""

    def __init__(self, app: Application, scope: Scope) -> None:
        self._app = app
        self._scope = scope
        self._group = anyio.create_task_group()
        self._inward: _Queue[Message] = _Queue()
        self._outward: _Queue[Message | _Ended] = _Queue()
        self._over = False
        self.messages: list[Message] = []

    @asynccontextmanager
    async def starting(self) -> AsyncIterator[None]:
        """Start the application; if what stands inside fails, end it."""
        await self._group.__aenter__()
        self._group.start_soon(self._run)
        try:
            yield
        except BaseException:
            await self._cancel()
            raise

    @asynccontextmanager
    async def ending(self) -> AsyncIterator[None]:
        """Wait for the application to end after what stands inside told it to, and raise what it raised."""
        try:
            with anyio.fail_after(PATIENCE):
                yield
                while await self.next() is not None:
                    pass
        finally:
            await self._cancel()

    def tell(self, message: Message) -> None:
        """Send the application a message."""
        self._inward.put(message)

    async def next(self) -> Message | None:
        """Return the application's next message, or ``None`` if it has ended; raise, once, what it raised."""
        if self._over:
            return None
        item = await self._outward.get()
        if not isinstance(item, _Ended):
            return item
        self._over = True
        if item.error is not None:
            raise item.error
        return None

    async def _run(self) -> None:
        error = None
        try:
            await self._app(self._scope, self._inward.get, self._send)
        except Exception as raised:  # noqa: BLE001 - raised again by `next`, in the task that waits for it
            error = raised
        self._outward.put(_Ended(error))

    async def _send(self, message: Message) -> None:
        await anyio.lowlevel.checkpoint()
        self.messages.append(message)
        self._outward.put(message)

    async def _cancel(self) -> None:
        self._group.cancel_scope.cancel()
        await self._group.__aexit__(None, None, None)


@dataclass(frozen=True, slots=True)
class _Ended:
    """The last item of a queue: the application is over, with this error or without one."""

    error: Exception | None


class _Queue(Generic[Item]):
    """Hands items from one task to another."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._arrival: anyio.Event | None = None

    def put(self, item: Item) -> None:
        self._items.append(item)
        if self._arrival is not None:
            self._arrival.set()

    async def get(self) -> Item:
        while not self._items:
            self._arrival = anyio.Event()
            await self._arrival.wait()
        return self._items.popleft()
