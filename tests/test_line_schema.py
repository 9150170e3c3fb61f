"""The watch over the lines of the audit log can fail, and finds each way in which a line can be wrong."""

from __future__ import annotations

from typing import Any

import pytest

from sessionkit.audit.events import ActorInline, Event, Level, SessionDestroyed
from sessionkit.audit.log import AuditLog
from sessionkit.keyring.keyring import Keyring
from sessionkit.middleware import SessionMiddleware
from sessionkit.testing import AsgiClient
from tests.audit.samples import EVENTS, rejected
from tests.line_schema import SCHEMA, LineWatch, _validator, violations

LINE: dict[str, Any] = {
    "timestamp": "2026-11-25T12:00:00.000Z",
    "level": "info",
    "event": "actor.inline",
    "schema": 1,
    "component": "sessionkit",
    "category": "actor",
    "outcome": "success",
    "instance": "9d5c0e21",
    "owasp": None,
    "reason": "stopped",
}


class Sink:
    """Keeps lines."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def debug(self, event: str, /, **fields: Any) -> None:
        """Keep a line."""
        self.lines.append({"event": event, **fields})

    info = warning = error = critical = debug


def test_a_right_line_passes() -> None:
    """The line that the other tests spoil is right before."""
    assert violations(LINE) == []


@pytest.mark.parametrize(
    "change",
    [
        {"event": "actor.unheard_of"},
        {"timestamp": "2026-11-25 12:00:00"},
        {"timestamp": "2026-11-25T12:00:00.000+00:00"},
        {"level": "warning"},
        {"level": "notice"},
        {"schema": "1"},
        {"category": "session"},
        {"outcome": "failure"},
        {"instance": "worker-1"},
        {"owasp": "sys_startup"},
        {"reason": "because"},
        {"reason": None},
        {"path": "/secret"},
    ],
    ids=str,
)
def test_a_wrong_line_is_found(change: dict[str, Any]) -> None:
    """Names, forms, closed sets, constants, types, and fields that nobody has written down."""
    assert violations(LINE | change)


@pytest.mark.parametrize("name", LINE)
def test_a_missing_field_is_found(name: str) -> None:
    """Each of the common fields, and what an event must have."""
    assert violations({field: value for field, value in LINE.items() if field != name})


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_the_whole_schema_agrees(event: Event) -> None:
    """What users validate with, the whole file, takes each line, and refuses it under the name of another event."""
    sink = Sink()
    AuditLog(Level.DEBUG, clock=lambda: 1_700_000_000.25, logger=sink).emit([event])
    [line] = sink.lines
    whole = _validator(SCHEMA)
    assert whole.is_valid(line)
    assert whole.is_valid(line | {"request_id": "bound by the application"})
    assert not whole.is_valid(line | {"event": "actor.inline" if event.name == "actor.started" else "actor.started"})


@pytest.mark.violates_on_purpose
async def test_the_watch_sees_the_lines_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a middleware writes passes by; a wrong one among it is found, and what the application binds is not seen."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["n"] = 1
        await send({"type": "http.response.start", "status": 200, "headers": []})

    watch, sink = LineWatch(), Sink()
    with monkeypatch.context() as patch:
        watch.install(patch)
        middleware = SessionMiddleware(app, Keyring.from_secret(b"x" * 32), logger=sink)
        await AsgiClient(middleware).get("/")
        assert (watch.seen, watch.wrong) == (len(sink.lines), [])
        middleware.service.log.emit([SessionDestroyed(session_ref="raw-id", kid="b35e5601", reason="logout")])
        middleware.service.log.emit([ActorInline(reason="?"), rejected("?")])
    assert [line.partition(":")[0] for line in watch.wrong] == ["session.destroyed", "actor.inline", "session.rejected"]
