"""What people and programs see of a simulation: tables on a terminal, Markdown for the README, JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Self

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from rotation_sim.strategies import HORIZON, STRATEGIES
from rotation_sim.world import POLICY, START

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from rotation_sim.runs import Outcome
    from rotation_sim.world import Result

__all__ = ["Bars", "facts", "markdown", "show"]

SHOWN = 30
"""Columns of the longest bar of the curve."""

_STRATEGIES = ("strategy", "requests", "sessions lost", "re-encrypted", "backwards", "`check` says")
_BARRIERS = ("barrier", "nodes without the key", "sessions lost")


class Bars:
    """Shows how far the runs have come; on a terminal alone. A context manager.

    Args:
        console: where to.
    """

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._strategies = [self._progress.add_task(strategy.name, total=HORIZON - START) for strategy in STRATEGIES]
        self._barriers = self._progress.add_task("barriers", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, places: Sequence[float], done: int) -> None:
        """Take note of the seconds that each strategy has come, and of how many runs are done."""
        for task, seconds in zip(self._strategies, places, strict=True):
            self._progress.update(task, completed=seconds)
        self._progress.update(self._barriers, description=f"barriers ({done} runs done)")


def _verdict(result: Result) -> str:
    """Return what ``keyring check`` says to the publishes of a run."""
    return ", ".join(dict.fromkeys(one for publish in result.violations for one in publish)) or "safe"


def _strategies(outcome: Outcome) -> Iterable[tuple[str, ...]]:
    for name, result in outcome.strategies.items():
        counts = (result.requests, result.lost, result.rekeyed, result.backwards)
        yield name, *(f"{count:,}" for count in counts), _verdict(result)


def _barriers(outcome: Outcome) -> Iterable[tuple[str, ...]]:
    for seconds, result in outcome.curve.items():
        yield f"{seconds:,} s", f"{result.behind:,}", f"{result.lost:,}"


def conclusion(outcome: Outcome) -> str:
    """Return in a sentence what the search found."""
    result = outcome.curve[outcome.smallest]
    return (
        f"The smallest barrier that loses none: {outcome.smallest:,} s. "
        f"The last of the {outcome.settings.nodes:,} nodes had the key after {result.everywhere:,.0f} s."
    )


def show(console: Console, outcome: Outcome) -> None:
    """Print the tables."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, name in enumerate(_STRATEGIES):
        table.add_column(name.replace("`", ""), justify="left" if number in {0, 5} else "right")
    for row in _strategies(outcome):
        table.add_row(*row, style="bold green" if row[2] == "0" and row[4] == "0" else "")
    console.print(table)
    console.print()
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in _BARRIERS:
        table.add_column(name, justify="right")
    table.add_column()
    most = max(1, *(result.lost for result in outcome.curve.values()))
    for row, result in zip(_barriers(outcome), outcome.curve.values(), strict=True):
        table.add_row(*row, Text("█" * -(-result.lost * SHOWN // most), "red"))
    console.print(table)
    console.print()
    console.print(conclusion(outcome), style="bold", highlight=False, soft_wrap=True)


def markdown(outcome: Outcome) -> str:
    """Return the tables in Markdown."""
    lines = [_row(_STRATEGIES), "|---|" + "--:|" * 4 + "---|", *map(_row, _strategies(outcome)), ""]
    lines += [_row(_BARRIERS), "|" + "--:|" * 3, *map(_row, _barriers(outcome)), "", conclusion(outcome)]
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def facts(outcome: Outcome) -> str:
    """Return everything as JSON: the same octets for the same settings."""
    told: dict[str, Any] = {
        "settings": asdict(outcome.settings),
        "policy": asdict(POLICY),
        "strategies": {name: asdict(result) for name, result in outcome.strategies.items()},
        "barriers": {str(seconds): asdict(result) for seconds, result in outcome.curve.items()},
        "smallest_barrier": outcome.smallest,
    }
    return json.dumps(told, indent=2, sort_keys=True) + "\n"
