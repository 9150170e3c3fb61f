"""Counts what the hot paths execute: bytecode instructions, and calls into C. Run as a process of its own.

Rules of this file:

* No clock is involved. The session's own clock stands still, hashes are seeded (``PYTHONHASHSEED=0``), and what a
  request does is counted within one task that never waits, except for the mailbox, where the loop's own frames count.
* Where many ask at once, what all of them take is shared out: the application's own pause, between its two halves, and
  the tasks that ask are in it.
* Of several requests the median is told: random nonces decide a branch now and then. Many at once are several.
* What it cannot see: how long a call into C takes (JSON, cipher and base64 are one call each, whatever their size),
  memory that is allocated, and the processor's caches. ``scripts/bench goals`` measures those, with the clock.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import anyio

from bench_sessions.shop import bare, callers, check, pause_here, requests, shop, values
from bench_sessions.traffic import SECRET, Silent
from sessionkit import Keyring, SessionConfig, SessionMiddleware
from sessionkit.testing import FixedClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from sessionkit.asgi import ASGIApp, Receive, Scope, Send

__all__ = ["PATHS", "Tally", "Way", "count", "main"]

REQUESTS = 5
"""Counted of each path; after as many that are not."""

MOST = 12
"""Functions told, of those that execute most."""

NOW = 1_800_000_000.0
"""Unix seconds, all the time."""


class Tally:
    """Counts what Python executes in the block."""

    def __init__(self) -> None:
        self.instructions: Counter[str] = Counter()
        self.calls = 0
        self._counts: Counter[int] = Counter()
        self._names: dict[int, str] = {}  # by the identity of code, whose hash and whose name take a while to find out

    def __enter__(self) -> Self:
        self._before = sys.gettrace(), sys.getprofile()
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the one way to have a frame that runs already traced
        while frame is not None:
            frame.f_trace, frame.f_trace_opcodes = self._trace, True
            self._name(frame)
            frame = frame.f_back
        sys.setprofile(self._profile)
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before[0])
        sys.setprofile(self._before[1])
        for code, number in self._counts.items():
            self.instructions[self._names[code]] += number

    def _trace(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any]:
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            self._name(frame)
        elif event == "opcode":
            self._counts[id(frame.f_code)] += 1
        return self._trace

    def _name(self, frame: FrameType) -> None:
        code = frame.f_code
        if id(code) not in self._names:
            self._names[id(code)] = f"{Path(code.co_filename).stem}.{code.co_qualname}"

    def _profile(self, _: FrameType, event: str, __: Any) -> None:
        self.calls += event == "c_call"


@dataclass(frozen=True, slots=True)
class Way:
    """A way through this package that many requests take.

    Attributes:
        app: behind the middleware; by default the shop, which reads and writes.
        size: octets of the session that the request brings; 0 for none.
        options: of the middleware.
        callers: at once; each makes one request.
    """

    app: ASGIApp | None = None
    size: int = 200
    options: dict[str, Any] = field(default_factory=dict)
    callers: int = 1


async def _reads(scope: Scope, receive: Receive, send: Send) -> None:
    scope["session"].get("user")
    await _bare(scope, receive, send)


async def _begins(scope: Scope, receive: Receive, send: Send) -> None:
    scope["session"].update(_BEGUN)
    await _bare(scope, receive, send)


_bare, _BEGUN = bare(), values(200)

PATHS = {
    "no session": Way(_bare, size=0),
    "begin": Way(_begins, size=0),
    "read": Way(_reads),
    "read + write": Way(),
    "read + write, 16 kB": Way(size=16_000),
    "read + write, by mailbox": Way(options={"in_place": False}),
    "read + write, 64 callers": Way(callers=64),
    "read + write, 64 callers, by mailbox": Way(options={"in_place": False}, callers=64),
}


async def count(path: Way) -> tuple[Counter[str], float]:
    """Return the instructions that one request takes, by function, and the calls into C."""
    session = shop(values(path.size or 200), pause_here("asyncio") if path.callers > 1 else None)
    middleware = SessionMiddleware(
        session, Keyring.from_secret(SECRET), SessionConfig(), logger=Silent(), clock=FixedClock(NOW), **path.options
    )
    async with middleware.service.host():
        cookie = await check(middleware, values(path.size)) if path.size else b""
        repeat = callers(path.callers, requests(middleware.around(path.app or session), cookie))
        await repeat(REQUESTS * path.callers)
        tallies = []
        for _ in range(max(REQUESTS // path.callers, 1)):
            with Tally() as tally:
                await repeat(path.callers)
            tallies.append(tally)
    middle = sorted(tallies, key=lambda tally: tally.instructions.total())[len(tallies) // 2].instructions
    shares = Counter({name: round(number / path.callers) for name, number in middle.items()})
    return shares, round(statistics.median(tally.calls for tally in tallies) / path.callers)


def main() -> None:
    """Print the counts of each path as JSON."""
    found = {}
    for name, path in PATHS.items():
        instructions, calls = anyio.run(count, path)
        found[name] = {
            "instructions": instructions.total(),
            "calls": calls,
            "most": dict(instructions.most_common(MOST)),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
