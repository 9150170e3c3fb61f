"""An attack can fill neither the log nor the memory, and still every event is counted."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionkit.audit.aggregate import Aggregator
from sessionkit.audit.events import (
    ActorStarted,
    AuditOverflow,
    AuditSummary,
    Event,
    SessionDuplicate,
    SessionUseAfterExpire,
    timestamp,
)
from tests.audit.samples import client, rejected

NOW = 1_700_000_000.0
REASONS = ("", "bad_tag", "expired", "malformed")

Kind = tuple[str, str | None, str | None]


def kind_of(event: Event) -> Kind:
    """Return what events are counted by."""
    return event.name, getattr(event, "reason", None), getattr(event, "client_ref", None)


def counted(events: list[Event]) -> int:
    """Return how many events summaries stand for."""
    return sum(event.count for event in events if isinstance(event, AuditSummary | AuditOverflow))


def test_the_first_few_in_full_then_one_summary() -> None:
    """Case 201: ten of a kind are written, the rest of the window is one summary with count, first and last time."""
    aggregator = Aggregator()
    written = [aggregator.admit(rejected("bad_tag", "C"), NOW + second) for second in range(60)]
    assert written == [True] * 10 + [False] * 50
    assert list(aggregator.flush(NOW + 59.9)) == []
    assert list(aggregator.flush(NOW + 60)) == [
        AuditSummary(
            summarised="session.rejected",
            reason="bad_tag",
            client_ref="C",
            count=50,
            first_seen=timestamp(NOW + 10),
            last_seen=timestamp(NOW + 59),
        )
    ]
    assert list(aggregator.flush(NOW + 1000)) == []
    assert aggregator.admit(rejected("bad_tag", "C"), NOW + 61)


def test_up_to_the_limit_there_is_no_summary() -> None:
    """Where nothing was held back there is nothing to sum up."""
    aggregator = Aggregator(limit=2)
    assert [aggregator.admit(rejected(), NOW) for _ in range(2)] == [True, True]
    assert list(aggregator.flush(NOW, everything=True)) == []


def test_kinds_are_name_reason_and_client() -> None:
    """A flood of one kind hides no other: a different reason, client or event is written in full."""
    aggregator = Aggregator(limit=1)
    late = SessionUseAfterExpire(session_ref="r", kid="k", reason="bad_tag", expired_for=1000.0)
    for event in (rejected("bad_tag", "A"), rejected("expired", "A"), rejected("bad_tag", "B"), rejected(), late):
        assert aggregator.admit(event, NOW)
        assert not aggregator.admit(event, NOW)
    assert len(list(aggregator.flush(NOW, everything=True))) == 5


def test_what_a_client_cannot_cause_is_always_written() -> None:
    """Events of the keyring and the actor are never counted instead, however many there are."""
    aggregator = Aggregator(limit=0, kinds=0)
    assert all(aggregator.admit(ActorStarted(), NOW) for _ in range(100))
    assert list(aggregator.flush(NOW, everything=True)) == []


def test_kinds_beyond_the_table_are_counted_together() -> None:
    """Case 201: a flood from ever new clients fills the table and no more; the rest is one overflow."""
    aggregator = Aggregator(kinds=3, window=60)
    written = [aggregator.admit(rejected(client_ref=f"C{number}"), NOW + number) for number in range(10)]
    assert written == [True] * 3 + [False] * 7
    assert not aggregator.admit(rejected(client_ref="C9"), NOW + 20)
    overflow = AuditOverflow(count=8, first_seen=timestamp(NOW + 3), last_seen=timestamp(NOW + 20))
    assert list(aggregator.flush(NOW + 62.9)) == []
    assert list(aggregator.flush(NOW + 63)) == [overflow]
    assert aggregator.admit(rejected(client_ref="C9"), NOW + 64)


def test_everything_can_be_flushed_at_once() -> None:
    """At stop, summaries do not wait for their window."""
    aggregator = Aggregator(limit=0, kinds=1)
    assert not aggregator.admit(rejected("bad_tag"), NOW)
    assert not aggregator.admit(rejected("expired"), NOW)
    assert list(aggregator.flush(NOW)) == []
    assert [type(event) for event in aggregator.flush(NOW, everything=True)] == [AuditSummary, AuditOverflow]


def test_all_kinds_together_have_a_ceiling() -> None:
    """Case 201: what one window writes in full is bounded over all kinds; the next window writes again."""
    aggregator = Aggregator(limit=10, ceiling=15)
    written = [aggregator.admit(rejected(client_ref=client(number % 3)), NOW) for number in range(30)]
    assert written == [True] * 15 + [False] * 15
    assert sorted(event.count for event in aggregator.flush(NOW + 60) if isinstance(event, AuditSummary)) == [5, 5, 5]
    assert aggregator.admit(rejected(client_ref=client(0)), NOW + 60)


@pytest.mark.unmeasured
def test_an_attack_from_everywhere() -> None:
    """Case 201: 200,000 forged cookies from 20,000 addresses in two minutes are fewer than 5,000 lines, all counted."""
    aggregator = Aggregator()
    written, summaries, widest = 0, list[Event](), 0
    for number in range(200_000):
        now = NOW + number * 120 / 200_000
        if number % 5_000 == 0:
            summaries += aggregator.flush(now)
        written += aggregator.admit(rejected(client_ref=client(number % 20_000)), now)
        widest = max(widest, len(aggregator._counts))
    summaries += aggregator.flush(NOW + 120, everything=True)
    assert written + len(summaries) < 5_000
    assert written + counted(summaries) == 200_000
    assert widest <= 1024


STEPS = st.tuples(st.integers(0, 3), st.integers(0, 3), st.floats(-40, 40), st.booleans())


@given(st.lists(STEPS, max_size=60), st.integers(0, 3), st.integers(0, 20), st.integers(0, 20))
def test_totals_are_right(steps: list[tuple[int, int, float, bool]], limit: int, kinds: int, ceiling: int) -> None:
    """Case 201: written, summed up and overflowed are all that happened, kind by kind, even when the clock jumps."""
    aggregator = Aggregator(limit=limit, window=60, kinds=kinds, ceiling=ceiling)
    now = NOW
    emitted, told = Counter[Kind](), Counter[Kind]()
    summaries: list[Event] = []
    for what, who, seconds, flush in steps:
        now += seconds
        event = (
            SessionDuplicate(session_ref="r", kid="k", candidates=2)
            if what == 0
            else rejected(REASONS[what], client(who))
        )
        emitted[kind_of(event)] += 1
        told[kind_of(event)] += aggregator.admit(event, now)
        assert len(aggregator._counts) <= kinds
        if flush:
            summaries += aggregator.flush(now)
    summaries += aggregator.flush(now, everything=True)
    for summary in summaries:
        if isinstance(summary, AuditSummary):
            told[summary.summarised, summary.reason, summary.client_ref] += summary.count
    overflowed = sum(event.count for event in summaries if isinstance(event, AuditOverflow))
    assert told.total() + overflowed == emitted.total()
    assert told <= emitted
    if not overflowed:
        assert +told == emitted
    assert not aggregator._counts
