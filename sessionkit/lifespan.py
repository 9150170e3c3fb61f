"""Speaks ASGI's lifespan protocol on behalf of applications that do not.

An application that raises before it listens, or that takes every scope for a request, does not speak the protocol;
servers accept that, but whoever hosts something in the lifespan needs it. One that raises later has failed: passed on.

What ends the lifespan is held back until whatever is hosted has ended, too: servers do not wait any longer (uvicorn
leaves as soon as it has read ``lifespan.shutdown.complete``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sessionkit.asgi import ASGIApp, ASGIMessage, Receive, Scope, Send

__all__ = ["Lifespan"]


class Lifespan:
    """Watches one lifespan of an application, and answers the server where the application does not.

    Args:
        receive: the server's.
        send: the server's.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._asked = False
        self._answered: set[str] = set()
        self._received: list[str] = []
        self._last: ASGIMessage | None = None

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Run the application's lifespan to its end, or stand in for it until the server's shutdown.

        Raises:
            Exception: what the application raises after it has begun to listen: it failed to start, or to stop.
        """
        try:
            await app(scope, self._watched_receive, self._watched_send)
        except Exception:
            if self._asked:
                raise
            # It does not speak lifespan. Servers would take that as "not supported"; our own host needs it.
        if self._answered & {"lifespan.startup.failed", "lifespan.shutdown.complete", "lifespan.shutdown.failed"}:
            return
        await self._finish()

    async def _watched_receive(self) -> ASGIMessage:
        self._asked = True
        message = await self._receive()
        self._received.append(message["type"])
        return message

    async def _watched_send(self, message: ASGIMessage) -> None:
        if not message["type"].startswith("lifespan."):
            # It takes every scope for a request. Servers refuse such a message likewise.
            msg = f"{message['type']!r} is no message of a lifespan"
            raise RuntimeError(msg)
        await self._answer(message)

    async def _answer(self, message: ASGIMessage) -> None:
        self._answered.add(message["type"])
        if message["type"].startswith("lifespan.shutdown."):
            self._last = message
        else:
            await self._send(message)

    async def _finish(self) -> None:
        """Answer what the application left unanswered."""
        for stage in ("lifespan.startup", "lifespan.shutdown"):
            if stage not in self._received:
                await self._receive()
            if f"{stage}.complete" not in self._answered:
                await self._answer({"type": f"{stage}.complete"})

    async def close(self) -> None:
        """Tell the server that the lifespan has ended; call it when all that was hosted has ended."""
        if self._last is not None:
            await self._send(self._last)
