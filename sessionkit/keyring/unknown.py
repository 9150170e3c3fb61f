"""Key ids that cookies named, that were looked for, and that are in no file: so that nobody looks for them again.

Rules of this file:

* What is known here is known of one state of the file and one ring in force. When either changes, it is forgotten.
* Bounded: 1,024 ids of four octets. When it is full the oldest one gives way. So a flood of made-up ids cannot lock out
  an id that another node does seal with; it costs what it costs anyhow, one look a second (``PROD_INTERVAL``).
* Written by one look at a time, read by anybody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CAPACITY", "UnknownKeys"]

CAPACITY = 1024
"""Ids kept at most: some 100 kB. Real ones come from pruned keys and from nodes ahead of us: a handful."""


class UnknownKeys:
    """Ids that were not found, under one state of a keyring file.

    Args:
        capacity: ids kept at most.
    """

    __slots__ = ("_capacity", "_ids", "_state")

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._ids: dict[bytes, None] = {}  # oldest first
        self._state: object = None

    def __contains__(self, kid: bytes) -> bool:
        """Tell whether an id was looked for and not found."""
        return kid in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def __repr__(self) -> str:
        """Show how many there are; they are what clients made up."""
        return f"<UnknownKeys: {len(self._ids)} of {self._capacity}>"

    def looked(self, state: object, kids: Iterable[bytes]) -> None:
        """Note that somebody looked for some ids in vain.

        Args:
            state: what was looked at, comparable; what was known of another state is forgotten.
            kids: the ids.
        """
        # Replaced whole, never emptied: another thread may be reading.
        ids = dict(self._ids) if state == self._state else {}
        for kid in kids:
            ids[kid] = None
        for oldest in list(ids)[: max(0, len(ids) - self._capacity)]:
            del ids[oldest]
        self._ids, self._state = ids, state
