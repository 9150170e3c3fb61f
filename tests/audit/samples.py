"""One event of every kind in the catalogue, made from nothing but its type hints."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_type_hints

from sessionkit.audit.events import CATALOGUE, Event, SessionRejected

VALUES: dict[object, Any] = {str: "text", int: 3, float: 1.5, bool: True}
OPTIONAL = {kind | None: value for kind, value in VALUES.items() if isinstance(kind, type)}


def types_of(kind: type[Event]) -> dict[str, object]:
    """Return the types of an event's fields."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def full(kind: type[Event]) -> Event:
    """Return an event that has all its fields."""
    return kind(**{name: (VALUES | OPTIONAL)[hint] for name, hint in types_of(kind).items()})


def bare(kind: type[Event]) -> Event:
    """Return an event that has only the fields it must have."""
    return kind(**{name: VALUES[hint] for name, hint in types_of(kind).items() if hint in VALUES})


def rejected(reason: str = "bad_tag", client_ref: str | None = None) -> SessionRejected:
    """Return the event that an attacker causes most of all."""
    return SessionRejected(reason=reason, cookie_ref="ABCDEFGH", size=100, chunks=1, client_ref=client_ref)


KINDS = list(CATALOGUE.values())
EVENTS = [full(kind) for kind in KINDS] + [bare(kind) for kind in KINDS]
