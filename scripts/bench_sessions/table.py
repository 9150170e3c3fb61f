"""Prints figures for people, and writes them for programs."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from bench_sessions.codecs import USED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench_sessions.figures import Figure, Group

__all__ = ["LIBRARIES", "as_json", "show", "verdict"]

WIDTH = 150
"""Columns where there is no terminal to ask."""

LIBRARIES = (
    "anyio",
    "asgi-sessions",
    "cryptography",
    "itsdangerous",
    "litestar",
    "msgspec",
    "pybase64",
    "pydantic-core",
    "quart",
    "starlette",
    "starsessions",
    "structlog",
    "trio",
    "uvicorn",
    "uvloop",
)


def show(group: Group, by_loop: Mapping[str, Sequence[Figure]]) -> None:
    """Print a group: a row a figure, a column a loop."""
    rows = _aligned(by_loop)
    table = Table(title=f"{group.title}\n{_used(USED)}", title_justify="left", show_edge=False)
    table.add_column("row")
    everything = [figure for figures in by_loop.values() for figure in figures]
    compared = any(figure.against for figure in everything)
    if compared:
        table.add_column("over, or against", style="dim")
    for loop in by_loop:
        table.add_column(loop, justify="right", no_wrap=True)
    goals = any(figure.goal is not None for figure in everything)
    if goals:
        table.add_column("goal", justify="right", no_wrap=True)
        table.add_column("verdict")
    noted = any(figure.note for figure in everything)
    if noted:
        table.add_column("")
    for found in rows:
        one = next(iter(found.values()))
        cells = [one.row, *([one.against or ""] if compared else [])]
        cells += [_value(found[loop]) if loop in found else "" for loop in by_loop]
        if goals:
            cells += ["", ""] if one.goal is None else [f"≤ {_number(one.goal, one.unit)}", verdict(found)]
        table.add_row(*cells, *([one.note] if noted else []))
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(table)
    console.print()


def _used(libraries: Mapping[str, str]) -> str:
    return f"sessionkit with {' and '.join(f'{what} by {name}' for what, name in libraries.items())}"


def _aligned(by_loop: Mapping[str, Sequence[Figure]]) -> list[dict[str, Figure]]:
    """Return the figures of each row by loop; not every row is measured on all of them."""
    rows: dict[tuple[str, str | None], dict[str, Figure]] = {}
    for loop, figures in by_loop.items():
        for figure in figures:
            rows.setdefault((figure.row, figure.against), {})[loop] = figure
    return list(rows.values())


def _value(figure: Figure) -> str:
    value = _number(figure.value, figure.unit)
    if figure.unit != "×":
        value += f" {figure.unit}"
    if figure.low is not None and figure.high is not None:
        value += f" ({_number(figure.low, figure.unit)} – {_number(figure.high, figure.unit)})"
    return value if figure.extra is None else f"{value} {figure.extra:+,.1f}"


def _number(value: float, unit: str) -> str:
    if unit == "×":
        return f"{value:.2f}"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def verdict(found: Mapping[str, Figure]) -> str:
    """Return whether a goal is met on every loop, and if not, on which it is missed."""
    missed = [loop for loop, figure in found.items() if not figure.met]
    if not missed:
        return "met"
    return "missed" if len(missed) == len(found) else f"missed on {', '.join(missed)}"


def as_json(results: Mapping[str, Mapping[str, Sequence[Figure]]], *, quick: bool) -> str:
    """Return all figures, with what they were measured on."""
    told: dict[str, Any] = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": _machine(),
        "system": platform.system(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "used": USED,
        "quick": quick,
        "groups": {
            name: {
                loop: [{**dataclasses.asdict(figure), "met": figure.met} for figure in figures]
                for loop, figures in by_loop.items()
            }
            for name, by_loop in results.items()
        },
    }
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def _machine() -> str:
    """Return the processor's name, where the system tells it, and the number of cores."""
    name = platform.machine()
    told = Path("/proc/cpuinfo")
    if told.exists():
        names = [
            line.partition(":")[2].strip() for line in told.read_text("utf-8").splitlines() if "model name" in line
        ]
        name = f"{name}, {names[0]}" if names else name
    return f"{name}, {os.cpu_count()} cores"
