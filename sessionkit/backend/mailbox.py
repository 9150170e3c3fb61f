"""One ordered queue of questions that wait for an answer.

Rules of this file:

* A question is settled exactly once: answered, failed, expired, or abandoned by whoever asked. What is settled stays
  so; nobody ever sees a second or a late answer. What is abandoned keeps its place until its turn, or its deadline.
* Putting never waits. Either there is a place, or the caller hears so at once.
* Deadlines lie in the envelopes and one timer watches the earliest: a timer for each ask costs 10 µs, this one nothing.
* Who waits is parked and woken through ``parking`` and nothing else.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

import anyio

from sessionkit.backend.parking import Failure
from sessionkit.exceptions import AskTimeout, NotRunning

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from sessionkit.backend.parking import Envelope

__all__ = ["Mailbox"]

Message = TypeVar("Message")
Reply = TypeVar("Reply")


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
        self._most = capacity + reserve
        self._queue: deque[Envelope[Message, Reply]] = deque()
        self._arrival: Envelope[None, None] | None = None
        self._earliest = math.inf
        self._timer: anyio.CancelScope | None = None

    def __len__(self) -> int:
        return len(self._queue)

    def __repr__(self) -> str:
        return f"<Mailbox {len(self)} of {self._capacity} + {self._most - self._capacity}>"

    def put(self, envelope: Envelope[Message, Reply], *, control: bool = False) -> bool:
        """Accept an envelope or not, at once.

        Args:
            envelope: the question.
            control: it may take a place of the reserve.

        Returns:
            Whether there was a place.
        """
        depth = len(self._queue)
        if depth >= (self._most if control else self._capacity):
            self.rejected += 1
            return False
        self._queue.append(envelope)
        if depth >= self.high_water:
            self.high_water = depth + 1
        if envelope.deadline < self._earliest:
            self._earliest = envelope.deadline
            if self._timer is not None:
                self._timer.deadline = self._earliest
        if self._arrival is not None:
            self._arrival.answer(None)
            self._arrival = None
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

    def arrival(self, place: Envelope[None, None]) -> Awaitable[None]:
        """Return what to await at once, while the mailbox is empty: it sleeps until an envelope lies there.

        Args:
            place: where to sleep; says nothing, and has no deadline.
        """
        self._arrival = place
        return place.wait()

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
            envelope.answer(Failure(NotRunning("the actor stopped before this message was handled")))
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
        envelope.answer(Failure(AskTimeout("no reply within the time given")))
