"""Command line of the benchmark."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import anyio

if "--without-speed" in sys.argv:
    # Before anything of the package is imported: to it, these look as if their libraries were missing.
    missing: Any = dict.fromkeys(("sessionkit.wire.json_msgspec", "sessionkit.wire.base64_pybase64"))
    sys.modules |= missing

from bench_sessions import instructions, plot, published, soak
from bench_sessions.figures import LOOPS, Figure, Group, Options
from bench_sessions.registry import GROUPS
from bench_sessions.table import as_json, show

ALWAYS = [name for name, group in GROUPS.items() if not group.asked]


def _given(arguments: list[str] | None) -> argparse.Namespace:
    """Return what is asked for, once it is known to make sense."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="What a request costs, on this machine.")
    told = f"of {', '.join(GROUPS)}; without one, {', '.join(ALWAYS)}"
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=told)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, for a look")
    parser.add_argument("--without-speed", action="store_true", help="as installed without the extra of that name")
    parser.add_argument("--loop", choices=LOOPS, action="append", help="on this event loop alone; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw goals and peers there (.png, .svg)")
    parser.add_argument("--scaling", type=Path, metavar="FOLDER", help="measure scaling too; a picture a sweep there")
    parser.add_argument("--soak", type=float, metavar="SECONDS", help="measure growth too, for so long")
    parser.add_argument("--accept", action="store_true", help="keep the counts of instructions as they are now")
    parser.add_argument("--publish", action="store_true", help="write the README's figures; needs a full run")
    given = parser.parse_args(arguments)
    given.groups = given.groups or list(ALWAYS)
    given.groups += [name for name in ("scaling", "soak") if getattr(given, name) is not None]
    unknown = sorted(set(given.groups) - GROUPS.keys())
    if unknown:
        parser.error(f"there is no group {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    if given.publish and (given.quick or given.loop or not set(ALWAYS) <= set(given.groups)):
        parser.error(f"--publish needs a full run: no --quick, no --loop, and the groups {', '.join(ALWAYS)}")
    if given.plot is not None and not {"goals", "peers"} <= set(given.groups):
        parser.error("--plot draws the groups goals and peers: name both, or no group at all")
    return given


def main(arguments: list[str] | None = None) -> None:
    """Measure what is asked for, print it, and write it where that is wanted."""
    given = _given(arguments)
    if given.soak is not None:
        soak.SECONDS = given.soak
    results = {name: _measured(GROUPS[name], given) for name in dict.fromkeys(given.groups)}
    if given.accept:
        instructions.accept(instructions.counted())
    if given.scaling is not None:
        plot.scaling(results["scaling"], given.scaling)
    if given.plot is not None:
        plot.overview(results["goals"], results["peers"], given.plot)
    text = as_json(results, quick=given.quick)
    if given.json is not None:
        given.json.write_text(text, "utf-8")
    if given.publish:
        published.publish(json.loads(text))


def _measured(group: Group, given: argparse.Namespace) -> dict[str, list[Figure]]:
    """Run a group on its event loops, and print it."""
    found = {}
    for loop in given.loop or group.loops:
        backend, options = LOOPS[loop]
        asked = Options(quick=given.quick, loop=loop)
        found[loop] = anyio.run(group.run, asked, backend=backend, backend_options=options)
    show(group, found)
    return found


if __name__ == "__main__":
    main()
