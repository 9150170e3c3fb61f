"""Every line of the audit log that any test causes is held against ``config/audit.schema.json``.

While a test runs, each line is looked at as it leaves ``AuditLog``, before an application's processors add to it: it
must satisfy the schema, and have no field that the catalogue does not know.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator, FormatChecker

from sessionkit.audit.log import AuditLog

if TYPE_CHECKING:
    import pytest

    from sessionkit.audit.events import Event

SCHEMA: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parent.parent / "config" / "audit.schema.json").read_text("utf-8")
)


@cache
def _common() -> Draft202012Validator:
    return _validator({name: part for name, part in SCHEMA.items() if name not in {"$defs", "oneOf"}})


@cache
def _event(name: str) -> Draft202012Validator:
    return _validator(SCHEMA["$defs"][name])


def _validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(schema, format_checker=FormatChecker())


def violations(line: dict[str, Any]) -> list[str]:
    """Return what is wrong with a line; fields that the catalogue does not know are.

    The event's own part of the schema is looked up by name instead of tried by ``oneOf``: fifty times as fast, and the
    message is about the one event. That both agree is a test.
    """
    name = line.get("event")
    found = [error.message for error in _common().iter_errors(line)]
    if name in SCHEMA["$defs"]:
        found += [error.message for error in _event(name).iter_errors(line)]
        unknown = line.keys() - SCHEMA["properties"].keys() - SCHEMA["$defs"][name]["properties"].keys()
        found += [f"unknown field {field!r}" for field in sorted(unknown)]
    return [f"{name}: {problem}" for problem in found]


class LineWatch:
    """Collects what is wrong with the lines of a test."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.seen = 0

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Begin to look."""
        made = AuditLog._line

        def watched(log: AuditLog, event: Event, now: float) -> dict[str, object]:
            line = made(log, event, now)
            self.seen += 1
            self.wrong += violations({"event": event.name, **line})
            return line

        monkeypatch.setattr(AuditLog, "_line", watched)
