"""Measures work in interleaved rounds, and says how far the rounds were apart.

Rules of this file:

* All rows of a group run in one process and one loop, a few requests each in turn, in another order every round: what
  the machine does meanwhile happens to all of them alike.
* What is measured is the time that the loop's own thread spends computing (``time.thread_time``): other processes make
  a machine slow, but they are not what a request costs. A thread that writes for it is not counted, on purpose.
* A figure is the median over the rounds; its spread is from the lower to the upper quartile. Whatever compares two rows
  (a difference, a ratio) is worked out within each round first: noise moves that less than the figures themselves.
"""

from __future__ import annotations

import gc
import statistics
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from bench_sessions.figures import Figure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

__all__ = ["Rounds", "Work", "interleaved", "measure", "summary"]

Rounds = dict[str, list[float]]
"""Of each row, the µs that doing it once took in each round."""


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


async def measure(works: Sequence[Work], *, rounds: int, times: int) -> Rounds:
    """Measure work side by side.

    Args:
        works: what to measure.
        rounds: how often each has its turn.
        times: how often it is done in one turn.
    """
    order = Random(1)
    taken: Rounds = {work.row: [] for work in works}
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
    return taken


async def interleaved(works: Sequence[Work], *, rounds: int, times: int) -> list[Figure]:
    """Measure work side by side, and return microseconds for doing each once."""
    taken = await measure(works, rounds=rounds, times=times)
    return [_figure(work, taken) for work in works]


def _figure(work: Work, taken: Rounds) -> Figure:
    value, low, high = summary(taken[work.row])
    extra = None
    if work.against is not None:
        pairs = zip(taken[work.row], taken[work.against], strict=True)
        extra = statistics.median(one - other for one, other in pairs)
    return Figure(work.row, value, "µs", low, high, against=work.against, extra=extra, note=work.note)


def summary(values: Iterable[float]) -> tuple[float, float, float]:
    """Return the median, and the lower and the upper quartile."""
    low, median, high = statistics.quantiles(values, n=4)
    return median, low, high
