"""Whether anything grows: the same requests over and over, for as long as is asked.

Rules of this file:

* Every kind of request takes its turn: reads, writes, beginnings, endings, forged cookies, strangers, and all of it by
  mailbox as well, with the clock of the sessions running a minute every thousand requests: tallies and summaries come.
* After the first tenth, which fills caches, memory is told at ten equally spaced moments. *No growth* means that the
  median of the last five is at most one part in two hundred, or 64 KiB, above the median of the first five: for the
  objects that Python has handed out (``sys.getallocatedblocks``), and for the memory of the process (``/proc``).
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_sessions.figures import Figure, Group, Options
from bench_sessions.shop import bare, check, requests, shop, values
from bench_sessions.traffic import SECRET, Silent
from sessionkit import Keyring, SessionConfig, SessionMiddleware
from sessionkit.testing import FixedClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sessionkit.asgi import Receive, Scope, Send

__all__ = ["GROUP", "grows"]

SECONDS = 60.0
"""How long, unless the command line says otherwise."""

TURN = 100
"""Requests of a kind before the next has its turn."""

MOMENTS = 10

SHARE = 1 / 200
LEAST = 64 * 1024


async def _ends(scope: Scope, receive: Receive, send: Send) -> None:
    scope["session"].destroy()
    await bare()(scope, receive, send)


async def _kinds(middleware: SessionMiddleware) -> list[Callable[[int], Awaitable[None]]]:
    begun = values(200)
    writes = middleware.around(shop(begun))
    cookie = await check(writes, begun)
    return [
        requests(writes, cookie),
        requests(writes, cookie, "/look"),
        requests(writes, b"", "/begin"),
        requests(middleware.around(_ends), cookie),
        requests(middleware.around(bare()), cookie[:-20] + b"A" * 20),
        requests(middleware.around(bare()), b""),
    ]


def _resident() -> int:
    """Return the octets of memory that the process takes; 0 where the system does not tell."""
    told = Path("/proc/self/statm")
    return int(told.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") if told.exists() else 0


def grows(sizes: list[int], unit: int = 1) -> bool:
    """Tell whether what was measured at equally spaced moments grows.

    Args:
        sizes: in any unit.
        unit: octets of one.
    """
    half = len(sizes) // 2
    before, after = statistics.median(sizes[:half]), statistics.median(sizes[half:])
    return after - before > max(before * SHARE, LEAST / unit)


async def _run(options: Options) -> list[Figure]:
    clock = FixedClock(1_800_000_000.0)
    ring = Keyring.from_secret(SECRET)
    in_place, mailbox = (
        SessionMiddleware(bare(), ring, SessionConfig(), logger=Silent(), clock=clock, in_place=in_place)
        for in_place in (True, False)
    )
    seconds = SECONDS / 20 if options.quick else SECONDS
    done = 0
    blocks: list[int] = []
    resident: list[int] = []
    async with in_place.service.host(), mailbox.service.host():
        kinds = [*await _kinds(in_place), *await _kinds(mailbox)]
        began = time.monotonic()
        due = began + seconds / 10
        while len(blocks) < MOMENTS:
            for kind in kinds:
                await kind(TURN)
                done += TURN
            clock.advance(0.06 * TURN * len(kinds))
            if time.monotonic() >= due:
                gc.collect()
                blocks.append(sys.getallocatedblocks())
                resident.append(_resident())
                due += seconds * 0.9 / MOMENTS
    return [
        Figure("requests", done, "requests"),
        _figure("objects that Python has handed out", blocks, "blocks", 64),
        _figure("memory of the process", resident, "octets", 1),
    ]


def _figure(row: str, sizes: list[int], unit: str, octets: int) -> Figure:
    grown: Any = sizes[-1] - sizes[0]
    return Figure(
        row,
        sizes[-1],
        unit,
        against=f"{grown:+,} since the first tenth",
        note="GROWS" if grows(sizes, octets) else "no growth",
    )


GROUP = Group("soak", "Whether anything grows: all kinds of requests, over and over", _run, asked=True)
