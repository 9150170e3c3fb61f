"""A sink that stands still for a second: how long the slowest request waits, without a queue and with one."""

from __future__ import annotations

import time

from bench_sessions.figures import Figure, Group, Options
from bench_sessions.traffic import Silent, begins, served
from sessionkit import SessionConfig
from sessionkit.config import AuditConfig

__all__ = ["GROUP"]

QUICK, THOROUGH = 300, 2000
"""Requests; the sink stalls at the hundredth."""

STALL = 1.0
"""Seconds that the sink takes for one line."""


class _Stalling(Silent):
    """A logger whose hundredth line takes a second, as on a disk that is busy."""

    def __init__(self) -> None:
        self._lines = 0

    def debug(self, _: str, /, **__: object) -> None:
        """Take a line, or take long."""
        self._lines += 1
        if self._lines == 100:  # noqa: PLR2004 - in the middle
            time.sleep(STALL)  # a sink that blocks is what is measured

    info = warning = error = critical = debug


async def _run(options: Options) -> list[Figure]:
    figures: list[Figure] = []
    requests = QUICK if options.quick else THOROUGH
    for queue in (0, 10_000):
        config = SessionConfig(audit=AuditConfig(queue=queue))
        taken: list[float] = []
        async with served(begins, config, logger=_Stalling()) as repeat:
            for _ in range(requests):
                began = time.perf_counter()
                await repeat(1)
                taken.append((time.perf_counter() - began) * 1e3)
        row = f"queue of {queue}" if queue else "no queue"
        taken.sort()
        figures.append(Figure(f"{row}: slowest of {requests} requests", taken[-1], "ms"))
        figures.append(Figure(f"{row}: median", taken[len(taken) // 2], "ms"))
    return figures


GROUP = Group(
    "audit-stall", f"A sink that stands still for {STALL:.0f} s: what requests notice of it", _run, asked=True
)
