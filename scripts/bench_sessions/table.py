"""Prints figures for people, and writes them for programs."""

from __future__ import annotations

import dataclasses
import json
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from bench_sessions.timing import Figure, Group, Options

__all__ = ["as_json", "show"]

WIDTH = 130
"""Columns where there is no terminal to ask."""

LIBRARIES = ("anyio", "cryptography", "pydantic-core", "structlog")


def show(group: Group, figures: list[Figure]) -> None:
    """Print a group."""
    rounds = any(figure.low is not None for figure in figures)
    table = Table(title=group.title, title_justify="left", show_edge=False)
    table.add_column("row", no_wrap=True)
    table.add_column("value", justify="right")
    table.add_column("unit")
    if rounds:
        table.add_column("quartiles", justify="right")
        table.add_column("more than its baseline", justify="right")
    else:
        table.add_column("")
    for figure in figures:
        value = f"{figure.value:,.0f}" if float(figure.value).is_integer() else f"{figure.value:,.1f}"
        spread = "" if figure.low is None or figure.high is None else f"{figure.low:,.1f} – {figure.high:,.1f}"
        extra = "" if figure.extra is None else f"{figure.extra:+,.1f}"
        table.add_row(figure.row, value, figure.unit, *((spread, extra) if rounds else (figure.note,)))
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(table)
    console.print()


def as_json(results: dict[str, list[Figure]], options: Options) -> str:
    """Return all figures, with what they were measured on."""
    told: dict[str, Any] = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "options": dataclasses.asdict(options),
        "groups": {name: [dataclasses.asdict(figure) for figure in figures] for name, figures in results.items()},
    }
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"
