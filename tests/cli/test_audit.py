"""``sessionkit audit``: trace, ref and follow."""

from __future__ import annotations

import base64
import gzip
import io
import json
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from sessionkit.audit import events
from sessionkit.audit.pseudonyms import Pseudonyms
from sessionkit.backend.backend import SessionBackend
from sessionkit.cli import logs
from sessionkit.cli.audit import follow
from sessionkit.config import AuditConfig, SessionConfig
from sessionkit.keyring.keyring import Keyring
from sessionkit.testing import FixedClock
from sessionkit.wire.codec import Loaded
from tests.audit.logs import NOW, Book, created, destroyed, digest, loaded, used
from tests.audit.samples import rejected

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Command

A, B, C = (letter * 16 for letter in "ABC")
KEY = b"audit-key-of-this-test"


def life() -> Book:
    """Return the log of a session that got a new id, among others."""
    book = Book()
    book(created(A), created(C))
    book.clock.advance(1.5)
    book(events.SessionRegenerated(session_ref=B, previous_session_ref=A, kid="0a0a0a0a", reason="login"))
    book.clock.advance(1)
    book(destroyed(B))
    return book


# --- trace ------------------------------------------------------------------------------------------------------------


def test_trace_in_text(command: Command, tmp_path: Path) -> None:
    """The life of a session, a line an event, over both its references, and how it ended."""
    book = life()
    done = command("audit", "trace", A, str(book.save(tmp_path / "app.log")))
    assert done.status == 0
    first, second, third, end = done.out.splitlines()
    assert first.startswith(f"2027-01-15T08:00:00.000Z  session.created      {A}  kid=0a0a0a0a")
    assert f"session.regenerated  {B}" in second
    assert f"previous_session_ref={A}" in second
    assert third.endswith(f"reason=logout instance={book.instance}")
    assert end == "3 lines over 2 ids; it ended: session.destroyed, logout"


def test_trace_as_json(command: Command, tmp_path: Path) -> None:
    """Programs get all fields, the references in order, and what could not be read."""
    path = tmp_path / "app.log.gz"
    path.write_bytes(gzip.compress((life().text + f"{{ {A} sessionkit\n").encode()))
    facts = command("audit", "trace", B, str(path), "--json").facts
    assert facts["references"] == [A, B]
    assert [event["event"] for event in facts["events"]] == [
        "session.created",
        "session.regenerated",
        "session.destroyed",
    ]
    assert facts["events"][0]["timestamp"] == "2027-01-15T08:00:00.000Z"
    assert (facts["log"]["broken"], facts["log"]["located"][0]["line"]) == (1, 5)


def test_trace_of_standard_input(command: Command, tmp_path: Path) -> None:
    """A pipe is read, too, together with files, although it takes two passes."""
    book, other = life(), Book()
    other.clock.advance(-5)
    other(events.SessionRejected(reason="bad_tag", cookie_ref=A, size=1, chunks=1))
    done = command("audit", "trace", B, "-", str(other.save(tmp_path / "other.log")), stdin=book.text)
    assert done.status == 0
    assert len(done.out.splitlines()) == 4


def test_trace_of_a_session_whose_end_is_not_told(command: Command, tmp_path: Path) -> None:
    """One id, one line, and no end: said as it is."""
    done = command("audit", "trace", C, str(life().save(tmp_path / "app.log")))
    assert C not in done.out
    assert done.out.splitlines()[-1].startswith("1 line; no line tells its end")


def test_trace_of_nothing(command: Command, tmp_path: Path) -> None:
    """A reference that no line has is exit status 1, with what may be wrong; one that is none is wrong usage."""
    path = str(life().save(tmp_path / "app.log"))
    done = command("audit", "trace", "Z" * 16, path)
    assert done.status == 1
    assert "one audit key" in done.err
    assert command("audit", "trace", "Z" * 16, path, "--json").facts["references"] == ["Z" * 16]
    assert command("audit", "trace", "session", path).status == 2
    assert command("audit", "trace", A, "nowhere.log").status == 1


def test_trace_keeps_escapes_from_the_terminal(command: Command, tmp_path: Path) -> None:
    """Whatever a line holds under whatever name, no control character is printed."""
    book = life()
    fields = json.loads(book.lines[0]) | {"\x1b]0;name\x07": "\x1b[2J[bold]x", "reason": "a\nb"}
    path = tmp_path / "app.log"
    path.write_text(json.dumps(fields) + "\n")
    out = command("audit", "trace", A, str(path)).out
    assert "\x1b" not in out
    assert "[bold]x" in out
    assert len(out.splitlines()) == 2


# --- ref --------------------------------------------------------------------------------------------------------------


class Sent:
    """A cookie that a user sent in, and the reference that the log has of it."""

    def __init__(self, command: Command, **settings: Any) -> None:
        command.keyring("init")
        config = SessionConfig(audit=AuditConfig(key=KEY), **settings)
        backend = SessionBackend(config, Keyring.load(command.path), clock=command.clock)
        values = [value.decode() for value in backend.dump_data({"user": "u"})]
        self.values = values
        received = backend.describe([f"{config.key}={values[0]}".encode()])
        assert isinstance(received, Loaded)
        self.reference = Pseudonyms(KEY).session(received.record.id)


@pytest.fixture
def audit_key(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Put the audit key into the environment, and return the options that name it."""
    monkeypatch.setenv("AUDIT_KEY", base64.b64encode(KEY).decode())
    return ["--audit-key-env", "AUDIT_KEY"]


@pytest.mark.parametrize("spell", [str, "session={}; other=1".format])
def test_ref_of_a_cookie(command: Command, audit_key: list[str], spell: Callable[[str], str]) -> None:
    """A cookie's value, or a whole Cookie header, by option or standard input, leads to the reference in the log."""
    sent = Sent(command)
    where = ["--keyring", str(command.path), *audit_key]
    done = command("audit", "ref", "--cookie", spell(sent.values[0]), *where)
    assert (done.status, done.out) == (0, f"{sent.reference}\n")
    done = command("audit", "ref", "--cookie", "-", *where, "--json", stdin=spell(sent.values[0]) + "\n")
    assert done.facts == {"session_ref": sent.reference, "refused": None}


def test_ref_by_the_settings_of_the_application(command: Command, audit_key: list[str], tmp_path: Path) -> None:
    """The file of settings knows keyring, name, context and audit key; options come first."""
    sent = Sent(command, key="shop", context="tenant")
    settings = tmp_path / "sessionkit.yaml"
    settings.write_text("key: shop\ncontext: tenant\nkeyring: keyring.yaml\naudit:\n  key: {env: AUDIT_KEY}\n")
    done = command("audit", "ref", "--cookie", sent.values[0], "--config", str(settings))
    assert done.out == f"{sent.reference}\n"
    settings.write_text("key: other\ncontext: other\naudit:\n  key: {env: AUDIT_KEY}\n")
    words = ["--config", str(settings), "--keyring", str(command.path), "--name", "shop", "--context", "tenant"]
    assert command("audit", "ref", "--cookie", sent.values[0], *words).out == f"{sent.reference}\n"
    assert command("audit", "ref", "--cookie", sent.values[0], *words[:-2]).status == 1


def test_ref_of_a_cookie_that_has_expired(command: Command, audit_key: list[str]) -> None:
    """People write in about sessions that ended: the reference is told all the same."""
    sent = Sent(command)
    command.clock.advance(20 * 86_400)
    done = command("audit", "ref", "--cookie", sent.values[0], "--keyring", str(command.path), *audit_key, "--json")
    assert done.facts == {"session_ref": sent.reference, "refused": "expired"}


def test_ref_of_a_cookie_that_is_refused(command: Command, audit_key: list[str]) -> None:
    """An altered cookie has no session, but the lines of its refusal can be found by cookie_ref."""
    sent = Sent(command)
    altered = sent.values[0][:-2] + ("AA" if sent.values[0][-2:] != "AA" else "BB")
    done = command("audit", "ref", "--cookie", altered, "--keyring", str(command.path), *audit_key, "--json")
    assert done.status == 1
    reference = Pseudonyms(KEY).cookie(altered.encode())
    assert done.facts == {
        "refused": f"not accepted: bad_tag. Its session.rejected lines have cookie_ref {reference}.",
        "cookie_ref": reference,
    }
    done = command("audit", "ref", "--cookie", "other=1", "--keyring", str(command.path), *audit_key)
    assert "no such cookie" in done.err


def test_ref_without_what_it_needs(command: Command, audit_key: list[str], tmp_path: Path) -> None:
    """Without a keyring or an audit key nothing can be told: said with the remedy, and without the cookie."""
    sent = Sent(command)
    done = command("audit", "ref", "--cookie", sent.values[0], *audit_key)
    assert "--keyring" in done.err
    done = command("audit", "ref", "--cookie", sent.values[0], "--keyring", str(command.path))
    assert "audit.key" in done.err
    assert sent.values[0] not in done.err
    done = command(
        "audit", "ref", "--cookie", sent.values[0], "--keyring", str(command.path), "--audit-key-env", "NOTHING"
    )
    assert done.status == 1
    assert "NOTHING" in done.err


# --- follow -----------------------------------------------------------------------------------------------------------


def drawn(view: follow.View, now: float, width: int = 110) -> str:
    """Return a view as text."""
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(view.draw(now))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]  # the StringIO above
    return text


def viewed(*books: Book, now: float = NOW) -> follow.View:
    """Return a view that has taken in some books."""
    view = follow.View("app.log")
    for book in books:
        view.take([line.encode() for line in book.lines], now)
    return view


def test_a_view_of_a_busy_service() -> None:
    """Rates by event with their course, keys with their label and state, processes and their ring, refused cookies."""
    book = Book()
    staged = events.KeyActivated(kid="0a0a0a0a", label="2027-01", state="active", digest=digest("d1"), generation=1)
    book(events.ActorStarted(), loaded(), staged, *(created(f"S{number}") for number in range(120)))
    book.clock.advance(30)
    late = events.SessionUseAfterExpire(session_ref=C, kid="0a0a0a0a", reason="idle", expired_for=900.0)
    book(rejected("malformed", "D" * 16), late, used(opened=1234, sealed=7, last_opened=NOW + 28))
    view = viewed(book, now=NOW + 30)
    view.take([b"", b"{broken", b"other"], NOW + 30)
    text = drawn(view, NOW + 33)
    assert "2.1 events/s  last 3 s ago  1 of others  1 broken" in text
    assert "1 live process, all on ring d1000000 (generation 1)" in text
    [rate] = [line for line in text.splitlines() if line.startswith("session.created")]
    assert rate.split() == ["session.created", "120", "█", "120"]
    [key] = [line for line in text.splitlines() if line.startswith("0a0a0a0a")]
    assert key.split() == ["0a0a0a0a", "2027-01", "active", "1,234", "7", "0", "5", "s", "33", "s", "120"]
    refused = [line.split() for line in text.splitlines() if " ago" in line and ("ABCDEFGH" in line or C in line)]
    assert refused == [
        ["3", "s", "ago", "use_after_expire", "0a0a0a0a", C, "-"],
        ["3", "s", "ago", "malformed", "-", rejected().cookie_ref, "D" * 16],
    ]


def test_a_view_of_processes_that_differ() -> None:
    """Two rings at once stand out, with how many run which."""
    clock = FixedClock(NOW)
    one, two, three = Book(clock), Book(clock), Book(clock)
    one(loaded("d1", 1))
    for book in (two, three):
        book(loaded("d2", 2))
    text = drawn(viewed(one, two, three), NOW)
    assert "3 live processes, on different rings: 2 on generation 2, 1 on generation 1" in text


def test_a_view_of_nothing() -> None:
    """An empty log is no error."""
    assert "no line of sessionkit's yet" in drawn(viewed(), NOW)


def test_a_view_fits_a_terminal_whatever_comes() -> None:
    """Many names and keys are cut to what fits, in lines no wider than the terminal, without control characters."""
    book = Book()
    for number in range(40):
        book(created(f"S{number}", kid=f"{number:08x}"), rejected())
    fields = json.loads(book.lines[0])
    view = viewed(book)
    view.take([json.dumps({**fields, "event": f"session.x{number}\x1b[2J"}).encode() for number in range(40)], NOW)
    text = drawn(view, NOW, width=80)
    assert "and 30 more" in text
    assert len(text.splitlines()) < 40
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text


def test_follow_prints_the_last_view_where_there_is_no_terminal(command: Command, tmp_path: Path) -> None:
    """Into a file or a pipe one view goes, when the time is over; the log's present end is in it."""
    book = Book()
    book(created(A), rejected())
    done = command("audit", "follow", str(book.save(tmp_path / "app.log")), "--seconds", "0")
    assert done.status == 0
    assert "session.created" in done.out
    assert "session.rejected" in done.out
    assert command("audit", "follow", str(tmp_path)).status == 1


def test_follow_draws_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal each look draws what has come; Ctrl-C ends it, with the last view left standing."""
    path = tmp_path / "app.log"
    path.write_text("")
    book = Book()
    shown: list[str] = []
    terminal = Console(file=io.StringIO(), width=400, height=40, force_terminal=True)
    monkeypatch.setattr(follow, "console", terminal)

    def sleep(seconds: float) -> None:
        shown.append(terminal.file.getvalue())  # type: ignore[attr-defined]  # the StringIO above
        if len(shown) == 3:
            raise KeyboardInterrupt
        book(created(A))
        book.save(path)

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "time", lambda: NOW)
    follow.follow(path)
    assert "no line of sessionkit's yet" in shown[0]
    assert "session.created" not in shown[0]
    assert "session.created" in shown[1]
    end = terminal.file.getvalue()  # type: ignore[attr-defined]  # as above
    assert end.count("session.created") > shown[2].count("session.created")


# --- what they have in common -----------------------------------------------------------------------------------------


def test_a_progress_bar_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits at a terminal sees how much of the logs is read; nobody else does."""
    terminal = Console(file=io.StringIO(), width=100, force_terminal=True)
    monkeypatch.setattr(logs, "errors", terminal)
    path = life().save(tmp_path / "app.log")
    for at_a_terminal in (False, True):
        monkeypatch.setattr(sys, "stderr", _Stream(at_a_terminal))
        with logs.reading([str(path)], as_json=False) as reader:
            assert len(list(reader)) == 4
        said = terminal.file.getvalue()  # type: ignore[attr-defined]  # the StringIO above
        assert ("reading" in said) is at_a_terminal
        size = f"{path.stat().st_size / 1000:.1f}"
        assert (f"{size}/{size} kB" in said) is at_a_terminal


class _Stream(io.StringIO):
    """Standard error that is a terminal, or is not."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        """Tell which."""
        return self._terminal
