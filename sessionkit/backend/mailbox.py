"""One ordered queue of questions that wait for an answer.

Rules of this file:

* A question is settled exactly once: answered, failed, expired, or abandoned by whoever asked. What is settled stays
  so; nobody ever sees a second or a late answer.
* Putting never waits. Either there is a place, or the caller hears so at once.
* Deadlines lie in the envelopes and one timer watches the earliest: a timer for each ask costs 10 µs, this one nothing.
* Who waits is parked and woken through ``parking`` and nothing else.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

import anyio

from sessionkit.exceptions import AskTimeout, NotRunning

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextvars import Context

    from sessionkit.backend.parking import Wakeup

__all__ = ["Envelope", "Mailbox"]

Message = TypeVar("Message")
Reply = TypeVar("Reply")


class Envelope(Generic[Message, Reply]):
    """A message, the context of its caller, the time it must be answered by, and the place for the answer.

    Args:
        message: dropped as soon as the question is settled.
        context: a copy of the caller's context variables, for the handler to run in.
        deadline: in seconds of the loop's clock; infinity for none.
        control: may take a place of the reserve.
    """

    __slots__ = ("_error", "_reply", "_wakeup", "context", "control", "deadline", "message", "pending")

    message: Message
    _reply: Reply

    def __init__(self, message: Message, context: Context, deadline: float, *, control: bool = False) -> None:
        self.message = message
        self.context = context
        self.deadline = deadline
        self.control = control
        self.pending = True
        self._error: Exception | None = None
        self._wakeup: Wakeup | None = None

    def __repr__(self) -> str:
        return f"<Envelope {'pending' if self.pending else 'settled'}>"

    def answer(self, reply: Reply) -> None:
        """Settle the question with its reply. No effect on a settled one."""
        if self.pending:
            self._reply = reply
            self._settle()

    def fail(self, error: Exception) -> None:
        """Settle the question with an error, raised where it was asked. No effect on a settled one."""
        if self.pending:
            self._error = error
            self._settle()

    def settled(self, wakeup: Callable[[], Wakeup]) -> Awaitable[None]:
        """Return what who asked has to wait for.

        Whoever waits says ``leave`` in any case, then asks for the ``outcome``: three steps and no coroutine. One here
        and one in ``parking`` were 220 octets more for each question that waits.

        Args:
            wakeup: makes the place to wait at.
        """
        self._wakeup = wakeup()
        if not self.pending:
            self._wakeup.set()
        return self._wakeup.wait()

    def leave(self) -> None:
        """Wait no longer: a question that is not settled by now, since its caller was cancelled, is abandoned."""
        if self.pending:
            self._settle()

    def outcome(self) -> Reply:
        """Return the reply.

        Raises:
            ActorError: what :meth:`fail` was given.
        """
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # or error, traceback, frame and envelope would hold each other
        return self._reply

    def _settle(self) -> None:
        self.pending = False
        del self.message
        if self._wakeup is not None:
            self._wakeup.set()


class Mailbox(Generic[Message, Reply]):
    """A bounded first-in first-out queue of envelopes, with one timer for all their deadlines.

    Args:
        capacity: places for all messages.
        reserve: places beyond them that only control messages may take, so that a flood cannot lock them out.
    """

    def __init__(self, capacity: int, reserve: int) -> None:
        self.high_water = 0
        self.skipped = 0
        self.expired = 0
        self.rejected = 0
        self._capacity = capacity
        self._reserve = reserve
        self._queue: deque[Envelope[Message, Reply]] = deque()
        self._arrival: Wakeup | None = None
        self._earliest = math.inf
        self._timer: anyio.CancelScope | None = None

    def __len__(self) -> int:
        return len(self._queue)

    def __repr__(self) -> str:
        return f"<Mailbox {len(self)} of {self._capacity} + {self._reserve}>"

    def put(self, envelope: Envelope[Message, Reply]) -> bool:
        """Accept an envelope or not, at once.

        Returns:
            Whether there was a place.
        """
        depth = len(self._queue)
        if depth >= self._capacity + (self._reserve if envelope.control else 0):
            self.rejected += 1
            return False
        self._queue.append(envelope)
        self.high_water = max(self.high_water, depth + 1)
        if envelope.deadline < self._earliest:
            self._earliest = envelope.deadline
            if self._timer is not None:
                self._timer.deadline = self._earliest
        if self._arrival is not None:
            self._arrival.set()
        return True

    def take(self, now: float) -> Envelope[Message, Reply] | None:
        """Remove the oldest envelope that still waits for an answer; what nobody waits for is passed over and counted.

        Args:
            now: time of the loop's clock; envelopes whose deadline it has reached end with ``AskTimeout``.
        """
        while self._queue:
            envelope = self._queue.popleft()
            if not envelope.pending:
                self.skipped += 1
            elif envelope.deadline <= now:
                self._expire(envelope)
            else:
                return envelope
        return None

    async def arrival(self, wakeup: Callable[[], Wakeup]) -> None:
        """Wait until an envelope lies in the mailbox.

        Args:
            wakeup: makes the place to wait at.
        """
        while not self._queue:
            self._arrival = wakeup()
            try:
                await self._arrival.wait()
            finally:
                self._arrival = None

    async def watch_deadlines(self) -> NoReturn:
        """End envelopes with ``AskTimeout`` when their time has come, until cancelled."""
        while True:
            with anyio.CancelScope(deadline=self._earliest) as self._timer:
                await anyio.sleep_forever()
            self._expire_overdue(anyio.current_time())

    def close(self) -> int:
        """End whatever waits with ``NotRunning``.

        Returns:
            How many callers that were.
        """
        unanswered = 0
        while (envelope := self.take(-math.inf)) is not None:
            envelope.fail(NotRunning("the actor stopped before this message was handled"))
            unanswered += 1
        return unanswered

    def _expire_overdue(self, now: float) -> None:
        self._earliest = math.inf
        waiting: deque[Envelope[Message, Reply]] = deque()
        while (envelope := self.take(now)) is not None:
            waiting.append(envelope)
            self._earliest = min(self._earliest, envelope.deadline)
        self._queue = waiting

    def _expire(self, envelope: Envelope[Message, Reply]) -> None:
        self.expired += 1
        envelope.fail(AskTimeout("no reply within the time given"))
