"""What everybody's sessions cost: µs a request, each over its own application without sessions."""

from __future__ import annotations

from bench_sessions import codecs
from bench_sessions.contenders import CONTENDERS, Load, work
from bench_sessions.figures import Figure, Group, Options
from bench_sessions.timing import measure, summary

__all__ = ["GROUP"]

QUICK, THOROUGH = (15, 24), (31, 200)
"""Rounds, and requests of each contender in one."""


async def _run(options: Options) -> list[Figure]:
    rounds, times = QUICK if options.quick else THOROUGH
    load = Load(loop=options.loop)
    able = {
        name: contender
        for name, contender in CONTENDERS.items()
        if not (contender.asyncio_only and options.loop == "trio")
    }
    direct = [codecs.floor(), codecs.litestar_direct(), codecs.fernet()]
    taken = await measure([*(work(name, load) for name in able), *direct], rounds=rounds, times=times)
    figures = []
    for name, contender in able.items():
        if contender.over is not None:
            costs = [one - other for one, other in zip(taken[name], taken[contender.over], strict=True)]
            figures.append(Figure(name, *_spread(costs), against=contender.over, note=contender.about))
    figures += [Figure(piece.row, *_spread(taken[piece.row]), against="no ASGI at all") for piece in direct]
    return figures


def _spread(values: list[float]) -> tuple[float, str, float, float]:
    median, low, high = summary(values)
    return median, "µs", low, high


GROUP = Group("peers", "What sessions cost, µs a request: read + write, 200 B, one caller", _run)
