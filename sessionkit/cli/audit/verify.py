"""``sessionkit audit verify``: whether a log was touched, and where.

Exit status 0: nothing was found. 1: something was. 2: nothing could be looked at (a file, a key, an option).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from sessionkit.audit.chain import root_key
from sessionkit.audit.reading import LogReader
from sessionkit.audit.verification import Verifier
from sessionkit.cli.logs import Logs, reading
from sessionkit.cli.output import AsJson, console, failing, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sessionkit.audit.reading import Broken
    from sessionkit.audit.verification import ChainFacts, Finding, Report

__all__ = ["DEFAULT_VARIABLE", "verify"]

DEFAULT_VARIABLE = "SESSIONKIT_CHAIN_KEY"
"""Where the root key is looked for if nothing is said."""

_USAGE = 2
_MOST = 100
"""Findings, and chains, that are printed as text; JSON has them all."""


def verify(
    logs: Logs,
    key_env: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help=f"Environment variable with the root key (default: {DEFAULT_VARIABLE})."),
    ] = None,
    key_file: Annotated[
        list[Path] | None, typer.Option(help="File with the root key. Several keys may be given.")
    ] = None,
    checkpoints: Annotated[list[str] | None, typer.Option(metavar="FILE", help="Checkpoints of the chains.")] = None,
    whole_stream: Annotated[
        bool, typer.Option("--whole-stream", help="Every line was chained: any other one was inserted.")
    ] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Older files are not given: chains may begin anywhere, or be absent.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say whether lines of a log were edited, removed, inserted, moved or cut off, and which."""
    with failing(as_json=as_json, status=_USAGE):
        verifier = Verifier(_roots(key_env or [], key_file or []), whole_stream=whole_stream, partial=partial)
        records = LogReader(checkpoints or [])
    with reading(logs, as_json=as_json, status=_USAGE) as reader:
        for source, number, line in records.raw():
            verifier.checkpoint(source, number, line)
        for source, number, line in reader.raw():
            verifier.feed(source, number, line)
    report = verifier.report()
    unreadable = [*records.located, *reader.located]
    if as_json:
        say("", _facts(report, unreadable), as_json=True)
    else:
        _show(report, unreadable)
    if report.findings or unreadable:
        raise typer.Exit(1)


def _roots(variables: Sequence[str], files: Sequence[Path]) -> list[bytes]:
    if not variables and not files:
        variables = [DEFAULT_VARIABLE]
    return [root_key({"env": name}) for name in variables] + [root_key({"file": str(path)}) for path in files]


def _facts(report: Report, unreadable: Sequence[Broken]) -> dict[str, Any]:
    return {
        "clean": not report.findings and not unreadable,
        "lines": report.lines,
        "chained": report.chained,
        "bare": report.bare,
        "broken": report.broken,
        "checkpoints": report.checkpoints,
        "absent": report.absent,
        "chains": [asdict(chain) for chain in report.chains],
        "findings": [_told(finding) for finding in report.findings],
        "unreadable": [asdict(one) for one in unreadable],
    }


def _told(finding: Finding) -> dict[str, Any]:
    place = finding.place
    return {
        "kind": finding.kind.value,
        "source": None if place is None else place.source,
        "line": None if place is None else place.line,
        "chain_uid": finding.chain_uid,
        "sequence": finding.sequence,
        "count": finding.count,
        "problem": finding.problem,
    }


def _show(report: Report, unreadable: Sequence[Broken]) -> None:
    for finding in report.findings[:_MOST]:
        where = "" if finding.place is None else f"{finding.place}: "
        chain = "" if finding.chain_uid is None else f" [{finding.chain_uid}#{finding.sequence}]"
        console.print(f"{where}{finding.kind}: {finding.problem}{chain}", markup=False)
    if len(report.findings) > _MOST:
        console.print(f"… and {len(report.findings) - _MOST} findings more; --json lists them all", markup=False)
    if report.chains:
        console.print(_table(report.chains))
        if not all(chain.closed for chain in report.chains):
            console.print("open: not closed in order; its process runs, has crashed, or the end was cut", markup=False)
        if any(chain.proven <= chain.last for chain in report.chains):
            console.print("uncovered: last lines that no checkpoint tells of; their loss would not show", markup=False)
    found = len(report.findings) + len(unreadable)
    verdict = "nothing was found" if not found else f"{found} finding{'s' if found > 1 else ''}"
    console.print(
        f"{verdict}: {report.lines} lines, {report.chained} chained, {report.bare} without a chain, "
        f"{report.broken} broken; {report.checkpoints} checkpoints",
        markup=False,
    )
    if report.absent:
        console.print(f"{report.absent} chains that checkpoints know are not in these files", markup=False)


def _table(chains: Sequence[ChainFacts]) -> Table:
    table = Table("chain", "lines", "numbers", "end", "uncovered", box=None, pad_edge=False)
    for chain in chains[:_MOST]:
        uncovered = max(0, chain.last + 1 - chain.proven)
        table.add_row(
            chain.chain_uid,
            str(chain.lines),
            f"{chain.first}–{chain.last}",
            "in order" if chain.closed else "open",
            str(uncovered),
        )
    if len(chains) > _MOST:
        table.add_row(f"… {len(chains) - _MOST} more")
    return table
