"""Runs the demonstration: see ``--help``."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import anyio
from rich.console import Console

from rotation_demo.report import Audit, summary
from rotation_demo.rotation import Plan, Rotations
from rotation_demo.worker import AUDIT_KEY_VARIABLE, AUDIT_VARIABLE, KEYRING_VARIABLE
from rotation_shop.browser import Browser, connections
from rotation_shop.command import Failed, command
from rotation_shop.screen import Screen
from rotation_shop.server import HOST, free_port, ready, serve, uvicorn
from rotation_shop.tally import Tally
from sessionkit import Keyring

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

WORKERS = 2

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Rotates the keys of a small shop under load, and counts the sessions that got lost. Exit status 0 "
        "if none did, and nothing else went wrong.",
    )
    parser.add_argument("--seconds", type=float, default=40.0, help="how long the traffic lasts (default: %(default)g)")
    parser.add_argument("--browsers", type=int, default=60, help="how many shop at once (default: %(default)d)")
    parser.add_argument("--rotations", type=int, default=3, help="how often the key changes (default: %(default)d)")
    parser.add_argument("--port", type=int, default=0, help="on loopback (default: a free one)")
    parser.add_argument("--serve", action="store_true", help="no traffic: leave the shop running for your own browser")
    parser.add_argument(
        "--folder", type=Path, default=Path(".cache/demo"), help="for keyring and logs (default: %(default)s)"
    )
    return parser.parse_args(arguments)


class Stage:
    """The files of one run, made anew."""

    def __init__(self, folder: Path) -> None:
        folder = folder.resolve()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.keyring = folder / "keyring.yaml"
        self.audit = folder / "audit.jsonl"
        self.log = folder / "server.log"

    def serve(self, port: int) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Run the shop while the context lasts."""
        variables = {
            KEYRING_VARIABLE: str(self.keyring),
            AUDIT_VARIABLE: str(self.audit),
            AUDIT_KEY_VARIABLE: os.urandom(32).hex(),
        }
        return serve(uvicorn("rotation_demo.worker", port, WORKERS), variables, self.log)


async def show_off(console: Console, stage: Stage, options: argparse.Namespace) -> bool:
    """Make the traffic, rotate, and report; return whether all went well."""
    plan = Plan(options.seconds, options.rotations)
    tally = Tally()
    screen = Screen(console, tally, plan.seconds, stage.keyring)
    rotations = Rotations(stage.keyring, plan, screen.tell)
    await rotations.create()
    port = options.port or free_port()
    url = f"http://{HOST}:{port}"
    with stage.serve(port) as process:
        await ready(url, process, stage.log, WORKERS)
        console.print(
            f"{options.browsers} browsers, {options.rotations} rotations, {options.seconds:g} s, {url}", highlight=False
        )
        tally.started = time.monotonic()
        until = tally.started + plan.seconds
        closing = anyio.Event()
        async with AsyncExitStack() as stack, anyio.create_task_group() as background:
            background.start_soon(screen.show)
            async with anyio.create_task_group() as traffic:
                for number in range(options.browsers):
                    transport = await stack.enter_async_context(connections())
                    browser = Browser(f"visitor-{number}", transport, [url], tally, Random(number))
                    traffic.start_soon(browser.visit, closing)
                await rotations.rotate(until)
                # On a busy machine the last one may have come late: sessions are to move to its key all the same.
                await anyio.sleep(max(until - time.monotonic(), plan.interval / 4))
                closing.set()
            background.cancel_scope.cancel()
    keyring = Keyring.load(stage.keyring)
    if "Traceback" in stage.log.read_text("utf-8", "replace"):
        tally.errors.append(f"the server raised: {stage.log}")
    audit = Audit.read(stage.audit, keyring)
    summary(console, tally, keyring, audit, rotations=rotations.done, log=stage.audit)
    page = stage.audit.with_name("report.html")
    console.print("The rotations on a page with charts:", style="dim")
    console.print(
        f"{command()} audit report {stage.audit} --keyring {stage.keyring} --html {page}",
        soft_wrap=True,
        highlight=False,
    )
    if rotations.done < plan.rotations:
        console.print(f"only {rotations.done} of {plan.rotations} rotations were made", style="bold red")
        return False
    return not tally.lost and not tally.errors and audit.backwards == 0 and tally.requests > 0


async def wait_for_people(console: Console, stage: Stage, options: argparse.Namespace) -> bool:
    """Leave the shop running until interrupted; return ``False`` if it ends by itself."""
    rotations = Rotations(stage.keyring, Plan(options.seconds, options.rotations), console.print)
    await rotations.create()
    port = options.port or free_port()
    url = f"http://{HOST}:{port}"
    with stage.serve(port) as process:
        await ready(url, process, stage.log, WORKERS)
        console.print(f"The shop is open: {url}", style="bold")
        console.print(f"Rotate its keys:  {command()} keyring promote {stage.keyring}", soft_wrap=True)
        console.print(f"Session events:   {stage.audit}", soft_wrap=True)
        console.print("Ctrl-C closes it.")
        await anyio.to_thread.run_sync(process.wait, abandon_on_cancel=True)
    console.print(f"the server ended by itself; its output: {stage.log}", style="bold red")
    return False


def main(arguments: Sequence[str]) -> int:
    """Run; return the exit status."""
    options = parse(arguments)
    console = Console()
    stage = Stage(options.folder)
    # Whoever ends us by a signal ends the workers too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return 0 if anyio.run(wait_for_people if options.serve else show_off, console, stage, options) else 1
    except Failed as error:
        console.print(str(error), style="bold red")
        return 1
    except KeyboardInterrupt:
        console.print("closed")
        return 0 if options.serve else INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
