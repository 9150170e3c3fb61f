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

from itertools import chain, product
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
        size: octets that each numbered cookie holds; more than ``max_chunks``, at most ``single``.
        max_chunks: cookies allowed, at least 1.
    """
    return single if max_chunks == 1 else max(single, size * max_chunks - 1)


def split(token: bytes, single: int, size: int) -> list[bytes]:
    """Cut a token: ``single`` and ``size`` as in ``capacity``. One element: it goes into the unnumbered cookie."""
    length = len(token)
    if length <= single:
        return [token]
    # Were the last chunk as long as the rest, the set could not tell its end. One octet less makes it shorter:
    # length = k * size leaves k octets over when cut by size - 1; k < max_chunks < size, hence k < size - 1.
    step = size if length % size else size - 1
    return [token[start : start + step] for start in range(0, length, step)]


def candidates(chunks: Mapping[int, Sequence[bytes]]) -> tuple[tuple[bytes, ...], ...]:
    """Return the sets of values that could be one token, at most ``MAX_COMBINATIONS``.

    Args:
        chunks: values by index, in the order they came.
    """
    choices = tuple(_choices(chunks))
    # Browsers send cookies of a longer path first and older ones first, so whole sets come in step: the first of each
    # index belong together, and so do the last of each where an index has fewer.
    in_step = (
        parts
        for choice in choices
        for values in (choice, [each[::-1] for each in choice])
        for parts in zip(*values, strict=False)
    )
    found: dict[tuple[bytes, ...], None] = {}
    for parts in chain(in_step, chain.from_iterable(product(*choice) for choice in choices)):
        found[parts] = None
        if len(found) == MAX_COMBINATIONS:
            break
    return tuple(found)


def _choices(chunks: Mapping[int, Sequence[bytes]]) -> Iterator[list[list[bytes]]]:
    """Yield the values to choose from, index by index, for each length and each end that a token may have."""
    for length in dict.fromkeys(len(first) for first in chunks.get(0, ())):
        runs = [[value for value in chunks[0] if len(value) == length]]
        for index in range(1, len(chunks)):
            values = chunks.get(index, ())
            last = [value for value in values if len(value) < length]
            if last:
                yield [*runs, last]
            full = [value for value in values if len(value) == length]
            if not full:
                break
            runs.append(full)
