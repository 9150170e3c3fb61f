"""How the cost grows: with retired keys, the session's size, callers at once, cookies of others, and chunks.

Rules of this file:

* A *sweep* measures one work at several sizes, each over its bare application, all in the same interleaved rounds.
* A *sweep* measures one work at several sizes, each over its bare application, all in the same rounds in turn.
  the straight line through all points (least squares) but for a quarter of its value: neither steps nor a bend upwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bench_sessions import codecs
from bench_sessions.contenders import Load, work
from bench_sessions.figures import Figure, Group, Options
from bench_sessions.timing import measure, summary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench_sessions.timing import Work

__all__ = ["GROUP", "SWEEPS", "Sweep", "shape"]

QUICK, THOROUGH = 5, 15
"""Rounds."""

TOLERANCE = 0.25
"""Share by which a cost may leave its shape; several processes share our machines."""

CHUNK = 2950
"""Octets of JSON that one more cookie takes."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """One work at several sizes.

    Attributes:
        name: what grows.
        sizes: of it.
        works: returns the work at a size, and what it is measured over.
        flat: whether the cost is to stay the same; otherwise it may grow linearly.
        times: requests in one turn.
    """

    name: str
    sizes: Sequence[int]
    works: Callable[[int, str], tuple[Work, Work | None]]
    flat: bool
    times: int = 64


def _served(load: Load, name: str = "sessionkit") -> tuple[Work, Work]:
    return work(name, load), work("bare app", load)


SWEEPS = (
    Sweep(
        "retired keys in the ring",
        (0, 1, 5, 20, 50, 100, 200, 500),
        lambda size, _: (codecs.opening("open", keys=size), None),
        flat=True,
    ),
    Sweep(
        "octets of the session",
        (100, 200, 500, 1000, 2000, 4000, 8000, 16_000, 24_000),
        lambda size, loop: _served(Load(size, loop=loop)),
        flat=False,
    ),
    Sweep(
        "callers at once, in place",
        (1, 4, 16, 64, 256, 1024),
        lambda size, loop: _served(Load(callers=size, loop=loop)),
        flat=True,
        times=1024,
    ),
    Sweep(
        "callers at once, by mailbox",
        (1, 4, 16, 64, 256, 1024),
        lambda size, loop: _served(Load(callers=size, loop=loop), "sessionkit, by mailbox"),
        flat=True,
        times=1024,
    ),
    Sweep(
        "cookies of others in the request",
        (0, 5, 10, 20, 50, 100),
        lambda size, loop: _served(Load(foreign=size, loop=loop)),
        flat=False,
    ),
    Sweep(
        "cookies the session takes",
        (1, 2, 3, 4, 5, 6, 7, 8),
        lambda size, loop: _served(Load(CHUNK * size, loop=loop)),
        flat=False,
    ),
)


def shape(sizes: Sequence[int], costs: Sequence[float], *, flat: bool) -> str:
    """Return the verdict on a sweep: ``flat`` or ``linear`` as it is to be, or what it is instead."""
    if flat:
        most = max(costs) / costs[0] - 1
        return "flat" if most <= TOLERANCE else f"NOT FLAT: up to {most:+.0%}"
    slope, start = np.polyfit(sizes, costs, 1, w=1 / np.asarray(costs))
    off = max((cost - start - slope * size) / cost for size, cost in zip(sizes, costs, strict=True))
    return "linear" if off <= TOLERANCE else f"NOT LINEAR: {off:.0%} above the line"


async def _sweep(sweep: Sweep, options: Options) -> list[Figure]:
    works = []
    for size in sweep.sizes:
        one, over = sweep.works(size, options.loop)
        works.append(replace(one, row=f"{size}"))
        if over is not None:
            works.append(replace(over, row=f"over {size}"))
    taken = await measure(works, rounds=QUICK if options.quick else THOROUGH, times=sweep.times)
    costs = []
    for size in sweep.sizes:
        over_it = taken.get(f"over {size}", [0.0] * len(taken[f"{size}"]))
        costs.append(summary(one - other for one, other in zip(taken[f"{size}"], over_it, strict=True)))
    verdict = shape(sweep.sizes, [median for median, _, _ in costs], flat=sweep.flat)
    return [
        Figure(f"{sweep.name}: {size:,}", median, "µs", low, high, note=verdict)
        for size, (median, low, high) in zip(sweep.sizes, costs, strict=True)
    ]


async def _run(options: Options) -> list[Figure]:
    return [figure for sweep in SWEEPS for figure in await _sweep(sweep, options)]


GROUP = Group(
    "scaling", "How the cost of a request grows (read + write, 200 B, where nothing else is said)", _run, asked=True
)
