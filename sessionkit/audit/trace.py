"""The life of one session in a log: all its lines in order, over every id it has had.

A session gets a new id, and so a new reference, at each change of privilege; ``session.regenerated`` links the two. The
links are followed both ways. That takes two passes: one for the links, one for the lines of all references found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["END", "related", "trace"]

END = frozenset({"session.destroyed", "session.expired", "session.use_after_expire"})
"""Events after which a session is over."""

_LINK = b"session.regenerated"


def trace(
    reference: str, select: Callable[[Sequence[bytes]], Iterable[dict[str, Any]]]
) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the references of a session, the first id's first, and its events in order of time.

    Args:
        reference: one of the session's references.
        select: returns the events of all lines that hold one of some strings; called twice, see
            ``audit.reading.LogReader.having``.
    """
    links = [
        (event["previous_session_ref"], event["session_ref"])
        for event in sorted(select([_LINK]), key=_time)
        if event["event"] == "session.regenerated"
    ]
    references = related(reference, links)
    known = set(references)
    found = [
        event
        for event in select([name.encode() for name in references])
        if event.get("session_ref") in known or event.get("previous_session_ref") in known
    ]
    return references, sorted(found, key=_time)


def related(reference: str, links: Iterable[tuple[str, str]]) -> list[str]:
    """Return a reference with all that are linked to it, each before those that came of it."""
    after: dict[str, list[str]] = {}
    before: dict[str, list[str]] = {}
    for old, new in links:
        after.setdefault(old, []).append(new)
        before.setdefault(new, []).append(old)
    earlier = list(_reach(reference, before))
    ordered = dict.fromkeys(reversed(earlier))
    # Branches come of copies: one cookie used in two places is regenerated twice. They belong to the same life.
    for name in earlier:
        ordered |= dict.fromkeys(one for one in _reach(name, after) if one not in ordered)
    return list(ordered)


def _reach(start: str, steps: dict[str, list[str]]) -> Iterator[str]:
    seen, ahead = {start}, [start]
    while ahead:
        name = ahead.pop(0)
        yield name
        for step in steps.get(name, ()):
            if step not in seen:
                seen.add(step)
                ahead.append(step)


def _time(event: dict[str, Any]) -> float:
    when: float = event["timestamp"]
    return when
