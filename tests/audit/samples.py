"""One event of every kind in the catalogue, made from nothing but its classes and the meaning of their fields."""

from __future__ import annotations

from sessionkit.audit.catalogue import meaning, types
from sessionkit.audit.events import CATALOGUE, Event, SessionRejected


def full(kind: type[Event]) -> Event:
    """Return an event that has all its fields."""
    return kind(**{name: meaning(kind.name, name).example for name in types(kind)})


def bare(kind: type[Event]) -> Event:
    """Return an event that has only the fields it must have."""
    return kind(**{name: meaning(kind.name, name).example for name, (_, always) in types(kind).items() if always})


COOKIE_REF = "ABCDEFGHIJKLMNOP"


def client(number: int) -> str:
    """Return the reference of a numbered client."""
    return "".join(chr(ord("A") + int(digit)) for digit in f"{number:016d}")


def rejected(reason: str = "bad_tag", client_ref: str | None = None) -> SessionRejected:
    """Return the event that an attacker causes most of all."""
    return SessionRejected(reason=reason, cookie_ref=COOKIE_REF, size=100, chunks=1, client_ref=client_ref)


KINDS = list(CATALOGUE.values())
EVENTS = [full(kind) for kind in KINDS] + [bare(kind) for kind in KINDS]
