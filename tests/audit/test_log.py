"""Events to lines: whatever the application has made of structlog, and whatever its sinks do."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import re
import threading
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from sessionkit.audit.aggregate import Aggregator
from sessionkit.audit.events import (
    ActorInline,
    ActorMessageFailed,
    ActorStarted,
    Event,
    KeyStaged,
    Level,
    timestamp,
)
from sessionkit.audit.log import AuditLog
from sessionkit.audit.text import MAX_TEXT, clean
from tests.audit.samples import COOKIE_REF, EVENTS, rejected
from tests.audit.test_background import PATIENCE, Gate

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_700_000_000.0
HOSTILE = "a\nb\r\x1b[31m\x00\x7f\x9b\u2028\u2029\u202e\u2066\ud800" + "x" * 1000


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        """Return the time it was set to."""
        return self.now


class Sink:
    """Keeps lines; raises instead where it is told to."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []
        self.error_to_raise: BaseException | None = None

    def __getattr__(self, level: str) -> Any:
        """Return the method of one level."""

        def write(event: str, /, **fields: Any) -> None:
            if self.error_to_raise is not None:
                raise self.error_to_raise
            self.lines.append((level, event, fields))

        return write

    @property
    def names(self) -> list[str]:
        """What was written."""
        return [event for _, event, _ in self.lines]


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def sink() -> Sink:
    """A sink that keeps lines."""
    return Sink()


@pytest.fixture
def unconfigured() -> Iterator[None]:
    """Leave structlog as it is found when nobody has configured it, before and after."""
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def staged(label: str) -> KeyStaged:
    """Return an event with a free string."""
    return KeyStaged(kid="0a1b2c3d", label=label, state="staged", digest="0f1e2d3c4b5a6978", generation=1)


# --- lines ------------------------------------------------------------------------------------------------------------


def test_a_line_carries_the_common_fields(clock: Clock, sink: Sink) -> None:
    """Time, level, schema, component, category, outcome, instance and OWASP's word stand on every line."""
    log = AuditLog(Level.INFO, clock=clock, logger=sink)
    log.emit([ActorInline(reason="no_lifespan"), rejected()])
    common = {"timestamp": "2023-11-14T22:13:20.000Z", "schema": 1, "component": "sessionkit", "instance": log.instance}
    assert sink.lines == [
        (
            "info",
            "actor.inline",
            common
            | {"level": "info", "category": "actor", "outcome": "success", "owasp": None, "reason": "no_lifespan"},
        ),
        (
            "warning",
            "session.rejected",
            common
            | {"level": "warning", "category": "session", "outcome": "failure", "owasp": "crypt_decrypt_fail"}
            | {"reason": "bad_tag", "cookie_ref": COOKIE_REF, "size": 100, "chunks": 1},
        ),
    ]


def test_each_process_has_its_instance(clock: Clock, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 134: a log made before a fork names the child differently, and each process keeps its name."""
    log = AuditLog(Level.INFO, clock=clock, logger=sink)
    parent = log.instance
    assert re.fullmatch("[0-9a-f]{8}", parent)
    assert log.instance == parent
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert log.instance != parent
    assert log.instance == log.instance


@pytest.mark.parametrize("level", Level)
def test_the_gate_is_our_own(clock: Clock, sink: Sink, level: Level) -> None:
    """Events below the level are dropped before anything else sees them: no line, and nothing counted."""
    events = [event for event in EVENTS if not event.hostile]
    log = AuditLog(level, clock=clock, logger=sink, aggregator=Aggregator(limit=0))
    log.emit([*events, rejected()])
    assert sink.names == [event.name for event in events if event.severity >= level]
    log.flush(everything=True)
    assert ("audit.summary" in sink.names[-1:]) is (level <= Level.WARNING)


# --- floods -----------------------------------------------------------------------------------------------------------


def test_a_flood_is_ten_lines_and_a_summary(clock: Clock, sink: Sink) -> None:
    """Case 201: of a thousand bad cookies ten are written in full; the total comes when the window is over."""
    log = AuditLog(Level.INFO, clock=clock, logger=sink)
    log.emit(rejected() for _ in range(1000))
    assert sink.names == ["session.rejected"] * 10
    clock.now += 60
    log.emit([rejected()])
    assert sink.names[10:] == ["audit.summary", "session.rejected"]
    level, _, fields = sink.lines[10]
    assert (level, fields["count"], fields["summarised"], fields["reason"]) == (
        "warning",
        990,
        "session.rejected",
        "bad_tag",
    )


def test_any_event_brings_due_summaries(clock: Clock, sink: Sink) -> None:
    """Case 201: summaries are looked for every few seconds while events of any kind come in, not at each of them."""
    log = AuditLog(Level.INFO, clock=clock, logger=sink, aggregator=Aggregator(limit=0, window=1))
    log.emit([rejected()])
    clock.now += 4.9
    log.emit([ActorStarted()])
    assert sink.names == ["actor.started"]
    clock.now += 0.1
    log.emit([ActorStarted()])
    assert sink.names == ["actor.started", "audit.summary", "actor.started"]


def test_at_stop_everything_is_written(clock: Clock, sink: Sink) -> None:
    """Case 201: no total is lost with the process."""
    log = AuditLog(Level.INFO, clock=clock, logger=sink)
    log.emit(rejected() for _ in range(25))
    log.flush()
    assert sink.names == ["session.rejected"] * 10
    log.flush(everything=True)
    assert sink.lines[-1][2]["count"] == 15


# --- sinks ------------------------------------------------------------------------------------------------------------


def test_a_sink_that_raises_is_counted_and_said_once(
    clock: Clock, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    """Case 202: no request suffers; the first failure is told by its type alone, all are counted, later lines go on."""
    log = AuditLog(Level.INFO, clock=clock, logger=sink)
    sink.error_to_raise = OSError("hunter2")
    log.emit([staged("hunter2"), staged("hunter2"), ActorStarted()])
    assert log.failures == 3
    (record,) = caplog.records
    assert (record.name, record.levelno, record.exc_info) == ("sessionkit.audit", logging.ERROR, None)
    assert "OSError" in record.getMessage()
    assert "hunter2" not in caplog.text


def test_recovery_is_said_with_what_was_lost(clock: Clock, sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    """The first line that a sink takes again is followed by how many it did not, of when, and why; then all is well."""
    log = AuditLog(Level.INFO, clock=clock, logger=sink)
    for error in (OSError(), TimeoutError(), TimeoutError()):
        sink.error_to_raise = error
        log.emit([ActorStarted()])
        clock.now += 10
    sink.error_to_raise = None
    log.emit([ActorStarted(), ActorStarted()])
    assert sink.names == ["actor.started", "audit.recovered", "actor.started"]
    level, _, line = sink.lines[1]
    assert level == "warning"
    assert {name: line[name] for name in ("error_type", "count", "first_seen", "last_seen")} == {
        "error_type": "OSError",
        "count": 3,
        "first_seen": timestamp(NOW),
        "last_seen": timestamp(NOW + 20),
    }
    assert len(caplog.records) == 1
    assert log.failures == 3


def test_a_sink_that_fails_now_and_then_is_told_of_once_a_minute(
    clock: Clock, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    """A sink that takes every other line makes neither log a flood; no loss is missing from the sum."""
    log = AuditLog(Level.INFO, clock=clock, logger=sink)
    for _ in range(100):
        sink.error_to_raise = OSError()
        log.emit([ActorStarted()])
        sink.error_to_raise = None
        log.emit([ActorStarted()])
        clock.now += 1
    log.close()
    told = [line["count"] for _, event, line in sink.lines if event == "audit.recovered"]
    assert told == [1, 60, 39]
    assert log.failures == 100
    assert len(caplog.records) == 2


def test_a_word_of_recovery_that_is_lost_is_not_forgotten(clock: Clock) -> None:
    """Where the sink fails again at that very word, the next one counts on."""

    class Picky(Sink):
        """Takes nothing but what begins an actor, until told otherwise."""

        picky = True

        def warning(self, event: str, /, **fields: Any) -> None:
            """Take a line, or not."""
            if self.picky:
                raise OSError
            self.lines.append(("warning", event, fields))

    sink = Picky()
    log = AuditLog(Level.INFO, clock=clock, logger=sink)
    log.emit([rejected(), rejected(), ActorStarted()])
    assert (log.failures, sink.names) == (3, ["actor.started"])
    clock.now += 60
    sink.picky = False
    log.emit([ActorStarted()])
    assert [(event, line.get("count")) for _, event, line in sink.lines[1:]] == [
        ("actor.started", None),
        ("audit.recovered", 3),
    ]


def test_recovery_keeps_to_the_level(clock: Clock, sink: Sink) -> None:
    """Who wants errors alone is told of lost lines by ``failures`` alone."""
    log = AuditLog(Level.ERROR, clock=clock, logger=sink)
    failed = ActorMessageFailed(message_type="Load", error_type="OSError", where="inline")
    sink.error_to_raise = OSError()
    log.emit([failed])
    sink.error_to_raise = None
    log.emit([failed])
    log.close()
    assert (sink.names, log.failures) == (["actor.message_failed"], 1)


def test_not_even_the_complaint_may_raise(clock: Clock, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler of logging that raises, as some do, harms no request either."""

    def broken(*_: object) -> NoReturn:
        raise OSError

    monkeypatch.setattr(logging.getLogger("sessionkit.audit"), "handle", broken)
    sink.error_to_raise = OSError()
    log = AuditLog(Level.INFO, clock=clock, logger=sink)
    log.emit([ActorStarted()])
    assert log.failures == 1


class FullDisk(io.StringIO):
    """A file on a disk that is full until somebody makes room."""

    full = True

    def write(self, text: str) -> int:
        """Write, or fail as the system does."""
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/var/log/audit.log")
        return super().write(text)


@pytest.mark.usefixtures("unconfigured")
@pytest.mark.parametrize("queue", [0, 100], ids=["where emitted", "queued"])
def test_a_full_disk(clock: Clock, caplog: pytest.LogCaptureFixture, queue: int) -> None:
    """Lines that the disk has no room for are counted and told of once; when there is room again that is a line."""
    disk = FullDisk()
    structlog.configure([structlog.processors.JSONRenderer()], logger_factory=structlog.WriteLoggerFactory(disk))
    log = AuditLog(Level.INFO, clock=clock, queue=queue)
    log.emit([staged("one"), staged("two")])
    log.close(PATIENCE)
    assert (log.failures, disk.getvalue()) == (2 + 1, "")  # the word of recovery, tried at the end, is lost as well
    (record,) = caplog.records
    assert "OSError" in record.getMessage()
    assert "audit.log" not in caplog.text
    disk.full = False
    log.emit([staged("three")])
    log.close(PATIENCE)
    lines = [json.loads(line) for line in disk.getvalue().splitlines()]
    assert [(line["event"], line.get("label"), line.get("count")) for line in lines] == [
        ("keyring.key_staged", "three", None),
        ("audit.recovered", None, 3),
    ]


def test_a_cancellation_is_not_swallowed(clock: Clock, sink: Sink) -> None:
    """Case 113: what is no error, such as an interrupt, goes through a sink as through anything else."""
    sink.error_to_raise = KeyboardInterrupt()
    log = AuditLog(Level.INFO, clock=clock, logger=sink)
    with pytest.raises(KeyboardInterrupt):
        log.emit([ActorStarted()])
    assert log.failures == 0


# --- sinks that block -------------------------------------------------------------------------------------------------


class Blocking(Sink):
    """Takes no line while its gate is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()

    def __getattr__(self, level: str) -> Any:
        """Return the method of one level."""
        take = super().__getattr__(level)

        def write(event: str, /, **fields: Any) -> None:
            self.gate()
            take(event, **fields)

        return write


@pytest.fixture
def blocking() -> Iterator[Blocking]:
    """A sink that blocks until its gate is opened; it is at the end."""
    sink = Blocking()
    yield sink
    sink.gate.open()


def test_a_sink_that_blocks_keeps_nobody_waiting(
    clock: Clock, blocking: Blocking, caplog: pytest.LogCaptureFixture
) -> None:
    """``emit`` returns while the sink stands still; lines beyond the queue are counted, told of once, and summed up."""
    log = AuditLog(Level.INFO, clock=clock, logger=blocking, queue=3)
    log.emit([staged("0")])
    assert blocking.gate.entered.wait(PATIENCE)
    log.emit([staged(str(number)) for number in range(1, 11)])
    assert (blocking.lines, log.waiting, log.failures) == ([], 3, 7)
    (record,) = caplog.records
    assert "QueueFull" in record.getMessage()
    blocking.gate.open()
    log.close(PATIENCE)
    assert [line["label"] for _, event, line in blocking.lines if event == "keyring.key_staged"] == ["0", "1", "2", "3"]
    [told] = [line for _, event, line in blocking.lines if event == "audit.recovered"]
    assert (told["error_type"], told["count"]) == ("QueueFull", 7)
    assert (log.waiting, log.failures) == (0, 7)


def test_recovery_waits_until_there_is_room(clock: Clock, blocking: Blocking) -> None:
    """As long as more than half of the queue is taken, more may be lost: that all is well again is said after that."""
    log = AuditLog(Level.INFO, clock=clock, logger=blocking, queue=4)
    log.emit([staged("0")])
    assert blocking.gate.entered.wait(PATIENCE)
    log.emit([staged(str(number)) for number in range(1, 7)])
    blocking.gate.open()
    log.close(PATIENCE)
    events = [line.get("label", "recovered") for _, _, line in blocking.lines]
    assert events == ["0", "1", "2", "recovered", "3", "4"]


def test_what_still_waits_at_the_end_is_told(
    clock: Clock, blocking: Blocking, caplog: pytest.LogCaptureFixture
) -> None:
    """A sink that hangs does not keep the process; how many lines are left is said."""
    log = AuditLog(Level.INFO, clock=clock, logger=blocking, queue=10)
    log.emit([ActorStarted()])
    assert blocking.gate.entered.wait(PATIENCE)
    log.emit([ActorStarted(), ActorStarted()])
    log.close(0)
    (record,) = caplog.records
    assert record.getMessage() == "audit lines still wait at the end, and may be lost: 2"


@pytest.mark.usefixtures("unconfigured")
def test_queued_lines_carry_the_context_they_were_emitted_in(clock: Clock) -> None:
    """Case 111: a line that is written later, on another thread, has what was bound when it was emitted."""
    out = io.StringIO()
    structlog.configure(
        [structlog.contextvars.merge_contextvars, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(out),
    )
    log = AuditLog(Level.INFO, clock=clock, queue=10)
    for number in range(3):
        with structlog.contextvars.bound_contextvars(request_id=number):
            log.emit([ActorStarted()])
    log.emit([ActorStarted()])
    log.close(PATIENCE)
    assert [json.loads(line).get("request_id") for line in out.getvalue().splitlines()] == [0, 1, 2, None]


def test_where_no_thread_can_be_had_lines_are_counted(
    clock: Clock, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine out of threads costs lines, no request."""

    def refuse(_: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    log = AuditLog(Level.INFO, clock=clock, logger=sink, queue=10)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        log.emit([ActorStarted()])
    assert (log.failures, log.waiting) == (1, 0)
    log.emit([ActorStarted()])
    log.close(PATIENCE)
    assert sink.names == ["actor.started", "audit.recovered"]


# --- structlog --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unconfigured")
def test_structlog_as_nobody_configured_it(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """Case 202: lines go where structlog sends them by default, debug ones not at all; structlog stays unconfigured."""
    log = AuditLog(Level.INFO, clock=clock)
    log.emit(EVENTS)
    printed = capsys.readouterr().out
    assert "session.created" in printed
    assert "session.loaded" not in printed
    assert log.failures == 0
    assert not structlog.is_configured()


@pytest.mark.usefixtures("unconfigured")
def test_a_log_made_before_structlog_was_configured(clock: Clock) -> None:
    """Case 202: the application's configuration holds, also if it came after ours was made."""
    log, out = AuditLog(Level.DEBUG, clock=clock), io.StringIO()
    structlog.configure([structlog.processors.JSONRenderer()], logger_factory=structlog.PrintLoggerFactory(out))
    log.emit(EVENTS)
    log.flush(everything=True)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["event"] for line in lines] == [event.name for event in EVENTS]
    assert log.failures == 0


@pytest.mark.usefixtures("unconfigured")
def test_what_the_application_has_bound_appears(clock: Clock) -> None:
    """Case 111: context variables of the application are on the line; ours win, and none of ours is left behind."""
    out = io.StringIO()
    structlog.configure(
        [structlog.contextvars.merge_contextvars, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(out),
    )
    log = AuditLog(Level.INFO, clock=clock)
    with structlog.contextvars.bound_contextvars(request_id="r-1", reason="theirs"):
        before = structlog.contextvars.get_contextvars()
        log.emit([rejected()])
        assert structlog.contextvars.get_contextvars() == before
    log.emit([rejected()])
    inside, outside = (json.loads(line) for line in out.getvalue().splitlines())
    assert (inside["request_id"], inside["reason"]) == ("r-1", "bad_tag")
    assert "request_id" not in outside


@pytest.mark.usefixtures("unconfigured")
@pytest.mark.parametrize("queue", [0, 100], ids=["where emitted", "queued"])
def test_lines_about_the_process_are_of_no_request(clock: Clock, queue: int) -> None:
    """Case 111: a summary, or news of a key, that comes while a request is served has nothing of that request on it."""
    out = io.StringIO()
    structlog.configure(
        [structlog.contextvars.merge_contextvars, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(out),
    )
    log = AuditLog(Level.INFO, clock=clock, aggregator=Aggregator(limit=1), queue=queue)
    with structlog.contextvars.bound_contextvars(request_id="attacker"):
        log.emit([rejected(), rejected()])
    clock.now += 60
    with structlog.contextvars.bound_contextvars(request_id="bystander"):
        log.emit([staged("key"), rejected()])
    log.close(PATIENCE)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["event"], line.get("request_id")) for line in lines] == [
        ("session.rejected", "attacker"),
        ("audit.summary", None),
        ("keyring.key_staged", None),
        ("session.rejected", "bystander"),
    ]


@pytest.mark.usefixtures("unconfigured")
def test_a_processor_that_raises(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Case 202: a broken processor of the application's breaks lines, not requests; dropping a line is no failure."""

    def broken(_: object, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
        raise LookupError(line["event"])

    def dropping(_: object, __: str, ___: structlog.typing.EventDict) -> structlog.typing.EventDict:
        raise structlog.DropEvent

    log = AuditLog(Level.INFO, clock=clock)
    structlog.configure([broken])
    log.emit([ActorStarted()])
    assert log.failures == 1
    assert "LookupError" in caplog.text
    structlog.configure([dropping])
    log.emit([ActorStarted()])
    assert log.failures == 1


@pytest.mark.usefixtures("unconfigured")
def test_lines_reach_the_logging_of_the_standard_library(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """With structlog's bridge a line is a record of the logger ``sessionkit``, with its level and fields."""
    structlog.configure(
        [structlog.stdlib.render_to_log_kwargs],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    caplog.set_level(logging.DEBUG)
    AuditLog(Level.INFO, clock=clock).emit([rejected()])
    (record,) = caplog.records
    assert (record.name, record.levelname, record.message) == ("sessionkit", "WARNING", "session.rejected")
    assert vars(record)["cookie_ref"] == COOKIE_REF


@pytest.mark.usefixtures("unconfigured")
@pytest.mark.parametrize(
    "renderer",
    [
        structlog.dev.ConsoleRenderer(colors=False),
        structlog.processors.KeyValueRenderer(),
        structlog.processors.LogfmtRenderer(bool_as_flag=False),
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ],
    ids=lambda renderer: type(renderer).__name__,
)
def test_no_renderer_can_be_made_to_forge_a_line(clock: Clock, renderer: structlog.typing.Processor) -> None:
    """Case 203: a hostile string stays within its one line, without escapes, short, and can be encoded."""
    out = io.StringIO()
    structlog.configure([renderer], logger_factory=structlog.PrintLoggerFactory(out))
    log = AuditLog(Level.INFO, clock=clock)
    log.emit([staged(HOSTILE)])
    assert log.failures == 0
    line = out.getvalue()
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    assert len(line.encode()) < 1000


# --- sanitising -------------------------------------------------------------------------------------------------------


@given(st.text(st.characters(exclude_categories=[]), max_size=200))
def test_clean_text(text: str) -> None:
    """Case 203: no control character, line break or mark of direction is left, of at most 128; the rest stays."""
    cleaned = clean(text)
    assert len(cleaned) == min(len(text), MAX_TEXT)
    assert len(cleaned.splitlines()) <= 1
    assert clean(cleaned) == cleaned
    cleaned.encode()
    for before, after in zip(text, cleaned, strict=False):
        assert after == ("\N{REPLACEMENT CHARACTER}" if not before.isprintable() and after != before else before)


@pytest.mark.parametrize("text", ["plain", "naïve ünïcödé 日本語 🔑", 'quotes "and" \\', ""])
def test_clean_leaves_text_alone(text: str) -> None:
    """Case 203: ordinary text of any script is kept."""
    assert clean(text) == text


def test_clean_makes_plain_strings(clock: Clock, sink: Sink) -> None:
    """A member of an enumeration is written as its value, as plain text, since some renderers show its repr."""

    class Word(StrEnum):
        ONE = "one"

    AuditLog(Level.INFO, clock=clock, logger=sink).emit([staged(Word.ONE)])
    assert type(sink.lines[0][2]["label"]) is str


def test_numbers_are_kept(clock: Clock, sink: Sink) -> None:
    """Only text is cleaned: numbers and truth values stay what they are."""
    AuditLog(Level.DEBUG, clock=clock, logger=sink).emit(EVENTS)
    for (_, _, line), event in zip(sink.lines, EVENTS, strict=True):
        assert {name: line[name] for name in event.as_fields()} == event.as_fields()


def test_nothing_is_emitted(clock: Clock, sink: Sink) -> None:
    """No events, no lines."""
    nothing: list[Event] = []
    AuditLog(Level.DEBUG, clock=clock, logger=sink).emit(nothing)
    assert sink.lines == []
