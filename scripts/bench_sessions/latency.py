"""Whether small sessions wait for large ones: the slowest of a hundred, with an actor and without.

Rules of this file:

* 2,000 requests a second with 200 octets, 200 a second with 16 kB, at random times that are the same for every way and
  every round. Every millisecond those that are due begin at once, as a server reads what its sockets have.
* A request takes from that moment until its answer is complete, counted in time that the loop's thread computes
  (``time.thread_time``): waiting for other requests counts, other processes do not. The time between is not slept
  through, so caches are warmer than a server's.
"""

from __future__ import annotations

import statistics
import time
from contextlib import AsyncExitStack
from random import Random
from typing import TYPE_CHECKING, Any

import anyio

from bench_sessions.contenders import ours
from bench_sessions.shop import bare, check, pause_here, requests, shop, values

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["WAYS", "latencies"]

SMALL, LARGE = 200, 16_000
RATES = {SMALL: 2000, LARGE: 200}
"""Requests a second, by octets of the session."""

WAYS: dict[str, tuple[bool, dict[str, Any]]] = {
    "no actor": (False, {}),
    "in place": (True, {}),
    "mailbox": (True, {"in_place": False}),
}
"""Whether there is an actor, and how it is set up."""


def _arrivals(seconds: float, random: Random) -> list[list[int]]:
    """Return the sizes of the sessions that come in each millisecond."""
    ticks: list[list[int]] = [[] for _ in range(int(seconds * 1000))]
    for size, rate in RATES.items():
        for _ in range(int(rate * seconds)):
            ticks[random.randrange(len(ticks))].append(size)
    for tick in ticks:
        random.shuffle(tick)
    return ticks


async def latencies(loop: str, *, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Return the p99 of small requests in each round, in µs, of each way."""
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    order = Random(3)
    async with AsyncExitStack() as stack:
        ready: list[tuple[str, dict[int, Callable[[int], Awaitable[None]]]]] = []
        for way, (hosted, options) in WAYS.items():
            middleware = ours(bare(), **options)
            if hosted:
                await stack.enter_async_context(middleware.service.host())
            repeats = {}
            for size in RATES:
                app = middleware.around(shop(values(size), pause_here(loop)))  # one actor for both
                repeats[size] = requests(app, await check(app, values(size)))
            ready.append((way, repeats))
        for number in range(rounds):
            ticks = _arrivals(seconds, Random(number))
            order.shuffle(ready)
            for way, repeats in ready:
                found[way].append(await _p99(ticks, repeats))
    return found


async def _p99(ticks: list[list[int]], repeats: dict[int, Callable[[int], Awaitable[None]]]) -> float:
    taken: list[float] = []

    async def visit(size: int, began: float) -> None:
        await repeats[size](1)
        if size == SMALL:
            taken.append(time.thread_time() - began)

    for tick in ticks:
        async with anyio.create_task_group() as tasks:
            began = time.thread_time()
            for size in tick:
                tasks.start_soon(visit, size, began)
    return statistics.quantiles(taken, n=100)[-1] * 1e6
