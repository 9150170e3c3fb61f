"""What the audit log was told while a test ran, as values."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from sessionkit.audit.events import Event
from sessionkit.audit.log import AuditLog

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CapturedEvents", "captured_events"]

Kind = TypeVar("Kind", bound=Event)


class CapturedEvents(list[Event]):
    """Events in the order in which their lines were made."""

    def names(self) -> list[str]:
        """Return their names: ``["session.created", …]``."""
        return [event.name for event in self]

    def of(self, kind: type[Kind]) -> list[Kind]:
        """Return those of one class of ``sessionkit.audit.events``."""
        return [event for event in self if isinstance(event, kind)]


@contextmanager
def captured_events() -> Iterator[CapturedEvents]:
    """Collect every event that sessionkit writes to an audit log while the context lasts, whatever its logger.

    All logs of this process count, however deep in an application, and those of other threads. What ``audit.level``
    leaves out, or what a summary stands for, is not written, and so not here.
    """
    found = CapturedEvents()
    AuditLog.captures = (*AuditLog.captures, found)
    try:
        yield found
    finally:
        AuditLog.captures = tuple(capture for capture in AuditLog.captures if capture is not found)
