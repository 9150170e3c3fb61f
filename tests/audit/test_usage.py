"""What a log tells of keys, sessions and instances, in whatever order it is read."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit.audit import events
from sessionkit.audit.events import Event, Level
from sessionkit.audit.reading import LogParser
from sessionkit.audit.usage import INLINE_SILENT_AFTER, SILENT_AFTER, Usage
from sessionkit.testing import FixedClock
from tests.audit.logs import NOW, Book, created, destroyed, digest, expired, loaded, named, ref, rekeyed, reloaded, used
from tests.audit.samples import full

if TYPE_CHECKING:
    from collections.abc import Iterable

OLD, NEW = "0a0a0a0a", "0b0b0b0b"
T, SKEW = 1000.0, 5.0


def summed(*books: Book, shuffled: int | None = None) -> Usage:
    """Return what the lines of some books amount to, read in order or shuffled by a seed."""
    lines = [line for book in books for line in book.lines]
    if shuffled is not None:
        random.Random(shuffled).shuffle(lines)
    usage, parser = Usage(), LogParser()
    usage.feed(event for line in lines if (event := parser.parse(line.encode())) is not None)
    assert parser.broken == 0
    return usage


def told(*what: Event | float, level: Level = Level.DEBUG) -> Book:
    """Return a book of events; numbers between them let seconds pass."""
    book = Book(level=level)
    for one in what:
        if isinstance(one, Event):
            book(one)
        else:
            book.clock.advance(one)
    return book


def on(usage: Usage, kid: str, now: float = NOW + 100) -> list[str]:
    """Return the sessions that may still hang on a key."""
    return [named(reference) for reference, _ in usage.sessions_on(kid, now, T, SKEW)]


def regenerated(name: str, before: str, kid: str = OLD) -> Event:
    """Return the event of a session with a new id."""
    return events.SessionRegenerated(session_ref=ref(name), previous_session_ref=ref(before), kid=kid, reason="login")


# --- sessions on keys -------------------------------------------------------------------------------------------------


def test_a_session_hangs_on_the_key_it_was_written_under_last() -> None:
    """Created under one key, it hangs on that; re-encrypted, it hangs on the other."""
    assert on(summed(told(created("A"), created("B"))), OLD) == ["A", "B"]
    moved = summed(told(created("A"), created("B"), 1.0, rekeyed("A")))
    assert (on(moved, OLD), on(moved, NEW)) == (["B"], ["A"])
    assert moved.hanging() == {OLD: 1, NEW: 1}


@pytest.mark.parametrize(
    "end",
    [
        destroyed("A"),
        expired("A", ago=1.0),
        expired("A", reason="absolute", ago=500.0),
        regenerated("B", "A", NEW),
        events.SessionUseAfterExpire(session_ref=ref("A"), kid=OLD, reason="idle", expired_for=2.0),
    ],
    ids=lambda event: event.name,
)
def test_sessions_that_ended_hang_on_nothing(end: Event) -> None:
    """Ended by the application, past a deadline, or replaced by a successor: it is over."""
    assert on(summed(told(created("A", until=NOW + 100), 102.0, end)), OLD, now=NOW + 103) == []


def test_a_new_id_takes_the_session_along() -> None:
    """After ``regenerate`` the new reference hangs on the key, the old one does not."""
    assert on(summed(told(created("A"), 1.0, regenerated("B", "A"))), OLD) == ["B"]


def test_an_old_copy_that_expires_ends_nothing() -> None:
    """A copy of a cookie from before a renewal comes after its own deadline: its session lives on."""
    renewed = events.SessionRenewed(
        session_ref=ref("A"),
        kid=OLD,
        previous_expires_at=events.timestamp(NOW + 100),
        expires_at=events.timestamp(NOW + 150),
        automatic=False,
    )
    book = told(created("A", until=NOW + 100), 50.0, renewed, 60.0, expired("A", ago=10.0))
    assert on(summed(book), OLD, now=NOW + 110) == ["A"]
    book.clock.advance(50)
    book(expired("A", ago=10.0))
    assert on(summed(book), OLD, now=NOW + 160) == []


def test_a_copy_under_an_older_key_does_not_take_the_session_back() -> None:
    """A session that has moved is counted where it is, whatever cookies from before still come."""
    read = events.SessionLoaded(session_ref=ref("A"), kid=OLD, key_state="retired", age=3.0, idle=2.0)
    usage = summed(told(created("A"), 1.0, rekeyed("A"), 1.0, read, 1.0, expired("A", ago=500.0)))
    assert (on(usage, OLD), on(usage, NEW)) == ([], ["A"])


def test_a_session_from_before_the_log_is_known_from_where_it_was_read() -> None:
    """Of a session that was only ever read, the latest reading tells the key."""
    read = events.SessionLoaded(session_ref=ref("A"), kid=OLD, key_state="retired", age=3.0, idle=2.0)
    assert on(summed(told(read)), OLD, now=NOW - 1) == ["A"]
    assert summed(told(read)).keys[OLD].last_opened == NOW


def test_until_when() -> None:
    """The bound is the last sealing plus T and ε: a session may be renewed unseen for as long as its key seals."""
    book = told(
        created("A", until=NOW + 400), created("B", until=NOW + 2000), 60.0, used(last_sealed=NOW + 50, sealed=9)
    )
    usage = summed(book)
    assert usage.hangs_until(OLD, T, SKEW) == NOW + 50 + T + SKEW
    assert usage.sessions_on(OLD, NOW + 60, T, SKEW) == [
        (ref("A"), NOW + 50 + T + SKEW),
        (ref("B"), NOW + 2000 + SKEW),
    ]
    assert on(usage, OLD, now=NOW + 50 + T + SKEW) == ["B"]
    assert on(usage, OLD, now=NOW + 2000 + SKEW) == []
    assert usage.lifetime == 2000


def test_a_key_that_never_sealed_holds_nothing() -> None:
    """Nothing can hang on a key that is not known to have sealed."""
    usage = summed(told(loaded(), used(NEW, "staged")))
    assert usage.hangs_until(NEW, T, SKEW) == usage.hangs_until("ffffffff", T, SKEW) < 0
    assert on(usage, NEW) == []


def test_debug_lines_make_the_bound_no_later_than_the_truth() -> None:
    """A session written again is there with its write, also where its deadline is not told."""
    update = events.SessionUpdated(session_ref=ref("A"), kid=OLD, size=1, chunks=1)
    usage = summed(told(created("A", until=NOW + 10), 500.0, update))
    assert usage.keys[OLD].last_sealed == NOW + 500
    assert on(usage, OLD, now=NOW + 1504) == ["A"]
    assert on(usage, OLD, now=NOW + 1505) == []


# --- keys -------------------------------------------------------------------------------------------------------------


def test_tallies_of_all_instances_add_up() -> None:
    """Counts are sums over instances and windows; the last opening and sealing are the latest of all."""
    one, other = (
        told(
            used(opened=3, sealed=1, last_opened=NOW - 5, last_sealed=NOW - 7),
            60.0,
            used(opened=1, last_opened=NOW + 40),
        ),
        told(used(opened=10, sealed=2, last_opened=NOW - 1, last_sealed=NOW - 2)),
    )
    key = summed(one, other).keys[OLD]
    assert (key.opened, key.sealed, key.failed, key.rekeyed_from) == (14, 3, 0, 0)
    assert (key.last_opened, key.last_sealed) == (NOW + 40, NOW - 2)


def test_a_key_has_a_life() -> None:
    """States in order of time, the label, and when it may be pruned."""
    about: dict[str, Any] = {"kid": OLD, "label": "2027-01", "digest": digest("d1"), "generation": 1}
    book = told(
        events.KeyStaged(**about, state="staged"),
        10.0,
        events.KeyActivated(**about, state="active"),
        10.0,
        events.KeyRetired(**about, state="retired", prune_after=events.timestamp(NOW + 500)),
        10.0,
        used(OLD, "retired"),
        events.KeyPruned(**(about | {"label": "renamed"}), state="retired"),
    )
    for seed in range(5):
        key = summed(book, shuffled=seed).keys[OLD]
        assert list(key.states.items()) == [
            ("staged", NOW),
            ("active", NOW + 10),
            ("retired", NOW + 20),
            ("pruned", NOW + 30),
        ]
        assert (key.label, key.prune_after) == ("renamed", NOW + 500)


def test_a_time_in_a_field_that_cannot_be_read_is_none() -> None:
    """A date of somebody else's making does no harm."""
    usage = Usage()
    for text in ("soon", "2027-01-15T08:00:00"):
        usage.add(
            {
                "event": "session.created",
                "timestamp": NOW,
                "instance": "i",
                "session_ref": ref("A"),
                "kid": OLD,
                "expires_at": text,
            }
        )
    assert usage.lifetime == 0
    assert on(usage, OLD) == ["A"]


# --- instances --------------------------------------------------------------------------------------------------------


def test_an_instance_is_on_the_ring_it_spoke_of_last() -> None:
    """Every event of the keyring says which ring is in force; the latest counts, and of two at once the newer ring."""
    failed = events.KeyringReloadFailed(
        error_type="KeyringError",
        location="keyring.yaml:3",
        problem="is bad",
        digest=digest("d2"),
        generation=2,
        consecutive_failures=1,
        stale_for=0.0,
        trigger="poll",
    )
    book = told(events.ActorStarted(), loaded(), 5.0, reloaded(), used(ring="d1", generation=1), 5.0, failed)
    for seed in range(5):
        instance = summed(book, shuffled=seed).instances[book.instance]
        assert (instance.digest, instance.generation, instance.told_at) == (digest("d2"), 2, NOW + 10)
        assert (instance.first_seen, instance.last_seen, instance.life) == (NOW, NOW + 10, "serving")
        assert instance.kids == {OLD, NEW}


def test_who_is_live() -> None:
    """Who has stopped is gone, also if its last tallies come after; who is silent for long is; others are live.

    One without a lifespan is gone sooner: it does nothing unasked, and looks for a new ring when it is.
    """
    clock = FixedClock(NOW)
    gone, silent, failed, again, inline = (Book(clock) for _ in range(5))
    for book in (gone, silent, failed, again):
        book(events.ActorStarted(), loaded())
    silent_since = clock.now
    clock.advance(SILENT_AFTER / 2)
    stop = events.ActorStopped(handled=3, unanswered=0)
    gone(stop)
    again(stop)
    failed(full(events.ActorFailed))
    clock.advance(1)
    gone(used())
    again(events.ActorStarted())
    inline(events.ActorInline(reason="no_lifespan"))
    books = (gone, silent, failed, again, inline)
    for seed in range(5):
        usage = summed(*books, shuffled=seed)
        now = silent_since + SILENT_AFTER
        assert {one.name for one in usage.live(now)} == {book.instance for book in (silent, failed, again)}
        assert inline.instance in {one.name for one in usage.live(clock.now + INLINE_SILENT_AFTER)}
        assert inline.instance not in {one.name for one in usage.live(clock.now + INLINE_SILENT_AFTER + 1)}
        assert {one.name for one in usage.live(now + 1)} == {book.instance for book in (failed, again)}
        assert usage.live(now, silent_after=60) == []
        assert usage.instances[failed.instance].life == "failed"


def test_the_span_of_the_log() -> None:
    """The first and the last time of all lines, whoever wrote them; none without lines."""
    assert (Usage().since, Usage().until) == (None, None)
    usage = summed(told(created("A"), 7.0, created("B")), told(3.0, created("C")))
    assert (usage.since, usage.until) == (NOW, NOW + 7)


# --- all together -----------------------------------------------------------------------------------------------------


def history(rng: random.Random) -> Iterable[Book]:
    """Yield the logs of three instances that serve and rotate, each line at a time of its own."""
    clock = FixedClock(NOW)
    books = [Book(clock) for _ in range(3)]
    refs: list[str] = []
    for step in range(300):
        clock.advance(0.001 + rng.random())
        book, kid = rng.choice(books), OLD if step < 150 else NEW
        match rng.randrange(7):
            case 0 | 1:
                refs.append(f"S{step}")
                book(created(refs[-1], kid, until=clock.now + T))
            case 2 if refs:
                book(destroyed(rng.choice(refs), kid))
            case 3 if refs:
                book(rekeyed(rng.choice(refs), OLD, NEW))
            case 4 if refs:
                book(expired(rng.choice(refs), kid, ago=rng.random() * 900))
            case 5 if refs:
                refs.append(f"S{step}")
                book(regenerated(refs[-1], rng.choice(refs), kid))
            case _:
                book(used(kid, "active", opened=rng.randrange(9), last_opened=clock.now, ring=f"d{step // 50}"))
    return books


@pytest.mark.unmeasured
@pytest.mark.parametrize("seed", range(20))
def test_the_order_of_lines_does_not_matter(seed: int) -> None:
    """Rotated files and hosts read in any order give the same answers."""
    books = list(history(random.Random(seed)))
    one, other = summed(*books), summed(*books, shuffled=seed)
    now = NOW + 400
    for kid in (OLD, NEW):
        assert one.sessions_on(kid, now, T, SKEW) == other.sessions_on(kid, now, T, SKEW) != []
        assert one.keys[kid] == other.keys[kid]
    assert one.instances == other.instances
    assert one.hanging() == other.hanging()
    assert one.lifetime == other.lifetime
