"""Command line of the benchmark."""

from __future__ import annotations

import argparse
from pathlib import Path

import anyio

from bench_sessions import instructions
from bench_sessions.figures import LOOPS, Figure, Options
from bench_sessions.registry import GROUPS
from bench_sessions.table import as_json, show


def main(arguments: list[str] | None = None) -> None:
    """Measure what is asked for, print it, and write it where that is wanted."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="What a request costs, on this machine.")
    always = ", ".join(name for name, group in GROUPS.items() if not group.asked)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}; without one, {always}")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, for a look")
    parser.add_argument("--loop", choices=LOOPS, action="append", help="on this event loop alone; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--accept", action="store_true", help="keep the counts of instructions as they are now")
    given = parser.parse_args(arguments)
    if given.accept:
        instructions.accept(instructions.counted())
    unknown = sorted(set(given.groups) - GROUPS.keys())
    if unknown:
        parser.error(f"there is no group {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    results: dict[str, dict[str, list[Figure]]] = {}
    for name in given.groups or [name for name, group in GROUPS.items() if not group.asked]:
        group = GROUPS[name]
        results[name] = {}
        for loop in given.loop or group.loops:
            backend, options = LOOPS[loop]
            asked = Options(quick=given.quick, loop=loop)
            results[name][loop] = anyio.run(group.run, asked, backend=backend, backend_options=options)
        show(group, results[name])
    if given.json is not None:
        given.json.write_text(as_json(results, quick=given.quick), "utf-8")


if __name__ == "__main__":
    main()
