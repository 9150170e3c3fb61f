"""The guard against slow growth: what the hot paths execute, held against figures that were accepted.

Rules of this file:

* Counts come from a process of their own (``counting``) and are the same on every run and machine, so that a change of
  one request in twenty thousand instructions is a fact, not noise.
* Figures lie in ``instructions.json``, one set for each minor version of Python, since each has another bytecode. More
  than 5 % up or down is told: up is a cost somebody has to want, down is a gain to keep. ``scripts/bench instructions
  --accept`` keeps what is counted now.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from bench_sessions.figures import Figure, Group, Options

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GROUP", "accept", "accepted", "counted", "problems"]

FILE = Path(__file__).with_suffix(".json")

TOLERANCE = 0.05
"""Share by which a count may change before it is told."""

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"

KINDS = ("instructions", "calls")
"""What is counted: bytecode instructions, and calls into C."""

HOW = "If that is meant, keep it: scripts/bench instructions --accept"


def counted() -> dict[str, Any]:
    """Return the counts of each path, by a process whose hashes are seeded and that nothing else traces."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    environment |= {"PYTHONHASHSEED": "0", "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-m", "bench_sessions.counting"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=120)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def accepted(version: str = VERSION) -> dict[str, dict[str, float]]:
    """Return the counts that were accepted for a version of Python.

    Raises:
        LookupError: if there are none; says how to accept some.
    """
    known: dict[str, dict[str, dict[str, float]]] = json.loads(FILE.read_text("utf-8"))
    if version not in known:
        msg = f"{FILE.name} has no counts for Python {version}, only for {', '.join(known)}. {HOW}"
        raise LookupError(msg)
    return known[version]


def accept(now: Mapping[str, Any], file: Path = FILE) -> None:
    """Keep counts as those of this version of Python."""
    known = json.loads(file.read_text("utf-8"))
    known[VERSION] = {path: {kind: counts[kind] for kind in KINDS} for path, counts in now.items()}
    ordered = dict(sorted(known.items(), key=lambda item: tuple(map(int, item[0].split(".")))))
    file.write_text(json.dumps(ordered, indent=2) + "\n", "utf-8")


def problems(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Return what changed by more than is tolerated, a sentence each; nothing if all is as it was accepted."""
    found = [f"{path}: is {'new' if path in now else 'gone'}. {HOW}" for path in sorted(now.keys() ^ before.keys())]
    for path in now.keys() & before.keys():
        for kind in KINDS:
            one, other = now[path][kind], before[path][kind]
            if abs(one - other) > TOLERANCE * other:
                most = ", ".join(f"{name} {number}" for name, number in now[path]["most"].items())
                found.append(
                    f"{path}: {one:,.0f} {kind} a request, {(one - other) / other:+.1%} of the {other:,.0f} that were "
                    f"accepted. {HOW}. Most instructions are those of {most}"
                )
    return sorted(found)


async def _run(_: Options) -> list[Figure]:
    now = await to_thread.run_sync(counted)
    try:
        before = accepted()
    except LookupError:
        before = {}  # a Python that is new here; nothing to compare with
    figures = []
    for path, counts in now.items():
        for kind in KINDS:
            old = before.get(path, counts)[kind]
            change = f"{(counts[kind] - old) / old:+.1%}"
            figures.append(Figure(path, counts[kind], kind, against=f"{old:,.0f} accepted", note=change))
    return figures


GROUP = Group("instructions", f"What Python {VERSION} executes for one request; no clock is involved", _run, asked=True)
