"""What an idle middleware takes, and what waiting in the mailbox takes.

Sizes are those of ``tracemalloc``: what Python's own allocator handed out, not what the system sees.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, NoReturn

import anyio

from bench_sessions.contenders import ours
from bench_sessions.figures import Figure, Group, Options
from bench_sessions.shop import bare
from bench_sessions.traffic import SECRET, begun
from sessionkit import Keyring, SessionBackend, SessionConfig
from sessionkit.audit.events import Event
from sessionkit.backend.actor import Actor
from sessionkit.backend.messages import Load, Message, Reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

__all__ = ["GROUP", "queued_asks"]

ASKS = 10_000
"""Asks that wait at once."""

MIDDLEWARES = 20
"""Middlewares made to weigh one."""

MIB = 1024 * 1024


class _Held(Actor[Message, Reply, Event]):
    """An actor that leaves its messages where they are."""

    async def _receive(self) -> NoReturn:
        while True:
            await anyio.sleep_forever()


@contextmanager
def _growth() -> Iterator[Callable[[], int]]:
    """Yield what tells by how many octets the memory has grown since."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield lambda: tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


async def _waiting(count: int, wait: Callable[[], Awaitable[object]]) -> int:
    """Return how much memory so many tasks take that wait for something."""

    async def task() -> None:
        await wait()

    with _growth() as growth:
        async with anyio.create_task_group() as tasks:
            for _ in range(count):
                tasks.start_soon(task)
            await anyio.wait_all_tasks_blocked()
            grown = growth()
            tasks.cancel_scope.cancel()
    return grown


def _parked_here() -> Callable[[], Awaitable[object]]:
    """Return what parks a task for nothing, as barely as the loop's own manual has it."""
    try:
        return asyncio.get_running_loop().create_future
    except RuntimeError:
        from trio.lowlevel import Abort, wait_task_rescheduled  # noqa: PLC0415 - only where it runs

        return lambda: wait_task_rescheduled(lambda _: Abort.SUCCEEDED)  # noqa: ASYNC105 - each task awaits its own


async def queued_asks(asks: int) -> float:
    """Return the octets that asks take while they wait, beyond those of as many tasks that are parked for nothing.

    A loop's tables grow when there are so many tasks for the first time, and stay as they are: once before it counts.
    """
    fields = (await begun(),)
    ring = Keyring.from_secret(SECRET)
    actor = _Held(lambda: SessionBackend(SessionConfig(), ring), capacity=asks, in_place=False)
    async with anyio.create_task_group() as tasks:
        await tasks.start(actor.run)
        parked = _parked_here()
        await _waiting(asks, parked)
        idle = await _waiting(asks, parked)
        asking = await _waiting(asks, lambda: actor.ask(Load(fields), timeout=3600))
        if actor.stats().high_water != asks:
            msg = "the asks did not wait all at once"
            raise RuntimeError(msg)
        tasks.cancel_scope.cancel()
    return asking - idle


async def _idle_middleware() -> float:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(ours(bare()).service.host())  # what the first one loads stays
        with _growth() as growth:
            for _ in range(MIDDLEWARES):
                await stack.enter_async_context(ours(bare()).service.host())
            grown = growth()
    return grown / MIDDLEWARES


async def _run(_: Options) -> list[Figure]:
    return [
        Figure("an idle middleware, hosted, with its actor's tasks", await _idle_middleware() / 1024, "KiB"),
        Figure(f"{ASKS:,} asks that wait, beyond their tasks", await queued_asks(ASKS) / MIB, "MiB", goal=3.0),
    ]


GROUP = Group("memory", "Memory, as Python's allocator counts it", _run, loops=("asyncio", "trio"))
