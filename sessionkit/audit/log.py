"""Events to structlog lines: level gate, aggregation, sanitising; whatever a sink does, a request goes on.

Rules of this file:

* The library never configures structlog: lines take whatever way the application has set up, and carry what it has
  bound in structlog's context variables. Nothing is bound there by us.
* Lines about the process (``keyring.*``, ``revocation.*``, ``audit.*``) carry nothing that was bound for a request:
  whichever happens to be served when a summary is due has no part in it.
* A line that is lost is counted, the loss is said once, and said again when lines are written again. Nothing is raised.
"""

from __future__ import annotations

import logging
import os
import threading
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import partial
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import structlog

from sessionkit.audit.aggregate import Aggregator
from sessionkit.audit.background import CLOSE_TIMEOUT, Writer
from sessionkit.audit.events import SCHEMA, AuditRecovered, Event, Level, timestamp
from sessionkit.audit.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["FLUSH_INTERVAL", "AuditLog", "Sink"]

_log = logging.getLogger("sessionkit.audit")

FLUSH_INTERVAL = 5.0
"""Seconds between looks for summaries that are due."""

_QUIET = 60.0
"""Seconds between two words about lost lines: a sink that fails at every other line is told of once a minute."""

_OF_THE_PROCESS = frozenset({"keyring", "revocation", "audit"})
"""Categories of events that no single request is behind."""


class Sink(Protocol):
    """What a structlog logger offers: one method a level."""

    def debug(self, event: str, /, **fields: Any) -> Any:
        """Write a line."""

    def info(self, event: str, /, **fields: Any) -> Any:
        """Write a line."""

    def warning(self, event: str, /, **fields: Any) -> Any:
        """Write a line."""

    def error(self, event: str, /, **fields: Any) -> Any:
        """Write a line."""

    def critical(self, event: str, /, **fields: Any) -> Any:
        """Write a line."""


class AsynchronousLogger(Exception):  # noqa: N818 - a word for the log, as ``QueueFull``
    """The logger writes when it is awaited, which nobody does here: structlog's ``AsyncBoundLogger``."""


@dataclass(slots=True)
class _Outage:
    """Lines that were lost since the last one that was not."""

    error_type: str
    first: float
    last: float
    count: int = 0


class AuditLog:
    """Writes events.

    Args:
        level: events below it are dropped.
        clock: returns Unix seconds.
        logger: where lines go; by default ``structlog.get_logger("sessionkit")``.
        aggregator: decides what is written in full.
        queue: lines that may wait for a thread of their own to write them, so that a sink which blocks keeps no
            request waiting; 0 writes them where they are emitted.

    Attributes:
        failures: lines that a sink failed to take, or that found no place in the queue.
        captures: lists that take each event of which a line is made, by any log of this process; for tests.
    """

    captures: ClassVar[tuple[list[Event], ...]] = ()

    def __init__(
        self,
        level: Level,
        *,
        clock: Callable[[], float],
        logger: Sink | None = None,
        aggregator: Aggregator | None = None,
        queue: int = 0,
    ) -> None:
        self.failures = 0
        self._level = level
        self._clock = clock
        self._logger: Sink = structlog.get_logger("sessionkit") if logger is None else logger
        self._aggregator = Aggregator() if aggregator is None else aggregator
        self._writer = Writer(queue) if queue else None
        self._counting = threading.Lock()  # late writes and other loops tell events on threads of their own
        self._next_flush = 0.0
        self._instance: tuple[int, str] = (0, "")
        self._outage: _Outage | None = None
        self._complained: float | None = None
        self._recovered: float | None = None

    @property
    def instance(self) -> str:
        """Random name of this process; a forked child gets its own."""
        pid = os.getpid()
        if self._instance[0] != pid:
            self._instance = (pid, os.urandom(4).hex())
        return self._instance[1]

    @property
    def waiting(self) -> int:
        """Lines that wait to be written."""
        return 0 if self._writer is None else len(self._writer)

    def emit(self, events: Iterable[Event]) -> None:
        """Write events; never raises."""
        for event in events:
            self._emit(event)

    def tick(self) -> None:
        """Write the summaries that are due, if nobody looked for them lately."""
        self._tick(self._clock())

    def flush(self, *, everything: bool = False) -> None:
        """Write the summaries that are due, or all of them."""
        now = self._clock()
        self._next_flush = now + FLUSH_INTERVAL
        with self._counting:
            summaries = list(self._aggregator.flush(now, everything=everything))
        for summary in summaries:
            self._write(summary, now)

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Write all summaries and all that waits; blocks while the sink does. What comes later is written all the same.

        Args:
            timeout: seconds after which what still waits is given up, and that is said.
        """
        self.flush(everything=True)
        if self._writer is not None and not self._writer.close(timeout):
            with suppress(Exception):
                _log.error("audit lines still wait at the end, and may be lost: %d", self.waiting)
        self._tell_recovery(self._clock(), at_once=True)

    def _tick(self, now: float) -> None:
        if not self._next_flush - FLUSH_INTERVAL <= now < self._next_flush:
            self.flush()

    def _emit(self, event: Event) -> None:
        if event.severity < self._level:
            return
        now = self._clock()
        self._tick(now)
        with self._counting:
            admitted = self._aggregator.admit(event, now)
        if admitted:
            self._write(event, now)

    # --- one line -----------------------------------------------------------------------------------------------------

    def _line(self, event: Event, now: float) -> dict[str, object]:
        for capture in self.captures:
            capture.append(event)
        fields: dict[str, object] = {
            "timestamp": timestamp(now),
            "level": event.severity.name.lower(),
            "schema": SCHEMA,
            "component": "sessionkit",
            "category": event.category,
            "outcome": event.outcome,
            "instance": self.instance,
            "owasp": event.vocabulary,
        }
        for name, value in event.as_fields().items():
            fields[name] = clean(value) if isinstance(value, str) else value
        return fields

    def _write(self, event: Event, now: float) -> None:
        line = self._line(event, now)
        apart = event.category in _OF_THE_PROCESS
        if self._writer is None:
            if apart:
                Context().run(self._deliver, event, line, now)
            else:
                self._deliver(event, line, now)
            return
        context = Context() if apart else copy_context()
        try:
            self._writer.put(partial(context.run, self._deliver, event, line, now))
        except Exception as error:  # noqa: BLE001 - no room, or no thread: either way no request may suffer from it
            self._note_loss(error, now)

    def _deliver(self, event: Event, line: dict[str, object], now: float) -> None:
        """Hand a line to the logger: in the caller's task, or on the writer's thread."""
        if self._handed_over(event, line, now) and self._outage is not None:
            self._tell_recovery(now)

    def _handed_over(self, event: Event, line: dict[str, object], now: float) -> bool:
        try:
            answer = getattr(self._logger, event.severity.name.lower())(event.name, **line)
            if iscoroutine(answer):
                answer.close()
                raise AsynchronousLogger  # noqa: TRY301 - lost like any other line
        except Exception as error:  # noqa: BLE001 - a sink may raise anything, and no request may suffer from it
            self._note_loss(error, now)
            return False
        return True

    # --- lines that are lost ------------------------------------------------------------------------------------------

    def _note_loss(self, error: Exception, now: float) -> None:
        error_type = type(error).__name__
        with self._counting:
            self.failures += 1
            begins = self._outage is None
            if self._outage is None:
                self._outage = _Outage(error_type, now, now)
            self._outage.count += 1
            self._outage.last = now
            complains = begins and not _lately(self._complained, now)
            if complains:
                self._complained = now
        if complains:
            # The type alone: the error's text may hold the line, and so may the frames of its traceback.
            with suppress(Exception):
                _log.error("an audit line could not be written (%s); further failures are only counted", error_type)

    def _tell_recovery(self, now: float, *, at_once: bool = False) -> None:
        """Say how many lines were lost, once lines are written again; at most once a minute, unless ``at_once``."""
        lags = self._writer is not None and self._writer.lags
        with self._counting:
            outage = self._outage
            if outage is None or (not at_once and (lags or _lately(self._recovered, now))):
                return
            self._outage, self._recovered = None, now
        event = AuditRecovered(
            error_type=outage.error_type,
            count=outage.count,
            first_seen=timestamp(outage.first),
            last_seen=timestamp(outage.last),
        )
        if event.severity < self._level or Context().run(self._handed_over, event, self._line(event, now), now):
            return
        self._keep(outage)  # lost as well: what it would have said is for the next to say

    def _keep(self, outage: _Outage) -> None:
        with self._counting:
            later = self._outage or outage  # that very loss; unless another thread has told of it meanwhile
            outage.count += later.count if later is not outage else 0
            outage.last = later.last
            self._outage = outage


def _lately(when: float | None, now: float) -> bool:
    return when is not None and abs(now - when) < _QUIET
