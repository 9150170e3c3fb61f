"""How a task is parked and woken, natively on either event loop.

anyio's Event does this as well, and more: several sleepers, and a checkpoint at every wait. With it an ask through the
mailbox costs twice the time and three times the memory (``scripts/bench``, rows "mailbox").

Rules of this file:

* A place serves one task and is made by that task. ``set`` wakes it, or lets ``wait`` return at once.
* Whoever is cancelled while parked leaves the place empty; setting it then is harmless.
* trio is imported only where trio runs.
"""

from __future__ import annotations

from asyncio import Future, current_task, get_running_loop
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Wakeup", "wakeup_here"]


class Wakeup(Protocol):
    """A place to park one task."""

    def set(self) -> None:
        """Wake the task, or do not let it sleep at all; on the loop it was made on."""

    def wait(self) -> Awaitable[None]:
        """Return what to await, at once: it sleeps until set, or not at all if that has happened."""


def wakeup_here() -> Callable[[], Wakeup]:
    """Return what makes parking places on the loop that runs the calling task."""
    try:
        task = current_task()
    except RuntimeError:
        return _TrioWakeup
    # trio as a guest of asyncio: there is a loop, and we are no task of it.
    return _TrioWakeup if task is None else _AsyncioWakeup


class _AsyncioWakeup:
    __slots__ = ("_future",)

    def __init__(self) -> None:
        self._future: Future[None] = get_running_loop().create_future()

    def set(self) -> None:
        if not self._future.done():  # it is when who waited was cancelled
            self._future.set_result(None)

    def wait(self) -> Awaitable[None]:
        return self._future


class _TrioWakeup:
    __slots__ = ("_lowlevel", "_set", "_task")

    def __init__(self) -> None:
        import trio  # noqa: PLC0415 - an optional library, and loaded where this runs

        self._lowlevel = trio.lowlevel
        self._set = False
        self._task: Any = None

    def set(self) -> None:
        self._set = True
        task, self._task = self._task, None
        if task is not None:
            self._lowlevel.reschedule(task)

    def wait(self) -> Awaitable[None]:
        if self._set:
            return _at_once()
        self._task = self._lowlevel.current_task()

        def abort(_: object) -> Any:
            self._task = None
            return self._lowlevel.Abort.SUCCEEDED

        woken: Awaitable[None] = self._lowlevel.wait_task_rescheduled(abort)
        return woken


async def _at_once() -> None:
    """Let nobody wait."""
