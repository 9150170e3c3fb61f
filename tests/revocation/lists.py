"""A list of revocations that tells what it was asked, and that a test can take away."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import anyio

from sessionkit.revocation.memory import MemoryRevocationList

if TYPE_CHECKING:
    from sessionkit.revocation import Standing

__all__ = ["Asked", "Watched"]


class Asked(NamedTuple):
    """One question."""

    session: bytes | None
    subject: bytes | None
    terminate_for: float | None


class Watched(MemoryRevocationList):
    """A list in memory.

    Attributes:
        asked: every question, also those that found no answer.
        failure: what it raises instead of an answer.
        hangs: it never answers.
        held: it answers once this is set.
        closed: how often it was let go of.
    """

    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]  # as the list's own
        self.asked: list[Asked] = []
        self.failure: Exception | None = None
        self.hangs = False
        self.held: anyio.Event | None = None
        self.closed = 0

    async def _be_there(self) -> None:
        if self.held is not None:
            await self.held.wait()
        if self.hangs:
            await anyio.sleep_forever()
        if self.failure is not None:
            raise self.failure

    async def look(
        self, session: bytes | None, subject: bytes | None, *, terminate_for: float | None = None
    ) -> Standing:
        """Answer, or whatever the test wants."""
        self.asked.append(Asked(session, subject, terminate_for))
        await self._be_there()
        return await super().look(session, subject, terminate_for=terminate_for)

    async def revoke(self, subject: bytes, not_before: float, *, keep_for: float) -> None:
        """Take it down, or whatever the test wants."""
        await self._be_there()
        await super().revoke(subject, not_before, keep_for=keep_for)

    async def aclose(self) -> None:
        """Count it."""
        self.closed += 1
