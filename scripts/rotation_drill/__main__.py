"""Runs the drill: see ``--help``."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import anyio
from rich.console import Console

from rotation_drill.hosts import Delivery, hosts
from rotation_drill.logs import Logs
from rotation_drill.picture import Scene, draw
from rotation_drill.plan import Plan, Sabotage
from rotation_drill.report import report
from rotation_drill.steps import Operator, Proof
from rotation_drill.verdict import Outcome, findings
from rotation_shop.browser import Browser, connections
from rotation_shop.command import Failed
from rotation_shop.screen import Screen
from rotation_shop.server import ready
from rotation_shop.tally import Tally
from sessionkit import Keyring, KeyState

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

BRISK = 0.5
"""Seconds between two actions of a brisk visitor, on average: a hundred of them leave two cores room to breathe."""

HABITS = 5
"""Of so many visitors one only looks and one rests for long: their sessions hang on keys that retired long ago."""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/rotation-drill",
        description="Takes a shop on two servers with two workers each through rotations, a rollback, a bad file, a "
        "stuck host and an emergency, under load, and accounts for every session. Exit status 0 if all is as it has to "
        "be.",
    )
    parser.add_argument("--seconds", type=float, help="how long it takes, more or less (default: 150; 27 with --short)")
    parser.add_argument("--clients", type=int, default=100, help="how many shop at once (default: %(default)d)")
    parser.add_argument("--seed", type=int, default=1, help="of all that is left to chance (default: %(default)d)")
    parser.add_argument("--short", action="store_true", help="three rotations instead of five, and shorter times")
    parser.add_argument(
        "--sabotage", type=Sabotage, choices=list(Sabotage), metavar="|".join(Sabotage), help="make this mistake"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path(".cache/rotation-drill"), help="for all files (default: %(default)s)"
    )
    parser.add_argument(
        "--picture", type=Path, help="where to draw, as .svg, .png or .pdf (default: traffic.svg in the folder)"
    )
    return parser.parse_args(arguments)


async def drill(console: Console, options: argparse.Namespace) -> bool:
    """Go through the plan under load, and report; return whether all went well."""
    folder = options.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    keyring, picture = folder / "keyring.yaml", options.picture or folder / "traffic.svg"
    plan = Plan.of(options.seconds or (27 if options.short else 150), short=options.short, sabotage=options.sabotage)
    random = Random(options.seed)
    tally = Tally()
    fleet = hosts(folder, plan.skew, random)
    logs = Logs(fleet)
    screen = Screen(console, tally, plan.seconds, keyring)
    delivery = Delivery(keyring, fleet, plan.latest, random)
    operator = Operator(plan, keyring, fleet, delivery, logs=logs, tally=tally, tell=screen.tell)
    await operator.create()
    delivery.first()
    audit_key = os.urandom(32)
    with ExitStack() as servers:
        processes = [servers.enter_context(host.serve(plan.lifetime, audit_key)) for host in fleet]
        for host, process in zip(fleet, processes, strict=True):
            await ready(host.url, process, host.output, len(host.clocks))
        console.print(
            f"{options.clients} visitors, {len(logs.workers)} workers on {len(fleet)} hosts; files arrive up to "
            f"{plan.latest:g} s late, clocks differ by nearly {plan.skew} s; a key stands for {plan.propagation} s and "
            f"{plan.skew} s before it seals",
            highlight=False,
            soft_wrap=True,
        )
        tally.started, began = time.monotonic(), time.time()
        closing = anyio.Event()
        async with AsyncExitStack() as stack, anyio.create_task_group() as background:
            background.start_soon(screen.show)
            background.start_soon(delivery.run)
            async with anyio.create_task_group() as traffic:
                for number in range(options.clients):
                    transport = await stack.enter_async_context(connections())
                    browser = Browser(
                        f"visitor-{number}",
                        transport,
                        [host.url for host in fleet],
                        tally,
                        Random(f"{options.seed} {number}"),
                        thinking=plan.rest() if number % HABITS == 0 else BRISK,
                        reader=number % HABITS == 1,
                    )
                    traffic.start_soon(browser.visit, closing)
                await operator.work()
                closing.set()
            background.cancel_scope.cancel()
        lasted = tally.elapsed
    logs.look()
    troubles = [
        f"{host.server} raised: {host.output}"
        for host in fleet
        if "Traceback" in host.output.read_text("utf-8", "replace")
    ]
    found = list(findings(Outcome(plan, tally, logs, operator.proof, operator.order, troubles)))
    ring = Keyring.load(keyring)
    kids = list(dict.fromkeys([*operator.order, *tally.by_key()]))
    draw(
        Scene(
            title=_title(options, operator.proof, tally),
            seconds=lasted,
            began=began,
            keys=tally.keys,
            order=kids,
            notes={kid: _state(ring, kid) for kid in kids},
            marks=operator.marks,
            workers=logs.workers,
        ),
        picture,
    )
    return report(console, tally, ring, found, folder=folder, picture=picture)


def _title(options: argparse.Namespace, proof: Proof, tally: Tally) -> str:
    mistake = f", sabotage {options.sabotage}" if options.sabotage else ""
    return (
        f"Rotation drill{mistake}: {options.clients} visitors, {tally.requests:,} requests, "
        f"{proof.rotations} rotations, {len(tally.lost)} sessions lost, {len(tally.errors)} errors"
    )


def _state(ring: Keyring, kid: str) -> str:
    key = ring.find(kid)
    if key is None:
        return "pruned"
    return "seals" if key is ring.active(time.time()) and key.state is not KeyState.REVOKED else str(key.state)


def main(arguments: Sequence[str]) -> int:
    """Run; return the exit status."""
    options = parse(arguments)
    console = Console()
    # Whoever ends us by a signal ends the workers too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return 0 if anyio.run(drill, console, options) else 1
    except Failed as error:
        console.print(str(error), style="bold red")
        return 1
    except KeyboardInterrupt:
        console.print("interrupted")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
