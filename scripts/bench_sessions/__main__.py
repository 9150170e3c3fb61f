"""Command line of the benchmark."""

from __future__ import annotations

import argparse
from pathlib import Path

import anyio

from bench_sessions.registry import GROUPS
from bench_sessions.table import as_json, show
from bench_sessions.timing import Options


def main(arguments: list[str] | None = None) -> None:
    """Measure what is asked for, print it, and write it where that is wanted."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="What a request costs, on this machine.")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}; without one, all")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, for a look")
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.groups) - GROUPS.keys())
    if unknown:
        parser.error(f"there is no group {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    options = Options(quick=given.quick, backend=given.backend)
    results = {}
    for name in given.groups or GROUPS:
        group = GROUPS[name]
        results[name] = anyio.run(group.run, options, backend=options.backend)
        show(group, results[name])
    if given.json is not None:
        given.json.write_text(as_json(results, options), "utf-8")


if __name__ == "__main__":
    main()
