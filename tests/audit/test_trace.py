"""The life of one session, over every id it has had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sessionkit.audit import events
from sessionkit.audit.reading import LogReader
from sessionkit.audit.trace import related, trace
from tests.audit.logs import Book, created, destroyed, rekeyed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

A, B, C, D = (letter * 16 for letter in "ABCD")


def regenerated(ref: str, before: str) -> events.Event:
    """Return the event of a session with a new id."""
    return events.SessionRegenerated(session_ref=ref, previous_session_ref=before, kid="0a0a0a0a", reason="login")


@pytest.mark.parametrize("start", [A, B, C])
def test_links_are_followed_both_ways(start: str, tmp_path: Path) -> None:
    """Whichever of its references is known, the whole life comes, in order of time, over files in any order."""
    first, second = Book(), Book()
    first(created(A), created(D))
    second.clock.advance(2)
    second(regenerated(B, A))
    first.clock.advance(3)
    first(rekeyed(B))
    second.clock.advance(3)
    second(regenerated(C, B), destroyed(D))
    first.clock.advance(9)
    first(destroyed(C))
    files = [second.save(tmp_path / "2.log"), first.save(tmp_path / "1.log")]
    references, found = trace(start, lambda needles: LogReader(files).having(needles))
    assert references == [A, B, C]
    assert [(event["event"], event["session_ref"]) for event in found] == [
        ("session.created", A),
        ("session.regenerated", B),
        ("session.rekeyed", B),
        ("session.regenerated", C),
        ("session.destroyed", C),
    ]


def test_a_session_that_the_log_does_not_know(tmp_path: Path) -> None:
    """Nothing is found, and nothing is made up."""
    book = Book()
    book(created(A), regenerated(B, A))
    path = book.save(tmp_path / "app.log")
    assert trace(D, lambda needles: LogReader([path]).having(needles)) == ([D], [])


def test_a_reference_elsewhere_in_a_line_is_no_line_of_the_session(tmp_path: Path) -> None:
    """What the application has bound may hold a reference; the line is of another session all the same."""
    book = Book()
    book(created(A), created(D))
    path = tmp_path / "app.log"
    path.write_text(book.text.replace('"schema"', f'"about": "{A} session.regenerated", "schema"'))
    _, found = trace(A, lambda needles: LogReader([path]).having(needles))
    assert [event["session_ref"] for event in found] == [A]


def test_only_lines_in_question_are_parsed(tmp_path: Path) -> None:
    """Of a large log, what neither links nor tells of the session is passed over unparsed, broken or not."""
    book = Book()
    book(created(A), created(D))
    path = tmp_path / "app.log"
    path.write_text(book.text + "{broken\n" + f"{{broken {A}\n")
    readers: list[LogReader] = []

    def select(needles: Sequence[bytes]) -> Iterable[dict[str, Any]]:
        readers.append(LogReader([path]))
        return readers[-1].having(needles)

    trace(A, select)
    assert [(reader.events, reader.broken) for reader in readers] == [(0, 0), (1, 1)]


def test_copies_of_a_session_that_went_two_ways() -> None:
    """A cookie used in two browsers is regenerated twice: both ways belong to the life, after what they came from."""
    links = [(A, B), (A, C), (C, D), (D, C)]
    for start in (A, B, C, D):
        found = related(start, links)
        assert set(found) == {A, B, C, D}
        assert found.index(A) < min(found.index(B), found.index(C))
    assert related(A, []) == [A]
