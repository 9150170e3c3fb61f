"""What this package promises to cost, measured beside what it is compared with: the goals.

Rules of this file:

* A goal is a ratio, worked out within each round: what ours takes over its own bare application, against what the other
  takes over its own. The median over the rounds is held against the goal.
* A *scene* is what is measured together, in turns. Each ratio compares works of one scene.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench_sessions import codecs
from bench_sessions.contenders import Load, work
from bench_sessions.figures import LOOPS, Figure, Group, Options
from bench_sessions.latency import latencies
from bench_sessions.memory import ASKS, MIB, queued_asks
from bench_sessions.timing import Rounds, Work, measure, summary

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["GROUP", "Goal", "ratio"]

QUICK, THOROUGH = (15, 64), (31, 384)
"""Rounds, and requests of each work in one: whole multiples of the callers at once."""

CALLERS = 64

RETIRED = 500
"""Keys of a ring that was rotated daily for over a year."""

LARGE = 10_000
"""Octets from which a session is large."""

QUICK_TRAFFIC, THOROUGH_TRAFFIC = (5, 0.3), (15, 1.0)
"""Rounds of mixed traffic, and its seconds in each."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A promise about a ratio.

    Attributes:
        row: the work.
        ours: name of our work; measured over its bare application if it has one.
        against: name of the work it is compared with, likewise.
        limit: what the ratio may be at most.
        compared: what that other work is, in words.
    """

    row: str
    ours: str
    against: str
    limit: float
    compared: str


@dataclass(frozen=True, slots=True)
class Scene:
    """What is measured together.

    Attributes:
        works: to measure.
        goals: ratios between them.
        share: one part in so many of the requests is enough, where there is one caller, or the work is heavy.
    """

    works: Sequence[Work]
    goals: Sequence[Goal]
    share: int = 2


def _cost(taken: Rounds, works: dict[str, Work], name: str) -> list[float]:
    """Return what a work took in each round, over its bare application if it has one."""
    over = works[name].against
    if over is None:
        return taken[name]
    return [one - other for one, other in zip(taken[name], taken[over], strict=True)]


def ratio(row: str, mine: Sequence[float], theirs: Sequence[float], limit: float, compared: str) -> Figure:
    """Return the figure of a ratio, from both sides' costs in each round."""
    value, low, high = summary(one / other for one, other in zip(mine, theirs, strict=True))
    return Figure(row, value, "×", low, high, against=compared, goal=limit)


def _whole(load: Load) -> Scene:
    """Return read + write of 200 octets, by so many callers at once."""
    works = [
        work(name, load) for name in ("bare app", "sessionkit", "Starlette", "Litestar app", "Litestar client-side")
    ]
    works += [codecs.floor()]
    who = f"{load.callers} caller{'s' if load.callers > 1 else ''}"
    row = f"read + write, 200 B, {who}"
    goals = [
        Goal(row, "sessionkit", "Starlette", 0.33, "Starlette's signing middleware"),
        Goal(row, "sessionkit", "Litestar client-side", 0.12, "what Litestar's client-side session adds to its app"),
        Goal(row, "sessionkit", "floor", 1.7, "JSON, AES-GCM and base64 inline: the best floor"),
    ]
    if load.callers > 1:
        works.append(work("sessionkit, by mailbox", load))
        mailbox = f"all through the mailbox, 200 B, {who}"
        goals.append(Goal(mailbox, "sessionkit, by mailbox", "Starlette", 0.6, "Starlette's signing middleware"))
    return Scene(works, goals, share=1 if load.callers > 1 else 2)


def _alone() -> Scene:
    litestar = codecs.litestar_direct()
    mine = codecs.actor_alone()
    compared = "Litestar's dump_data and load_data, called directly"
    return Scene([mine, litestar], [Goal("Load + Save, actor alone, 200 B", mine.row, litestar.row, 0.85, compared)])


def _larger(load: Load, limit: float) -> Scene:
    size = f"{load.size // 1000} kB"
    direct, litestar = codecs.ours_direct(load.size), codecs.litestar_direct(load.size)
    works = [*(work(name, load) for name in ("bare app", "sessionkit", "Starlette")), direct, litestar]
    return Scene(
        works,
        [
            Goal(f"read + write, {size}", "sessionkit", "Starlette", limit, "Starlette's signing middleware"),
            Goal(
                f"codec alone ({', '.join(sorted(set(codecs.USED.values())))}), {size}",
                direct.row,
                litestar.row,
                0.6,
                "Litestar's dump_data and load_data",
            ),
        ],
        share=4 if load.size < LARGE else 16,
    )


def _no_cookie(load: Load) -> Scene:
    works = [work(name, load) for name in ("bare app", "sessionkit", "Starlette")]
    row = "no session cookie, no session touched"
    return Scene(works, [Goal(row, "sessionkit", "Starlette", 0.35, "Starlette's signing middleware")])


def _keys() -> Scene:
    none, many = codecs.opening("none", keys=0), codecs.opening("many", keys=RETIRED)
    junk = codecs.opening("junk", keys=RETIRED, junk=True)
    return Scene(
        [none, many, junk],
        [
            Goal(f"open under the oldest of {RETIRED} retired keys", "many", "none", 1.1, "open with one key"),
            Goal(f"junk token, {RETIRED} retired keys", "junk", "none", 1.0, "open with one key"),
        ],
    )


def _scenes(loop: str) -> list[Scene]:
    return [
        _whole(Load(loop=loop)),
        _whole(Load(callers=CALLERS, loop=loop)),
        _alone(),
        _larger(Load(2000, loop=loop), 0.33),
        _larger(Load(16_000, loop=loop), 0.4),
        _no_cookie(Load(loop=loop, stranger=True)),
        _keys(),
    ]


async def _run(options: Options) -> list[Figure]:
    rounds, times = QUICK if options.quick else THOROUGH
    figures = []
    for scene in _scenes(options.loop):
        taken = await measure(scene.works, rounds=rounds, times=max(times // scene.share, 1))
        works = {piece.row: piece for piece in scene.works}
        figures += [
            ratio(
                goal.row, _cost(taken, works, goal.ours), _cost(taken, works, goal.against), goal.limit, goal.compared
            )
            for goal in scene.goals
        ]
    figures += await _traffic(options)
    figures.append(await _memory())
    return figures


async def _traffic(options: Options) -> list[Figure]:
    rounds, seconds = QUICK_TRAFFIC if options.quick else THOROUGH_TRAFFIC
    found = await latencies(options.loop, rounds=rounds, seconds=seconds)
    row = "p99 of 200 B at 2000/s beside 16 kB at 200/s"
    return [
        ratio(f"{row}, {way}", found[way], found["no actor"], limit, "the same without an actor")
        for way, limit in (("in place", 1.2), ("mailbox", 1.5))
    ]


async def _memory() -> Figure:
    value = await queued_asks(ASKS) / MIB
    return Figure(f"{ASKS:,} asks that wait", value, "MiB", against="as many tasks that wait", goal=3.0)


GROUP = Group(
    "goals",
    "What it costs, against what others cost (each over its own bare application; medians of ratios within rounds)",
    _run,
    loops=tuple(LOOPS),
)
