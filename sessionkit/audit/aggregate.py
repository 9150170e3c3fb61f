"""Bounds what an attack can write: of each kind the first few a window in full, the rest counted.

Only events that a client can cause at will pass through here. The table is bounded too: kinds beyond it are counted
together. So is what all kinds write together: an attack from many addresses is many kinds where clients are told apart.
Nothing is lost from the totals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sessionkit.audit.events import AuditOverflow, AuditSummary, Event, timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Aggregator"]


@dataclass(slots=True)
class _Count:
    since: float
    seen: int = 0
    first: float = 0.0
    last: float = 0.0
    suppressed: int = 0

    def suppress(self, now: float) -> None:
        if not self.suppressed:
            self.first = now
        self.suppressed += 1
        self.last = now


_Kind = tuple[str, str | None, str | None]


class Aggregator:
    """Tells which events are written in full, and makes summaries of the others.

    Args:
        limit: events of one kind (name, reason, client) a window that are written in full.
        window: seconds.
        kinds: different kinds kept apart at once; some 200 octets each.
        ceiling: events of all kinds a window that are written in full. With a summary a kind, a window writes no more
            than ``ceiling + kinds + 1`` lines, whatever comes: 2,025 a minute.
    """

    __slots__ = ("_ceiling", "_counts", "_full", "_kinds", "_limit", "_overflow", "_window")

    def __init__(self, *, limit: int = 10, window: float = 60.0, kinds: int = 1024, ceiling: int = 1000) -> None:
        self._limit = limit
        self._ceiling = ceiling
        self._full = _Count(0.0)
        self._window = window
        self._kinds = kinds
        self._counts: dict[_Kind, _Count] = {}
        self._overflow: _Count | None = None

    def admit(self, event: Event, now: float) -> bool:
        """Return whether an event is to be written; count it if not."""
        if not event.hostile:
            return True
        kind = (event.name, getattr(event, "reason", None), getattr(event, "client_ref", None))
        count = self._counts.get(kind)
        if count is None:
            if len(self._counts) >= self._kinds:
                if self._overflow is None:
                    self._overflow = _Count(now)
                self._overflow.suppress(now)
                return False
            count = self._counts[kind] = _Count(now)
        count.seen += 1
        if count.seen <= self._limit and self._has_room(now):
            return True
        count.suppress(now)
        return False

    def _has_room(self, now: float) -> bool:
        if self._is_over(self._full, now):
            self._full = _Count(now)
        self._full.seen += 1
        return self._full.seen <= self._ceiling

    def flush(self, now: float, *, everything: bool = False) -> Iterator[Event]:
        """Yield summaries of the windows that are over, or of all; the table forgets them."""
        over = [kind for kind, count in self._counts.items() if everything or self._is_over(count, now)]
        for kind in over:
            count = self._counts.pop(kind)
            if count.suppressed:
                name, reason, client_ref = kind
                yield AuditSummary(
                    summarised=name,
                    reason=reason,
                    client_ref=client_ref,
                    count=count.suppressed,
                    first_seen=timestamp(count.first),
                    last_seen=timestamp(count.last),
                )
        extra = self._overflow
        if extra is not None and (everything or self._is_over(extra, now)):
            self._overflow = None
            yield AuditOverflow(
                count=extra.suppressed, first_seen=timestamp(extra.first), last_seen=timestamp(extra.last)
            )

    def _is_over(self, count: _Count, now: float) -> bool:
        """Tell whether a window has ended; also if the clock went back behind its start, or it would stay open."""
        return not 0 <= now - count.since < self._window
