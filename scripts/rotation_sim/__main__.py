"""Runs the simulation: see ``--help``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from rotation_sim.report import Bars, facts, markdown, show
from rotation_sim.runs import Runs
from rotation_sim.strategies import PROTOCOL
from rotation_sim.world import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

QUICK = Settings(nodes=100, users=5_000)
FULL = Settings()

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/rotation-sim",
        description="Simulates ways to rotate the keys of a fleet, on the package's own code in virtual time: what "
        "each loses, and how long to wait between stage and promote so that nothing is lost. Exit status 0 if the way "
        "that the package prescribes lost no session and moved none backwards.",
    )
    parser.add_argument("--seed", type=int, default=FULL.seed, help="of everything random (default: %(default)d)")
    parser.add_argument("--nodes", type=_count, help=f"worker processes (default: {FULL.nodes:,})")
    parser.add_argument("--users", type=_count, help=f"with a session each (default: {FULL.users:,})")
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK.nodes} nodes and {QUICK.users:,} users, unless told otherwise"
    )
    parser.add_argument(
        "--jobs",
        type=_count,
        default=os.cpu_count() or 1,
        help="runs at a time; changes no number (default: %(default)d)",
    )
    parser.add_argument("--json", type=_file, metavar="FILE", help="write all numbers there")
    parser.add_argument("--markdown", action="store_true", help="print the tables as the README has them")
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _file(text: str) -> Path:
    path = Path(text)
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.parent}")
    return path


def main(arguments: Sequence[str]) -> int:
    """Run; return the exit status."""
    options = parse(arguments)
    base = QUICK if options.quick else FULL
    settings = Settings(options.nodes or base.nodes, options.users or base.users, options.seed)
    aside = Console(stderr=True)
    started = time.monotonic()
    try:
        with Bars(aside) as bars, Runs(settings, options.jobs, bars.show) as runs:
            outcome = runs.make()
    except KeyboardInterrupt:
        return INTERRUPTED
    if options.markdown:
        print(markdown(outcome))
    else:
        show(Console(), outcome)
    if options.json is not None:
        options.json.write_text(facts(outcome), "utf-8")
    aside.print(f"{time.monotonic() - started:.0f} s", style="dim", highlight=False)
    prescribed = outcome.strategies[PROTOCOL.name]
    return 0 if prescribed.lost == prescribed.backwards == 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
