"""Asks the list of revocations: with a deadline, a small cache, and a rule for the time when it does not answer.

Rules of this file:

* What is known of a session is believed for ``cache`` seconds where it is read, and never where a cookie is written.
* That a session has ended is known in this process at once, also while the list is away: what could not be told to it
  is kept and told later.
* Under ``closed`` no answer is a refusal, under ``open`` what is known here holds, be it nothing. Who *revokes* is
  told in both cases.
* What the list raised is named by its class. Its text and its frames may hold an address, so errors of ours are raised
  outside of where it was caught.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import anyio

from sessionkit.exceptions import ConfigurationError
from sessionkit.revocation.expiring import Expiring
from sessionkit.revocation.lists import RevocationList, RevocationUnavailable, Standing
from sessionkit.revocation.outage import Outage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sessionkit.audit.events import Event
    from sessionkit.revocation.settings import RevocationConfig

__all__ = ["CACHED", "MOST_UNTOLD", "Guard"]

CACHED = 10_000
"""Answers about sessions, and again as many about subjects, that are kept at once: some 5 MB."""

ENDED_FOR = 60.0
"""Seconds for which it is believed that a session has ended: it never lives again."""

MOST_UNTOLD = 100_000
"""Ends that wait for the list at most: some 20 MB. Beyond, the oldest go untold."""

AT_ONCE = 8
"""Ends that are told along with one answer: they are in the way of the request that got it."""


class _Known(NamedTuple):
    """One answer, and since when it is known: a clock that is set back makes it unknown."""

    since: float
    terminated: bool = False
    not_before: float = 0.0


class Guard:
    """Stands between requests and a list.

    Args:
        revocations: the list.
        settings: what to believe, how long to wait, and what holds without an answer.
        clock: returns Unix seconds.
        emit: takes events.
    """

    __slots__ = (
        "_cache",
        "_clock",
        "_closed",
        "_emit",
        "_list",
        "_outage",
        "_sessions",
        "_subjects",
        "_timeout",
        "_untold",
    )

    def __init__(
        self,
        revocations: RevocationList,
        settings: RevocationConfig,
        *,
        clock: Callable[[], float],
        emit: Callable[[Iterable[Event]], None],
    ) -> None:
        self._list = revocations
        self._closed = settings.policy == "closed"
        self._cache = settings.cache
        self._timeout = settings.timeout
        self._clock = clock
        self._emit = emit
        self._outage = Outage(settings.policy, clock)
        self._sessions: Expiring[_Known] = Expiring(CACHED)
        self._subjects: Expiring[_Known] = Expiring(CACHED)
        self._untold: dict[bytes, float] = {}

    @property
    def unavailable(self) -> bool:
        """Whether the last question had no answer."""
        return self._outage.on

    async def standing(self, session: bytes | None, subject: bytes | None) -> Standing:
        """Return how a session and its subject stand, as far as it is known here, or as the list says.

        Raises:
            RevocationUnavailable: if there is no answer, and the policy is ``closed``.
        """
        known = self._known(session, subject)
        if known is not None:
            return known
        found = await self._ask(session, subject, None)
        return self._without_answer(found, self._believed(session, subject)) if isinstance(found, str) else found

    async def settle(
        self, session: bytes | None, subject: bytes | None, *, terminate_for: float | None, definite: bool
    ) -> Standing:
        """Return how they stand by the list itself, and end the session in the same step.

        Args:
            session: mark of the session.
            subject: mark of its subject.
            terminate_for: seconds for which to remember that it has ended.
            definite: it has ended in any case, also if there is no answer.

        Raises:
            RevocationUnavailable: if there is no answer, and the policy is ``closed``.
        """
        believed = self._believed(session, subject)
        found = await self._ask(session, subject, terminate_for)
        if session is not None and terminate_for is not None:
            if not isinstance(found, str):
                self._note_end(session)
            elif definite or not self._closed:
                self._keep_untold(session, self._clock() + terminate_for)
        if isinstance(found, str):
            return self._without_answer(found, believed)
        return Standing(found.terminated or believed.terminated, max(found.not_before, believed.not_before))

    async def revoke(self, subject: bytes, not_before: float, *, keep_for: float) -> None:
        """Revoke the sessions of a subject that began before a time (Unix seconds).

        Raises:
            RevocationUnavailable: if the list did not take it down, whatever the policy.
        """
        failure: str
        try:
            with anyio.fail_after(self._timeout):
                await self._list.revoke(subject, not_before, keep_for=keep_for)
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001 - a list may raise anything; told by its class alone
            failure = type(error).__name__
        else:
            now = self._clock()
            self._emit(self._outage.note_answer())
            self._subjects.put(subject, _Known(now, not_before=not_before), now + self._cache, now)
            return
        self._emit(self._outage.note_failure(failure))
        raise RevocationUnavailable(failure)

    async def start(self) -> None:
        """Get ready, and say so if the list is not: it is asked for a mark that nobody has.

        Raises:
            ConfigurationError: if the list cannot work on this loop.
        """
        await self._list.start()
        await self._ask(b"", None, None)

    async def aclose(self) -> None:
        """Tell what is untold, as far as the list takes it, and let go of it."""
        with anyio.move_on_after(self._timeout):
            while self._untold and not self._outage.on:
                await self._tell_untold()
        await self._list.aclose()

    # --- what is known here -------------------------------------------------------------------------------------------

    def _known(self, session: bytes | None, subject: bytes | None) -> Standing | None:
        """Return how they stand if that is known here, or enough of it to refuse."""
        now = self._clock()
        terminated, not_before = False, 0.0
        if session is not None:
            if session in self._untold:
                return Standing(terminated=True)
            known = self._sessions.get(session, now)
            if known is None or known.since > now:
                return None
            terminated = known.terminated
        if subject is not None and not terminated:
            known = self._subjects.get(subject, now)
            if known is None or known.since > now:
                return None
            not_before = known.not_before
        return Standing(terminated, not_before)

    def _believed(self, session: bytes | None, subject: bytes | None) -> Standing:
        """Return what is known here of either, be it little."""
        now = self._clock()
        one = None if session is None else self._sessions.get(session, now)
        other = None if subject is None else self._subjects.get(subject, now)
        return Standing(
            terminated=session in self._untold or (one is not None and one.terminated),
            not_before=0.0 if other is None else other.not_before,
        )

    def _learn(self, session: bytes | None, subject: bytes | None, found: Standing) -> None:
        """Keep an answer, unless more is known meanwhile: answers overtake each other."""
        now = self._clock()
        if session is not None:
            known = self._sessions.get(session, now)
            if found.terminated:
                self._note_end(session)
            elif known is None or not known.terminated:
                self._sessions.put(session, _Known(now), now + self._cache, now)
        if subject is not None:
            known = self._subjects.get(subject, now)
            latest = found.not_before if known is None else max(found.not_before, known.not_before)
            self._subjects.put(subject, _Known(now, not_before=latest), now + self._cache, now)

    def _note_end(self, session: bytes) -> None:
        now = self._clock()
        self._sessions.put(session, _Known(now, terminated=True), now + ENDED_FOR, now)

    # --- asking -------------------------------------------------------------------------------------------------------

    async def _ask(self, session: bytes | None, subject: bytes | None, terminate_for: float | None) -> Standing | str:
        """Return what the list says, or the class of what it raised.

        Raises:
            ConfigurationError: if the list cannot work on this loop.
        """
        if not self._outage.lets_ask():
            return "NotAsked"
        try:
            with anyio.fail_after(self._timeout):
                found = await self._list.look(session, subject, terminate_for=terminate_for)
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001 - a list may raise anything; told by its class alone
            failure = type(error).__name__
            self._emit(self._outage.note_failure(failure))
            return failure
        self._learn(session, subject, found)
        self._emit(self._outage.note_answer())
        if self._untold:
            await self._tell_untold()
        return found

    def _without_answer(self, failure: str, believed: Standing) -> Standing:
        """Return what holds without an answer: under ``open``, what is known here.

        Raises:
            RevocationUnavailable: under ``closed``.
        """
        self._outage.note_unchecked()
        if self._closed:
            raise RevocationUnavailable(failure)
        return believed

    def _keep_untold(self, session: bytes, until: float) -> None:
        self._untold[session] = until
        while len(self._untold) > MOST_UNTOLD:
            self._untold.pop(next(iter(self._untold)), None)

    async def _tell_untold(self) -> None:
        """Tell the list of some sessions that ended while it was away; what it does not take stays untold."""
        with anyio.move_on_after(self._timeout):
            for session in list(self._untold)[:AT_ONCE]:
                left = self._untold.get(session, 0.0) - self._clock()
                if left > 0:
                    try:
                        await self._list.look(session, None, terminate_for=left)
                    except Exception as error:  # noqa: BLE001 - as above
                        self._emit(self._outage.note_failure(type(error).__name__))
                        return
                    self._note_end(session)
                self._untold.pop(session, None)
