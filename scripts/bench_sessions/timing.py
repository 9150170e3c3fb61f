"""Measures work in interleaved rounds, and says how far the rounds were apart.

Rules of this file:

* All rows of a group run in one process and one loop, a few requests each in turn, in another order every round: what
  the machine does meanwhile happens to all of them alike.
* What is measured is the time that the loop's own thread spends computing (``time.thread_time``): other processes make
  a machine slow, but they are not what a request costs. A thread that writes for it is not counted, on purpose.
* A figure is the median over the rounds; its spread is from the lower to the upper quartile. What a row costs more than
  its baseline is the median of the differences within each round, which noise moves less than the figures themselves.
"""

from __future__ import annotations

import gc
import statistics
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

__all__ = ["Figure", "Group", "Options", "Work", "interleaved"]


@dataclass(frozen=True, slots=True)
class Options:
    """How thorough to be.

    Attributes:
        quick: fewer and shorter rounds, for a look.
        backend: ``asyncio`` or ``trio``.
    """

    quick: bool = False
    backend: str = "asyncio"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value.

    Attributes:
        row: what was measured.
        value: the median, or the one value.
        unit: of it.
        low: lower quartile, if there were rounds.
        high: upper quartile, if there were rounds.
        against: what it is compared with.
        extra: how much more than that it is, in the same unit.
        note: what else there is to know.
    """

    row: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    against: str | None = None
    extra: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that belong together.

    Attributes:
        name: to choose it by.
        title: what is measured, with what it is compared.
        run: measures.
    """

    name: str
    title: str
    run: Callable[[Options], Awaitable[list[Figure]]]


@dataclass(frozen=True, slots=True)
class Work:
    """Something to do many times.

    Attributes:
        row: what it is.
        prepare: makes it ready while the block lasts, and yields a function that does it so many times.
        against: the row it is compared with.
        note: what else there is to know.
    """

    row: str
    prepare: Callable[[], AbstractAsyncContextManager[Callable[[int], Awaitable[None]]]]
    against: str | None = None
    note: str = ""


async def interleaved(works: Sequence[Work], *, rounds: int, times: int) -> list[Figure]:
    """Measure work side by side, and return microseconds for doing each once."""
    order = Random(1)
    taken: dict[str, list[float]] = {work.row: [] for work in works}
    async with AsyncExitStack() as stack:
        ready = [(work.row, await stack.enter_async_context(work.prepare())) for work in works]
        for _, repeat in ready:
            await repeat(times)
        gc.collect()
        gc.freeze()
        for _ in range(rounds):
            order.shuffle(ready)
            for row, repeat in ready:
                began = time.thread_time()
                await repeat(times)
                taken[row].append((time.thread_time() - began) / times * 1e6)
        gc.unfreeze()
    return [_figure(work, taken) for work in works]


def _figure(work: Work, taken: dict[str, list[float]]) -> Figure:
    mine = taken[work.row]
    low, _, high = statistics.quantiles(mine, n=4)
    extra = None
    if work.against is not None:
        extra = statistics.median(one - other for one, other in zip(mine, taken[work.against], strict=True))
    return Figure(work.row, statistics.median(mine), "µs", low, high, work.against, extra, work.note)
