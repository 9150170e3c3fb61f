"""Events to structlog lines: level gate, aggregation, sanitising; whatever a sink does, a request goes on.

The library never configures structlog: lines take whatever way the application has set up, and carry what it has bound
in structlog's context variables. Nothing is bound there by us.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from sessionkit.audit.aggregate import Aggregator
from sessionkit.audit.events import SCHEMA, Event, Level, timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["MAX_TEXT", "AuditLog", "Sink", "clean"]

MAX_TEXT = 128
"""Characters of a free string that are kept."""

_log = logging.getLogger("sessionkit.audit")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Console, key-value and logfmt renderers pass newlines and escapes on: a forged line, or a terminal taken over.

Marks of writing direction are among them: they show a line in another order than it is written in. Lone surrogates
cannot be encoded.
"""

_FLUSH_EVERY = 5.0
"""Seconds between looks for summaries that are due, while events come in."""


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


class AuditLog:
    """Writes events.

    Args:
        level: events below it are dropped.
        clock: returns Unix seconds.
        logger: where lines go; by default ``structlog.get_logger("sessionkit")``.
        aggregator: decides what is written in full.

    Attributes:
        failures: lines that a sink failed to take.
    """

    def __init__(
        self,
        level: Level,
        *,
        clock: Callable[[], float],
        logger: Sink | None = None,
        aggregator: Aggregator | None = None,
    ) -> None:
        self.failures = 0
        self._level = level
        self._clock = clock
        self._logger: Sink = structlog.get_logger("sessionkit") if logger is None else logger
        self._aggregator = Aggregator() if aggregator is None else aggregator
        self._counting = threading.Lock()  # late writes and other loops tell events on threads of their own
        self._next_flush = 0.0
        self._instance: tuple[int, str] = (0, "")

    @property
    def instance(self) -> str:
        """Random name of this process; a forked child gets its own."""
        pid = os.getpid()
        if self._instance[0] != pid:
            self._instance = (pid, os.urandom(4).hex())
        return self._instance[1]

    def emit(self, events: Iterable[Event]) -> None:
        """Write events; never raises."""
        for event in events:
            self._emit(event)

    def flush(self, *, everything: bool = False) -> None:
        """Write the summaries that are due, or all of them."""
        now = self._clock()
        self._next_flush = now + _FLUSH_EVERY
        with self._counting:
            summaries = list(self._aggregator.flush(now, everything=everything))
        for summary in summaries:
            self._write(summary, now)

    def _emit(self, event: Event) -> None:
        if event.severity < self._level:
            return
        now = self._clock()
        if not self._next_flush - _FLUSH_EVERY <= now < self._next_flush:
            self.flush()
        with self._counting:
            admitted = self._aggregator.admit(event, now)
        if admitted:
            self._write(event, now)

    def _write(self, event: Event, now: float) -> None:
        severity = event.severity
        fields: dict[str, object] = {
            "timestamp": timestamp(now),
            "level": severity.name.lower(),
            "schema": SCHEMA,
            "component": "sessionkit",
            "category": event.category,
            "outcome": event.outcome,
            "instance": self.instance,
            "owasp": event.owasp,
        }
        for name, value in event.as_fields().items():
            fields[name] = clean(value) if isinstance(value, str) else value
        try:
            getattr(self._logger, severity.name.lower())(event.name, **fields)
        except Exception as error:  # noqa: BLE001 - a sink may raise anything, and no request may suffer from it
            self.failures += 1
            if self.failures == 1:
                # The type alone: the error's text may hold the line, and so may the frames of its traceback.
                _log.error(
                    "an audit line could not be written (%s); further failures are only counted", type(error).__name__
                )


def clean(text: str, limit: int | None = MAX_TEXT) -> str:
    """Return text without control characters, cut to a number of characters."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text[:limit])
