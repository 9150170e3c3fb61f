"""The audit log when several threads tell events, and when the clock goes back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sessionkit.audit.aggregate import Aggregator
from sessionkit.audit.events import AuditSummary, Event, Level
from sessionkit.audit.log import AuditLog
from sessionkit.testing import FixedClock
from tests.audit.samples import rejected
from tests.middleware.apps import Log

if TYPE_CHECKING:
    from collections.abc import Iterator


class Watched(Aggregator):
    """An aggregator that lets another thread try to count while it makes summaries."""

    def __init__(self, log: list[AuditLog]) -> None:
        super().__init__()
        self._log = log
        self._flushing = False
        self.rivals: list[threading.Thread] = []
        self.overlaps = 0

    def admit(self, event: Event, now: float) -> bool:
        """Note whether summaries are being made."""
        self.overlaps += self._flushing
        return super().admit(event, now)

    def flush(self, now: float, *, everything: bool = False) -> Iterator[Event]:
        """Have another thread emit meanwhile."""
        self._flushing = True
        rival = threading.Thread(target=self._log[0].emit, args=((rejected(),),))
        self.rivals.append(rival)
        rival.start()
        rival.join(0.05)
        yield from super().flush(now, everything=everything)
        self._flushing = False


def test_no_thread_counts_while_another_makes_summaries() -> None:
    """Late writes in worker threads and requests on other loops emit at once; the table is one thread's at a time.

    It raised "dictionary changed size during iteration" into whoever emitted, although ``emit`` never raises.
    """
    logs: list[AuditLog] = []
    watched = Watched(logs)
    sink = Log()
    logs.append(AuditLog(Level.DEBUG, clock=FixedClock(), logger=sink, aggregator=watched))
    logs[0].flush(everything=True)
    for rival in watched.rivals:
        rival.join(30)
        assert not rival.is_alive()
    assert watched.overlaps == 0
    assert [line["event"] for line in sink.lines] == ["session.rejected"]


def test_a_clock_that_went_back_does_not_keep_a_window_open() -> None:
    """After a day's jump back, what was counted is written with the next event, and counting begins anew."""
    clock, sink = FixedClock(), Log()
    log = AuditLog(Level.DEBUG, clock=clock, logger=sink)
    log.emit(rejected() for _ in range(15))
    clock.advance(-86_400)
    log.emit([rejected()])
    assert [line["event"] for line in sink.lines] == ["session.rejected"] * 10 + [AuditSummary.name, "session.rejected"]
    assert sink.lines[10]["count"] == 5


def test_nor_does_it_keep_the_table_closed() -> None:
    """The same for what did not fit into the table."""
    aggregator = Aggregator(kinds=0)
    assert not aggregator.admit(rejected(), 100.0)
    assert [event.name for event in aggregator.flush(50.0)] == ["audit.overflow"]
