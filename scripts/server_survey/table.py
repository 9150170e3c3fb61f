"""The table: for a terminal, for the README, and for programs."""

from __future__ import annotations

import dataclasses
import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.table import Table
from rich.text import Text

from server_survey.row import Row

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MEASURED", "Survey", "as_json", "from_json", "markdown", "table"]

MEASURED = Path(__file__).with_name("measured.json")
"""What the README shows."""

COLUMNS = (
    "server",
    "sessions of",
    "Cookie fields",
    "keys rotate",
    "lifespan",
    "websocket",
    "Set-Cookie on accept, on refusal",
    "longest Cookie header",
    "a longer one",
    "most cookies of a session",
    "on a websocket",
)


class Survey(NamedTuple):
    """What was found out at one time on one machine.

    Attributes:
        date: when, in UTC.
        python: its version.
        system: the machine's.
        rows: a server each.
    """

    date: str
    python: str
    system: str
    rows: list[Row]

    @classmethod
    def of(cls, rows: list[Row]) -> Survey:
        """Return what was found out just now, here."""
        return cls(datetime.now(UTC).date().isoformat(), platform.python_version(), platform.system(), rows)


def cells(row: Row) -> list[str]:
    """Return what stands in a row, the server's name first."""
    walked = "–" if row.walked is None else f"1 to {row.large} cookies" if row.walked else "NO"
    fields = "–" if row.fields is None else "as sent" if row.fields == row.large else f"{row.large} become {row.fields}"
    rotated = "–" if row.rotated is None else f"none of {row.reads} lost" if row.rotated else "NO"
    cookies = "–" if row.socket is None else f"{_yes(row.accept_cookies)}, {_yes(row.refusal_cookies)}"
    largest = "–" if row.largest is None else f"{row.largest:,}" if row.refused else f"≥ {row.largest:,}"
    sockets = _count(row.socket_cookies) + (f" (more: {row.socket_refused})" if row.socket_refused else "")
    return [
        row.server,
        walked,
        fields,
        rotated,
        _yes(row.hosted),
        _yes(row.socket),
        cookies,
        largest,
        row.refused or "–",
        _count(row.cookies),
        sockets,
    ]


def _yes(fact: object) -> str:
    return "–" if fact is None else "yes" if fact else "no"


def _count(number: int | None) -> str:
    return "–" if number is None else str(number)


def table(rows: Sequence[Row]) -> Table:
    """Return the table for a terminal."""
    made = Table(box=None, pad_edge=False, header_style="dim")
    for column in COLUMNS:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell, style="" if row.good else "red") for cell in cells(row)))
    return made


def markdown(survey: Survey) -> str:
    """Return the table for the README, what does not hold below it, and what it was measured on."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in survey.rows]
    lines.append("")
    troubles = [f"* {row.server}: {trouble}" for row in survey.rows for trouble in row.troubles]
    if troubles:
        lines += [*troubles, ""]
    versions = {package: version for row in survey.rows for package, version in row.versions.items()}
    told = ", ".join(f"{package} {version}" for package, version in sorted(versions.items()))
    lines.append(f"Measured on {survey.date} with Python {survey.python} on {survey.system}: {told}.")
    return "\n".join(lines) + "\n"


def as_json(survey: Survey) -> str:
    """Return everything that was found out."""
    told = survey._asdict() | {"rows": [dataclasses.asdict(row) for row in survey.rows]}
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def from_json(text: str) -> Survey:
    """Return what ``as_json`` has written."""
    told = json.loads(text)
    return Survey(**told | {"rows": [Row(**row) for row in told["rows"]]})
