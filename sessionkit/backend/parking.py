"""How a task that asks is parked and woken with its answer, natively on either event loop.

anyio's Event does this as well, and more: several sleepers, and a checkpoint at every wait. With it an ask through the
mailbox costs at least twice the time and three times the memory (``scripts/bench``, rows "mailbox").

Rules of this file:

* An envelope is the question, the place where its task is parked, and the way back of the answer, in one object: what
  waits in thousands is worth it. An envelope, a wrapper, a Future and a copied context were 320 octets more for each.
* An envelope serves one task, which waits once, at once after it has put it where it can be found.
* Whoever is cancelled while parked abandons the envelope; answering it then is harmless.
* trio is imported only where trio runs, by ``parking_trio``.
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError, current_task, get_running_loop
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextvars import Context

__all__ = ["Envelope", "Failure", "Home", "home_here"]

Message = TypeVar("Message")
Reply = TypeVar("Reply")
Reply_contra = TypeVar("Reply_contra", contravariant=True)


class Failure:
    """An answer that is no reply but an error, to be raised where it was asked.

    Args:
        error: the error.
    """

    __slots__ = ("_error",)

    def __init__(self, error: Exception) -> None:
        self._error = error

    def reraise(self) -> NoReturn:
        """Raise the error, and keep it no longer."""
        try:
            raise self._error
        finally:
            del self._error  # or error, traceback, frame and failure would hold each other


class Envelope(Protocol[Message, Reply_contra]):
    """A message, the time it must be answered by, and the task that waits for the answer.

    Attributes:
        message: what was asked; gone as soon as the question is settled.
        deadline: in seconds of the loop's clock; infinity for none.
        pending: whether somebody waits for an answer still.
    """

    message: Message
    deadline: float
    pending: bool

    @property
    def context(self) -> Context:
        """The context variables of the task that is parked here. Not a copy: run nothing in it but in a copy."""

    def answer(self, answer: Reply_contra | Failure) -> None:
        """Settle the question and wake who asked, on the loop it was asked on. No effect on a settled one."""

    def wait(self) -> Awaitable[Any]:
        """Return what to await, at once: it sleeps until there is an answer, and returns that."""


class Home(Protocol):
    """An event loop, as much of it as an actor needs, without a look at which one it is each time.

    Attributes:
        envelope: makes an envelope of a message and a deadline.
        now: returns the time of the loop's clock, in seconds.
        pause: returns what to await to let other tasks run.
    """

    envelope: Callable[[Any, float], Envelope[Any, Any]]
    now: Callable[[], float]
    pause: Callable[[], Awaitable[None]]

    def is_here(self) -> bool:
        """Whether the caller is a task of this loop. Safe on any thread."""


def home_here() -> Home:
    """Return the loop that runs the calling task."""
    try:
        task = current_task()
    except RuntimeError:
        task = None
    if task is not None:
        return _AsyncioHome()
    # No loop of asyncio's, or trio is its guest: there is a loop, and we are no task of it.
    from sessionkit.backend.parking_trio import TrioHome  # noqa: PLC0415 - trio is optional, and loaded where it runs

    return TrioHome()


class _AsyncioHome:
    def __init__(self) -> None:
        self._loop = get_running_loop()
        self.envelope: Callable[[Any, float], Envelope[Any, Any]] = _AsyncioEnvelope
        self.now = self._loop.time
        self.pause: Callable[[], Awaitable[None]] = partial(asyncio.sleep, 0)

    def is_here(self) -> bool:
        try:
            return get_running_loop() is self._loop and current_task() is not None  # a guest's tasks are none of ours
        except RuntimeError:
            return False


class _AsyncioEnvelope(Generic[Message, Reply]):
    """A future-like object, as ``asyncio.isfuture`` describes them: a Task waits for it as for a Future.

    What a Task asks of what it waits for is below, and no more. Measured against a subclass of Future, it is 72 octets
    smaller, needs no iterator of its own to be awaited (40), and is no slower (2.3 µs a question for 2.5, of 64 callers
    on uvloop). The Task hands over the context it runs in, which spares each question a copy of it (64).
    """

    __slots__ = ("_answer", "_asyncio_future_blocking", "_loop", "_wake", "context", "deadline", "message", "pending")

    context: Context
    message: Message

    def __init__(self, message: Message, deadline: float) -> None:
        self.message = message
        self.deadline = deadline
        self.pending = True
        self._loop = get_running_loop()
        self._wake: Callable[[Any], object] | None = None
        self._asyncio_future_blocking = False
        self._answer: Reply | Failure | CancelledError

    def __repr__(self) -> str:
        return f"<Envelope {'pending' if self.pending else 'settled'}>"

    def answer(self, answer: Reply | Failure | CancelledError) -> None:
        if self.pending:
            self.pending = False
            self._answer = answer
            del self.message
            if self._wake is not None:
                self._loop.call_soon(self._wake, self, context=self.context)

    def wait(self) -> Awaitable[Any]:
        return self

    # --- what a coroutine asks of what it awaits ----------------------------------------------------------------------

    def __await__(self) -> Any:
        return self

    def __next__(self) -> Self:
        if self.pending:
            self._asyncio_future_blocking = True  # says to the Task: I was yielded by ``await``
            return self
        raise StopIteration(self._answer)

    def close(self) -> None:
        """Abandon the question: the coroutine that waits is being closed."""
        self.cancel()

    # --- what a Task asks of what it waits for ------------------------------------------------------------------------

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(self, wake: Callable[[Any], object], *, context: Context) -> None:
        self._wake = wake
        self.context = context

    def cancel(self, msg: object = None) -> bool:
        pending = self.pending
        self.answer(CancelledError() if msg is None else CancelledError(msg))
        return pending

    def done(self) -> bool:
        return not self.pending

    def result(self) -> None:
        """Raise if the task was cancelled; the answer itself comes by ``__next__``."""
        if type(self._answer) is CancelledError:
            raise self._answer
