"""The life of one session from a log: all its lines, also those under the ids it had before and after.

A session gets a new id on every change of privilege, and with it a new reference; ``session.regenerated`` names both.
The lines of one log lie in any order, so the links are gathered first and the lines picked out afterwards: a log is read
twice, and memory holds one pair a change of id.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sessionkit.audit.reading import LogReader

__all__ = ["Links", "trace"]


class Links:
    """Gathers which references belong to one session."""

    def __init__(self) -> None:
        self._pairs: list[tuple[str, str]] = []

    def add(self, event: dict[str, Any]) -> None:
        """Take in one event."""
        if event["event"] == "session.regenerated":
            self._pairs.append((event["previous_session_ref"], event["session_ref"]))

    def of(self, reference: str) -> frozenset[str]:
        """Return a reference with all those that it is linked to, before and after."""
        linked: dict[str, list[str]] = defaultdict(list)
        for before, after in self._pairs:
            linked[before].append(after)
            linked[after].append(before)
        found, ahead = {reference}, [reference]
        while ahead:
            for other in linked.get(ahead.pop(), ()):
                if other not in found:
                    found.add(other)
                    ahead.append(other)
        return frozenset(found)


def trace(reader: LogReader, references: Collection[str]) -> list[dict[str, Any]]:
    """Return the events of a session in the order of time.

    Args:
        reader: of the same logs that the links were gathered from, not read yet.
        references: what ``Links.of`` has found.
    """
    return sorted(_picked(reader, references), key=lambda event: event["timestamp"])


def _picked(reader: LogReader, references: Collection[str]) -> Iterator[dict[str, Any]]:
    # Looked for before it is parsed: of a million lines a dozen are of one session.
    wanted = [reference.encode() for reference in references]
    for source, number, line in reader.raw():
        if any(reference in line for reference in wanted):
            event = reader.parse(line, source, number)
            if event is not None and (
                event.get("session_ref") in references or event.get("previous_session_ref") in references
            ):
                yield event
