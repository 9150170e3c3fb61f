"""What people see while a run lasts: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import anyio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sessionkit import Keyring, SessionKitError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rotation_shop.tally import Tally

__all__ = ["Screen", "complaints", "keys_table", "percentile"]

FRAME = 0.25
"""Seconds between two pictures."""

LINE = 5.0
"""Seconds between two lines where there is no terminal."""

COLUMNS = 24
"""Width of the small charts: the table fits into 80 columns."""

SHOWN = 10
"""Lost sessions, and errors, that are told one by one."""

BLOCKS = " ▁▂▃▄▅▆▇█"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of the values lies, by nearest rank; 0 if there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def complaints(console: Console, tally: Tally) -> None:
    """Print the first of the lost sessions and of the errors, a line each."""
    for title, lines in (("lost", tally.lost), ("error", tally.errors)):
        for line in lines[:SHOWN]:
            console.print(f"{title}: {line}", highlight=False, soft_wrap=True)


class Screen:
    """Shows a run while it lasts.

    Args:
        console: where to.
        tally: what the browsers count.
        seconds: that the run takes, more or less.
        path: the keyring file.
    """

    def __init__(self, console: Console, tally: Tally, seconds: float, path: Path) -> None:
        self._console = console
        self._tally = tally
        self._seconds = seconds
        self._path = path
        self._lines: deque[str] = deque(maxlen=6)
        self._before = (0.0, 0)

    def tell(self, text: str) -> None:
        """Show a step of a rotation."""
        line = f"{self._tally.elapsed:5.1f} s  {text}"
        self._lines.append(line)
        if not self._console.is_terminal:
            self._console.print(line, highlight=False, soft_wrap=True)

    async def show(self) -> None:
        """Show progress until cancelled."""
        if not self._console.is_terminal:
            while True:
                await anyio.sleep(LINE)
                self._console.print(self._line(), highlight=False, soft_wrap=True)
        with Live(self._picture(), console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                await anyio.sleep(FRAME)
                live.update(self._picture(), refresh=True)

    def _line(self) -> str:
        tally = self._tally
        recent = tally.seconds[-2000:]
        return (
            f"{tally.elapsed:5.1f} s  {tally.requests:,} requests, {self._rate():.0f}/s, "
            f"p50 {percentile(recent, 0.5) * 1e3:.1f} ms, p99 {percentile(recent, 0.99) * 1e3:.1f} ms, "
            f"{len(tally.lost)} lost, {len(tally.errors)} errors"
        )

    def _rate(self) -> float:
        """Return requests a second since the last look."""
        elapsed, requests = self._tally.elapsed, self._tally.requests
        (since, counted), self._before = self._before, (elapsed, requests)
        return (requests - counted) / max(elapsed - since, 1e-6)

    def _picture(self) -> Panel:
        tally = self._tally
        good = not tally.lost and not tally.errors
        bar = Table.grid()
        bar.add_row(ProgressBar(total=self._seconds, completed=tally.elapsed, width=2 * COLUMNS))
        parts: list[RenderableType] = [bar, Text(self._line(), style="" if good else "bold red"), Text()]
        parts += [keys_table(tally, _load(self._path)), Text()]
        parts += [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in self._lines]
        return Panel(Group(*parts), title="rotation under load", border_style="green" if good else "red")


def _load(path: Path) -> Keyring | None:
    """Read the ring, if it can be read just now."""
    try:
        return Keyring.load(path)
    except SessionKitError:
        return None


def keys_table(tally: Tally, keyring: Keyring | None) -> Table:
    """Return the share of traffic by key, with a small chart over time."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("key", "label", "state"):
        table.add_column(name)
    table.add_column("requests", justify="right")
    table.add_column("share", justify="right")
    table.add_column("over time")
    total = tally.by_key()
    everything = max(total.total(), 1)
    for kid in dict.fromkeys([*([key.kid for key in keyring.keys] if keyring else ()), *total]):
        key = keyring.find(kid) if keyring else None
        share = f"{total[kid] / everything:.1%}"
        label, state = (key.label, str(key.state)) if key else ("", "pruned")
        table.add_row(kid, label, state, f"{total[kid]:,}", share, _chart(tally, kid))
    return table


def _chart(tally: Tally, kid: str) -> str:
    """Return a line of blocks: this key's share, from the start until now."""
    seconds = int(tally.elapsed) + 1
    width = min(COLUMNS, seconds)
    blocks = []
    for column in range(width):
        span = range(column * seconds // width, max(column * seconds // width + 1, (column + 1) * seconds // width))
        counts = [tally.keys[second] for second in span if second in tally.keys]
        everything = sum(count.total() for count in counts)
        share = sum(count[kid] for count in counts) / everything if everything else 0.0
        blocks.append(BLOCKS[0 if share == 0 else 1 + min(7, int(share * 8))])
    return "".join(blocks)
