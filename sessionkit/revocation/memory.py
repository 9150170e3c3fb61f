"""A list of revocations in the memory of one process: for services of one process, and for tests.

Other processes know nothing of it, and it is empty after a restart.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sessionkit.backend.backend import system_clock
from sessionkit.revocation.expiring import Expiring
from sessionkit.revocation.lists import Standing

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CAPACITY", "MemoryRevocationList"]

CAPACITY = 100_000
"""Ended sessions, and again as many subjects, that are remembered at once: some 30 MB. Beyond, those go that had the
least time left."""


class MemoryRevocationList:
    """Keeps in this process what has ended. On asyncio and trio, on any thread.

    Args:
        clock: returns Unix seconds.
        capacity: sessions, and subjects, remembered at once.
    """

    __slots__ = ("_clock", "_lock", "_subjects", "_terminated")

    def __init__(self, *, clock: Callable[[], float] = system_clock, capacity: int = CAPACITY) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._terminated: Expiring[float] = Expiring(capacity)  # since when
        self._subjects: Expiring[float] = Expiring(capacity)

    def __repr__(self) -> str:
        """Show how much there is of it."""
        return f"<MemoryRevocationList: {len(self._terminated)} sessions, {len(self._subjects)} subjects>"

    async def start(self) -> None:
        """Do nothing: it needs no loop."""

    async def look(
        self, session: bytes | None, subject: bytes | None, *, terminate_for: float | None = None
    ) -> Standing:
        """Tell how a session and its subject stand; see ``RevocationList.look``."""
        now = self._clock()
        not_before = 0.0 if subject is None else self._subjects.get(subject, now) or 0.0
        if session is None:
            return Standing(not_before=not_before)
        with self._lock:  # of two threads that end it at once, one finds it alive
            terminated = self._terminated.get(session, now) is not None
            if terminate_for is not None:
                self._terminated.put(session, now, now + terminate_for, now)
        return Standing(terminated, not_before)

    async def revoke(self, subject: bytes, not_before: float, *, keep_for: float) -> None:
        """Revoke the sessions of a subject; see ``RevocationList.revoke``."""
        now = self._clock()
        with self._lock:
            latest = max(not_before, self._subjects.get(subject, now) or 0.0)
            self._subjects.put(subject, latest, now + keep_for, now)

    async def aclose(self) -> None:
        """Do nothing: what is known stays known."""
