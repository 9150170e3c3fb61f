"""Counts over time in bounded memory: buckets that grow wider as the time they cover grows longer.

Rules of this file:

* Totals are exact whatever is merged: counts move between buckets, none is lost.
* Neither order nor spacing of the times is assumed: logs of several processes interleave, and clocks differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OTHERS", "Bucket", "Timeline"]

BUCKETS = 720
"""Buckets kept: several for each pixel's breadth that a chart has room for, so that merging them again looks smooth."""

SERIES = 64
"""Series kept apart; what comes later is counted together."""

OTHERS = "others"
"""Name of the series that takes what has no room."""

_WIDTHS = (1, 5, 15, 30, 60, 300, 900, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 604_800)
"""Seconds. Each divides the next, so that merging never splits a bucket; all but the last fit into a day."""


class Bucket(NamedTuple):
    """Counts of one stretch of time.

    Attributes:
        start: Unix seconds.
        counts: by series.
    """

    start: int
    counts: Mapping[str, int]


class Timeline:
    """Counts by series and time.

    Args:
        buckets: the most to keep.
    """

    __slots__ = ("_buckets", "_first", "_last", "_most", "_series", "_width")

    def __init__(self, buckets: int = BUCKETS) -> None:
        self._most = buckets
        self._width = _WIDTHS[0]
        self._buckets: dict[int, dict[str, int]] = {}
        self._series: set[str] = set()
        self._first = 0
        self._last = -1

    @property
    def width(self) -> int:
        """Seconds a bucket covers."""
        return self._width

    @property
    def series(self) -> frozenset[str]:
        """Names of what was counted."""
        return frozenset(self._series)

    def add(self, series: str, when: float, count: int = 1) -> None:
        """Count something that happened at a time (Unix seconds)."""
        counts = self._buckets.get(int(when // self._width))
        if counts is not None and series in counts:  # nearly always: logs are long, and their series few
            counts[series] += count
            return
        index = self._reach(when)
        self._count(self._name(series), index, count)

    def spread(self, series: str, start: float, end: float, count: int) -> None:
        """Count something that happened evenly between two times; the parts add up to ``count`` exactly."""
        if end <= start:
            self.add(series, end, count)
            return
        self._reach(start)
        last = self._reach(end)
        first = int(start // self._width)  # only now: reaching for the end may have made the buckets wider
        name, given = self._name(series), 0
        for index in range(first, last):
            share = int(count * ((index + 1) * self._width - start) / (end - start))
            self._count(name, index, share - given)
            given = share
        self._count(name, last, count - given)

    def buckets(self, at_most: int) -> list[Bucket]:
        """Return the buckets in order, the empty ones between them too, merged until they are no more than asked."""
        if not self._buckets:
            return []
        width = self._width
        while self._last * self._width // width - self._first * self._width // width >= at_most:
            width = _wider(width)
        merged = self._merged(width // self._width)
        return [Bucket(index * width, merged.get(index, {})) for index in range(min(merged), max(merged) + 1)]

    def totals(self) -> dict[str, int]:
        """Return the count of each series."""
        totals = dict.fromkeys(sorted(self._series), 0)
        for counts in self._buckets.values():
            for name, count in counts.items():
                totals[name] += count
        return totals

    def _name(self, series: str) -> str:
        if series not in self._series:
            if len(self._series) >= SERIES:
                series = OTHERS
            self._series.add(series)
        return series

    def _count(self, series: str, index: int, count: int) -> None:
        counts = self._buckets.get(index)
        if counts is None:
            counts = self._buckets[index] = {}
        counts[series] = counts.get(series, 0) + count

    def _reach(self, when: float) -> int:
        """Return the index of the bucket of a time; widen all until it is one of few enough."""
        index = int(when // self._width)
        if self._first <= index <= self._last:
            return index
        if self._last < self._first:
            self._first = self._last = index
            return index
        first, last = min(self._first, index), max(self._last, index)
        factor = 1
        while last // factor - first // factor >= self._most:
            factor = _wider(self._width * factor) // self._width
        if factor > 1:
            self._buckets = dict(self._merged(factor))
            self._width *= factor
        self._first, self._last = first // factor, last // factor
        return index // factor

    def _merged(self, factor: int) -> dict[int, dict[str, int]]:
        merged: dict[int, dict[str, int]] = {}
        for index, counts in self._buckets.items():
            into = merged.setdefault(index // factor, {})
            for name, count in counts.items():
                into[name] = into.get(name, 0) + count
        return merged


def _wider(width: int) -> int:
    """Return the next width that a width divides."""
    return next((wider for wider in _WIDTHS if wider > width), width * 2)
