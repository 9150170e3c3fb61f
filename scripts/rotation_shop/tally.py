"""What all browsers saw together, and what they are told of the keys to hold it against.

Every session that was begun has ended in a way that is known, or is alive: ``Tally.unaccounted`` is what is left over.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Any, NamedTuple

__all__ = ["End", "Notice", "Span", "Tally"]


class End(StrEnum):
    """How a session ended."""

    LOGOUT = "logged out"
    REVOKED = "on the revoked key"
    EXPIRED = "expired"
    LOST = "lost"


class Span(NamedTuple):
    """A span of time, in Unix seconds."""

    since: float = -inf
    until: float = inf


@dataclass(slots=True)
class Notice:
    """What whoever rotates the keys says of them; without a word, nothing is held against it.

    Attributes:
        sealing: when each key may seal, by its id in hexadecimal. Empty: any key, at any time.
        revoked: keys whose revocation was published: their sessions may end.
        refused: since when a key opens nothing any more, in Unix seconds: every worker has its revocation.
        skew: seconds by which the workers' clocks may be ahead of the browsers'.
    """

    sealing: dict[str, Span] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)
    refused: dict[str, float] = field(default_factory=dict)
    skew: float = 0.0

    def may_seal(self, kid: str, sent: float, answered: float) -> bool:
        """Return whether a key may have sealed the answer to a request that was under way in this time."""
        if not self.sealing:
            return True
        span = self.sealing.get(kid)
        return span is not None and span.since <= answered and sent <= span.until


@dataclass(slots=True)
class Tally:
    """What all browsers saw together.

    Attributes:
        notice: what they know of the keys.
        started: ``time.monotonic()`` when the traffic began.
        requests: answered requests.
        sessions: sessions begun.
        ends: sessions ended, by the way they ended.
        alive: sessions that browsers held when they went home.
        lost: one line for each session found empty or altered.
        errors: one line for each request that failed, each cookie that the browser refused, and each answer under a key
            whose time was over or had not come.
        seconds: how long each request took.
        keys: requests by the key that had sealed their cookie, for each second since the start.
        chunks: requests by the number of their session cookies.
        workers: requests by the process that answered.
    """

    notice: Notice = field(default_factory=Notice)
    started: float = field(default_factory=time.monotonic)
    requests: int = 0
    sessions: int = 0
    ends: Counter[End] = field(default_factory=Counter)
    alive: int = 0
    lost: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    keys: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    chunks: Counter[int] = field(default_factory=Counter)
    workers: Counter[int] = field(default_factory=Counter)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def unaccounted(self) -> int:
        """Sessions of which nobody knows what became, once all browsers have gone home; 0 if the books are right."""
        return self.sessions - self.ends.total() - self.alive

    def by_key(self) -> Counter[str]:
        """Return the requests by key."""
        total: Counter[str] = Counter()
        for second in self.keys.values():
            total.update(second)
        return total

    def count(self, answer: dict[str, Any], seconds: float) -> None:
        """Count one answered request."""
        self.requests += 1
        self.seconds.append(seconds)
        self.workers[answer["pid"]] += 1
        if answer["kid"] is not None:
            self.keys[int(self.elapsed)][answer["kid"]] += 1
            self.chunks[answer["chunks"]] += 1

    def error(self, who: str, what: str) -> None:
        """Note what went wrong."""
        self.errors.append(f"{self.elapsed:6.2f} s  {who}: {what}")

    def end(self, how: End, who: str, what: str = "") -> None:
        """Note the end of a session; of a lost one with what happened."""
        self.ends[how] += 1
        if how is End.LOST:
            self.lost.append(f"{self.elapsed:6.2f} s  {who}: {what}")
