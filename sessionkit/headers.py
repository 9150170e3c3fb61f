"""What a session has to do with response headers besides its cookies: caching and variance."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["sets_cookie", "shared", "vary_on_cookie"]


def shared(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Tell whether the application lets caches that serve several people store the response."""
    said = b",".join(value for name, value in headers if name.lower() == b"cache-control")
    directives = {directive.strip().partition(b"=")[0] for directive in said.lower().split(b",")}
    return not directives & {b"private", b"no-store"} and bool(directives & {b"public", b"s-maxage", b"max-age"})


def sets_cookie(header: tuple[bytes, bytes], names: frozenset[str]) -> bool:
    """Tell whether a header sets a cookie of one of these names."""
    name, value = header
    return name.lower() == b"set-cookie" and value.partition(b"=")[0].strip().decode("latin-1") in names


def vary_on_cookie(headers: list[tuple[bytes, bytes]]) -> None:
    """Add ``Cookie`` to ``Vary``, once, unless it says ``*``."""
    for name, value in headers:
        if name.lower() == b"vary" and {token.strip() for token in value.lower().split(b",")} & {b"cookie", b"*"}:
            return
    headers.append((b"vary", b"Cookie"))
