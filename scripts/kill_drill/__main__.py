"""Runs the drill: see ``--help``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from kill_drill.scene import COMMANDS, Scene, Wrong

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

RANDOM_SHARE = 5
"""Every so many kills one comes at a random time instead of at a step."""

OTHERS_SHARE = 10
"""Every so many kills the disk is full once, and two writers come at once."""

ROOM = (0.0, 0.01, 0.5, 0.99)
"""Shares of the new file that a full disk still takes."""

KILLED = -9


@dataclass
class Tally:
    """What came of one command's kills."""

    steps: set[str] = field(default_factory=set)
    at_steps: int = 0
    at_random: int = 0
    too_late: int = 0
    found: Counter[str] = field(default_factory=Counter)
    left: int = 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/kill-drill",
        description="Kills the command line by SIGKILL at every step of its writing, fills its disk, and lets two "
        "writers loose at once. Exit status 0 if the keyring file was the old or the new one each time, whole, its "
        "owner's alone, with its comments, and if the next command left nothing behind.",
    )
    parser.add_argument("--times", type=int, default=500, help="kills (default: %(default)d)")
    parser.add_argument("--seed", type=int, default=1, help="of the random ones (default: %(default)d)")
    return parser.parse_args(arguments)


def kills(scenes: Sequence[Scene], times: int, random: Random) -> Iterator[tuple[Scene, int | None]]:
    """Yield where to kill: command by command the next of its steps, so that few kills are spread widely, too.

    Yields:
        A scene, and the number of the step; ``None`` for a random time.
    """
    # Steps are taken in an order of chance: in their own order, few kills would reach the first ones alone.
    orders = [random.sample(range(len(scene.steps)), len(scene.steps)) for scene in scenes]
    taken = [0] * len(scenes)
    for number in range(times):
        turn = number % len(scenes)
        if number % RANDOM_SHARE == RANDOM_SHARE - 1:
            yield scenes[turn], None
            continue
        yield scenes[turn], orders[turn][taken[turn] % len(orders[turn])]
        taken[turn] += 1


def kill(scene: Scene, at: int | None, tally: Tally, random: Random) -> None:
    """Kill one writer, look at what is left, and run the next command."""
    scene.prepare()
    if at is None:
        child = scene.start(stop_at=0, how="wait")
        child.next_step()
        child.let_go()
        time.sleep(random.uniform(0, 0.02))  # a write takes a few milliseconds
        child.kill()
        outcome = child.end()
        tally.at_random += 1
        tally.too_late += outcome.status != KILLED
    else:
        outcome = scene.start(stop_at=at, named=False).end()
        if outcome.status != KILLED or outcome.steps != (scene.steps[at],):
            raise Wrong(f"the writer was not killed at {scene.steps[at]!r}: {outcome}")
        tally.at_steps += 1
        tally.steps.add(scene.steps[at])
    found = scene.verdict()
    tally.found[found] += 1
    tally.left += scene.left()
    scene.recover(found)


def fill_disk(scene: Scene, room: float) -> None:
    """Let the disk be full after a share of the new file: that is told, and the old one stays."""
    scene.prepare()
    outcome = scene.start(room=int(len(scene.new) * room), named=False).end()
    if outcome.status != 1 or "cannot be written" not in outcome.told:
        raise Wrong(f"a full disk was not told: {outcome.status} {outcome.told.strip()!r}")
    if scene.verdict() != "old":
        raise Wrong("the file was changed although the disk was full")
    scene.swept()
    scene.recover("old")


def two_at_once(scene: Scene, at: int) -> None:
    """Let a second writer come while the first one is at a step: the first wins, the second is told."""
    scene.prepare()
    first = scene.start(stop_at=at, how="wait", named=False)
    if first.next_step() != scene.steps[at]:
        raise Wrong(f"the first writer did not come to {scene.steps[at]!r}")
    second = scene.start(named=False).end()
    told = "is being changed by another command" in second.told
    if second.status != 1 or not told:
        raise Wrong(f"the second writer was not told: {second.status} {second.told.strip()!r}")
    if first.end().status:
        raise Wrong("the first writer failed")
    if scene.verdict() != "new":
        raise Wrong("the first writer did not win")
    scene.swept()


def drill(console: Console, folder: Path, options: argparse.Namespace) -> bool:
    """Do it all; return whether nothing was wrong."""
    random = Random(options.seed)
    scenes = [Scene(folder / str(number), command, options.seed + number) for number, command in enumerate(COMMANDS)]
    tallies = {id(scene): Tally() for scene in scenes}
    wrong: list[str] = []
    began = time.monotonic()

    # Refreshed by hand: its own way takes a thread, and who forks must have one alone.
    with Progress(console=console, auto_refresh=False, transient=True) as progress:
        for scene, at in progress.track(kills(scenes, options.times, random), total=options.times, description="kills"):
            try:
                kill(scene, at, tallies[id(scene)], random)
            except Wrong as found:
                where = "at a random time" if at is None else f"at {scene.steps[at]!r}"
                wrong.append(f"{' '.join(scene.command.line(scene.path)[1:])}, killed {where}: {found}")
            progress.refresh()
        others, well = -(-options.times // OTHERS_SHARE), Counter[str]()
        for number in progress.track(range(others), description="full disks, two writers"):
            scene, room = scenes[number % len(scenes)], ROOM[number % len(ROOM)]
            at = random.randrange(len(scene.steps))
            for what, act in (
                ("disk full", partial(fill_disk, scene, room)),
                ("two writers", partial(two_at_once, scene, at)),
            ):
                try:
                    act()
                    well[what] += 1
                except Wrong as found:
                    where = f"at {room:.0%}" if what == "disk full" else f"at {scene.steps[at]!r}"
                    wrong.append(f"{scene.command.name}, {what} {where}: {found}")
            progress.refresh()
    report(console, scenes, tallies.values())
    console.print(
        f"{well['disk full']} of {others} full disks left the old file; of {well['two writers']} of {others} pairs of "
        "writers one won and the other was told",
        highlight=False,
    )
    for line in wrong:
        console.print(line, style="bold red", markup=False)
    killed = sum(tally.at_steps + tally.at_random - tally.too_late for tally in tallies.values())
    console.print(
        f"{killed} kills in {time.monotonic() - began:.1f} s, {len(wrong)} wrong", style="bold", highlight=False
    )
    return not wrong and killed > 0


def report(console: Console, scenes: Iterable[Scene], tallies: Iterable[Tally]) -> None:
    """Print a table of the kills, one row a command."""
    table = Table("command", "steps", "hit", "kills", "at random", "(late)", "old", "new", "swept", box=None)
    for scene, tally in zip(scenes, tallies, strict=True):
        table.add_row(
            " ".join((scene.command.name, *scene.command.words)),
            str(len(set(scene.steps))),
            str(len(tally.steps)),
            str(tally.at_steps),
            str(tally.at_random),
            str(tally.too_late),
            str(tally.found["old"]),
            str(tally.found["new"]),
            str(tally.left),
        )
    console.print(table)


def main(arguments: Sequence[str]) -> int:
    """Run; return the exit status."""
    options = parse(arguments)
    with tempfile.TemporaryDirectory(prefix="kill-drill-") as folder:
        try:
            return 0 if drill(Console(), Path(folder), options) else 1
        except Wrong as found:
            Console().print(str(found), style="bold red", markup=False)
            return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
