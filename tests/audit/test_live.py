"""A running service as its lines show it: the last minute, and no more memory than that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionkit.audit import events
from sessionkit.audit.live import WINDOW, Live
from sessionkit.audit.reading import LogParser
from sessionkit.exceptions import RejectReason
from tests.audit.logs import NOW, Book, created, digest, loaded, ref, used
from tests.audit.samples import rejected

if TYPE_CHECKING:
    from sessionkit.audit.events import Event


def shown(*told: Event | float, now: float = NOW) -> Live:
    """Return a view of events, each read when it was written; numbers between them let seconds pass."""
    book, live, parser = Book(), Live(), LogParser()
    for one in told:
        if isinstance(one, float):
            book.clock.advance(one)
            continue
        book(one)
        event = parser.parse(book.lines[-1].encode())
        assert event is not None
        live.add(event, max(now, book.clock.now))
    return live


def test_rates_are_those_of_the_last_minute() -> None:
    """What is older counts in the total alone."""
    live = shown(created(), created(), 30.0, created(), 31.0, loaded())
    now = NOW + 61
    assert live.recent(now) == {"session.created": 1, "keyring.loaded": 1}
    assert live.totals == {"session.created": 3, "keyring.loaded": 1}
    assert live.keys(now) == {"0a0a0a0a": 1}


def test_lines_that_were_only_counted_count() -> None:
    """A summary adds what it summarises, under its own name."""
    summary = events.AuditSummary(
        summarised="session.rejected",
        count=500,
        first_seen=events.timestamp(NOW),
        last_seen=events.timestamp(NOW),
        reason="bad_tag",
    )
    live = shown(rejected(), summary)
    assert live.recent(NOW) == {"session.rejected": 501}
    assert len(live.refusals) == 1


def test_the_course_of_an_event() -> None:
    """A minute in steps, the oldest first."""
    live = shown(created(), 30.0, created(), created(), 29.0, created())
    course = live.course("session.created", NOW + 59.5, steps=4)
    assert course == [1, 0, 2, 1]
    assert sum(live.course("session.created", NOW + 200, steps=4)) == 0


def test_the_last_refusals() -> None:
    """The latest few are kept: rejected, revoked, used after expiry; nothing else is one."""
    late = events.SessionUseAfterExpire(session_ref=ref("A"), kid="0a0a0a0a", reason="idle", expired_for=900.0)
    revoked = events.SessionRevoked(cookie_ref=ref("B"), kid="0a0a0a0a", reason="key_revoked")
    live = shown(created(), *map(rejected, RejectReason), late, revoked)
    assert [event["event"] for event in live.refusals][-2:] == ["session.use_after_expire", "session.revoked"]
    assert [event["reason"] for event in live.refusals][:6] == list(RejectReason)[-6:]
    assert live.keys(NOW) == {"0a0a0a0a": 1}


def test_keys_and_processes_are_known() -> None:
    """Tallies add up, and the ring of each process is known."""
    live = shown(loaded("d7"), 1.0, used(opened=3, last_opened=NOW), used(opened=2, last_opened=NOW))
    assert live.usage.keys["0a0a0a0a"].opened == 5
    assert [instance.digest for instance in live.usage.live(NOW + 1)] == [digest("d1")]


def test_memory_is_that_of_a_minute() -> None:
    """Neither sessions nor seconds pile up, nor do lines with a time far off."""
    live = Live()
    event = {"event": "session.created", "instance": "i", "kid": "0a0a0a0a", "expires_at": "x"}
    for second in range(5 * WINDOW):
        live.add({**event, "timestamp": NOW + second, "session_ref": f"{second}"}, NOW + second)
        live.forget(NOW + second)
    for far in (NOW - 10_000, NOW + 10_000):
        live.add({**event, "timestamp": far, "session_ref": "far"}, NOW + second)
    assert len(live._seconds) <= 2 * WINDOW + 1
    assert live.usage.hanging() == {}
    assert live.totals == {"session.created": 5 * WINDOW + 2}
