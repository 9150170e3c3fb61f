"""Parking on trio: see ``parking``, whose rules hold here. Imported where trio runs, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import trio
from outcome import Value
from trio.lowlevel import Abort, current_task, current_trio_token, reschedule, wait_task_rescheduled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextvars import Context

    from sessionkit.backend.parking import Envelope, Failure

__all__ = ["TrioEnvelope", "TrioHome"]

Message = TypeVar("Message")
Reply = TypeVar("Reply")


class TrioHome:
    """A run of trio."""

    def __init__(self) -> None:
        self._token = current_trio_token()
        self.envelope: Callable[[Any, float], Envelope[Any, Any]] = TrioEnvelope
        self.now = trio.current_time
        self.pause: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint

    def is_here(self) -> bool:
        """Whether the caller is a task of this run."""
        try:
            current_task()  # there is none where the host of a guest run calls, though there is a run
            return current_trio_token() is self._token
        except RuntimeError:
            return False


class TrioEnvelope(Generic[Message, Reply]):
    """An envelope for a task of trio."""

    __slots__ = ("_answer", "_task", "deadline", "message", "pending")

    message: Message
    _answer: Reply | Failure

    def __init__(self, message: Message, deadline: float) -> None:
        self.message = message
        self.deadline = deadline
        self.pending = True
        self._task: trio.lowlevel.Task | None = None

    def __repr__(self) -> str:
        return f"<Envelope {'pending' if self.pending else 'settled'}>"

    @property
    def context(self) -> Context:
        """The context variables of the task that is parked here."""
        task: Any = self._task  # asked of parked ones alone
        context: Context = task.context
        return context

    def answer(self, answer: Reply | Failure) -> None:
        """Settle the question and wake who asked."""
        if self.pending:
            self.pending = False
            del self.message
            if self._task is None:
                self._answer = answer
            else:
                reschedule(self._task, Value(answer))

    def wait(self) -> Awaitable[Any]:
        """Return what to await."""
        if not self.pending:
            return _at_once(self._answer)
        self._task = current_task()
        return wait_task_rescheduled(self)  # noqa: ASYNC105 - who asked awaits it

    def __call__(self, _: object) -> Abort:
        """Abandon the question: trio's abort function, of which each would be 64 octets more as a bound method."""
        self.pending = False
        del self.message
        return Abort.SUCCEEDED


async def _at_once(answer: object) -> object:
    return answer
