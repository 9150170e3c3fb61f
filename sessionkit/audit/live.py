"""What a running service does now, from the lines it writes: rates, keys, processes, refused cookies.

Memory grows with the names of events, keys and processes, not with lines or sessions: it may look on for weeks.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from sessionkit.audit.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["WINDOW", "Live"]

WINDOW = 60
"""Seconds that rates are taken over."""

_REFUSALS = frozenset({"session.rejected", "session.revoked", "session.use_after_expire"})


class Live:
    """Takes events in as they come.

    Args:
        refusals: refused cookies that are kept.

    Attributes:
        usage: keys and processes.
        totals: events by name since the beginning, those that were only counted (``audit.summary``) included.
        refusals: the last refused cookies, the latest last.
    """

    def __init__(self, *, refusals: int = 8) -> None:
        self.usage = Usage(sessions=False)
        self.totals: Counter[str] = Counter()
        self.refusals: deque[dict[str, Any]] = deque(maxlen=refusals)
        self._seconds: dict[int, Counter[str]] = {}
        self._sealed: dict[int, Counter[str]] = {}

    def add(self, event: dict[str, Any], now: float) -> None:
        """Take in one event, read at ``now`` (Unix seconds)."""
        self.usage.add(event)
        name, count = event["event"], 1
        if name == "audit.summary":
            name, count = event["summarised"], event["count"]
        self.totals[name] += count
        if name in _REFUSALS and event["event"] in _REFUSALS:
            self.refusals.append(event)
        second = math.floor(event["timestamp"])
        if now - WINDOW <= second <= now + WINDOW:  # older lines are history, later ones come of a clock that is wrong
            self._seconds.setdefault(second, Counter())[name] += count
            kid = event.get("kid")
            if event["event"].startswith("session.") and type(kid) is str and event["event"] not in _REFUSALS:
                self._sealed.setdefault(second, Counter())[kid] += 1

    def forget(self, now: float) -> None:
        """Drop what is out of the window."""
        for seconds in (self._seconds, self._sealed):
            for second in [second for second in seconds if not now - WINDOW <= second <= now + WINDOW]:
                del seconds[second]

    def recent(self, now: float) -> Counter[str]:
        """Return how many events of each name came within the last ``WINDOW`` seconds."""
        return self._summed(self._seconds, now)

    def keys(self, now: float) -> Counter[str]:
        """Return how many lines about sessions named each key within the last ``WINDOW`` seconds."""
        return self._summed(self._sealed, now)

    def course(self, name: str, now: float, steps: int = 20) -> Sequence[int]:
        """Return how the events of one name spread over the window, the oldest first."""
        course = [0] * steps
        width = WINDOW / steps
        for second, counted in self._seconds.items():
            step = math.floor((second - (now - WINDOW)) / width)
            if 0 <= step < steps:
                course[step] += counted[name]
        return course

    @staticmethod
    def _summed(seconds: dict[int, Counter[str]], now: float) -> Counter[str]:
        total: Counter[str] = Counter()
        for second, counted in seconds.items():
            if now - WINDOW <= second <= now:
                total += counted
        return total
