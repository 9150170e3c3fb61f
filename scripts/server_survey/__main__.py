"""Runs the survey: see ``--help``."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from rich.console import Console

from rotation_shop.command import Failed
from server_survey.row import Row
from server_survey.servers import SERVERS
from server_survey.survey import keyring, look
from server_survey.table import MEASURED, Survey, as_json, markdown, table

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

SECONDS = 230.0
"""For all servers together; a machine that has nothing else to do needs half of it."""

WIDTH = 200
"""Columns where there is no terminal to ask."""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/servers",
        description="Runs every ASGI server on loopback and measures what it delivers of a session: one cookie and "
        "several, websockets, the size of headers, and whether keys rotate under way without a loss. Exit status 1 if "
        "anything fails that has to hold, or a server does not start.",
    )
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="servers whose names contain this; may be given several times"
    )
    parser.add_argument("--list", action="store_true", help="name the servers, and look at none")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print everything that was found out as JSON")
    output.add_argument("--markdown", action="store_true", help="print the table as the README has it")
    output.add_argument("--save", action="store_true", help="keep it for the README; then run scripts/generate")
    parser.add_argument(
        "--seconds",
        type=float,
        default=SECONDS,
        help="after which no further server is looked at, which counts as failed (default: %(default)g)",
    )
    parser.add_argument(
        "--folder", type=Path, default=Path(".cache/servers"), help="for all files (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    options.names = [name for name in SERVERS if any(part in name for part in options.only or [""])]
    if not options.names:
        parser.error(f"there is no such server; there are: {'; '.join(SERVERS)}")
    if options.save and options.only:
        parser.error("the README shows all servers: --save goes without --only")
    return options


async def survey(console: Console, options: argparse.Namespace) -> Survey:
    """Look at the servers, one after the other."""
    folder = options.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    source = await keyring(folder)
    end = time.monotonic() + options.seconds
    rows = []
    for name in options.names:
        left = end - time.monotonic()
        if left > 0:
            row = await look(SERVERS[name], source, left)
        else:
            row = Row(name, {}, troubles=["not reached in time"])
        rows.append(row)
        console.print(f"{name}: {row.seconds:.1f} s", style="dim", highlight=False)
        for trouble in row.troubles:
            console.print(f"  {trouble}", style="bold red", highlight=False, soft_wrap=True)
    return Survey.of(rows)


def main(arguments: Sequence[str]) -> int:
    """Run; return the exit status."""
    options = parse(arguments)
    if options.list:
        print("\n".join(options.names))
        return 0
    # What is printed for people does not come between what is printed for programs.
    console = Console(stderr=options.json or options.markdown)
    # Whoever ends us by a signal ends the server too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        found = anyio.run(survey, console, options)
    except Failed as error:
        console.print(str(error), style="bold red")
        return 1
    except KeyboardInterrupt:
        console.print("interrupted")
        return INTERRUPTED
    if options.json:
        print(as_json(found), end="")
    elif options.markdown:
        print(markdown(found), end="")
    else:
        wide = console if console.is_terminal else Console(width=WIDTH)
        wide.print(table(found.rows))
        if options.save:
            MEASURED.write_text(as_json(found), "utf-8")
    return 0 if all(row.good for row in found.rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
