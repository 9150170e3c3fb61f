"""Whether the list of revocations is worth asking now, and what is said of the times when it is not.

Rules of this file:

* After a few failures in a row nobody waits any more: requests are decided by the policy at once, and one a second asks
  whether the list is back.
* However often the list fails, that is said once a minute at most, and that it answers again likewise; the numbers in
  between add up, and each is told.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sessionkit.audit.events import RevocationListRecovered, RevocationListUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sessionkit.audit.events import Event

__all__ = ["FAILURES", "PAUSE", "QUIET", "Outage"]

FAILURES = 3
"""Failures in a row after which nobody waits any more. One answer that was late is no outage."""

PAUSE = 1.0
"""Seconds between two requests that look whether the list is back."""

QUIET = 60.0
"""Seconds between two lines that say that it is not."""


class Outage:
    """Counts what went wrong, and tells of it.

    Args:
        policy: what holds meanwhile, for the line.
        clock: returns Unix seconds.
    """

    __slots__ = (
        "_announced",
        "_clock",
        "_failed",
        "_in_a_row",
        "_lock",
        "_policy",
        "_since",
        "_told",
        "_tried",
        "_unchecked",
    )

    def __init__(self, policy: str, clock: Callable[[], float]) -> None:
        self._policy = policy
        self._clock = clock
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._tried = 0.0
        self._since: float | None = None  # when it first failed of all that is not told to be over
        self._announced = False
        self._told: float | None = None
        self._failed = self._unchecked = 0

    @property
    def on(self) -> bool:
        """Whether the last question had no answer."""
        return self._in_a_row > 0

    def lets_ask(self) -> bool:
        """Return whether somebody may ask now."""
        if self._in_a_row < FAILURES:
            return True
        with self._lock:
            now = self._clock()
            if 0 <= now - self._tried < PAUSE:  # else: also if the clock went back
                return False
            self._tried = now
            return True

    def note_unchecked(self) -> None:
        """Count a request that the policy decides in place of the list."""
        with self._lock:
            self._unchecked += 1

    def note_failure(self, error_type: str) -> Sequence[Event]:
        """Count a question without an answer; return what is to be said."""
        with self._lock:
            now = self._clock()
            self._in_a_row += 1
            self._failed += 1
            self._tried = now
            if self._since is None:
                self._since = now
            if self._announced or self._lately(now):
                return ()
            self._announced, self._told = True, now
        return (RevocationListUnavailable(error_type=error_type, policy=self._policy),)

    def note_answer(self) -> Sequence[Event]:
        """Take note of an answer; return what is to be said."""
        since = self._since
        if since is None:  # nearly always, so without the lock
            return ()
        with self._lock:
            now = self._clock()
            self._in_a_row = 0
            if not self._failed or (not self._announced and self._lately(now)):
                return ()  # another thread was faster; or it was said so lately that the numbers go into the next line
            failed, unchecked = self._failed, self._unchecked
            self._since, self._announced, self._failed, self._unchecked = None, False, 0, 0
        return (
            RevocationListRecovered(
                failures=failed, unchecked=unchecked, unavailable_for=round(max(0.0, now - since), 3)
            ),
        )

    def _lately(self, now: float) -> bool:
        """Tell whether it was said within the last minute that the list does not answer."""
        return self._told is not None and abs(now - self._told) < QUIET
