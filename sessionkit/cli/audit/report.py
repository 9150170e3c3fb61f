"""``sessionkit audit report``: answers from a log, in the terminal, as JSON, or on a page."""

from __future__ import annotations

import gc
import os
from contextlib import contextmanager
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from sessionkit.audit.reading import LogReader
from sessionkit.audit.text import clean
from sessionkit.audit.trace import trace
from sessionkit.cli.logs import Logs, kept_stdin, reading
from sessionkit.cli.output import AsJson, console, errors, failing, now, refuse, say
from sessionkit.keyring.keyring import Keyring
from sessionkit.report.findings import details, duration, shown, warned
from sessionkit.report.survey import Survey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import IO

    from rich.console import RenderableType

    from sessionkit.report.findings import Findings

__all__ = ["report"]

MOST = 10
"""Lines of a list in the terminal; ``--json`` has them all."""


def report(
    logs: Logs,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with charts to this file.")] = None,
    keyring: Annotated[
        Path | None, typer.Option("--keyring", help="The keyring file, for its policy: the answers get exact.")
    ] = None,
    session: Annotated[str | None, typer.Option("--session", help="Tell what happened to this session_ref.")] = None,
    at: Annotated[
        datetime | None,
        typer.Option(help="Answer as of this time (UTC); later lines do not count.", formats=["%Y-%m-%dT%H:%M:%SZ"]),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Answer from logs: what hangs on old keys, what may be pruned, who tampers, whether all workers agree."""
    moment = now() if at is None else at.replace(tzinfo=UTC).timestamp()
    build = None if html is None else _page(html, logs, as_json=as_json)
    with failing(as_json=as_json):
        ring = None if keyring is None else Keyring.load(keyring)
    with _uncollected():
        findings = _surveyed(logs, moment, ring, session, until=inf if at is None else moment, as_json=as_json)
    if html is not None and build is not None:
        text = build(findings, sources=[Path(log).name for log in logs], made_at=now())
        _write(html, text, as_json=as_json)
        errors.print(f"{html}: {len(text.encode()) / 1e3:,.0f} kB. Open it in a browser.", markup=False)
    if as_json:
        say("", findings.as_json(), as_json=True)
    else:
        console.print(summary(findings), soft_wrap=False)


def _surveyed(
    logs: Sequence[str], at: float, ring: Keyring | None, session: str | None, *, until: float, as_json: bool
) -> Findings:
    """Read logs and come to findings; what was gathered on the way is forgotten before a page needs memory."""
    survey = Survey(until=until)
    # A session's life takes more than one look at a log.
    with kept_stdin(logs if session is not None else ()) as stdin:
        with reading(logs, as_json=as_json, stdin=stdin) as reader:
            survey.feed(reader)
        lived = [] if session is None else _life(session, logs, stdin, as_json=as_json)
    lived = [event for event in lived if event["timestamp"] <= until]
    return survey.findings(reader, at, ring=ring, session=session, trace=lived)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector away from sums that grow by the million and hold no cycle: a tenth of the time."""
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()


def _life(session: str, logs: Sequence[str], stdin: IO[bytes] | None, *, as_json: bool) -> list[dict[str, Any]]:
    """Return the events of a session, over all the ids it has had."""

    def select(needles: Sequence[bytes]) -> list[dict[str, Any]]:
        if stdin is not None:
            stdin.seek(0)
        with failing(as_json=as_json):
            return list(LogReader(logs, stdin=stdin).having(needles))

    return trace(session, select)[1]


# --- the page ---------------------------------------------------------------------------------------------------------


def _page(path: Path, logs: Sequence[str], *, as_json: bool) -> Callable[..., str]:
    """Return what builds a page; refuse before a long log is read if it could not be built or kept."""
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        refuse(
            f"{path}: no page can be written there. Name a file in a folder that exists and may be written.",
            as_json=as_json,
        )
    if path.exists() and any(log != "-" and Path(log).exists() and path.samefile(log) for log in logs):
        refuse(f"{path}: is one of the logs. Name another file for the page.", as_json=as_json)
    try:
        from sessionkit.report.page import build  # noqa: PLC0415 - its libraries come with an extra, and load slowly
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] == "sessionkit":
            raise
        refuse(f'A page needs {error.name}. Install it: pip install "asgi-sessionkit[report]"', as_json=as_json)
    return build


def _write(path: Path, text: str, *, as_json: bool) -> None:
    """Put a page where an older one may stand, in one step."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(text, "utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        refuse(f"{path}: cannot be written ({error.strerror}).", as_json=as_json)


# --- in the terminal --------------------------------------------------------------------------------------------------


def summary(findings: Findings) -> RenderableType:
    """Return a report for the terminal."""
    parts: list[RenderableType] = [_heading(findings)]
    if findings.start is not None:
        parts += [_keys(findings), _refusals(findings), _workers(findings)]
    if findings.warnings:
        parts.append(_warnings(findings))
    if findings.session is not None:
        parts.append(_trace(findings))
    parts.append(_notes(findings))
    return Group(*parts)


def _title(text: str) -> Text:
    return Text(f"\n{clean(text)}", style="bold")


def _table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def _row(table: Table, *cells: object, style: str = "") -> None:
    table.add_row(*(Text(clean(str(cell))) for cell in cells), style=style)


def _heading(findings: Findings) -> Text:
    if findings.start is None or findings.end is None:
        return Text("No session event was found.", style="bold")
    period = f"{shown(findings.start)} to {shown(findings.end)} ({duration(findings.end - findings.start)})"
    return Text.assemble(("Session audit ", "bold"), period, f"\nas of {shown(findings.at)}")


def _keys(findings: Findings) -> RenderableType:
    table = _table("key", "state", "opened", "last used", "sessions", "safe to prune", right=("opened", "sessions"))
    for key in findings.keys:
        used = "-" if key.unused_for is None else f"{duration(key.unused_for)} ago"
        allowed = key.pruning.allowed_at
        safe = key.pruning.safe.value
        if safe == "no" and allowed is not None:
            safe = f"no, from {shown(allowed)}"
        sessions = f"{len(key.sessions):,}" if key.state in {"retired", "pruned"} else "-"
        _row(table, key.name, key.state, f"{key.opened:,}", used, sessions, safe)
    parts: list[RenderableType] = [_title("Keys"), table]
    for key in findings.keys:
        if key.state in {"retired", "revoked", "pruned"}:
            parts.append(Text(clean(f"{key.label or key.kid}: {' '.join(key.pruning.why)}", None), style="dim"))
        if key.sessions:
            until = "" if key.depends_until is None else f", the last until {shown(key.depends_until)}"
            refs = ", ".join(ref for ref, _ in key.sessions[-MOST:][::-1])
            more = ", …" if len(key.sessions) > MOST else ""
            parts.append(Text(clean(f"  sessions on it{until}: {refs}{more}", None), style="dim"))
    return Group(*parts)


def _refusals(findings: Findings) -> RenderableType:
    refusals = findings.refusals
    parts: list[RenderableType] = [_title(f"Refused cookies: {refusals.total:,}")]
    if refusals.kinds:
        table = _table("reason", "client", "count", "only summed up", right=("count", "only summed up"))
        for kind in refusals.kinds[:MOST]:
            _row(table, kind.reason, kind.client_ref or "not told", f"{kind.count:,}", f"{kind.summed:,}")
        parts.append(table)
    if len(refusals.kinds) > MOST:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in list(refusals.by_reason().items())[:MOST])
        clients = len(refusals.by_client())
        parts.append(Text(clean(f"and {len(refusals.kinds) - MOST:,} more kinds. By reason: {reasons}.", None)))
        parts.append(Text(f"{clients:,} clients in all."))
    if refusals.unattributed:
        parts.append(Text(f"{refusals.unattributed:,} more events were counted without their kind (audit.overflow)."))
    return Group(*parts)


def _workers(findings: Findings) -> RenderableType:
    workers = findings.workers
    parts: list[RenderableType] = [_title(f"Workers: {workers.live} live of {len(workers.all)}")]
    if not workers.live:
        parts.append(Text(clean(workers.last_words(), None)))
    elif not workers.behind and not workers.silent:
        parts.append(Text(clean(f"All run ring {workers.digest}."), style="green"))
    for name in workers.behind:
        worker = next(one for one in workers.all if one.instance == name)
        text = f"{name} runs ring {worker.digest} (generation {worker.generation}), not {workers.digest}."
        parts.append(Text(clean(text, None), style="red"))
    parts += [Text(clean(f"{name} has not told which ring it runs."), style="red") for name in workers.silent]
    return Group(*parts)


def _warnings(findings: Findings) -> RenderableType:
    parts: list[RenderableType] = [_title("Ring warnings")]
    parts += [Text(clean(warned(one), None), style="yellow") for one in findings.warnings[:MOST]]
    if len(findings.warnings) > MOST:
        parts.append(Text(f"and {len(findings.warnings) - MOST:,} more; --json has them all."))
    return Group(*parts)


def _trace(findings: Findings) -> RenderableType:
    table = _table("time", "event", "details")
    for event in findings.trace:
        told = ", ".join(f"{name} {value}" for name, value in details(event).items())
        _row(table, shown(event["timestamp"]), event["event"], told)
    if not findings.trace:
        _row(table, "", "the log does not tell of it", "")
    return Group(_title(f"Session {findings.session}"), table)


def _notes(findings: Findings) -> RenderableType:
    lines = findings.lines
    source = "as the keyring says" if findings.lifetime_from == "keyring" else "the longest in this log"
    later = f" ({lines['later']:,} of them later, which do not count)" if lines["later"] else ""
    notes = [
        f"\n{lines['events']:,} events{later}, {lines['foreign']:,} lines of others, {lines['broken']:,} broken lines."
    ]
    notes += [f"  {place}" for place in findings.broken[:MOST]]
    if findings.start is not None:
        notes.append(
            f"Sessions on a key are an upper bound; a cookie lives at most {duration(findings.lifetime)} ({source}), "
            f"clocks differ by at most {duration(findings.skew)}."
        )
    return Text("\n".join(clean(note, None) if number else note for number, note in enumerate(notes)), style="dim")
