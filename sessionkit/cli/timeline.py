"""The life of every key as bars over a time axis: what is drawn, apart from how.

Rules of this file:

* Pure: a ring and a time go in, times go out. The terminal and the SVG draw the same chart.
* What a file does not say is not made up: a bar whose beginning nobody wrote down is open there.
* At ``now`` every bar has the state that the key really has: a staged key that took over by its time is active, the
  key that it outran is retired since then, whatever other dates people wrote.
* What lies behind ``now`` in time is a plan: it holds if nobody publishes anything.

Times are Unix seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from sessionkit.keyring import rotation
from sessionkit.keyring.key import KeyState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sessionkit.keyring.key import Key
    from sessionkit.keyring.keyring import Keyring

__all__ = ["Chart", "Event", "Lane", "Mark", "Span", "Tick", "lay_out", "ticks"]

SHORTEST = 60.0
"""Seconds of the shortest axis."""

MARGIN = 0.06
"""Share of the axis that is left free behind the last date, and before the first one where a beginning is unknown."""


class Event(StrEnum):
    """What a moment in the life of a key is about; the values are for people."""

    PROMOTABLE = "may be promoted"
    """Every node has the staged key from then on. Drawn while it lies ahead."""
    TAKES_OVER = "takes over"
    """A staged key's time comes, or came."""
    PRUNABLE = "may be pruned"
    """The last session of a retired key has ended."""


@dataclass(frozen=True, slots=True)
class Span:
    """A time for which a key has one state.

    Attributes:
        state: what it may do.
        start: when it begins.
        end: when it ends.
        planned: it lies in the future.
        open: nobody wrote down when it began.
    """

    state: KeyState
    start: float
    end: float
    planned: bool = False
    open: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment in the life of a key."""

    event: Event
    time: float


@dataclass(frozen=True, slots=True)
class Lane:
    """One key.

    Attributes:
        label: its label; printable.
        kid: its id in hexadecimal.
        state: what it may do now.
        spans: its states, in order, without a gap.
        marks: in order.
    """

    label: str
    kid: str
    state: KeyState
    spans: tuple[Span, ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """All keys of a ring, oldest first, and the axis: everything lies between ``start`` and ``end``."""

    start: float
    end: float
    now: float
    lanes: tuple[Lane, ...]

    def share(self, time: float) -> float:
        """Return where on the axis a time lies: 0 at its start, 1 at its end."""
        return (time - self.start) / (self.end - self.start)


def lay_out(ring: Keyring, now: float) -> Chart:
    """Return the chart of a ring at a time."""
    schedule = _schedule(ring)
    keys = sorted(ring.keys, key=lambda key: (key.created or 0.0, ring.order(key)))
    lives = {key: _life(key, schedule, now, sealed=_has_sealed(ring, key)) for key in keys}
    marks = {key: tuple(_marks(ring, key, schedule, now)) for key in keys}
    known = [start for life in lives.values() for _, start in life if start is not None]
    times = [now, *known, *(mark.time for each in marks.values() for mark in each)]
    length = max(max(times) - min(times), SHORTEST)
    end = max(*times, min(times) + length) + MARGIN * length
    start = min(times) - (MARGIN * length if any(life[0][1] is None for life in lives.values()) else 0.0)
    lanes = []
    for key in keys:
        ends = [mark.time for mark in marks[key] if mark.event is Event.PRUNABLE]
        spans = tuple(_spans(lives[key], start, max(now, *ends) if ends else end, now))
        state = [state for state, when in lives[key] if when is None or when <= now][-1]
        lanes.append(Lane(_printable(key.label), key.kid, state, spans, marks[key]))
    return Chart(start, end, now, tuple(lanes))


def _printable(label: str) -> str:
    return label if label.isprintable() else repr(label)


@dataclass(frozen=True, slots=True)
class _Schedule:
    """Who takes over from whom by the clock.

    Attributes:
        begins: by the id of a staged key, when it takes over by itself.
        ends: by the id of the active key or such a staged one, when the next one takes over from it.
    """

    begins: dict[bytes, float]
    ends: dict[bytes, float]


def _schedule(ring: Keyring) -> _Schedule:
    last = next(key for key in ring.keys if key.state is KeyState.ACTIVE)
    begins: dict[bytes, float] = {}
    ends: dict[bytes, float] = {}
    for key in sorted(ring.keys, key=ring.order):
        # A time before that of the key that seals already is one at which nothing happens.
        if key.state is KeyState.STAGED and key.activates is not None and ring.order(key) > ring.order(last):
            begins[key.id] = ends[last.id] = key.activates
            last = key
    return _Schedule(begins, ends)


def _has_sealed(ring: Keyring, key: Key) -> bool:
    """Return whether a key that does not say so has ever sealed: not if another one did when it was retired."""
    over = key.revoked if key.retired is None else key.retired
    if over is None or key.state is KeyState.ACTIVE:
        return True
    for other in ring.keys:
        if other.state is KeyState.STAGED:
            continue
        since = other.activates if other.state is not KeyState.ACTIVE or other.activates is not None else other.created
        until = math.inf if other.state is KeyState.ACTIVE else other.retired or other.revoked
        if other is not key and since is not None and until is not None and since < over < until:
            return False
    return True


def _life(key: Key, schedule: _Schedule, now: float, *, sealed: bool) -> list[tuple[KeyState, float | None]]:
    """Return the states of a key in order, each with its beginning, if that is known."""
    life: list[tuple[KeyState, float | None]] = []
    for state, when in (*_past(key, now, sealed=sealed), *_schedule_of(key, schedule)):
        # By people's dates, a state may leave no room for those before it.
        while life and (when is None or (life[-1][1] is not None and life[-1][1] >= when)):
            life.pop()
        life.append((state, when))
    return life


def _past(key: Key, now: float, *, sealed: bool) -> Iterator[tuple[KeyState, float | None]]:
    """Yield the states that the file says a key has had, the last of which it has now, on whatever clock."""
    dated: list[tuple[KeyState, float | None]] = []
    if key.activates is not None and key.state is not KeyState.STAGED:
        if key.created is not None:
            dated.append((KeyState.STAGED, key.created))
        dated.append((KeyState.ACTIVE, key.activates))
    elif key.created is not None or key.state in {KeyState.STAGED, KeyState.ACTIVE}:
        began = KeyState.ACTIVE if sealed and key.state is not KeyState.STAGED else KeyState.STAGED
        dated.append((began, key.created))
    if key.state is KeyState.RETIRED or (key.state is KeyState.REVOKED and key.retired is not None):
        dated.append((KeyState.RETIRED, key.retired))
    if key.state is KeyState.REVOKED:
        dated.append((KeyState.REVOKED, key.revoked))
    for state, when in dated:
        yield state, None if when is None else min(when, now)


def _schedule_of(key: Key, schedule: _Schedule) -> Iterator[tuple[KeyState, float | None]]:
    """Yield the states that a key takes on by the clock; some may have come to pass."""
    if key.id in schedule.begins:
        yield KeyState.ACTIVE, schedule.begins[key.id]
    if key.id in schedule.ends:
        yield KeyState.RETIRED, schedule.ends[key.id]


def _marks(ring: Keyring, key: Key, schedule: _Schedule, now: float) -> Iterator[Mark]:
    if key.id in schedule.begins:
        yield Mark(Event.TAKES_OVER, schedule.begins[key.id])
    elif key.state is KeyState.STAGED:
        ready = rotation.promotable_at(ring, key)
        if ready is not None and ready > now:
            yield Mark(Event.PROMOTABLE, ready)
    settled = rotation.settle(ring, now)
    if (became := settled.find(key.id)) is not None and became.state is KeyState.RETIRED:
        gone = rotation.prunable_at(settled, became)
        if gone is not None:
            yield Mark(Event.PRUNABLE, gone)


def _spans(life: list[tuple[KeyState, float | None]], start: float, end: float, now: float) -> Iterator[Span]:
    """Cut a life into spans, each wholly before or behind ``now``."""
    begins = [start if when is None else when for _, when in life]
    for (state, when), begin, until in zip(life, begins, [*begins[1:], end], strict=True):
        span = Span(state, begin, until, open=when is None)
        if begin < until <= now or now <= begin < until:
            yield replace(span, planned=now <= begin)
        elif begin < now < until:
            yield replace(span, end=now)
            yield replace(span, start=now, planned=True, open=False)


# --- the axis ---------------------------------------------------------------------------------------------------------

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_STEPS = (
    *(10, 30),
    *(minutes * _MINUTE for minutes in (1, 2, 5, 10, 30)),
    *(hours * _HOUR for hours in (1, 3, 6, 12)),
    *(days * _DAY for days in (1, 2, 7, 14, 28, 91, 182, 364)),
)
"""Seconds between two ticks that people can count in; beyond the last, whole multiples of it."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on the axis, and what stands there."""

    time: float
    text: str


def ticks(chart: Chart, most: int) -> tuple[Tick, ...]:
    """Return the times to write below the axis, in UTC: as many as fit, at most ``most``."""
    length = chart.end - chart.start
    step = next((step for step in _STEPS if length / step <= most), math.ceil(length / most / _STEPS[-1]) * _STEPS[-1])
    form = "%H:%M:%S" if step < _MINUTE else "%m-%d %H:%M" if step < _DAY else "%Y-%m-%d"
    first = math.ceil(chart.start / step)
    times: Iterable[float] = (number * step for number in range(first, math.floor(chart.end / step) + 1))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return tuple(Tick(time, (epoch + timedelta(seconds=time)).strftime(form)) for time in times)
