"""What the commands that read audit logs have in common: options, a progress bar, a word about what was broken."""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sessionkit.audit.reading import LogReader
from sessionkit.audit.text import clean
from sessionkit.audit.usage import Usage
from sessionkit.cli.output import errors, failing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import IO

__all__ = ["AuditLogs", "LiveWithin", "Logs", "kept_stdin", "log_facts", "printable", "reading", "summed"]

Logs = Annotated[
    list[str],
    typer.Argument(metavar="LOG...", help="Audit logs: JSON lines, compressed or not, in any order; '-' reads stdin."),
]
AuditLogs = Annotated[
    list[str] | None,
    typer.Option(
        "--audit", metavar="LOG", help="Hold it against this audit log, too; give it once for each ('-': stdin)."
    ),
]
LiveWithin = Annotated[
    float, typer.Option(min=1, help="Seconds of silence in the log after which a process is taken for gone.")
]


@contextmanager
def reading(
    logs: Sequence[str], *, as_json: bool, stdin: IO[bytes] | None = None, status: int = 1
) -> Iterator[LogReader]:
    """Open logs, show on a terminal how far they are read, and say in the end what could not be read.

    Args:
        logs: as they were named.
        as_json: whether programs read along.
        stdin: what ``-`` reads, instead of the process's own.
        status: exit status if one cannot be opened.
    """
    told: list[Callable[[int], None]] = []
    with failing(as_json=as_json, status=status):
        reader = LogReader(logs, progress=lambda octets: told[0](octets) if told else None, stdin=stdin)
    if sys.stderr.isatty() and reader.size:
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415 - only people at a terminal wait for it

        columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=errors, transient=True) as progress:
            task = progress.add_task("", total=reader.size)
            told.append(lambda octets: progress.update(task, completed=octets))
            yield reader
    else:
        yield reader
    if reader.broken and not as_json:
        first = reader.located[0]
        lines = "1 line" if reader.broken == 1 else f"{reader.broken:,} lines"
        errors.print(f"{lines} could not be read, first {printable(str(first))}", markup=False)


@contextmanager
def kept_stdin(logs: Sequence[str]) -> Iterator[IO[bytes] | None]:
    """Put standard input aside in a file, if it is among some logs that are to be read more than once."""
    if "-" not in logs:
        yield None
        return
    with tempfile.TemporaryFile() as kept:
        shutil.copyfileobj(sys.stdin.buffer, kept)
        kept.seek(0)
        yield kept


def summed(logs: Sequence[str], *, as_json: bool) -> tuple[Usage, LogReader]:
    """Return the sums over some logs, and the reader with its counts."""
    usage = Usage()
    with reading(logs, as_json=as_json) as reader:
        usage.feed(reader)
    return usage, reader


def log_facts(reader: LogReader) -> dict[str, Any]:
    """Return what was read, for programs."""
    return {
        "events": reader.events,
        "foreign": reader.foreign,
        "broken": reader.broken,
        "located": [{"source": one.source, "line": one.line, "problem": one.problem} for one in reader.located],
    }


def printable(text: str) -> str:
    """Return text from a log for a terminal: whoever can write a line could take the terminal over."""
    return clean(text)
