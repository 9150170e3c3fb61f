"""Logs are read back whatever people's set-ups made of them, and whatever is broken in them."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import sys
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionkit.audit import reading
from sessionkit.audit.reading import MAX_LINE, Lines, LogParser, LogReader, seconds
from sessionkit.exceptions import ConfigurationError
from tests.audit.logs import NOW, Book, created, loaded, named
from tests.audit.samples import EVENTS, KINDS, full

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sessionkit.audit.events import Event


def line(**changes: Any) -> dict[str, Any]:
    """Return the fields of one line of ours, some of them changed; ``...`` takes one out."""
    book = Book()
    book(created())
    fields = {**json.loads(book.lines[0]), **changes}
    return {name: value for name, value in fields.items() if value is not ...}


def parsed(fields: dict[str, Any] | bytes) -> tuple[dict[str, Any] | None, LogParser]:
    """Return what becomes of one line, and the counts."""
    parser = LogParser()
    octets = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return parser.parse(octets, "app.log", 7), parser


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_every_event_comes_back(event: Event) -> None:
    """What the audit log writes of each event is read with its name, its time and all its fields."""
    book = Book()
    book(event)
    read, parser = parsed(book.lines[0].encode())
    assert read is not None
    assert read["event"] == event.name
    assert read["timestamp"] == NOW
    assert read["instance"] == book.instance
    assert {name: read[name] for name in event.as_fields()} == event.as_fields()
    assert (parser.events, parser.foreign, parser.broken) == (1, 0, 0)


@pytest.mark.parametrize("place", ["event", "message", "msg"])
def test_the_name_may_stand_elsewhere(place: str) -> None:
    """``EventRenamer`` and formatters of logging call the event ``message`` or ``msg``."""
    read, _ = parsed(line(**{"event": ..., place: "session.created"}))
    assert read is not None
    assert read["event"] == "session.created"


def docker(text: str, **more: object) -> dict[str, object]:
    """Return what Docker's ``json-file`` driver makes of a line."""
    return {"log": f"{text}\n", "stream": "stdout", "time": "2027-01-15T08:00:00.123456789Z", **more}


@pytest.mark.parametrize("more", [{}, {"attrs": {"tag": "shop"}}, {"attrs": {"tag": "sessionkit"}}])
def test_a_line_in_dockers_file(more: dict[str, object]) -> None:
    """A line that Docker has put into one of its own is read as if it stood alone, with the time that it tells."""
    text = json.dumps(line())
    assert parsed(docker(text, **more))[0] == parsed(text.encode())[0] is not None


@pytest.mark.parametrize(
    "fields",
    [
        docker('sessionkit" is starting'),
        docker(json.dumps({"component": "other", "text": 'sessionkit"'})),
        docker(json.dumps(docker(json.dumps(line())))),
        docker(json.dumps(line()), user="whoever"),
        {"log": json.dumps(line())},
        docker("", log=['sessionkit"']),
        [json.dumps(line())],
    ],
    ids=["text", "another's", "twice", "more fields", "fewer", "no string", "no object"],
)
def test_what_only_looks_like_a_line_in_dockers_file(fields: Any) -> None:
    """Lines of others, and an application's own with a field of the name, are foreign: visitors may have filled it."""
    read, parser = parsed(fields)
    assert read is None
    assert (parser.foreign, parser.broken) == (1, 0)


def test_a_broken_line_in_dockers_file() -> None:
    """Cut by Docker, which splits lines of 16 kB, or by a disk: broken, not somebody else's."""
    text = json.dumps(line())
    whole = json.dumps(docker(text))
    for cut in (json.dumps(docker(text[:-10])), whole[:-30], whole[:-30] + "}"):
        read, parser = parsed(cut.encode())
        assert read is None
        assert (parser.foreign, parser.broken) == (0, 1), cut
        assert "JSON, or cut short" in parser.located[0].problem


@pytest.mark.parametrize(
    "spelling",
    [
        "2027-01-15T08:00:00Z",
        "2027-01-15T08:00:00.000000Z",
        "2027-01-15T09:00:00+01:00",
        "2027-01-15T08:00:00",
        "2027-01-15 08:00:00",
        1_800_000_000,
        1_800_000_000.0,
    ],
)
def test_times_in_any_spelling(spelling: object) -> None:
    """ISO 8601 with any offset, or with none (then UTC), and Unix seconds are one time."""
    read, _ = parsed(line(timestamp=spelling))
    assert read is not None
    assert read["timestamp"] == NOW
    assert type(read["timestamp"]) is float


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"timestamp": ...}, "no time"),
        ({"timestamp": "yesterday"}, "no time"),
        ({"timestamp": True}, "no time"),
        ({"timestamp": float("nan")}, "no time"),
        ({"timestamp": -1}, "no time"),
        ({"timestamp": 10**400}, "no time"),
        ({"timestamp": "9999-12-31T23:59:59-23:59"}, "no time"),
        ({"event": ...}, "no name"),
        ({"event": ["session.created"]}, "no name"),
        ({"instance": ...}, "which instance"),
        ({"instance": 7}, "which instance"),
        ({"schema": 2}, "another schema"),
        ({"schema": ...}, "another schema"),
        ({"kid": ...}, "'kid'"),
        ({"kid": {"$ne": ""}}, "'kid'"),
        ({"size": "200"}, "'size'"),
        ({"size": True}, "'size'"),
        ({"chunks": 1.5}, "'chunks'"),
        ({"size": 1 << 63}, "'size'"),
        ({"size": -(10**400)}, "'size'"),
    ],
)
def test_a_line_of_ours_that_cannot_be_used_is_broken(changes: dict[str, Any], problem: str) -> None:
    """What the catalogue does not allow is not passed on, but counted and located, with the reason."""
    read, parser = parsed(line(**changes))
    assert read is None
    assert (parser.events, parser.foreign, parser.broken) == (0, 0, 1)
    assert problem in str(parser.located[0])
    assert str(parser.located[0]).startswith("app.log:7: ")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_field_of_another_type_is_never_passed_on(kind: type[Event]) -> None:
    """Whatever field of whatever event holds a list, the line is broken: nobody downstream has to look."""
    book = Book()
    book(full(kind))
    fields = json.loads(book.lines[0])
    for name in full(kind).as_fields():
        read, parser = parsed({**fields, name: [1]})
        assert read is None
        assert f"{name!r}" in parser.located[0].problem


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan"), 1e300, 10**400])
def test_numbers_that_no_sum_can_hold_are_broken(number: float) -> None:
    """They fit by their type; a report that added them up would end in an ``OverflowError``."""
    late = {**line(), "event": "session.expired", "reason": "idle", "expired_for": 1.5}
    parser = LogParser()
    assert parser.parse(json.dumps(late).encode()) is not None
    assert parser.parse(json.dumps({**late, "expired_for": number}).encode()) is None
    assert "'expired_for'" in parser.located[0].problem


def test_types_that_once_fitted_do_not_let_others_pass() -> None:
    """Good lines before and after a bad one change nothing for it."""
    parser = LogParser()
    good, bad = line(), line(size="200")
    for fields, taken in ((good, True), (bad, False), (good, True), (bad, False)):
        assert (parser.parse(json.dumps(fields).encode()) is not None) is taken


def test_what_writers_leave_out_or_add() -> None:
    """A null for an optional field, a whole number for a float, and fields of others do no harm."""
    book = Book()
    book(full(next(kind for kind in KINDS if kind.name == "session.rejected")))
    fields = json.loads(book.lines[0])
    read, _ = parsed({**fields, "kid": None, "delta": 3, "request_id": "r1", "owasp": ...} | {"owasp": None})
    assert read is not None
    assert (read["kid"], read["delta"], read["request_id"]) == (None, 3, "r1")


def test_an_event_of_a_later_release_is_passed_on() -> None:
    """A name that this release does not know is no error."""
    read, _ = parsed(line(event="session.teleported", kid=5))
    assert read is not None
    assert read["event"] == "session.teleported"


@pytest.mark.parametrize("prefix", ["2027-01-15T08:00:00.1Z stdout F ", "web-1  | ", "Jan 15 host app[7]: "])
def test_words_of_a_collector_in_front(prefix: str) -> None:
    """Container runtimes and journalctl put words of their own before a line."""
    read, _ = parsed(prefix.encode() + json.dumps(line()).encode() + b"\r")
    assert read is not None


@pytest.mark.parametrize(
    "octets",
    [
        b'{"event": "order placed", "component": "shop"}',
        b'{"event": "x", "component": "shop", "by": "sessionkit"}',
        b'INFO:     127.0.0.1:5000 - "GET / HTTP/1.1" 200 OK',
        b'GET "/sessionkit" 200',
        b'"sessionkit"',
        b"\xff\xfe not utf-8",
    ],
)
def test_lines_of_others_are_counted(octets: bytes) -> None:
    """Lines of other components, in JSON or not, are passed over."""
    _, parser = parsed(octets)
    assert (parser.events, parser.foreign, parser.broken) == (0, 1, 0)


@pytest.mark.parametrize(
    "octets",
    [
        json.dumps(line()).encode()[:-20],
        json.dumps(line()).encode()[:30],
        json.dumps(line()).encode() + json.dumps(line()).encode(),
        b'{"event": "order pla',
        b'web-1  | {"component": "sessionkit", "ev',
        b"\0\0\0\0",
        b'{"component": "sessionkit", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"component": "sessionkit"' + b" " * MAX_LINE + b"}",
    ],
)
def test_broken_lines(octets: bytes) -> None:
    """Lines cut short, two in one, holes in a file after a power cut, and monsters are broken, each with its place."""
    read, parser = parsed(octets)
    assert read is None
    assert (parser.events, parser.foreign, parser.broken) == (0, 0, 1)
    assert len(parser.located[0].problem) < 100


def test_the_places_kept_are_few() -> None:
    """However much is broken: all is counted, the first places are kept."""
    parser = LogParser(keep=3)
    for number in range(100):
        parser.parse(b"{", "a", number)
    assert (parser.broken, [one.line for one in parser.located]) == (100, [0, 1, 2])


# --- lines and files --------------------------------------------------------------------------------------------------


def test_lines_in_blocks_of_any_size() -> None:
    """However a stream is cut into blocks, the same lines come out; long ones are cut, and count once."""
    rng = random.Random(7)
    whole = [b"x" * rng.choice((0, 1, 5, 400)) for _ in range(200)]
    whole[50] = b"y" * (MAX_LINE + 5000)
    text = b"\n".join(whole)
    expected = [one[: MAX_LINE + 1] for one in whole]
    for most in (1000, 70_000, 3 * MAX_LINE):
        lines, found, at = Lines(), [], 0
        while at < len(text):
            size = rng.randrange(1, most)
            found += lines.feed(text[at : at + size])
            at += size
        assert [one[: MAX_LINE + 1] for one in (*found, lines.rest())] == expected
        assert max(map(len, found)) <= MAX_LINE + most
        assert lines.rest() == b""


def test_files_plain_and_compressed(tmp_path: Path) -> None:
    """Rotated files, compressed or not, whatever they are called, are read one after another; the size is known."""
    book = Book()
    book(created("A"), created("B"))
    plain = book.save(tmp_path / "app.log")
    packed = tmp_path / "app.log.1"
    packed.write_bytes(gzip.compress(book.text.encode()) + gzip.compress(book.text.encode()))
    told: list[int] = []
    reader = LogReader([plain, str(packed)], progress=told.append)
    assert [named(event["session_ref"]) for event in reader] == ["A", "B"] * 3
    assert (reader.lines, reader.events) == (6, 6)
    assert reader.size == told[-1] == plain.stat().st_size + packed.stat().st_size
    assert told == sorted(told)


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_standard_input(compress: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """``-`` reads standard input, compressed or not, and leaves it open."""
    book = Book()
    book(created("A"))
    stream = io.BytesIO(compress(book.text.encode()))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
    reader = LogReader(["-"])
    assert [named(event["session_ref"]) for event in reader] == ["A"]
    assert reader.size == 0
    assert not stream.closed


def test_a_pipe(tmp_path: Path) -> None:
    """A named pipe, as ``<(zcat …)`` makes one, is read like a file; nothing seeks in it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    book = Book()
    book(created("A"))
    writer = threading.Thread(target=lambda: pipe.write_text(book.text))
    writer.start()
    told: list[int] = []
    assert [named(event["session_ref"]) for event in LogReader([pipe], progress=told.append)] == ["A"]
    writer.join(10)
    assert told == []


def test_a_line_that_is_still_being_written(tmp_path: Path) -> None:
    """The last line counts if it is whole, with or without its line break; if it is not, it is broken."""
    book = Book()
    book(created("A"), created("B"))
    path = tmp_path / "app.log"
    path.write_text(book.text.rstrip("\n"))
    assert len(list(LogReader([path]))) == 2
    path.write_text(book.text[:-9])
    reader = LogReader([path])
    assert len(list(reader)) == 1
    assert [(one.source, one.line) for one in reader.located] == [(str(path), 2)]


def test_a_compressed_file_that_was_cut(tmp_path: Path) -> None:
    """What can still be read of a damaged file counts; that it ends too soon is said, and the next file is read."""
    book = Book()
    for number in range(2000):
        book(created(f"{number:04}"))
    whole = gzip.compress(book.text.encode())
    cut, other = tmp_path / "cut.gz", book.save(tmp_path / "other.log")
    cut.write_bytes(whole[: len(whole) // 2])
    reader = LogReader([cut, other])
    events = list(reader)
    assert 2000 < len(events) < 4000
    assert [one.source for one in reader.located] == [str(cut)] * reader.broken
    assert "cut short" in reader.located[-1].problem
    cut.write_bytes(whole[:100] + b"\0" * 50 + whole[150:])
    damaged = LogReader([cut])
    assert len(list(damaged)) < 2000
    assert damaged.broken >= 1


def test_a_disk_that_fails() -> None:
    """An error while reading ends that file, not the reading."""

    class Failing(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, _: Any) -> int:
            raise OSError(5, "Input/output error")

    reader = LogReader(["-"], stdin=Failing())  # type: ignore[arg-type]  # raw streams are not IO[bytes] to mypy
    assert list(reader) == []
    assert "Input/output error" in str(reader.located[0])


def test_what_is_no_log_is_refused_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not there, a folder, a file that may not be read: said at once, with the path."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.log: log: cannot be read \(No such file"):
        LogReader([tmp_path / "nowhere.log"])
    with pytest.raises(ConfigurationError, match="folder"):
        LogReader([tmp_path])
    path = Book().save(tmp_path / "app.log")
    monkeypatch.setattr(os, "access", lambda *_: False)  # tests may run as root, who may read everything
    with pytest.raises(ConfigurationError, match="permissions"):
        LogReader([path])


def test_no_log_counts_twice(tmp_path: Path) -> None:
    """One file under two names, or standard input twice, is refused: sums would be wrong."""
    path = Book().save(tmp_path / "app.log")
    link = tmp_path / "current.log"
    link.symlink_to(path)
    with pytest.raises(ConfigurationError, match="given twice"):
        LogReader([path, link])
    with pytest.raises(ConfigurationError, match="given twice"):
        LogReader(["-", "-"])


def test_raw_lines_for_those_who_read_more(tmp_path: Path) -> None:
    """Every line that is not empty comes with its source and number, also those of others."""
    path = tmp_path / "app.log"
    path.write_bytes(b"one\n\n\r\ntwo")
    assert list(LogReader([path]).raw()) == [(str(path), 1, b"one"), (str(path), 4, b"two")]


def test_reading_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events come while the file is read: after the first one, no more than a block has been looked at."""
    monkeypatch.setattr(reading, "_BLOCK", 4096)
    book = Book()
    for _ in range(500):
        book(loaded())
    told: list[int] = []
    reader = LogReader([book.save(tmp_path / "app.log")], progress=told.append)
    iterator = iter(reader)
    next(iterator)
    assert sum(told) <= 2 * 4096 < reader.size
    assert len(list(iterator)) == 499


def test_times_are_those_of_datetime() -> None:
    """A time that is written is read as the same instant, to the millisecond."""
    rng = random.Random(3)
    for _ in range(200):
        when = rng.randrange(0, 4_000_000_000_000) / 1000
        spelled = datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds")
        read, _ = parsed(line(timestamp=spelled))
        assert read is not None
        assert abs(read["timestamp"] - when) < 0.001


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31, 23, 59, 59)), st.sampled_from(["", "Z", "+02:00"]))  # noqa: DTZ001 - the zone is in the other argument
def test_a_time_is_the_same_at_every_look(moment: datetime, zone: str) -> None:
    """What is remembered of how times are spelt changes none: neither its own nor one that shares a part with it."""
    text = f"{moment.isoformat(timespec='milliseconds')}{zone}"
    told = datetime.fromisoformat(text if zone else f"{text}Z").timestamp()
    other = f"2026-03-02T00:00:{text[17:]}"
    for _ in range(2):
        assert seconds(text) == (told if told >= 0 else None)
        assert seconds(other) == datetime.fromisoformat(other if zone else f"{other}Z").timestamp()


def test_few_spellings_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of ever new times does not fill the memory."""
    monkeypatch.setattr(reading, "_MOST_SPELLINGS", 4)
    for second in range(20):
        assert seconds(f"2026-03-02T00:00:{second:02d}.000Z") == 1_772_409_600.0 + second
    assert len(reading._rests) + len(reading._minutes) <= 6
