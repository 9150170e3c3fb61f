"""``sessionkit audit follow``: a running service, seen through the lines it writes."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from sessionkit.audit.live import WINDOW, Live
from sessionkit.audit.reading import LogParser
from sessionkit.audit.tail import Tail
from sessionkit.cli.logs import printable
from sessionkit.cli.output import console, failing, span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import RenderableType

    from sessionkit.audit.usage import KeyUse

__all__ = ["View", "follow"]

BACK = 1 << 20
"""Octets of the log's present end that are read at first: some 2,500 lines, so that the view does not begin empty."""

_BARS = " ▁▂▃▄▅▆▇█"
_EVENTS, _KEYS = 12, 6
"""Rows of each table, so that a terminal of 40 lines shows all."""

_STEP = 3
"""Seconds of one bar of a course."""


class View:
    """What is shown: takes lines in, draws itself.

    Args:
        name: what the log is called.
    """

    def __init__(self, name: str) -> None:
        self.live = Live()
        self.parser = LogParser()
        self._name = name
        self._number = 0

    def take(self, lines: list[bytes], now: float) -> None:
        """Take in lines that have come by ``now``, in Unix seconds."""
        for line in lines:
            self._number += 1
            event = self.parser.parse(line, self._name, self._number) if line else None
            if event is not None:
                self.live.add(event, now)

    def draw(self, now: float, rotations: int = 0) -> RenderableType:
        """Return the view at a time."""
        self.live.forget(now)
        parts: list[RenderableType] = [
            self._head(now, rotations),
            Text(""),
            self._events(now),
            Text(""),
            self._keys(now),
        ]
        if self.live.refusals:
            parts += [Text(""), self._refusals(now)]
        return Group(*parts)

    def _head(self, now: float, rotations: int) -> Text:
        usage, parser = self.live.usage, self.parser
        head = Text()
        head.append(printable(self._name), style="bold")
        if usage.until is None:
            head.append("  no line of sessionkit's yet", style="dim")
        else:
            total = sum(self.live.recent(now).values())
            head.append(f"  {total / WINDOW:.1f} events/s  last {span(max(0.0, now - usage.until))} ago")
        for count, what in ((parser.foreign, "of others"), (parser.broken, "broken"), (rotations, "× rotated")):
            if count:
                head.append(f"  {count:,} {what}", style="red" if what == "broken" else "dim")
        live = [one for one in usage.live(now) if one.digest is not None]
        rings = sorted({(one.generation, one.digest or "") for one in live}, reverse=True)
        if rings:
            head.append(f"\n{len(live)} live process{'' if len(live) == 1 else 'es'}, ")
            if len(rings) == 1:
                head.append(f"all on ring {rings[0][1][:8]} (generation {rings[0][0]})", style="green")
            else:
                told = [
                    f"{sum(one.digest == digest for one in live)} on generation {number}" for number, digest in rings
                ]
                head.append("on different rings: " + ", ".join(map(printable, told)), style="yellow")
        return head

    def _events(self, now: float) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("event", no_wrap=True)
        table.add_column("last minute", justify="right")
        table.add_column("", no_wrap=True)
        table.add_column("in all", justify="right")
        recent = self.live.recent(now)
        names = sorted(self.live.totals, key=lambda name: (-recent[name], -self.live.totals[name], name))
        for name in names[:_EVENTS]:
            style = "yellow" if name.startswith(("session.rej", "session.rev")) else ""
            course = _bars(self.live.course(name, now, WINDOW // _STEP))
            table.add_row(
                Text(printable(name), style=style),
                f"{recent[name]:,}",
                Text(course, "cyan"),
                f"{self.live.totals[name]:,}",
            )
        if len(names) > _EVENTS:
            table.add_row(Text(f"and {len(names) - _EVENTS} more", style="dim"), "", "", "")
        return table

    def _keys(self, now: float) -> Table:
        # Eighty columns hold it, with a date for a label.
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
        for column in ("key", "label", "state"):
            table.add_column(column, no_wrap=True)
        for column in ("opened", "sealed", "failed", "last open", "last seal", "/min"):
            table.add_column(column, justify="right", no_wrap=True)
        recent = self.live.keys(now)
        keys = sorted(self.live.usage.keys.values(), key=lambda key: (-_last_used(key), key.kid))
        for key in keys[:_KEYS]:
            table.add_row(
                Text(printable(key.kid)),
                Text(printable(key.label or "-")),
                Text(printable(key.state or "-")),
                f"{key.opened:,}",
                f"{key.sealed:,}",
                f"{key.failed:,}",
                _ago(now, key.last_opened),
                _ago(now, key.last_sealed),
                f"{recent[key.kid]:,}",
            )
        return table

    def _refusals(self, now: float) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in ("last refused", "reason", "key", "reference", "client"):
            table.add_column(column, no_wrap=True)
        for event in reversed(self.live.refusals):
            table.add_row(
                *(
                    Text(printable(str(cell)))
                    for cell in (
                        f"{span(max(0.0, now - event['timestamp']))} ago",
                        _reason(event),
                        event.get("kid") or "-",
                        event.get("cookie_ref") or event.get("session_ref") or "-",
                        event.get("client_ref") or "-",
                    )
                )
            )
        return table


def _reason(event: dict[str, Any]) -> str:
    return "use_after_expire" if event["event"] == "session.use_after_expire" else str(event["reason"])


def _last_used(key: KeyUse) -> float:
    return max(key.last_opened or 0.0, key.last_sealed or 0.0)


def _ago(now: float, moment: float | None) -> str:
    return "-" if moment is None else span(max(0.0, now - moment))


def _bars(course: Sequence[int]) -> str:
    most = max(course, default=0)
    return "".join(_BARS[0 if not count else 1 + count * (len(_BARS) - 2) // most] for count in course)


def follow(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="The audit log that is being written: JSON lines.")],
    interval: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds between two looks.")] = 0.5,
    seconds: Annotated[float | None, typer.Option(min=0, help="End after so many seconds; else by Ctrl-C.")] = None,
) -> None:
    """Watch a running service: events a minute, keys in use, processes and their rings, the last refused cookies."""
    with failing(as_json=False):
        tail = Tail(log, back=BACK)
    view = View(str(log))
    end = None if seconds is None else time.monotonic() + seconds
    with tail, _screen() as show, suppress(KeyboardInterrupt):
        while True:
            view.take(tail.poll(), time.time())
            show(view.draw(time.time(), tail.rotations))
            if end is not None and time.monotonic() >= end:
                break
            time.sleep(interval)
    console.print(view.draw(time.time(), tail.rotations))


@contextmanager
def _screen() -> Iterator[Callable[[RenderableType], None]]:
    """Take the whole terminal meanwhile; where there is none, the last view alone is printed."""
    if not console.is_terminal:
        yield lambda _: None
        return
    from rich.live import Live as Screen  # noqa: PLC0415 - the other commands do without

    with Screen(console=console, auto_refresh=False, screen=True) as screen:
        yield lambda view: screen.update(view, refresh=True)
