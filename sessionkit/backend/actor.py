"""A supervised actor: one behaviour, one mailbox, one message at a time. Knows nothing of sessions.

Rules of this file:

* An ask ends exactly once: with a reply, ``NotRunning``, ``Overloaded``, ``AskTimeout``, ``MessageFailed``, or the
  cancellation of who asked.
* Handlers are synchronous. Nothing interrupts one half way, so a behaviour is only ever seen between two messages.
* An idle actor serves in the caller's own task: the same order, errors and events as by the mailbox, at a tenth of the
  cost or less. It is idle while its loop is parked before an empty mailbox; the test suite runs both ways.
* A reply is set before its events are told, and whoever listens to events can harm neither caller nor actor.
* Wherever the actor raises, the message has left the frame: no traceback of ours shows one. Errors of handlers are
  never chained, since their frames hold messages as well.
* ``except Exception`` throughout, never swallow a ``BaseException``: it may be a cancellation.
"""

from __future__ import annotations

import math
import time
import traceback
from collections import deque
from contextlib import asynccontextmanager
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar

import anyio

from sessionkit.backend.lifecycle import (
    ActorState,
    ActorStats,
    Failed,
    HandlerFailed,
    Lifecycle,
    Overflowed,
    Recovered,
    Restarted,
    Started,
    Stopped,
)
from sessionkit.backend.mailbox import Mailbox
from sessionkit.backend.parking import Failure, home_here
from sessionkit.exceptions import MessageFailed, NotRunning, Overloaded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from anyio.abc import TaskStatus

    from sessionkit.backend.parking import Envelope, Home

__all__ = ["Actor", "ActorState", "ActorStats", "Behaviour", "Handler", "Lifecycle", "running"]

Message = TypeVar("Message")
Reply = TypeVar("Reply")
Event = TypeVar("Event")
M_contra = TypeVar("M_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)
E_co = TypeVar("E_co", covariant=True)

BATCH = 64
"""Messages handled before other tasks get their turn: under a millisecond of work for the handlers meant here."""

_REFUSALS = {
    ActorState.NEW: "the actor has not been started",
    ActorState.DRAINING: "the actor is stopping",
    ActorState.STOPPED: "the actor has stopped",
    ActorState.FAILED: "the actor's loop has crashed too often",
}
_CONTROL_ELSEWHERE = "control messages are taken on the actor's own loop only"
_ELSEWHERE = "the actor runs on another thread or loop, and nothing serves on this one"


def _ignore(_: object) -> None:
    """Listen to nothing."""


class Handler(Protocol[M_contra, R_co, E_co]):
    """Answers messages: synchronous, and total for every message it is meant for."""

    def handle(self, message: M_contra, /) -> tuple[R_co, Sequence[E_co]]:
        """Answer one message.

        Args:
            message: what was asked.

        Returns:
            The reply, and the events to tell once the reply is set. Expected refusals are replies.
        """


class Behaviour(Handler[M_contra, R_co, E_co], Protocol[M_contra, R_co, E_co]):
    """What an actor does with a message, and what it says of itself."""

    def facts(self) -> Mapping[str, object]:
        """Return what belongs beside the actor's own figures; at once, and safe on any thread."""


class Actor(Generic[Message, Reply, Event]):
    """Runs a behaviour, whose messages are handled in the order accepted.

    Args:
        factory: makes a behaviour, one for every :meth:`run`. It should hand out the newest state.
        elsewhere: serves callers on other threads and loops, several at once; without it, they are refused.
        on_events: told the events of a message, in the context of who asked; on the thread that asked.
        on_life: told what happens to the actor itself.
        capacity: places for messages that wait. 1024 of a few kB each bound the memory at a few MB, and are handled
            in about 10 ms; who waits longer than that is better told at once.
        reserve: places on top that only control messages may take.
        in_place: serve in the caller's task while idle.
        drain_timeout: seconds to answer what waits when the actor stops. Below the 10 s that common process managers
            leave between the polite signal and the final one.
        max_restarts: crashes of the loop survived within ``restart_window``; with one more the actor has failed.
        restart_window: in seconds.
    """

    def __init__(
        self,
        factory: Callable[[], Behaviour[Message, Reply, Event]],
        *,
        elsewhere: Handler[Message, Reply, Event] | None = None,
        on_events: Callable[[Sequence[Event]], None] = _ignore,
        on_life: Callable[[Lifecycle], None] = _ignore,
        capacity: int = 1024,
        reserve: int = 16,
        in_place: bool = True,
        drain_timeout: float = 5.0,
        max_restarts: int = 3,
        restart_window: float = 60.0,
    ) -> None:
        self._factory = factory
        self._on_events = on_events
        self._on_life = on_life
        self._in_place = in_place
        self._drain_timeout = drain_timeout
        self._max_restarts = max_restarts
        self._restart_window = restart_window
        self._half = capacity // 2

        self._state = ActorState.NEW
        self._behaviour: Behaviour[Message, Reply, Event]  # from the first run on
        self._mailbox: Mailbox[Message, Reply] = Mailbox(capacity, reserve)
        self._idle_thread = 0  # identity of the thread whose callers are served in place; no thread has identity 0
        self._elsewhere = elsewhere

        self._handled = 0
        self._failed = 0
        self._inline = 0
        self._restarts = 0
        self._sink_failures = 0
        self._rejected_before = 0  # the mailbox's count of refusals when it overflowed
        self._overflowed = False

        # Of the current run; what has no value here gets it when a run begins.
        self._thread = 0
        self._home: Home
        self._since = 0.0
        self._crashes: deque[float] = deque()
        self._serving: anyio.CancelScope
        self._finished: anyio.Event

    def __repr__(self) -> str:
        return f"<Actor {self._state}: {len(self._mailbox)} waiting, {self._handled} handled>"

    @property
    def state(self) -> ActorState:
        """Where the actor stands."""
        return self._state

    @property
    def behaviour(self) -> Behaviour[Message, Reply, Event]:
        """The behaviour in service, or the last one.

        Raises:
            NotRunning: if the actor has never run.
        """
        if self._state is ActorState.NEW:
            raise NotRunning(_REFUSALS[ActorState.NEW])
        return self._behaviour

    def stats(self) -> ActorStats:
        """Return the figures of this moment. Needs no loop, so any thread may ask."""
        running_now = self._state in {ActorState.RUNNING, ActorState.DRAINING}
        return ActorStats(
            state=self._state,
            depth=len(self._mailbox),
            high_water=self._mailbox.high_water,
            handled=self._handled,
            failed=self._failed,
            skipped=self._mailbox.skipped,
            expired=self._mailbox.expired,
            rejected=self._mailbox.rejected,
            inline=self._inline,
            restarts=self._restarts,
            sink_failures=self._sink_failures,
            uptime=time.monotonic() - self._since if running_now else 0.0,
            behaviour={} if self._state is ActorState.NEW else self._behaviour.facts(),
        )

    def answer_now(self, message: Message) -> tuple[Reply] | None:
        """Handle a message in the caller's own task, if the actor is idle and this is its thread.

        ``ask`` does so anyway; this spares who asks for every request the coroutine (a fifth of the whole cost in
        place).

        Returns:
            The reply alone in a tuple; ``None`` if the message was not handled, and is to be asked.

        Raises:
            MessageFailed: if the handler raised.
        """
        if self._idle_thread != get_ident():
            return None
        try:
            reply, events = self._behaviour.handle(message)
        except Exception as error:  # noqa: BLE001 - as in ``_serve``, spared a call
            error_type = self._note_failure(message, error)
        else:
            self._handled += 1
            if events:
                self._tell_events(events)
            return (reply,)
        finally:
            del message
        raise MessageFailed(error_type)

    async def ask(self, message: Message, *, timeout: float = 5.0, control: bool = False) -> Reply:
        """Hand over a message and wait for its reply. Served in place, it returns without yielding to other tasks.

        On another thread or loop than the actor's, ``elsewhere`` serves at once.

        Args:
            message: what to ask. Not kept beyond the answer.
            timeout: seconds until the answer is no longer wanted.
            control: for messages that change the behaviour or look at the actor. They may use the reserve of the
                mailbox, and are taken on the actor's own loop only.

        Returns:
            What the behaviour replied.

        Raises:
            NotRunning: if the actor does not run, or stopped before it came to this message.
            Overloaded: if the mailbox is full.
            AskTimeout: if there was no reply in time.
            MessageFailed: if the handler raised.
        """
        try:
            if self._idle_thread == get_ident():
                return self._serve(self._behaviour, message)
            if self._state is not ActorState.RUNNING:
                raise NotRunning(_REFUSALS[self._state])
            if not self._home.is_here():
                return self._serve_elsewhere(message, control=control)
            answer = await self._accept(message, timeout, control=control)
        finally:
            del message
        if type(answer) is Failure:
            answer.reraise()
        reply: Reply = answer
        return reply

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve until :meth:`stop`, until cancelled, or until the loop has crashed too often.

        Belongs into a task group of the host, best by ``await task_group.start(actor.run)``. Crashes are told through
        ``on_life`` and never raised. When it returns, or is cancelled, every ask is answered.

        Args:
            task_status: told once messages are taken.

        Raises:
            RuntimeError: if the actor runs already.
            Exception: what the factory raises, as it is.
        """
        if self._state in {ActorState.RUNNING, ActorState.DRAINING}:
            msg = f"the actor is {self._state} already"
            raise RuntimeError(msg)
        self._behaviour = self._factory()
        self._thread = get_ident()
        self._home = home_here()
        self._since = time.monotonic()
        self._crashes.clear()
        self._serving = anyio.CancelScope()
        self._finished = anyio.Event()
        self._state = ActorState.RUNNING
        self._tell(Started())
        try:
            task_status.started()
            with self._serving:
                await self._supervise()
        finally:
            try:
                await self._drain()
            finally:
                self._close()

    async def stop(self) -> None:
        """Refuse new messages, answer the accepted ones within ``drain_timeout``, and wait until :meth:`run` is over.

        No effect on an actor that does not run.

        Raises:
            RuntimeError: if called on another loop or thread than the actor's, while it runs.
        """
        if self._state not in {ActorState.RUNNING, ActorState.DRAINING}:
            return
        if not self._home.is_here():
            msg = "the actor must be stopped on the loop that runs it"
            raise RuntimeError(msg)
        self._refuse_new(ActorState.DRAINING)
        self._serving.cancel()
        await self._finished.wait()

    async def _receive(self) -> NoReturn:
        """Handle what lies in the mailbox, in batches, and park while it is empty. Tests override this to hold it."""
        while True:
            if not self._mailbox:
                if self._in_place:
                    self._idle_thread = self._thread
                try:
                    await self._mailbox.arrival(self._home.envelope(None, math.inf))
                finally:
                    self._idle_thread = 0
            self._work_off()
            await self._home.pause()  # who was answered may ask again meanwhile: not to park spares waking up

    def _deliver(self, envelope: Envelope[Message, Reply]) -> None:
        """Have one message handled in the context of its caller. Tests override this to crash the loop itself.

        The context is copied now, not when it was asked: its task has been parked ever since, and a copy that waits
        along is 64 octets more for each question.
        """
        envelope.context.copy().run(self._handle, envelope)

    def _handle(self, envelope: Envelope[Message, Reply]) -> None:
        try:
            reply, events = self._behaviour.handle(envelope.message)
        except Exception as error:  # noqa: BLE001 - as in ``_serve``, spared a call
            envelope.answer(Failure(MessageFailed(self._note_failure(envelope.message, error))))
            return
        self._handled += 1
        envelope.answer(reply)
        if events:
            self._tell_events(events)

    def _serve(self, behaviour: Handler[Message, Reply, Event], message: Message) -> Reply:
        """Handle a message in the caller's own task."""
        try:
            reply, events = behaviour.handle(message)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises concerns its caller alone
            error_type = self._note_failure(message, error)
        else:
            self._handled += 1
            if events:
                self._tell_events(events)
            return reply
        finally:
            del message
        raise MessageFailed(error_type)

    def _serve_elsewhere(self, message: Message, *, control: bool) -> Reply:
        """Handle a message on another thread or loop than the actor's."""
        try:
            if control or self._elsewhere is None:
                raise NotRunning(_CONTROL_ELSEWHERE if control else _ELSEWHERE)
            self._inline += 1
            return self._serve(self._elsewhere, message)
        finally:
            del message

    def _note_failure(self, message: Message, error: Exception) -> str:
        """Count and tell what a handler raised; return its type, which is all that may be said of it."""
        error_type, where = _name_and_place(error)
        self._failed += 1
        self._tell(HandlerFailed(type(message).__name__, error_type, where))
        return error_type

    def _accept(self, message: Message, timeout: float, *, control: bool) -> Awaitable[Any]:
        """Put a message into the mailbox, and return what to await: it returns the reply, or a ``Failure``."""
        home = self._home
        envelope: Envelope[Message, Reply] = home.envelope(message, home.now() + timeout)
        del message
        if self._mailbox.put(envelope, control=control):
            return envelope.wait()
        del envelope
        if not self._overflowed:
            self._overflowed = True
            self._rejected_before = self._mailbox.rejected - 1
            self._tell(Overflowed(len(self._mailbox)))
        msg = "the mailbox is full"
        raise Overloaded(msg)

    def _work_off(self, until: float = math.inf) -> None:
        """Handle one batch, or less if the mailbox is empty before or the clock has reached ``until``."""
        clock, take = self._home.now, self._mailbox.take
        for _ in range(BATCH):
            now = clock()  # each time: what expires behind a slow message is not handled
            if now >= until or (envelope := take(now)) is None:
                break
            try:
                self._deliver(envelope)
            except BaseException as crash:
                envelope.answer(Failure(MessageFailed(type(crash).__name__)))
                raise
        if self._overflowed and len(self._mailbox) <= self._half:
            self._overflowed = False
            self._tell(Recovered(self._mailbox.rejected - self._rejected_before))

    async def _supervise(self) -> None:
        """Keep the loop and its timer alive: start both again after a crash, unless that happens too often."""
        while self._state is ActorState.RUNNING:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._guard, self._mailbox.watch_deadlines, tasks.cancel_scope)
                await self._guard(self._receive, tasks.cancel_scope)

    async def _guard(self, work: Callable[[], Awaitable[NoReturn]], both: anyio.CancelScope) -> None:
        """Do one half of the work until it crashes, then end the other half too.

        Crashes are caught in here, since a task group would hand them on grouped, with a cancellation among them if
        the actor is stopped at that moment.
        """
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - a crash may be anything
            self._note_crash(error)
            both.cancel()

    def _note_crash(self, error: Exception) -> None:
        self._crashes.append(anyio.current_time())
        while self._crashes[0] <= self._crashes[-1] - self._restart_window:
            self._crashes.popleft()
        if self._state is ActorState.RUNNING and len(self._crashes) > self._max_restarts:
            self._refuse_new(ActorState.FAILED)
            unanswered = self._mailbox.close()
            self._tell(Failed(*_name_and_place(error), self._restarts, unanswered))
        else:
            self._restarts += 1
            self._tell(Restarted(*_name_and_place(error), self._restarts))

    def _refuse_new(self, state: ActorState) -> None:
        self._idle_thread = 0
        self._state = state

    async def _drain(self) -> None:
        """Answer what was accepted, until ``drain_timeout`` is over; cancelling the host does not cut this short."""
        if self._state is ActorState.FAILED:
            return
        self._refuse_new(ActorState.DRAINING)
        until = anyio.current_time() + self._drain_timeout
        with anyio.CancelScope(shield=True):
            while self._mailbox and anyio.current_time() < until:
                try:
                    self._work_off(until)
                except Exception as error:  # noqa: BLE001 - the message in hand is answered; go on with the others
                    self._note_crash(error)
                await self._home.pause()

    def _close(self) -> None:
        """Answer whatever is left, so that nobody waits for ever."""
        unanswered = self._mailbox.close()
        if self._state is not ActorState.FAILED:
            self._state = ActorState.STOPPED
            self._tell(Stopped(self._handled, unanswered))
        self._finished.set()

    def _tell_events(self, events: Sequence[Event]) -> None:
        try:
            self._on_events(events)
        except Exception:  # noqa: BLE001 - who listens must not harm who asked
            self._sink_failures += 1

    def _tell(self, life: Lifecycle) -> None:
        try:
            self._on_life(life)
        except Exception:  # noqa: BLE001 - who listens must not harm the actor
            self._sink_failures += 1


@asynccontextmanager
async def running(actor: Actor[Any, Any, Any]) -> AsyncIterator[None]:
    """Run an actor while the block lasts, and stop it gracefully after.

    An error of the factory or of the block comes out as it is, not wrapped in an ``ExceptionGroup``.
    """
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        try:
            await tasks.start(actor.run)
            yield
        except Exception as error:  # noqa: BLE001 - raised again below, when the task group has closed
            failure = error
        await actor.stop()
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # or the error would hold this frame, and this frame the error


def _name_and_place(error: Exception) -> tuple[str, str]:
    """Say what was raised and where.

    Returns:
        The class name, and file and line, e.g. ``("KeyError", "actor.py:210")``.
    """
    place = "unknown"
    for frame, line in traceback.walk_tb(error.__traceback__):
        place = f"{Path(frame.f_code.co_filename).name}:{line}"
    return type(error).__name__, place
