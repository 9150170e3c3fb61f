"""``sessionkit audit trace``: the life of one session."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sessionkit.audit import trace as tracing
from sessionkit.audit.events import timestamp
from sessionkit.cli.logs import Logs, kept_stdin, log_facts, printable, reading
from sessionkit.cli.output import AsJson, console, refuse, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sessionkit.audit.reading import LogReader

__all__ = ["trace"]

_COMMON = frozenset(
    {"timestamp", "level", "event", "message", "msg", "schema", "component", "category", "outcome", "instance", "owasp"}
) | {"session_ref"}
"""Fields that every line has, or that have a column of their own."""


def _reference(text: str) -> str:
    if not re.fullmatch("[A-Z2-7]{16}", text):
        raise typer.BadParameter(
            "it is no session_ref: 16 capital letters and digits. `sessionkit audit ref` makes one."
        )
    return text


def trace(
    session_ref: Annotated[str, typer.Argument(help="The session's reference, as in the log.", callback=_reference)],
    logs: Logs,
    as_json: AsJson = False,
) -> None:
    """Show the life of one session in order, over every id it has had."""
    last: list[LogReader] = []
    with kept_stdin(logs) as stdin:

        def select(needles: Sequence[bytes]) -> Iterable[dict[str, Any]]:
            if stdin is not None:
                stdin.seek(0)
            with reading(logs, as_json=as_json, stdin=stdin) as reader:
                last[:] = [reader]
                return list(reader.having(needles))

        references, found = tracing.trace(session_ref, select)
    facts: dict[str, Any] = {"session_ref": session_ref, "references": references, "log": log_facts(last[0])}
    if not found:
        refuse(
            f"no line tells of {session_ref}. References match only under one audit key: is it the one of these logs?",
            as_json=as_json,
            **facts,
        )
    if as_json:
        say(
            "",
            {**facts, "events": [{**event, "timestamp": timestamp(event["timestamp"])} for event in found]},
            as_json=True,
        )
        return
    for line in _lines(references, found):
        console.print(line, markup=False)
    console.print(_end(references, found), markup=False)


def _lines(references: Sequence[str], found: Sequence[dict[str, Any]]) -> Iterator[str]:
    wide = max(len(event["event"]) for event in found)
    for event in found:
        reference = f"  {printable(event.get('session_ref', ''))}" if len(references) > 1 else ""
        told = (f"{name}={value}" for name, value in event.items() if name not in _COMMON and value is not None)
        # The instance last: who reads one session's life looks at it last.
        what = printable(" ".join((*told, f"instance={event['instance']}")))
        yield f"{timestamp(event['timestamp'])}  {printable(event['event']):<{wide}}{reference}  {what}"


def _end(references: Sequence[str], found: Sequence[dict[str, Any]]) -> str:
    told = f"{len(found)} lines" if len(found) > 1 else "1 line"
    ids = "" if len(references) == 1 else f" over {len(references)} ids"
    last = found[-1]
    if last["event"] in tracing.END:
        return f"{told}{ids}; it ended: {last['event']}, {printable(last['reason'])}"
    return f"{told}{ids}; no line tells its end (what is only read or renewed is told at level debug)"
