"""What people see: live on a terminal, plain lines elsewhere, and the summary."""

from __future__ import annotations

import json
from collections import Counter, deque
from dataclasses import dataclass, field
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

    from rotation_demo.browser import Tally
    from rotation_demo.rotation import Plan

__all__ = ["Audit", "Screen", "percentile", "summary"]

FRAME = 0.25
"""Seconds between two pictures."""

LINE = 5.0
"""Seconds between two lines where there is no terminal."""

COLUMNS = 24
"""Width of the small charts: the table fits into 80 columns."""

BLOCKS = " ▁▂▃▄▅▆▇█"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of the values lies, by nearest rank; 0 if there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass(slots=True)
class Audit:
    """What the audit log tells about a run.

    Attributes:
        events: how often each event was logged.
        backwards: cookies re-encrypted from a newer key to an older one, which must not happen.
        rejected: rejections by reason.
        workers: processes that loaded the last ring.
    """

    events: Counter[str] = field(default_factory=Counter)
    backwards: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    workers: int = 0

    @classmethod
    def read(cls, path: Path, keyring: Keyring) -> Audit:
        """Read a log."""
        audit = cls()
        last: set[str] = set()
        for line in path.read_text("utf-8").splitlines():
            event = json.loads(line)
            audit.events[event["event"]] += 1
            match event["event"]:
                case "session.rekeyed":
                    before, after = keyring.find(event["previous_kid"]), keyring.find(event["kid"])
                    if before is not None and after is not None and keyring.is_older(after, before):
                        audit.backwards += 1
                case "session.rejected":
                    audit.rejected[event["reason"]] += 1
                case "keyring.loaded" | "keyring.reloaded" if event["digest"] == keyring.digest:
                    last.add(event["instance"])
                case _:
                    pass
        audit.workers = len(last)
        return audit


class Screen:
    """Shows a run while it lasts.

    Args:
        console: where to.
        tally: what the browsers count.
        plan: of the rotations.
        path: the keyring file.
    """

    def __init__(self, console: Console, tally: Tally, plan: Plan, path: Path) -> None:
        self._console = console
        self._tally = tally
        self._plan = plan
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
        bar.add_row(ProgressBar(total=self._plan.seconds, completed=tally.elapsed, width=2 * COLUMNS))
        parts: list[RenderableType] = [bar, Text(self._line(), style="" if good else "bold red"), Text()]
        parts += [_keys(tally, _load(self._path)), Text()]
        parts += [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in self._lines]
        return Panel(Group(*parts), title="rotation under load", border_style="green" if good else "red")


def _load(path: Path) -> Keyring | None:
    """Read the ring, if it can be read just now."""
    try:
        return Keyring.load(path)
    except SessionKitError:
        return None


def _keys(tally: Tally, keyring: Keyring | None) -> Table:
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


def summary(console: Console, tally: Tally, keyring: Keyring, audit: Audit, *, rotations: int, log: Path) -> None:
    """Print what came of a run."""
    chunks = ", ".join(f"{tally.chunks[number]:,} of {number}" for number in sorted(tally.chunks))
    rows = {
        "requests": f"{tally.requests:,} in {tally.elapsed:.0f} s, by {len(tally.workers)} workers",
        "sessions": f"{tally.sessions:,}",
        "cookies a session": chunks,
        "rotations": f"{rotations}; {audit.workers} processes run the last ring",
        "cookies re-encrypted": f"{audit.events['session.rekeyed']:,}, of these backwards {audit.backwards}",
        "rejected": ", ".join(f"{reason} {count:,}" for reason, count in audit.rejected.items()) or "0",
        "time of a request": (
            f"p50 {percentile(tally.seconds, 0.5) * 1e3:.1f} ms, p99 {percentile(tally.seconds, 0.99) * 1e3:.1f} ms"
        ),
        "audit log": str(log),
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, value)
    console.print()
    console.print(table)
    console.print()
    console.print(_keys(tally, keyring))
    console.print()
    for title, lines in (("lost", tally.lost), ("error", tally.errors)):
        for line in lines[:10]:
            console.print(f"{title}: {line}", highlight=False, soft_wrap=True)
    good = not tally.lost and not tally.errors
    console.print(
        f"sessions lost {len(tally.lost)}, errors {len(tally.errors)}", style="bold green" if good else "bold red"
    )
