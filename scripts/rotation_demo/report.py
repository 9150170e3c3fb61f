"""What came of a run: the audit log counted, and the summary."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.table import Table

from rotation_shop.screen import complaints, keys_table, percentile

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from rotation_shop.tally import Tally
    from sessionkit import Keyring

__all__ = ["Audit", "summary"]


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
    console.print(keys_table(tally, keyring))
    console.print()
    complaints(console, tally)
    good = not tally.lost and not tally.errors
    console.print(
        f"sessions lost {len(tally.lost)}, errors {len(tally.errors)}", style="bold green" if good else "bold red"
    )
