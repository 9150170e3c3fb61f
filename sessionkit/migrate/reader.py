"""Readers: old cookies of a request to one session that may be taken over, or a word for why not.

Rules of this file:

* Pure and synchronous; ``now`` is an argument. Nothing a client sends raises, and work is bounded: a few values of each
  name, each of the size of a cookie.
* An old session is judged by the old library's age, then by our limits. It brings its beginning along, so moving in
  prolongs no life beyond ``absolute_max_age``, and a ring's ``not_before`` ends it like any other.
* After the end date a session is still opened, to be able to say that it came too late, and then refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sessionkit.migrate.aiohttp import AiohttpFormat
from sessionkit.migrate.django import DjangoFormat
from sessionkit.migrate.flask import FlaskFormat
from sessionkit.migrate.litestar import LitestarFormat
from sessionkit.migrate.old import OldRefusal, Unreadable
from sessionkit.migrate.starlette import StarletteFormat
from sessionkit.migrate.starsessions import StarsessionsFormat
from sessionkit.wire.cookies import CookieReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sessionkit.config import SessionConfig
    from sessionkit.migrate.old import Format, Old
    from sessionkit.migrate.settings import Migration
    from sessionkit.wire.cookies import CookieJarView

__all__ = ["SKEW", "Found", "Reader", "Refused", "readers", "telling"]

SKEW = 60.0
"""Seconds by which the clocks of the old application may have been ahead."""


@dataclass(frozen=True, slots=True, repr=False)
class Found:
    """An old session that may be taken over.

    Attributes:
        source: whose it is.
        data: its values.
        created: Unix seconds at which it began.
        names: all old cookies that came; they go once it is written.
        values: the cookies' values it was read from.
    """

    source: str
    data: dict[str, Any]
    created: float
    names: tuple[str, ...]
    values: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Refused:
    """Old cookies that are not taken over.

    Attributes:
        source: whose they would be.
        cookie: the name they come under.
        reason: why.
        value: the octets refused, for a keyed reference; never to be logged.
    """

    source: str
    cookie: str
    reason: OldRefusal
    value: bytes


_TELLING = {reason: rank for rank, reason in enumerate(OldRefusal)}


def telling(refused: Refused) -> int:
    """Return which refusal is told of several, the highest: the one that got furthest."""
    return _TELLING[refused.reason]


_FORMATS: dict[str, Callable[[Migration], Format]] = {
    "litestar": lambda settings: LitestarFormat(settings.secrets, settings.age),
    "starlette": lambda settings: StarletteFormat(settings.secrets),
    "fastapi": lambda settings: StarletteFormat(settings.secrets),
    "flask": lambda settings: FlaskFormat(settings.secrets),
    "quart": lambda settings: FlaskFormat(settings.secrets),
    "django": lambda settings: DjangoFormat(settings.secrets),
    "aiohttp": lambda settings: AiohttpFormat(settings.secrets),
    "starsessions": lambda settings: StarsessionsFormat(settings.secrets),
}


class Reader:
    """Reads the sessions of one old library.

    Args:
        settings: with their secrets resolved.
        absolute_max_age: seconds after which our own sessions end, or ``None``.
    """

    __slots__ = ("_absolute", "_cookies", "_format", "_max_age", "cookie", "source", "until")

    def __init__(self, settings: Migration, absolute_max_age: int | None) -> None:
        self.source = settings.source
        self.cookie = settings.name
        self.until = settings.until.timestamp()
        self._max_age = settings.age
        self._absolute = absolute_max_age
        self._format = _FORMATS[settings.source](settings)
        self._cookies = CookieReader(settings.name, self._format.max_chunks)

    def names(self, fields: Iterable[bytes]) -> tuple[str, ...]:
        """Return the names of the old cookies that came."""
        view = self._cookies.read(fields)
        return () if view is None else view.names

    def read(self, fields: Iterable[bytes], now: float) -> Found | Refused | None:
        """Return the session that a request brought, why it is refused, or ``None`` if there is none.

        Args:
            fields: values of all its Cookie header fields.
            now: Unix seconds.
        """
        view = self._cookies.read(fields)
        if view is None:
            return None
        refused: list[Refused] = []
        if view.oversized:
            refused.append(self._refused(OldRefusal.MALFORMED))  # no browser keeps a cookie that long
        for values in self._candidates(view):
            value = b"".join(values)
            try:
                old = self._judged(self._format.open(value), now)
            except Unreadable as unreadable:
                refused.append(self._refused(unreadable.reason, value))
                continue
            return Found(self.source, old.data, min(old.created, now), view.names, values)
        return max(refused, key=telling, default=None)

    def _refused(self, reason: OldRefusal, value: bytes = b"") -> Refused:
        return Refused(self.source, self.cookie, reason, value)

    def _candidates(self, view: CookieJarView) -> Iterable[tuple[bytes, ...]]:
        # The last first: browsers send cookies of longer paths, a neighbour's perhaps, before those of shorter ones.
        for value in reversed(view.singles):
            yield (value,)
        parts: list[bytes] = []
        while len(parts) in view.chunks:
            parts.append(view.chunks[len(parts)][-1])
            if len(parts[-1]) != self._format.chunk_size:
                break  # the last one; what follows is left over from a longer session
        if parts:
            yield tuple(parts)

    def _judged(self, old: Old, now: float) -> Old:
        if old.issued > now + SKEW:
            raise Unreadable(OldRefusal.NOT_YET_VALID)
        if now - old.issued > self._max_age:
            raise Unreadable(OldRefusal.EXPIRED)
        if self._absolute is not None and now >= old.created + self._absolute:
            raise Unreadable(OldRefusal.EXPIRED)
        if now >= self.until:
            raise Unreadable(OldRefusal.OVER)
        return old


def readers(config: SessionConfig) -> tuple[Reader, ...]:
    """Return the readers that a configuration asks for, in its order.

    Raises:
        ConfigurationError: if an old secret cannot be fetched.
    """
    return tuple(Reader(settings, config.absolute_max_age) for settings in config.migrations())
