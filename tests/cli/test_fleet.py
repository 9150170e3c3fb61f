"""``keyring status``, ``prune`` and ``promote`` held against audit logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sessionkit.audit import events
from sessionkit.audit.usage import SILENT_AFTER
from sessionkit.keyring.keyring import Keyring
from tests.audit.logs import Book, created, digest, rekeyed, used

if TYPE_CHECKING:
    from pathlib import Path

    from sessionkit.keyring.key import Key
    from tests.cli.conftest import Command

T, D, SKEW = 1000.0, 60.0, 5.0


class Fleet:
    """A keyring file that was rotated once, and the logs of processes that run it."""

    def __init__(self, command: Command, folder: Path) -> None:
        self.command = command
        self.folder = folder
        self.books: list[Book] = []
        command.keyring("init", "--propagation", str(D), "--skew", str(SKEW), "--token-lifetime", str(T))
        self.clock = command.clock
        self.first = self.ring

    @property
    def ring(self) -> Keyring:
        """The ring that is published."""
        return Keyring.load(self.command.path)

    @property
    def old(self) -> Key:
        """The key that was active at first."""
        return self.first.active(self.clock.now)

    def rotate(self) -> None:
        """Promote once every node has the staged key."""
        self.clock.advance(D + SKEW)
        assert self.command.keyring("promote").status == 0

    def process(self, ring: Keyring | None = None) -> Book:
        """Return the book of a process that has just loaded a ring."""
        book = Book(self.clock)
        self.books.append(book)
        ring = self.ring if ring is None else ring
        book(events.ActorStarted(), self.loaded(ring))
        return book

    def loaded(self, ring: Keyring) -> events.Event:
        """Return the event of a first ring."""
        return events.KeyringLoaded(
            digest=ring.digest,
            generation=ring.generation,
            active_kid=ring.active(self.clock.now).kid,
            staged=1,
            retired=0,
            revoked=0,
            source="keyring.yaml",
        )

    def sealed(self, book: Book, ring: Keyring | None = None) -> None:
        """Let a process tell that it has just sealed under the old key."""
        ring = self.ring if ring is None else ring
        now = self.clock.now
        book(
            used(
                self.old.kid,
                opened=1,
                sealed=1,
                last_opened=now,
                last_sealed=now,
                ring=ring.digest,
                generation=ring.generation,
            )
        )

    @property
    def logs(self) -> list[str]:
        """The options that name all books as files."""
        options = []
        for number, book in enumerate(self.books):
            options += ["--audit", str(book.save(self.folder / f"{number}.log"))]
        return options


@pytest.fixture
def fleet(command: Command, tmp_path: Path) -> Fleet:
    """Return a fleet."""
    return Fleet(command, tmp_path)


# --- status -----------------------------------------------------------------------------------------------------------


def test_status_tells_how_far_a_retired_key_has_drained(fleet: Fleet) -> None:
    """For each retired key: when it opened last, how many sessions hang on it at most, and from when it may go."""
    one, other = fleet.process(), fleet.process()
    one(*(created(f"S{number}", fleet.old.kid, until=fleet.clock.now + T) for number in range(5)))
    fleet.rotate()
    new = fleet.ring.active(fleet.clock.now)
    other(rekeyed("S0", fleet.old.kid, new.kid), fleet.loaded(fleet.ring))
    fleet.sealed(one)
    sealed_at = fleet.clock.now
    fleet.clock.advance(120)
    [drain] = fleet.command.keyring("status", *fleet.logs, "--json").facts["drain"]
    assert (drain["kid"], drain["sessions_at_most"], drain["log_is_complete"]) == (fleet.old.kid, 4, True)
    assert drain["last_opened"] == drain["last_sealed"] == "2027-01-15T08:01:05Z"
    assert drain["sessions_until"] == "2027-01-15T08:17:50Z"  # sealed at 08:01:05, and T + ε
    assert drain["prunable_from"] == "2027-01-15T08:18:55Z"  # retired at 08:01:05, and D + T + 2 ε
    text = fleet.command.keyring("status", *fleet.logs).out
    assert "opened a session 2 min ago" in text
    assert "at most 4 sessions of the log on it until 2027-01-15T08:17:50Z" in text
    assert "not counted" not in text
    assert "2 live, all on this ring" in text
    fleet.clock.now = sealed_at + T + SKEW
    [drain] = fleet.command.keyring("status", *fleet.logs, "--json").facts["drain"]
    assert (drain["sessions_at_most"], drain["sessions_until"]) == (0, None)


def test_status_says_when_the_log_does_not_reach_back(fleet: Fleet) -> None:
    """Sessions from before the log begins cannot be counted, and that is said; so is a key nobody used."""
    fleet.rotate()
    fleet.process()
    [drain] = fleet.command.keyring("status", *fleet.logs, "--json").facts["drain"]
    assert (drain["log_is_complete"], drain["last_opened"]) == (False, None)
    text = fleet.command.keyring("status", *fleet.logs).out
    assert "has opened no session" in text
    assert "older ones are not counted" in text


def test_status_names_who_is_behind(fleet: Fleet) -> None:
    """A process on an older ring is named, with its ring and its silence, and what to do is to wait."""
    behind = fleet.process()
    fleet.rotate()
    fleet.process()
    fleet.clock.advance(30)
    facts = fleet.command.keyring("status", *fleet.logs, "--json").facts
    assert facts["converged"] is False
    assert [(one["instance"], one["ring"], one["generation"]) for one in facts["instances"]] == [
        (fleet.books[1].instance, "same", 2),
        (behind.instance, "behind", 1),
    ]
    text = fleet.command.keyring("status", *fleet.logs).out
    assert "1 of 2 live ones run this ring. Not:" in text
    assert f"{behind.instance} (generation 1, digest {fleet.first.digest}, last heard of 2 min ago)" in text
    assert "next: wait until every live process runs this ring" in text


def test_processes_that_have_stopped_do_not_count(fleet: Fleet) -> None:
    """Stopped, or silent for long: nobody waits for them. How long is a matter of an option."""
    stopped, silent = fleet.process(), fleet.process()
    fleet.rotate()
    stopped(events.ActorStopped(handled=1, unanswered=0))
    fleet.process()
    facts = fleet.command.keyring("status", *fleet.logs, "--json").facts
    assert [one["instance"] for one in facts["instances"]] == [fleet.books[2].instance, silent.instance]
    facts = fleet.command.keyring("status", *fleet.logs, "--live-within", "60", "--json").facts
    assert [one["instance"] for one in facts["instances"]] == [fleet.books[2].instance]
    assert facts["converged"] is True


def test_other_applications_in_the_same_log_are_told_apart(fleet: Fleet) -> None:
    """A process whose ring has no key in common is another application's: named, and not waited for."""
    fleet.process()
    stranger = Book(fleet.clock)
    stranger(
        events.KeyringLoaded(
            digest=digest("e15e"), generation=9, active_kid="ffffffff", staged=0, retired=0, revoked=0, source="code"
        )
    )
    mute = Book(fleet.clock)
    mute(events.ActorStarted())
    fleet.books += [stranger]
    facts = fleet.command.keyring("status", *fleet.logs, "--json").facts
    assert facts["converged"] is True
    assert [one["ring"] for one in facts["instances"]] == ["same", "other"]
    assert (
        f"1 on rings without a key of this one: {stranger.instance}" in fleet.command.keyring("status", *fleet.logs).out
    )
    fleet.books += [mute]
    text = fleet.command.keyring("status", *fleet.logs).out
    assert f"{mute.instance} (has not said which" in text


def test_status_without_anybody(fleet: Fleet) -> None:
    """An empty log proves nothing, and says so."""
    fleet.books.append(Book(fleet.clock))
    text = fleet.command.keyring("status", *fleet.logs).out
    assert "none has said anything lately" in text
    assert "log: from" not in text


def test_status_reads_standard_input_and_tells_what_is_broken(fleet: Fleet) -> None:
    """``--audit -`` takes a pipe; lines that cannot be read are counted and located."""
    book = fleet.process()
    broken = book.text + '{"component": "sessionkit"}\n{\n'
    done = fleet.command.keyring("status", "--audit", "-", stdin=broken)
    assert done.status == 0
    assert "1 live, all on this ring" in done.out
    assert "2 lines could not be read, first -:3: is of another schema" in done.err
    log = fleet.command.keyring("status", "--audit", "-", "--json", stdin=book.text + "{\nother\n").facts["log"]
    assert (log["events"], log["foreign"], log["broken"]) == (2, 1, 1)
    assert log["located"] == [{"source": "-", "line": 3, "problem": "is cut short or overwritten"}]
    assert "1 line could not be read" in fleet.command.keyring("status", "--audit", "-", stdin=book.text + "{\n").err


def test_a_log_that_is_not_there(fleet: Fleet) -> None:
    """A path that leads nowhere is said, before anything is done."""
    for name in ("status", "promote", "prune"):
        done = fleet.command.keyring(name, "--audit", "nowhere.log")
        assert done.status == 1
        assert "nowhere.log: log: cannot be read" in done.err


def test_a_log_cannot_take_the_terminal_over(fleet: Fleet) -> None:
    """Escapes in a log's strings are not printed."""
    book = fleet.process(fleet.first)
    book.lines[1] = book.lines[1].replace(fleet.first.digest, "\\u001b]0;owned\\u0007")
    out = fleet.command.keyring("status", *fleet.logs).out
    assert "\x1b" not in out
    assert "owned" in out


# --- promote ----------------------------------------------------------------------------------------------------------


def test_promote_waits_for_whoever_is_behind(fleet: Fleet) -> None:
    """``promote --audit`` refuses while a live process is not on the ring in force, names it, and goes on after."""
    behind = fleet.process()
    fleet.rotate()
    fleet.process()
    fleet.clock.advance(D + SKEW)
    before = fleet.command.path.read_bytes()
    done = fleet.command.keyring("promote", *fleet.logs)
    assert done.status == 1
    assert "1 of 2 live processes do not run generation 2" in done.err
    assert behind.instance in done.err
    assert fleet.command.path.read_bytes() == before
    behind(fleet.loaded(fleet.ring))
    assert fleet.command.keyring("promote", *fleet.logs).status == 0
    assert fleet.ring.generation == 3


def test_promote_asks_for_a_log_that_shows_something(fleet: Fleet) -> None:
    """A log without a live process proves nothing: refused, unless it is forced."""
    fleet.process()
    fleet.clock.advance(SILENT_AFTER + 1)
    done = fleet.command.keyring("promote", *fleet.logs, "--json")
    assert done.status == 1
    assert "no process of this ring that said anything within 7200 s" in done.facts["refused"]
    assert fleet.command.keyring("promote", *fleet.logs, "--force").status == 0


def test_a_log_does_not_shorten_the_wait(fleet: Fleet) -> None:
    """That all processes of the log have the staged key does not prove that there are no others."""
    fleet.process()
    done = fleet.command.keyring("promote", *fleet.logs)
    assert done.status == 1
    assert "Allowed from 2027-01-15T08:01:05Z" in done.err


def test_many_who_are_behind_are_counted(fleet: Fleet) -> None:
    """A message names a few of them."""
    for _ in range(8):
        fleet.process()
    fleet.rotate()
    done = fleet.command.keyring("promote", *fleet.logs)
    assert "8 of 8 live processes" in done.err
    assert "and 3 more" in done.err
    assert sum(book.instance in done.err for book in fleet.books) == 5


# --- prune ------------------------------------------------------------------------------------------------------------


def test_prune_waits_for_the_last_sealing_of_all(fleet: Fleet) -> None:
    """A process that sealed under the key later than planned makes the prune later: last sealing + T + ε."""
    late = fleet.process()
    fleet.rotate()
    retired_at = fleet.clock.now
    fleet.clock.advance(500)
    fleet.sealed(late, fleet.first)
    sealed_at = fleet.clock.now
    late(fleet.loaded(fleet.ring), events.ActorStopped(handled=1, unanswered=0))
    fleet.clock.now = retired_at + D + T + 2 * SKEW
    assert fleet.command.keyring("status", "--json").facts["next"].startswith("prune")
    assert "prune" not in fleet.command.keyring("status", *fleet.logs, "--json").facts["next"]
    for words in ([], [fleet.old.kid]):
        done = fleet.command.keyring("prune", *words, *fleet.logs, "--json")
        assert done.status == 1
        assert done.facts["allowed_at"] == "2027-01-15T08:26:10Z"
        assert "sealed last at 2027-01-15T08:09:25Z" in done.facts["refused"]
    fleet.clock.now = sealed_at + T + SKEW
    assert fleet.command.keyring("prune", *fleet.logs).status == 0
    assert fleet.ring.find(fleet.old.id) is None


def test_prune_refuses_while_somebody_may_still_seal(fleet: Fleet) -> None:
    """A live process that is behind seals under the old key when the next session comes."""
    fleet.process()
    fleet.rotate()
    fleet.clock.advance(D + T + 2 * SKEW)
    fleet.sealed(fleet.books[0], fleet.first)
    done = fleet.command.keyring("prune", *fleet.logs)
    assert done.status == 1
    assert "live processes do not run generation 2" in done.err


def test_prune_does_not_trust_a_log_that_contradicts_itself(fleet: Fleet) -> None:
    """A session opened after the last one should have ended was sealed by somebody whose log is missing."""
    seen = fleet.process()
    fleet.rotate()
    seen(fleet.loaded(fleet.ring))
    fleet.clock.advance(D + T + 2 * SKEW)
    ring, now = fleet.ring, fleet.clock.now
    seen(used(fleet.old.kid, "retired", opened=1, last_opened=now, ring=ring.digest, generation=ring.generation))
    done = fleet.command.keyring("prune", *fleet.logs, "--json")
    assert done.status == 1
    assert done.facts["allowed_at"] == "2027-01-15T08:35:40Z"  # opened at 08:18:55, and T + ε


def test_prune_by_the_log_takes_what_may_go(fleet: Fleet) -> None:
    """Of several keys those that may go are pruned, revoked ones too; without a log nothing is different."""
    one = fleet.process()
    fleet.rotate()
    one(fleet.loaded(fleet.ring))
    fleet.clock.advance(D + T + 2 * SKEW)
    second = fleet.ring.active(fleet.clock.now)
    assert fleet.command.keyring("promote").status == 0
    one(fleet.loaded(fleet.ring))
    done = fleet.command.keyring("prune", *fleet.logs, "--json")
    assert done.facts["pruned"] == [fleet.old.kid]
    one(fleet.loaded(fleet.ring))
    done = fleet.command.keyring("prune", *fleet.logs, "--json")
    assert done.status == 1
    assert done.facts["allowed_at"] == "2027-01-15T08:36:45Z"
    assert fleet.ring.find(second.id) is not None


def test_prune_of_named_keys(fleet: Fleet) -> None:
    """A named key that may go by the log as well is pruned; one that is not retired is refused as ever."""
    one = fleet.process()
    fleet.rotate()
    one(fleet.loaded(fleet.ring))
    fleet.clock.advance(D + T + 2 * SKEW)
    assert "Only retired and revoked" in fleet.command.keyring("prune", fleet.ring.keys[1].kid, *fleet.logs).err
    assert fleet.command.keyring("prune", fleet.old.label, *fleet.logs).status == 0


def test_prune_with_nothing_retired(fleet: Fleet) -> None:
    """Where no key is retired or revoked, the log makes no difference."""
    fleet.process()
    done = fleet.command.keyring("prune", *fleet.logs)
    assert done.status == 1
    assert "no key is retired or revoked" in done.err


def test_prune_takes_old_revoked_keys_along(fleet: Fleet) -> None:
    """A tombstone goes when its time is over, whatever the log says of retired keys."""
    one = fleet.process()
    fleet.command.keyring("revoke", fleet.first.keys[1].kid)
    one(fleet.loaded(fleet.ring))
    assert fleet.command.keyring("prune", *fleet.logs).status == 1
    fleet.clock.advance(D + T + 2 * SKEW)
    done = fleet.command.keyring("prune", *fleet.logs, "--json")
    assert done.facts["pruned"] == [fleet.first.keys[1].kid]
