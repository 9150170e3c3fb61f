"""The ``Cookie`` and ``Set-Cookie`` headers: our own names out of the one, our own fields into the other.

Rules of this file:

* Nothing a client sends raises. Values are handed on as octets; whether they mean anything is for the token to say.
* Work is linear in the header and bounded per name.
* A name is matched octet by octet, a chunk's number only in its canonical decimal form (``-0``, ``-10``; not ``-00``,
  ``-+1`` or digits of other scripts).
* Numbers: RFC 6265bis gives a cookie 4,096 octets for name and value (5.6), and 1,024 to each attribute value;
  Google's front end drops every Set-Cookie of a response in which one whole field exceeds 4,096, so ours stay at
  4,093; partitioned jars hold 10,240 octets a site (Chrome).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sessionkit.exceptions import SessionTooLargeError
from sessionkit.wire.chunking import capacity, split

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sessionkit.config import SessionConfig

__all__ = ["CHUNK_SIZE", "MAX_COOKIE", "MAX_OLD_CHUNKS", "CookieJarView", "CookieReader", "CookieWriter", "without"]

CHUNK_SIZE = 4096 - 64
"""Longest value of one cookie in octets, as the reference has it: 64 are left for name and attributes."""

MAX_COOKIE = 4096
"""Octets of name and value together (RFC 6265bis 5.6)."""

MAX_FIELD = 4093
"""Octets of one whole ``Set-Cookie`` value."""

MAX_PARTITION = 10_240
"""Octets of names and values in one partition (Chrome)."""

MAX_DUPLICATES = 4
"""Values looked at of one name: two paths and two domains can hold one each, the rest is somebody's joke.

It is the last ones that are looked at. Browsers send cookies of longer paths first (RFC 6265bis 5.8.3), so a neighbour
that sets one for every path it can think of does not crowd out ours, whose path is the shortest.
"""

MAX_OLD_CHUNKS = 16
"""Cookies named ``name-0``, ``name-1`` … that a session of another library (Litestar's) is looked for in."""

_ABSENT = frozenset({b"", b"null", b"deleted"})
"""Values that mean "no session": empty, and the clearing values of the reference and of others."""

_SINGLE = -1
"""Stands for the unnumbered cookie among the numbers."""

_EPOCH = "Thu, 01 Jan 1970 00:00:00 GMT"


class CookieJarView(NamedTuple):
    """What a request brought under one cookie name.

    Attributes:
        names: every name that came and is ours, the unnumbered one first, then by number.
        singles: different values of the unnumbered cookie, in order.
        chunks: different values by number.
        oversized: octets of the longest value left out because no cookie of ours can be that long; 0 if none was.
        size: octets of all Cookie fields together, foreign ones included.
    """

    names: tuple[str, ...]
    singles: tuple[bytes, ...]
    chunks: dict[int, list[bytes]]
    oversized: int
    size: int


class CookieReader:
    """Finds the cookies of one name.

    Args:
        name: the cookie's name.
        max_chunks: numbers from 0 to ``max_chunks - 1`` are ours.
    """

    __slots__ = ("_name", "_names", "_numbers")

    def __init__(self, name: str, max_chunks: int) -> None:
        self._name = name.encode("ascii")
        self._names = {_SINGLE: name} | {number: f"{name}-{number}" for number in range(max_chunks)}
        self._numbers = {text.encode("ascii"): number for number, text in self._names.items()}

    def read(self, fields: Iterable[bytes]) -> CookieJarView | None:
        """Return what the Cookie fields hold for this name, or ``None`` if there is nothing.

        Args:
            fields: the values of all Cookie header fields of one request (HTTP/2 may split it).
        """
        ours = self._numbers
        found: dict[int, list[bytes]] = {}
        oversized = size = 0
        for field in fields:
            size += len(field)
            if self._name not in field:
                continue
            for pair in field.split(b";"):
                key, separator, value = pair.partition(b"=")
                number = ours.get(key.strip(b" \t"))
                if number is None or not separator:
                    continue
                values = found.setdefault(number, [])
                value = value.strip(b" \t")
                if value[:1] == b'"' == value[-1:] and len(value) > 1:
                    value = value[1:-1]
                if len(value) > MAX_COOKIE:
                    oversized = max(oversized, len(value))
                # A last part may well spell "null", a whole token or a first part cannot.
                elif (value not in _ABSENT or (number > 0 and value)) and value not in values:
                    values.append(value)
                    del values[:-MAX_DUPLICATES]
        return self._view(found, oversized, size) if found else None

    def _view(self, found: dict[int, list[bytes]], oversized: int, size: int) -> CookieJarView:
        names = tuple(map(self._names.__getitem__, sorted(found)))
        singles = tuple(found.pop(_SINGLE, ()))
        if found:
            if not found.get(0):
                found = {number: [one for one in values if one not in _ABSENT] for number, values in found.items()}
            found = {number: values for number, values in found.items() if values}
        return CookieJarView(names, singles, found, oversized, size)


class CookieWriter:
    """Renders the cookies of one configuration.

    Attributes:
        single: octets that the unnumbered cookie's value may have.
        size: octets that a numbered cookie's value may have.
        limit: octets of the longest token that fits.
    """

    __slots__ = (
        "_alone",
        "_attributes",
        "_clear",
        "_max_chunks",
        "_numbered",
        "_old",
        "_ours",
        "_path",
        "_prefix",
        "_prefixes",
        "_rendered",
        "limit",
        "single",
        "size",
    )

    def __init__(self, config: SessionConfig) -> None:
        self._alone = (config.key,)
        self._prefix = f"{config.key}=".encode("ascii")
        self._numbered = tuple(f"{config.key}-{number}" for number in range(config.max_chunks))
        self._prefixes = tuple(f"{name}=".encode("ascii") for name in self._numbered)
        self._max_chunks = config.max_chunks
        self._path = f"; Path={config.path}"
        self._attributes = "".join(
            (
                f"; Domain={config.domain}" if config.domain else "",
                "; HttpOnly" if config.httponly else "",
                "; Secure" if config.secure else "",
                f"; SameSite={config.samesite.capitalize()}",
                "; Partitioned" if config.partitioned else "",
            )
        )
        self._clear = f"=null{self._path}; Max-Age=0; Expires={_EPOCH}{self._attributes}"
        self._ours = {config.key, *self._numbered}
        self._old = self._old_places(config)
        # The attributes of the Max-Age that was rendered last: mostly it is one and the same.
        self._rendered: tuple[int | None, bytes] = None, self._suffix(None).encode("ascii")
        # Any session may be given a Max-Age (``remember``), never a longer one than this.
        longest = len(self._suffix(config.max_age))
        self.single = self._room(len(config.key), longest)
        self.size = self._room(len(f"{config.key}-{config.max_chunks - 1}"), longest)
        self.limit = capacity(self.single, self.size, config.max_chunks)
        if config.partitioned:
            names = config.max_chunks * len(f"{config.key}-{config.max_chunks - 1}=")
            self.limit = min(self.limit, MAX_PARTITION - names)

    def _old_places(self, config: SessionConfig) -> dict[str, list[str]]:
        """Return what clears the cookies of other libraries, by name: also one of our name at another place."""
        here = (config.path, _host(config.domain), config.partitioned)
        places: dict[str, list[str]] = {}
        for old in config.migrate:
            clear = "".join(
                (
                    f"=null; Path={old.path}; Max-Age=0; Expires={_EPOCH}",
                    f"; Domain={old.domain}" if old.domain else "",
                    # Without these, browsers take no cookie of such a name, or of that jar.
                    "; Secure" if old.partitioned or old.name.startswith("__") else "",
                    "; Partitioned" if old.partitioned else "",
                )
            )
            for name in (old.name, *(f"{old.name}-{number}" for number in range(MAX_OLD_CHUNKS))):
                there = places.setdefault(name, [])
                if clear not in there and (
                    name not in self._ours or (old.path, _host(old.domain), old.partitioned) != here
                ):
                    there.append(clear)
        return places

    @staticmethod
    def _room(name: int, suffix: int) -> int:
        """Octets left for a value: 1 is for the equals sign."""
        return min(CHUNK_SIZE, MAX_COOKIE - name, MAX_FIELD - name - 1 - suffix)

    def _suffix(self, max_age: int | None) -> str:
        return f"{self._path}{'' if max_age is None else f'; Max-Age={max_age}'}{self._attributes}"

    def split(self, token: bytes) -> list[bytes]:
        """Cut a token into cookie values.

        Raises:
            SessionTooLargeError: if it does not fit; without the largest entries, which are not known here.
        """
        values = split(token, self.single, self.size)
        if len(token) > self.limit:
            raise SessionTooLargeError(
                size=len(token), limit=self.limit, chunks=len(values), max_chunks=self._max_chunks
            )
        return values

    def names(self, count: int) -> tuple[str, ...]:
        """Return the names of the cookies that ``count`` values go into."""
        return self._alone if count == 1 else self._numbered[:count]

    def set(self, values: Sequence[bytes], max_age: int | None) -> list[bytes]:
        """Return one ``Set-Cookie`` value for each of ``values``.

        Args:
            values: the cookie values, as ``split`` made them.
            max_age: seconds, or ``None`` for a browser-session cookie.
        """
        if len(values) == 1:
            return [self.lone(values[0], max_age)]
        suffix = self._rendered_suffix(max_age)
        prefixes = self._prefixes[: len(values)]  # strict: no value is ever left out for want of a name
        return [b"%b%b%b" % (prefix, value, suffix) for prefix, value in zip(prefixes, values, strict=True)]

    def lone(self, value: bytes, max_age: int | None) -> bytes:
        """Return the ``Set-Cookie`` value of a session that goes into one cookie; arguments as for ``set``."""
        rendered = self._rendered
        suffix = rendered[1] if rendered[0] == max_age else self._rendered_suffix(max_age)
        return b"%b%b%b" % (self._prefix, value, suffix)

    def _rendered_suffix(self, max_age: int | None) -> bytes:
        rendered = self._rendered
        if rendered[0] != max_age:
            # By a name of our own: another thread may render another one before we have read this one back.
            rendered = self._rendered = max_age, self._suffix(max_age).encode("ascii")
        return rendered[1]

    def clear(self, names: Iterable[str]) -> list[bytes]:
        """Return one ``Set-Cookie`` value for each of ``names`` that makes the browser drop it."""
        cleared: list[str] = []
        for name in names:
            if name in self._ours or name not in self._old:
                cleared.append(f"{name}{self._clear}")
            cleared.extend(f"{name}{place}" for place in self._old.get(name, ()))
        return [cookie.encode("ascii") for cookie in cleared]

    def clear_replaced(self, names: Iterable[str]) -> list[bytes]:
        """Return what clears another library's cookies of the names that ours are set under, at other places."""
        return [f"{name}{place}".encode("ascii") for name in names for place in self._old.get(name, ())]


def _host(domain: str | None) -> str:
    """Return a domain as browsers compare it: without a leading dot, in lower case."""
    return (domain or "").removeprefix(".").lower()


def without(fields: Iterable[bytes], values: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return Cookie fields without the cookies that have one of some values, quoted or not."""
    unwanted = {*values} | {b'"%b"' % value for value in values}
    return tuple(
        b";".join(pair for pair in field.split(b";") if pair.partition(b"=")[2].strip(b" \t") not in unwanted)
        for field in fields
    )
