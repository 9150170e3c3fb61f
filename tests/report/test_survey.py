"""From events to findings: each question on small logs whose answers can be told by hand."""

from __future__ import annotations

import json
from math import inf
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit import Key, Keyring, KeyState
from sessionkit.audit import events
from sessionkit.audit.events import timestamp
from sessionkit.audit.reading import LogParser
from sessionkit.audit.usage import SILENT_AFTER
from sessionkit.keyring.keyring import Policy
from sessionkit.report import survey as module
from sessionkit.report.findings import Basis, Safety, details, duration, shown, warned
from sessionkit.report.survey import SKEW, Survey
from sessionkit.report.timeline import OTHERS
from tests.audit.logs import NOW, Book, created, destroyed, digest, expired, loaded, ref, rekeyed, reloaded, used

if TYPE_CHECKING:
    from sessionkit.audit.events import Event
    from sessionkit.report.findings import Findings, KeyFinding, Pruning

OLD, NEW = "0a0a0a0a", "0b0b0b0b"
LIFE = 1000.0
"""T, as the books tell it: the life of the sessions in them."""


def findings(*books: Book, at: float | None = None, until: float = inf, **options: Any) -> Findings:
    """Return what a survey of some books comes to, by the clock of the first unless a time is given."""
    parser, survey = LogParser(), Survey(until=until)
    for number, line in enumerate(line for book in books for line in book.lines):
        event = parser.parse(line.encode(), "log", number)
        assert event is not None
        survey.add(event)
    assert parser.broken == 0
    return survey.findings(parser, books[0].clock() if at is None else at, **options)


def key(found: Findings, kid: str = OLD) -> KeyFinding:
    """Return what is found of one key."""
    return next(one for one in found.keys if one.kid == kid)


def of_key(kind: type[Any], kid: str, state: str, generation: int = 2, **fields: Any) -> Event:
    """Return an event of a key's life."""
    made: Event = kind(
        kid=kid, label=f"label of {kid[:2]}", state=state, digest=digest("d2"), generation=generation, **fields
    )
    return made


def rotated(*sessions: str) -> Book:
    """Return a book in which sessions begin under one key, and then another one takes over."""
    book = Book()
    book(loaded(), *(created(ref, OLD, until=NOW + LIFE) for ref in sessions))
    book.clock.advance(100)
    book(
        reloaded(),
        of_key(events.KeyRetired, OLD, "retired"),
        of_key(events.KeyActivated, NEW, "active"),
        used(OLD, "active", opened=3, sealed=2, last_opened=NOW + 90, last_sealed=NOW + 80),
    )
    return book


def test_sessions_on_a_retired_key_are_named_with_their_end() -> None:
    """Question 1: those that neither moved nor ended are told, until the last sealing plus T and ε."""
    book = rotated("STAYS", "MOVES", "ENDS")
    book(rekeyed("MOVES"), destroyed("ENDS"))
    found = key(findings(book))
    until = NOW + 80 + LIFE + SKEW
    assert found.sessions == ((ref("STAYS"), until),)
    assert found.depends_until == until
    assert key(findings(book, at=until)).sessions == ()


def test_the_last_use_is_the_later_of_two() -> None:
    """Question 2: opening counts as well as sealing; a key that was never used has no last use."""
    found = findings(rotated("A"))
    assert key(found).last_opened == NOW + 90
    assert key(found).last_sealed == NOW + 80
    assert key(found).unused_for == 10
    assert key(found, NEW).unused_for is None
    assert (key(found).opened, key(found).sealed, key(found).failed) == (3, 2, 0)


def test_a_retired_key_goes_when_its_last_cookie_has_ended() -> None:
    """Question 3: no before, with the time; yes from then on."""
    allowed = NOW + 100 + LIFE + SKEW  # retirement was told later than the last sealing
    book = rotated("A")
    before, after = (key(findings(book, at=at)).pruning for at in (allowed - 1, allowed))
    assert (before.safe, before.allowed_at) == (Safety.NO, allowed)
    assert (after.safe, after.allowed_at) == (Safety.YES, allowed)
    assert shown(allowed) in after.why[0]


def test_the_date_of_the_ring_is_waited_for() -> None:
    """Without a keyring file, the date that a retirement named holds if it is later."""
    book = rotated("A")
    book(of_key(events.KeyRetired, OLD, "retired", prune_after=timestamp(NOW + 9000)))
    assert key(findings(book)).pruning.allowed_at == NOW + 9000


def test_a_key_in_use_after_its_time_is_kept() -> None:
    """Who still opens sessions under it has sealed them where no log was given."""
    book = rotated("A")
    late = NOW + 100 + LIFE + SKEW + 50
    book.clock.advance(late - NOW)
    book(used(OLD, "retired", opened=1, last_opened=late))
    assert key(findings(book)).pruning.allowed_at == late + LIFE + SKEW


def test_a_worker_on_another_ring_forbids_pruning() -> None:
    """Questions 3 and 5: one that lags may seal under the old key; it is named, and there is no time to tell."""
    book = rotated("A")
    lagging = Book(book.clock)
    lagging(loaded())
    found = findings(book, lagging, at=NOW + 50_000)
    pruning = key(found).pruning
    assert (pruning.safe, pruning.allowed_at) == (Safety.NO, None)
    assert any(lagging.instance in reason for reason in pruning.why)
    assert found.workers.agree is False
    assert (found.workers.digest, found.workers.behind) == (digest("d2"), (lagging.instance,))


def test_a_worker_that_is_silent_about_its_ring_forbids_pruning() -> None:
    """It is live, and nobody knows what it seals with."""
    book, silent = rotated("A"), Book()
    silent(created("B"))
    found = findings(book, silent, at=NOW + 50_000)
    assert found.workers.silent == (silent.instance,)
    assert found.workers.agree is True
    assert key(found).pruning.safe is Safety.NO


def test_workers_that_stopped_or_fell_silent_are_not_asked() -> None:
    """Question 5 is about those that serve when the log ends."""
    stopped, gone, book = Book(), Book(), Book()
    stopped(loaded("d0"), events.ActorStopped(handled=1, unanswered=0))
    gone(loaded("d1"))
    book.clock.advance(SILENT_AFTER + 1)
    book(loaded("d2", 2))
    found = findings(book, stopped, gone)
    assert found.workers.agree is True
    assert [worker.instance for worker in found.workers.all if worker.live] == [book.instance]
    assert found.workers.live == 1


def test_no_worker_at_all() -> None:
    """Where all have stopped, there is no agreement to speak of, and nothing in the way of pruning."""
    book = rotated("A")
    book(events.ActorStopped(handled=1, unanswered=0))
    found = findings(book, at=NOW + 50_000)
    assert found.workers.agree is None
    assert found.workers.live == 0
    assert found.workers.last_words().endswith(f"had ring {digest('d2')}.")
    assert key(found).pruning.safe is Safety.YES
    assert findings(Book()).workers.last_words() == "No worker was live when the log ended."


def test_a_worker_has_each_ring_for_one_stretch() -> None:
    """From the first word of one ring to the first word of the next, in whatever order the lines come."""
    book = rotated("A")
    book.lines.reverse()
    worker = findings(book).workers.all[0]
    assert [(ring.what, ring.start, ring.end) for ring in worker.rings] == [
        (digest("d1"), NOW, NOW + 100),
        (digest("d2"), NOW + 100, NOW + 100),
    ]


def test_rings_of_a_worker_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that names a new ring on every line fills no memory."""
    monkeypatch.setattr(module, "CHANGES", 3)
    book = Book()
    book(*(loaded(f"d{number}", number) for number in range(9)))
    assert len(findings(book).workers.all[0].rings) == 3


def ring(*states: KeyState) -> Keyring:
    """Return a ring of keys in some states."""
    keys = [
        Key.from_secret(bytes([number] * 32), label=f"key {number}", state=state, created=NOW, retired=NOW)
        for number, state in enumerate(states)
    ]
    return Keyring(keys, generation=5, policy=Policy(propagation=60, skew=5, token_lifetime=2000))


def test_a_keyring_file_tells_policy_and_labels() -> None:
    """T, ε and the dates of the ring are taken from it, and the log cannot make anything earlier."""
    published = ring(KeyState.RETIRED, KeyState.ACTIVE)
    old, new = published.keys[0].kid, published.keys[1].kid
    book = Book()
    book(loaded("d1", 1, old), created("A", old))
    book.clock.advance(500)
    book(reloaded(active=new), of_key(events.KeyRetired, old, "retired"))
    found = findings(book, ring=published)
    assert (found.lifetime, found.lifetime_from, found.skew) == (2000, "keyring", 5)
    assert key(found, old).label == "key 0"
    assert key(found, old).pruning.allowed_at == NOW + 60 + 5 + 2000 + 5
    book(used(old, "retired", sealed=1, last_sealed=NOW + 400, ring="d2", generation=2))
    assert key(findings(book, ring=published), old).pruning.allowed_at == NOW + 400 + 2000 + 5


def test_a_key_without_a_date_in_the_ring_is_not_judged() -> None:
    """Nothing tells when its last session ends."""
    keys = [Key.from_secret(bytes(32), label="old", state=KeyState.RETIRED), Key.from_secret(bytes(range(32)))]
    published = Keyring(keys, generation=5, policy=Policy(token_lifetime=2000))
    book = Book()
    book(loaded("d1", 1, keys[0].kid), created("A", keys[0].kid), of_key(events.KeyRetired, keys[0].kid, "retired"))
    pruning = key(findings(book, ring=published), keys[0].kid).pruning
    assert (pruning.safe, pruning.allowed_at) == (Safety.UNKNOWN, None)
    assert "does not tell when it was retired" in pruning.why[-1]


def test_other_applications_of_one_log_do_not_disagree() -> None:
    """With a keyring file at hand, processes whose keys it does not know are none of its workers."""
    published = ring(KeyState.ACTIVE)
    book, stranger = Book(), Book()
    book(loaded("d1", 1, published.keys[0].kid))
    stranger(loaded("d9", 9, "ffffffff"))
    assert findings(book, stranger).workers.agree is False
    found = findings(book, stranger, ring=published)
    assert (found.workers.agree, found.workers.behind) == (True, ())


def pruning_of(state: str, kind: type[Any] | None = None, at: float = NOW, **fields: Any) -> Pruning:
    """Return the judgement on a key that the log tells to be in one state."""
    book = Book()
    book(loaded(active=NEW), created("A", OLD))
    if kind is not None:
        book(of_key(kind, OLD, state, **fields))
    return key(findings(book, at=at)).pruning


def test_a_revoked_key_stays_as_long() -> None:
    """Its entry tells ``revoked`` from ``unknown_key`` until its last cookie has ended."""
    allowed = NOW + 300 + SKEW + LIFE + SKEW
    early, late = (pruning_of("revoked", events.KeyRevoked, at) for at in (allowed - 1, allowed))
    assert (early.safe, early.allowed_at) == (Safety.NO, allowed)
    assert "opens nothing any more" in early.why[0]
    assert late.safe is Safety.YES


def test_a_pruned_key_is_gone() -> None:
    """What it took along is said."""
    gone = pruning_of("retired", events.KeyPruned)
    assert gone.safe is Safety.GONE
    assert gone.why == (f"It was pruned at {shown(NOW)}.", "1 session of this log may still hang on it.")


@pytest.mark.parametrize("state", ["active", "staged"])
def test_keys_in_use_are_not_pruned(state: str) -> None:
    """Only what is retired is."""
    kind = {"active": events.KeyActivated, "staged": events.KeyStaged}[state]
    pruning = pruning_of(state, kind)
    assert (pruning.safe, pruning.allowed_at) == (Safety.NO, None)
    assert state in pruning.why[0]


def test_a_key_that_only_sessions_name() -> None:
    """The log may begin after all that was said of it."""
    assert pruning_of("unknown").safe is Safety.UNKNOWN


def test_a_log_without_a_life_of_a_session_judges_nothing() -> None:
    """T is not guessed."""
    book = Book()
    book(loaded(active=NEW), of_key(events.KeyRetired, OLD, "retired"))
    pruning = key(findings(book)).pruning
    assert (pruning.safe, pruning.allowed_at) == (Safety.UNKNOWN, None)
    assert "--keyring" in pruning.why[0]


def rejected(reason: str, client: str | None = None) -> Event:
    """Return a rejection."""
    client_ref = None if client is None else ref(client)
    return events.SessionRejected(reason=reason, cookie_ref=ref("C"), size=9, chunks=1, client_ref=client_ref)


def test_refusals_are_right_through_aggregation() -> None:
    """Question 4: of 100 cookies ten have lines, and the report tells a hundred; each client by itself."""
    book = Book()
    for _ in range(100):
        book(rejected("bad_tag", "MALLORY"))
    book(rejected("malformed"))
    book.clock.advance(61)
    book(loaded())
    found = findings(book)
    told = {(kind.reason, kind.client_ref): (kind.count, kind.summed) for kind in found.refusals.kinds}
    assert told == {("bad_tag", ref("MALLORY")): (100, 90), ("malformed", None): (1, 0)}
    assert found.refusals.total == 101
    assert found.refusals.by_client() == {ref("MALLORY"): 100, None: 1}
    assert found.refusals.by_reason() == {"bad_tag": 100, "malformed": 1}
    assert found.events["session.rejected"] == 101
    assert "audit.summary" not in found.events
    assert found.refusals_over_time.totals() == {"bad_tag": 100, "malformed": 1}


def test_revoked_and_long_expired_cookies_are_refusals_as_well() -> None:
    """Their reasons are told apart from those of rejections."""
    book = Book()
    book(events.SessionRevoked(cookie_ref=ref("C"), kid=OLD, reason="key_revoked"))
    book(events.SessionUseAfterExpire(session_ref=ref("A"), kid=OLD, reason="idle", expired_for=1e5))
    book(expired("B"))
    assert findings(book).refusals.by_reason() == {"expired_idle": 1, "key_revoked": 1}


def test_summaries_of_other_events_are_counted_as_events() -> None:
    """They refuse nothing."""
    book = Book()
    for _ in range(30):
        book(events.SessionCookieConflict(cookie="session"))
    book.clock.advance(61)
    book(loaded())
    found = findings(book)
    assert found.events["session.cookie_conflict"] == 30
    assert found.refusals.total == 0


def test_what_overflowed_is_told() -> None:
    """Events of kinds that the writer had no room for belong to no reason."""
    book = Book()
    book(events.AuditOverflow(count=7, first_seen=timestamp(NOW), last_seen=timestamp(NOW)))
    assert findings(book).refusals.unattributed == 7


def test_kinds_of_refusals_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log full of invented clients fills no memory, and their sum is still right."""
    monkeypatch.setattr(module, "KINDS", 3)
    book = Book()
    book(*(rejected("bad_tag", f"CLIENT{number}") for number in range(8)))
    refusals = findings(book).refusals
    assert (len(refusals.kinds), refusals.total, refusals.crowded_out) == (3, 8, 5)


def test_hostile_summaries_do_no_harm() -> None:
    """Counts below zero, times that are none, and events that nobody knows are taken for what they are."""
    book = Book()
    now = timestamp(NOW)
    book(events.AuditSummary(summarised="session.rejected", count=5, first_seen=now, last_seen=now))
    summary, told = json.loads(book.lines[0]), []
    told.append({**summary, "count": -5, "first_seen": "never", "last_seen": "0000"})
    told.append({**summary, "summarised": "my.own", "count": 2, "reason": "x"})
    told.append({**summary, "event": "session.of_tomorrow"})
    told.append({**summary, "event": "keyring.of_tomorrow"})  # says nothing of a ring
    book.lines = [json.dumps(line) for line in told]
    found = findings(book)
    assert found.refusals.by_reason() == {OTHERS: 0}
    assert found.events[OTHERS] == 4


def test_times_beyond_the_calendar_are_shown_as_its_end() -> None:
    """A session may claim to live until the year 9999, and T and ε come on top."""
    book = rotated("A")
    book(created("B", OLD, until=253_402_300_799))
    facts = findings(book).as_json()
    assert facts["keys"][0]["depends_until"] == "9999-12-31T23:59:59.000Z"


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z"])
def test_times_before_all_clocks_are_none(text: str) -> None:
    """A date that nothing can show again says nothing, wherever in a line it stands."""
    book = rotated("A")
    told = [json.loads(line) for line in book.lines]
    staged = next(line for line in told if line["event"] == "keyring.key_retired")
    told.append({**staged, "event": "keyring.key_staged", "state": "staged", "activates_at": text})
    told.append({**staged, "prune_after": text})
    book.lines = [json.dumps(line) for line in told]
    assert key(findings(book)).took_over == key(findings(rotated("A"))).took_over
    assert json.dumps(findings(book).as_json())


def test_later_lines_do_not_count() -> None:
    """A report as of a moment is what a report at that moment would have been."""
    book = rotated("A")
    found = findings(book, at=NOW + 50, until=NOW + 50)
    assert found.lines["later"] == len(book.lines) - 2
    assert key(found).state == "active"
    assert found.end == NOW


def test_lives_follow_one_another() -> None:
    """Each state lasts until the next one, the last until the log ends; a take-over is told apart from a beginning."""
    book = rotated("A")
    book.clock.advance(50)
    book(of_key(events.KeyPruned, OLD, "retired"))
    book.clock.advance(5)
    book(loaded("d2", 2, NEW))
    found = findings(book)
    assert [(life.what, life.start, life.end) for life in key(found).lives] == [
        ("active", NOW, NOW + 100),
        ("retired", NOW + 100, NOW + 150),
    ]
    assert (key(found).took_over, key(found, NEW).took_over) == (None, NOW + 100)


def test_a_plan_is_no_take_over() -> None:
    """What was planned may have been moved or called off since; whoever takes a key over by its clock says so."""
    book = Book()
    book(loaded(), of_key(events.KeyStaged, NEW, "staged", 1, activates_at=timestamp(NOW + 30)))
    book.clock.advance(40)
    book(loaded())
    found = key(findings(book), NEW)
    assert (found.state, found.took_over) == ("staged", None)
    assert [life.what for life in found.lives] == ["staged"]
    book(of_key(events.KeyActivated, NEW, "active", 1))
    found = key(findings(book), NEW)
    assert (found.state, found.took_over) == ("active", NOW + 40)
    assert [life.what for life in found.lives] == ["staged", "active"]


def test_a_key_that_was_taken_back_lives_twice() -> None:
    """After a rollback the key before is active again and the other one staged, as their states say; also told late."""
    book, late = Book(), Book()
    book(loaded(), of_key(events.KeyStaged, NEW, "staged", 1))
    book.clock.advance(100)
    book(reloaded(), of_key(events.KeyRetired, OLD, "retired"), of_key(events.KeyActivated, NEW, "active"))
    book.clock.advance(100)
    book(reloaded("d3", "d2", 3, OLD), of_key(events.KeyActivated, OLD, "active", 3))
    book(of_key(events.KeyStaged, NEW, "staged", 3))
    late.clock.advance(250)
    late(loaded("d2", 2, NEW))
    book.clock.advance(100)
    book(loaded("d3", 3, OLD))
    found = findings(book, late)
    lives = {kid: [(life.what, life.start - NOW) for life in key(found, kid).lives] for kid in (OLD, NEW)}
    assert lives == {
        OLD: [("active", 0), ("retired", 100), ("active", 200)],
        NEW: [("staged", 0), ("active", 100), ("staged", 200)],
    }
    assert all(key(found, kid).lives[-1].what == key(found, kid).state for kid in (OLD, NEW))


def test_the_course_of_traffic_comes_from_tallies_where_they_show_it() -> None:
    """A log of many tallies shows what was opened; one as short as a tally, what was written."""
    short = rotated("A", "B")
    assert findings(short).basis is Basis.WRITTEN
    assert findings(short).keys_over_time.totals() == {OLD: 2}
    short(events.SessionUpdated(session_ref=ref("A"), kid=NEW, size=9, chunks=1))
    assert findings(short).keys_over_time.totals() == {OLD: 2, NEW: 1}
    book = Book()
    for _ in range(20):
        book.clock.advance(60)
        book(used(OLD, opened=6))
    found = findings(book)
    assert found.basis is Basis.OPENED
    assert found.keys_over_time.totals() == {OLD: 120}


@pytest.mark.parametrize("window", [-1.0, float("inf"), float("nan")])
def test_a_tally_of_no_length_counts_at_its_time(window: float) -> None:
    """JSON of some writers knows infinity."""
    parser, survey = LogParser(), Survey()
    book = Book()
    book(used(OLD, opened=6))
    event = parser.parse(book.lines[0].encode())
    assert event is not None
    survey.add({**event, "window": window})
    assert survey._opened.totals() == {OLD: 6}


def test_an_empty_log_has_nothing_to_tell() -> None:
    """And says so without an error."""
    found = findings(Book())
    assert (found.start, found.end, found.keys) == (None, None, ())
    assert found.workers.agree is None
    assert found.as_json()["start"] is None


def test_facts_are_json() -> None:
    """All of it, but for the counts over time; sessions by name."""
    book = rotated("A")
    facts = json.loads(json.dumps(findings(book, session="A", trace=[{"timestamp": NOW, "event": "my.own"}]).as_json()))
    assert facts["keys"][0]["sessions"] == [{"session_ref": ref("A"), "until": timestamp(NOW + 80 + LIFE + SKEW)}]
    assert facts["trace"] == [{"timestamp": timestamp(NOW), "event": "my.own"}]
    assert "keys_over_time" not in facts


def test_details_are_an_events_own_fields() -> None:
    """Neither what every line has, nor what an application has bound."""
    line = {"event": "session.destroyed", "kid": OLD, "session_ref": "A", "reason": "logout", "request_id": 7}
    assert details(line) == {"session_ref": "A", "kid": OLD, "reason": "logout"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min"), (3_661, "1 h 1 min"), (90_000, "1 d 1 h"), (86_400 * 1234, "1,234 d")],
)
def test_durations_are_told_in_two_units(seconds: float, text: str) -> None:
    """The largest ones."""
    assert duration(seconds) == text


def unsafe(problem: str, kid: str | None = OLD) -> Event:
    """Return a warning that a ring breaks a safety condition."""
    return events.KeyringUnsafe(condition="C2", problem=problem, digest=digest("d2"), generation=2, kid=kid)


def test_warnings_against_a_ring_are_summed_up() -> None:
    """What several processes say of one ring is one warning; what they say of different things are several."""
    one, other = Book(), Book()
    one(loaded(), unsafe("first"), unsafe("about no key", kid=None))
    other.clock.advance(60)
    other(
        unsafe("second"),
        events.KeyringReloadFailed(
            error_type="KeyringError",
            location="keys[1].id",
            problem="is not hexadecimal",
            digest=digest("d2"),
            generation=2,
            consecutive_failures=1,
            stale_for=5.0,
            trigger="watch",
        ),
        events.RotationOverdue(kid=NEW, digest=digest("d2"), generation=2, active_for=91 * 86_400.0, max_age=1.0),
    )
    found = findings(one, other).warnings
    assert [(one.event, one.about, one.problem, one.count, one.instances) for one in found] == [
        ("keyring.reload_failed", "keys[1].id", "is not hexadecimal", 1, 1),
        ("keyring.rotation_overdue", f"key {NEW}", "has sealed for 91 d", 1, 1),
        ("keyring.unsafe", f"C2, key {OLD}", "second", 2, 2),
        ("keyring.unsafe", "C2", "about no key", 1, 1),
    ]
    assert (found[2].first_seen, found[2].last_seen) == (NOW, NOW + 60)
    assert warned(found[2]).startswith(f"C2, key {OLD}: second (keyring.unsafe, 2 times by 2 workers, last at ")
    assert findings(other, one).warnings == found, "the order of logs does not matter"


def test_there_are_only_so_many_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of nothing but different warnings does not fill the memory."""
    monkeypatch.setattr(module, "WARNINGS", 2)
    book = Book()
    book(loaded(), *(unsafe("x", kid=f"{number:08x}") for number in range(5)))
    assert len(findings(book).warnings) == 2
