"""What the audit log costs a request: nothing said, the default level, and debug, with a JSON renderer to nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import structlog

from bench_sessions.figures import Figure, Group, Options
from bench_sessions.timing import Work, interleaved
from bench_sessions.traffic import begins, begun, reads, served, writes
from sessionkit import SessionConfig
from sessionkit.config import AuditConfig

if TYPE_CHECKING:
    from sessionkit.asgi import ASGIApp

__all__ = ["GROUP"]

QUICK, THOROUGH = (7, 100), (31, 300)
"""Rounds, and requests of each row in one."""

Level = Literal["debug", "info", "critical"]

WAYS: dict[str, tuple[Level, int]] = {
    "audit off": ("critical", 0),
    "info": ("info", 0),
    "debug": ("debug", 0),
    "debug, queued": ("debug", 100_000),
}
"""Level and queue of each way."""

KINDS: dict[str, ASGIApp] = {"read": reads, "read and write": writes, "begin a session": begins}
"""Application of each kind of request. At info only the last writes a line; at debug they write one, two and one."""


class _Nowhere:
    """A text file that keeps nothing."""

    def write(self, text: str) -> int:
        """Take a line."""
        return len(text)

    def flush(self) -> None:
        """Have nothing to do."""


def _json() -> Any:
    """Return a logger as the README sets it up, without configuring structlog for the other rows."""
    return structlog.wrap_logger(
        structlog.WriteLogger(_Nowhere()),  # type: ignore[arg-type]  # writes and flushes, which is all that is asked
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.BoundLogger,
    )


def _work(kind: str, way: str, cookies: tuple[bytes, ...]) -> Work:
    level, queue = WAYS[way]
    config = SessionConfig(audit=AuditConfig(level=level, queue=queue))
    return Work(
        f"{kind}, {way}",
        lambda: served(KINDS[kind], config, cookies, logger=_json()),
        None if way == "audit off" else f"{kind}, audit off",
    )


async def _run(options: Options) -> list[Figure]:
    cookie = await begun()
    works = [_work(kind, way, () if kind == "begin a session" else (cookie,)) for kind in KINDS for way in WAYS]
    rounds, times = QUICK if options.quick else THOROUGH
    return await interleaved(works, rounds=rounds, times=times)


GROUP = Group(
    "audit-cost",
    "What the audit log costs, µs of the loop's thread a request (200 octets, whole middleware, JSON lines to nowhere)",
    _run,
    asked=True,
)
