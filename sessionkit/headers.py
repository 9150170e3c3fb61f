"""What a session has to do with response headers besides its cookies: caching and variance."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ORDINARY", "Survey", "sets_cookie", "survey"]

_CACHE_CONTROL, _SET_COOKIE, _VARY = b"cache-control", b"set-cookie", b"vary"


class Survey(NamedTuple):
    """What the application's headers say that matters to a session.

    Attributes:
        cached: there is a ``Cache-Control``.
        shared: it lets caches that serve several people store the response.
        sets_cookies: there is a ``Set-Cookie``.
        varies: ``Vary`` names ``Cookie`` already, or says ``*``.
    """

    cached: bool = False
    shared: bool = False
    sets_cookies: bool = False
    varies: bool = False


ORDINARY = Survey()
"""They say nothing of it."""

_LENGTHS = frozenset(map(len, (_CACHE_CONTROL, _SET_COOKIE, _VARY)))
_name_of = itemgetter(0)


def survey(headers: Sequence[tuple[bytes, bytes]]) -> Survey:
    """Look once at all headers of a response, on the way of every session: by length first, hardly any has these."""
    if _LENGTHS.isdisjoint(map(len, map(_name_of, headers))):
        return ORDINARY
    said: list[bytes] = []
    sets_cookies = varies = False
    for name, value in headers:
        length = len(name)
        if length == len(_SET_COOKIE):
            sets_cookies = sets_cookies or name.lower() == _SET_COOKIE
        elif length == len(_CACHE_CONTROL):
            if name.lower() == _CACHE_CONTROL:
                said.append(value)
        elif length == len(_VARY) and name.lower() == _VARY:
            varies = varies or bool({token.strip() for token in value.lower().split(b",")} & {b"cookie", b"*"})
    if not (said or sets_cookies or varies):
        return ORDINARY
    return Survey(bool(said), bool(said) and _shared(b",".join(said)), sets_cookies, varies)


def _shared(said: bytes) -> bool:
    directives = {directive.strip().partition(b"=")[0] for directive in said.lower().split(b",")}
    return not directives & {b"private", b"no-store"} and bool(directives & {b"public", b"s-maxage", b"max-age"})


def sets_cookie(header: tuple[bytes, bytes], names: frozenset[str]) -> bool:
    """Tell whether a header sets a cookie of one of these names."""
    name, value = header
    return name.lower() == _SET_COOKIE and value.partition(b"=")[0].strip().decode("latin-1") in names
