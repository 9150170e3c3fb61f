"""An attack with forged cookies: how many lines it writes, whether all are counted, what memory it takes."""

from __future__ import annotations

import time
import tracemalloc
from random import Random
from typing import Any

from bench_sessions.figures import Figure, Group, Options
from bench_sessions.traffic import SECRET, begun, reads, requests
from sessionkit import Keyring, SessionConfig, SessionMiddleware
from sessionkit.config import AuditConfig
from sessionkit.testing import FixedClock

__all__ = ["GROUP"]

QUICK, THOROUGH = 20_000, 200_000
"""Forged cookies."""

TRACED = 5_000
"""Of these, so many are made under the eyes of ``tracemalloc``, which takes its time: enough to fill every table."""

MINUTES = 2.0
"""What the attack lasts by the clock of the log: longer than a window, so that summaries come in the middle."""

MOST = 5_000
"""Lines that 200,000 forged cookies may write."""


class _Counting:
    """A logger that counts lines, and the events they stand for."""

    def __init__(self) -> None:
        self.lines = self.events = 0

    def debug(self, event: str, /, **fields: Any) -> None:
        """Count a line."""
        if event in {"session.rejected", "audit.summary", "audit.overflow"}:
            self.lines += 1
            self.events += fields.get("count", 1)

    info = warning = error = critical = debug


def _forged(good: bytes, random: Random) -> bytes:
    """Return a cookie with one character of its token changed."""
    place = random.randrange(len(b"session="), len(good))
    other = random.choice(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    return good[:place] + bytes([other]) + good[place + 1 :]


async def _run(options: Options) -> list[Figure]:
    figures: list[Figure] = []
    forgeries = QUICK if options.quick else THOROUGH
    good = await begun()
    for clients in (0, 20_000):
        random, log = Random(1), _Counting()
        clock = FixedClock(time.time())
        config = SessionConfig(audit=AuditConfig(client_ref=bool(clients)))
        middleware = SessionMiddleware(reads, Keyring.from_secret(SECRET), config, logger=log, clock=clock)
        sent, before, peak = 0, 0, 0
        async with middleware.service.host():
            for number in range(forgeries):
                if number == 0:
                    tracemalloc.start()
                    before, _ = tracemalloc.get_traced_memory()
                if number == TRACED:
                    _, peak = tracemalloc.get_traced_memory()
                    tracemalloc.stop()
                cookie = _forged(good, random)
                sent += cookie != good
                client = f"10.{number % clients >> 8}.{number % clients & 255}.1" if clients else "10.0.0.1"
                await requests(middleware, (cookie,), client)(1)
                clock.advance(MINUTES * 60 / forgeries)
        row = f"from {clients:,} addresses, told apart" if clients else "addresses not told apart"
        figures += [
            Figure(f"{row}: lines for {sent:,} forged cookies", log.lines, "lines", note=_verdict(log.lines < MOST)),
            Figure(f"{row}: events in them", log.events, "events", note=_verdict(log.events == sent)),
            Figure(f"{row}: memory at its peak, above the start", (peak - before) / 1024, "KiB"),
        ]
    return figures


def _verdict(good: bool) -> str:  # noqa: FBT001 - the verdict on it
    return "as promised" if good else "NOT AS PROMISED"


GROUP = Group(
    "audit-flood",
    f"An attack with forged cookies, {MINUTES:.0f} minutes by the log's clock, through a real middleware",
    _run,
    asked=True,
)
