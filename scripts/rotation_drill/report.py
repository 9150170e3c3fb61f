"""The table that a drill ends with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from rotation_shop.screen import complaints, keys_table, percentile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from rotation_drill.verdict import Finding
    from rotation_shop.tally import Tally
    from sessionkit import Keyring

__all__ = ["report"]


def report(
    console: Console, tally: Tally, keyring: Keyring, found: Sequence[Finding], *, folder: Path, picture: Path
) -> bool:
    """Print what came of a drill; return whether everything was as it has to be."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("what has to hold", style="dim")
    table.add_column("seen", overflow="fold")
    table.add_column("")
    for finding in found:
        kept = Text("yes", style="green") if finding.good else Text("NO", style="bold red")
        table.add_row(finding.what, finding.seen, kept)
    console.print()
    console.print(table)
    console.print()
    console.print(keys_table(tally, keyring))
    console.print()
    complaints(console, tally)
    console.print(
        f"{tally.requests:,} requests in {tally.elapsed:.0f} s; a request took "
        f"p50 {percentile(tally.seconds, 0.5) * 1e3:.1f} ms, p99 {percentile(tally.seconds, 0.99) * 1e3:.1f} ms",
        highlight=False,
    )
    console.print(f"audit logs: {folder}/*/audit-*.jsonl", highlight=False, soft_wrap=True)
    console.print(f"picture:    {picture}", highlight=False, soft_wrap=True)
    good = all(finding.good for finding in found)
    console.print(
        f"sessions lost {len(tally.lost)}, errors {len(tally.errors)}: {'all holds' if good else 'it does not hold'}",
        style="bold green" if good else "bold red",
    )
    return good
