"""``sessionkit audit report``: what people read, what programs read, and what is refused before anything is read."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sessionkit.audit import events
from sessionkit.audit.events import timestamp
from sessionkit.cli import output
from tests.audit.logs import NOW, Book, created, digest, loaded, ref, rekeyed, reloaded
from tests.report.test_page import HOSTILE, NEW, OLD, rejection, rotation, spoilt

if TYPE_CHECKING:
    from tests.cli.conftest import Command

AT = ("--at", "2027-01-15T08:08:20Z")  # NOW + 500


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave charts empty: drawing takes seconds, and tests/report looks at them."""
    monkeypatch.setattr("vl_convert.vegalite_to_svg", lambda _: '<svg xmlns="http://www.w3.org/2000/svg"/>')


@pytest.fixture
def log(tmp_path: Path) -> str:
    """Return a log with a rotation and refusals."""
    return str(rotation().save(tmp_path / "audit.jsonl"))


def test_a_report_for_people(command: Command, log: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys, refusals and workers, with every reason for a no."""
    monkeypatch.setattr(output.console, "_width", 200)
    done = command("audit", "report", log, *AT)
    assert done.status == 0
    for words in (
        "Session audit 2027-01-15 08:00:00Z to 2027-01-15 08:03:20Z (3 min 20 s)",
        "first: 1 session of this log may still hang on it.",
        "sessions on it, the last until",
        ref("STAYS"),
        "Refused cookies: 20",
        "Workers: 1 live of 1",
        f"All run ring {digest('d2')}.",
        "0 broken lines.",
        "Sessions on a key are an upper bound; a cookie lives at most",
    ):
        assert words in done.out
    assert "bad_tag" in done.out


def test_a_report_for_programs(command: Command, log: str) -> None:
    """The same facts as JSON, and nothing else on the output."""
    facts = command("audit", "report", log, "--json", *AT).facts
    assert facts["at"] == timestamp(NOW + 500)
    assert [key["label"] for key in facts["keys"]] == ["first", "second"]
    assert facts["refusals"]["total"] == 20
    assert facts["workers"]["agree"] is True


@pytest.mark.usefixtures("undrawn")
def test_the_page_is_written(command: Command, log: str, tmp_path: Path) -> None:
    """In place of an older one, beside what is printed; no half of one is left lying about."""
    target = tmp_path / "report.html"
    target.write_text("older")
    done = command("audit", "report", log, "--html", str(target), "--json", *AT)
    assert done.status == 0
    assert done.facts["refusals"]["total"] == 20
    assert "Open it in a browser." in done.err
    assert target.read_text("utf-8").startswith("<!doctype html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit.jsonl", "report.html"]


@pytest.mark.parametrize("name", ["missing/report.html", "."])
def test_a_page_that_cannot_be_kept_is_refused_first(command: Command, log: str, tmp_path: Path, name: str) -> None:
    """Not after a long log has been read."""
    done = command("audit", "report", log, "--html", str(tmp_path / name))
    assert done.status == 1
    assert done.out == ""
    assert "no page can be written there" in done.err


def test_a_log_is_never_overwritten_by_its_report(command: Command, log: str, tmp_path: Path) -> None:
    """Not under another name of the same file either."""
    link = tmp_path / "link"
    link.symlink_to(log)
    for name in (log, str(link)):
        done = command("audit", "report", log, "--html", name)
        assert (done.status, "is one of the logs" in done.err) == (1, True)
    assert Path(log).read_text("utf-8").startswith("{")


@pytest.mark.usefixtures("undrawn")
def test_a_disk_that_fails_is_told(command: Command, log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves the older page."""
    target = tmp_path / "report.html"
    target.write_text("older")

    def fail(self: Path, other: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    done = command("audit", "report", log, "--html", str(target))
    assert done.status == 1
    assert "No space left on device" in done.err
    assert target.read_text() == "older"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("library", ["jinja2", "vl_convert"])
def test_a_missing_library_is_named(
    command: Command, log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    """With what to install; everything but the page works without."""
    for module in ("sessionkit.report.page", "sessionkit.report.charts"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    done = command("audit", "report", log, "--html", str(tmp_path / "report.html"))
    assert done.status == 1
    assert f'A page needs {library}. Install it: pip install "asgi-sessionkit[report]"' in done.err
    assert command("audit", "report", log).status == 0


def test_an_error_of_our_own_is_not_taken_for_a_missing_library(
    command: Command, log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module of ours that is missing is a broken installation."""
    monkeypatch.setitem(sys.modules, "sessionkit.report.page", None)
    with pytest.raises(ModuleNotFoundError, match=r"sessionkit\.report"):
        command("audit", "report", log, "--html", str(tmp_path / "report.html"))


def test_compressed_logs_and_standard_input(command: Command, log: str, tmp_path: Path) -> None:
    """Come to the same facts."""
    text = Path(log).read_bytes()
    packed = tmp_path / "audit.jsonl.gz"
    packed.write_bytes(gzip.compress(text))
    facts = command("audit", "report", log, "--json", *AT).facts
    assert command("audit", "report", str(packed), "--json", *AT).facts == facts
    assert command("audit", "report", "-", "--json", *AT, stdin=text.decode()).facts == facts


@pytest.mark.parametrize("way", ["file", "stdin"])
def test_the_life_of_one_session(command: Command, tmp_path: Path, way: str) -> None:
    """Question 6: over every id it has had, from a file as from a pipe; for people and for programs."""
    book = Book()
    book(loaded(), created("BEFORE", OLD))
    book.clock.advance(5)
    book(
        events.SessionRegenerated(session_ref=ref("AFTER"), previous_session_ref=ref("BEFORE"), kid=OLD, reason="login")
    )
    book(created("OTHER", OLD))
    book.clock.advance(5)
    book(reloaded(), rekeyed("AFTER"))
    source = str(book.save(tmp_path / "audit.jsonl")) if way == "file" else "-"
    words = ("audit", "report", source, "--session", ref("BEFORE"))
    trace = command(*words, "--json", stdin=book.text).facts["trace"]
    assert [event["event"] for event in trace] == ["session.created", "session.regenerated", "session.rekeyed"]
    assert command(*words, "--at", "2027-01-15T08:00:06Z", "--json", stdin=book.text).facts["trace"] == trace[:2]
    assert " of them later, which do not count)" in command(*words, "--at", "2027-01-15T08:00:06Z", stdin=book.text).out
    assert "later" not in command(*words, "--at", "2027-01-15T09:00:00Z", stdin=book.text).out
    shown = command(*words, stdin=book.text).out
    assert f"Session {ref('BEFORE')}" in shown
    assert "session.regenerated" in shown
    assert "the log does not tell of it" in command(*words[:-1], "NOBODY", stdin=book.text).out


def test_broken_lines_are_located_and_nothing_more(command: Command, log: str) -> None:
    """The rest is reported on."""
    with Path(log).open("a") as file:
        file.write('{"component": "sessionkit", \n{"event": "other"}\n')
    done = command("audit", "report", log, *AT)
    assert done.status == 0
    assert "1 lines of others, 1 broken lines." in done.out
    assert "audit.jsonl:" in done.out.replace("\n", "")  # wherever a long path is broken
    assert command("audit", "report", log, "--json", *AT).facts["lines"]["broken"] == 1


def test_a_log_without_an_event_of_ours(command: Command, tmp_path: Path) -> None:
    """Says that it has none."""
    path = tmp_path / "other.log"
    path.write_text("GET / 200\n")
    done = command("audit", "report", str(path))
    assert (done.status, "No session event was found." in done.out) == (0, True)


def test_a_log_that_is_not_there(command: Command, tmp_path: Path) -> None:
    """Is told before anything else happens."""
    done = command("audit", "report", str(tmp_path / "none.log"))
    assert (done.status, "cannot be read" in done.err) == (1, True)


def test_the_keyring_tells_the_policy(command: Command, log: str) -> None:
    """T is then what the ring promises, and not what the log happens to show."""
    command.keyring("init", "--token-lifetime", "7200")
    facts = command("audit", "report", log, "--keyring", str(command.path), "--json", *AT).facts
    assert (facts["lifetime"], facts["lifetime_from"]) == (7200.0, "keyring")
    assert "(as the keyring says)" in " ".join(
        command("audit", "report", log, "--keyring", str(command.path)).out.split()
    )


def test_nothing_in_a_log_reaches_the_terminal_raw(command: Command, tmp_path: Path) -> None:
    """Escape sequences and marks of direction are replaced, markup of the terminal library stays text."""
    book = spoilt(rotation())
    lagging = Book()
    lagging(loaded())
    named = [json.dumps({**json.loads(line), "instance": f"[bold]{HOSTILE}"}) for line in lagging.lines]
    (tmp_path / "log").write_text(book.text + "\n".join(named))
    done = command("audit", "report", str(tmp_path / "log"), "--session", HOSTILE, *AT)
    assert done.status == 0
    assert "\x1b" not in done.out
    assert "\u202e" not in done.out
    assert "[bold]" in done.out


def test_long_lists_end_in_the_terminal(command: Command, tmp_path: Path) -> None:
    """With how much more there is; a worker that lags or says nothing is named, and so is what overflowed."""
    book = rotation()
    book(*(rekeyed(f"S{number}", NEW, OLD) for number in range(12)))
    for number in range(12):
        book(rejection("malformed", f"C{number}"))
    book(events.AuditOverflow(count=7, first_seen=timestamp(NOW), last_seen=timestamp(NOW)))
    lagging, silent = Book(), Book()
    lagging(loaded())
    silent(created("B", OLD))
    (tmp_path / "log").write_text(book.text + lagging.text + silent.text)
    out = " ".join(command("audit", "report", str(tmp_path / "log"), *AT).out.split())
    for words in (
        ", …",
        "and 3 more kinds. By reason: bad_tag 20, malformed 12.",
        "13 clients in all.",
        "7 more events were counted without their kind",
        f"{lagging.instance} runs ring {digest('d1')} (generation 1), not {digest('d2')}.",
        f"{silent.instance} has not told which ring it runs.",
    ):
        assert words in out


@pytest.mark.parametrize("count", [1, 12])
def test_what_was_said_against_the_ring_is_shown(command: Command, tmp_path: Path, count: int) -> None:
    """A ring that was taken although it is not safe stands in the report and on the page, as far as there is room."""
    book = rotation()
    book(
        *(
            events.KeyringUnsafe(
                condition="C1", problem="was never staged", digest=digest("d2"), generation=2, kid=f"{number:08x}"
            )
            for number in range(count)
        )
    )
    (tmp_path / "log").write_text(book.text)
    page = tmp_path / "page.html"
    out = " ".join(command("audit", "report", str(tmp_path / "log"), "--html", str(page), *AT).out.split())
    said = "C1, key 00000000: was never staged (keyring.unsafe, once, last at "
    assert said in out
    assert said in page.read_text()
    assert ("and 2 more; --json has them all." in out) == (count == 12)


def test_workers_that_have_stopped(command: Command, tmp_path: Path) -> None:
    """Are not held against each other."""
    book = rotation()
    book(events.ActorStopped(handled=1, unanswered=0))
    out = command("audit", "report", str(book.save(tmp_path / "log")), *AT).out
    assert "No worker was live when the log ended" in " ".join(out.split())
