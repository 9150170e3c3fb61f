"""A bounded mapping whose entries end by themselves."""

from __future__ import annotations

import threading
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

__all__ = ["Expiring"]

Value = TypeVar("Value")

_SLACK = 64
"""Places in the queue beyond twice the entries before it is swept: small mappings need no sweeping."""


class Expiring(Generic[Value]):
    """Keeps values under octets until their time is over. Safe on several threads at once.

    Args:
        capacity: entries at most. When it is full, the one goes that would have ended soonest.
    """

    __slots__ = ("_capacity", "_entries", "_lock", "_queue")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: dict[bytes, tuple[float, Value]] = {}
        self._queue: list[tuple[float, bytes]] = []  # by end; an entry that was put anew has stale places in it
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return how many entries are held, some of which may have ended."""
        return len(self._entries)

    def __repr__(self) -> str:
        """Show how many there are, nothing of them."""
        return f"<Expiring: {len(self)} entries>"

    def get(self, key: bytes, now: float) -> Value | None:
        """Return a value, unless there is none or its time is over."""
        found = self._entries.get(key)
        return None if found is None or now >= found[0] else found[1]

    def put(self, key: bytes, value: Value, until: float, now: float) -> None:
        """Keep a value until a time, in place of what was there."""
        with self._lock:
            self._entries[key] = (until, value)
            heappush(self._queue, (until, key))
            if len(self._queue) > 2 * len(self._entries) + _SLACK:
                self._queue = [(end, name) for name, (end, _) in self._entries.items()]
                heapify(self._queue)
            while self._queue and (len(self._entries) > self._capacity or self._queue[0][0] <= now):
                end, name = heappop(self._queue)
                held = self._entries.get(name)
                if held is not None and held[0] == end:
                    del self._entries[name]
