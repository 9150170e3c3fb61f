"""One token and several cookie values.

Rules of this file:

* ``b"".join(chunks)`` is the token: nothing is added, and base64url lets a cut fall anywhere.
* All chunks but the last have one length and the last is shorter. So the set tells its own end: a reader starts at
  chunk 0 and stops at the first shorter one. What an older, longer session left behind is never joined on, and a
  missing chunk is seen before any cryptography. (A count in front of chunk 0 would do the same, but would put octets
  into the cookies that are no part of the token.)
* There is one correct cut per length of token.
"""

from __future__ import annotations

from itertools import islice, product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["MAX_COMBINATIONS", "candidates", "capacity", "split"]

MAX_COMBINATIONS = 8
"""Ways to put together chunks of which several came under one name (a second Path or Domain, an injected cookie)."""


def capacity(single: int, size: int, max_chunks: int) -> int:
    """Return the octets of the longest token that fits.

    Args:
        single: octets that the one unnumbered cookie holds.
        size: octets that each numbered cookie holds; at least 2, at most ``single``.
        max_chunks: cookies allowed, at least 1.
    """
    return single if max_chunks == 1 else max(single, size * max_chunks - 1)


def split(token: bytes, single: int, size: int) -> list[bytes]:
    """Cut a token: ``single`` and ``size`` as in ``capacity``. One element: it goes into the unnumbered cookie."""
    length = len(token)
    if length <= single:
        return [token]
    # Were the last chunk as long as the rest, the set could not tell its end. One octet less makes it shorter:
    # length = k * size with 2 <= k < size - 1 leaves k octets over when cut by size - 1.
    step = size if length % size else size - 1
    return [token[start : start + step] for start in range(0, length, step)]


def candidates(chunks: Mapping[int, Sequence[bytes]]) -> Iterator[tuple[bytes, ...]]:
    """Yield the sets of values that could be one token, at most ``MAX_COMBINATIONS``.

    Args:
        chunks: values by index, in the order they came.
    """
    return islice(_sets(chunks), MAX_COMBINATIONS)


def _sets(chunks: Mapping[int, Sequence[bytes]]) -> Iterator[tuple[bytes, ...]]:
    for length in dict.fromkeys(len(first) for first in chunks.get(0, ())):
        runs = [[value for value in chunks[0] if len(value) == length]]
        for index in range(1, len(chunks)):
            values = chunks.get(index, ())
            last = [value for value in values if len(value) < length]
            if last:
                yield from product(*runs, last)
            full = [value for value in values if len(value) == length]
            if not full:
                break
            runs.append(full)
