"""Time that passes only when nothing else is left to do, on asyncio and on trio.

Rules of this file:

* The clock starts at 0 and stands still while anything can run. When every task waits, it jumps to the next timer:
  a test of a 60 s window takes no time and always goes the same way.
* While a worker thread of ``anyio.to_thread``, ``asyncio.to_thread`` or ``loop.run_in_executor`` runs, time is real:
  it neither jumps over the thread's answer nor spins. A worker of anyio is not seen if it has a limiter of its own, or
  if the loop was not started by ``anyio.run`` or the pytest plugin.
* Sockets between processes, sub-processes and threads a test starts itself are not seen either: such tests are marked
  ``@pytest.mark.real_time`` (see ``conftest.py``).
"""

from __future__ import annotations

import asyncio
import math
import selectors
import time
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

import anyio.to_thread
import trio
from trio.testing import MockClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

__all__ = ["VirtualTimeLoop", "asyncio_options", "pass_time", "trio_options"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that, instead of sleeping until a timer is due, moves ``now`` there.

    Args:
        waits_for_thread: whether something the loop cannot see is under way in a worker thread.
    """

    def __init__(self, waits_for_thread: Callable[[], bool]) -> None:
        super().__init__()
        self.now = 0.0
        self._waits_for_thread = waits_for_thread

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        if self._waits_for_thread():
            started = time.monotonic()
            events = super().select(timeout)
            self.now += time.monotonic() - started
            return events
        events = super().select(0)
        if not events:
            self.now += timeout
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose ``time()`` jumps to the next timer when nothing is ready."""

    def __init__(self) -> None:
        """Start the clock at 0."""
        self._executor_calls = 0
        self._clock = _JumpingSelector(self._waits_for_thread)
        super().__init__(self._clock)

    def time(self) -> float:
        """Seconds since the loop was made, in virtual time."""
        return self._clock.now

    def pass_time(self, seconds: float) -> None:
        """Move the clock on by hand."""
        self._clock.now += seconds

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Count the call as under way until its future is done."""
        future = super().run_in_executor(executor, func, *args)
        self._executor_calls += 1
        future.add_done_callback(self._executor_call_done)
        return future

    async def shutdown_default_executor(self, *args: float | None) -> None:
        """Wait for the executor's threads in real time: it has a timer of its own since Python 3.12."""
        self._executor_calls += 1
        try:
            await super().shutdown_default_executor(*args)
        finally:
            self._executor_calls -= 1

    def _executor_call_done(self, _: asyncio.Future[Any]) -> None:
        self._executor_calls -= 1

    def _waits_for_thread(self) -> bool:
        if self._executor_calls > 0:
            return True
        try:
            return anyio.to_thread.current_default_thread_limiter().borrowed_tokens > 0
        except RuntimeError:  # not under anyio.run or its pytest plugin: anyio does not know this loop between tasks
            return False


class _RealTimeForThreads(trio.abc.Instrument):
    """Lets a trio clock run at the speed of the world while a worker thread is out."""

    def __init__(self, clock: MockClock) -> None:
        self._clock = clock

    def after_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002 - trio passes it by position
        working = trio.to_thread.current_default_thread_limiter().borrowed_tokens > 0
        if working is (self._clock.rate == 0):
            self._clock.rate = 1 if working else 0
            self._clock.autojump_threshold = math.inf if working else 0


def asyncio_options() -> dict[str, Any]:
    """Options for ``anyio.run(..., backend="asyncio", backend_options=...)`` with virtual time."""
    return {"loop_factory": VirtualTimeLoop}


def trio_options() -> dict[str, Any]:
    """Options for ``anyio.run(..., backend="trio", backend_options=...)`` with a fresh virtual clock."""
    clock = MockClock(autojump_threshold=0)
    return {"clock": clock, "instruments": [_RealTimeForThreads(clock)]}


def pass_time(seconds: float) -> None:
    """Let virtual time pass without yielding to other tasks, as a handler does that computes for so long."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, MockClock)
        clock.jump(seconds)
    else:
        assert isinstance(loop, VirtualTimeLoop)
        loop.pass_time(seconds)
