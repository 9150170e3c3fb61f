"""Serves without a mailbox: where no lifespan runs the actor, and on threads and loops that are not the actor's.

Rules of this file:

* One backend for all of them, behind a lock: a handler takes microseconds, which the interpreter would hand out one
  after another anyway, and so what every key did is counted in one place.
* Nobody wakes it: what it counted is told along with an answer once ``interval`` is over, or when it is asked to.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sessionkit.backend.messages import Message, Reload, Reply, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sessionkit.audit.events import Event
    from sessionkit.backend.backend import SessionBackend
    from sessionkit.keyring.keyring import Keyring

__all__ = ["InlineBackend"]


class InlineBackend:
    """Answers on whatever thread asks.

    Args:
        factory: makes the backend when it is asked for the first time, under the ring in force.
        ring: returns the ring in force.
        clock: returns Unix seconds.
        interval: seconds between tallies while it is asked.
    """

    __slots__ = ("_backend", "_clock", "_factory", "_interval", "_lock", "_ring", "_since")

    def __init__(
        self,
        factory: Callable[[], SessionBackend],
        ring: Callable[[], Keyring],
        *,
        clock: Callable[[], float],
        interval: float,
    ) -> None:
        self._factory = factory
        self._ring = ring
        self._clock = clock
        self._interval = interval
        self._lock = threading.Lock()
        self._backend: SessionBackend | None = None
        self._since = 0.0

    def handle(self, message: Message) -> tuple[Reply, Sequence[Event]]:
        """Answer one message under the ring in force, and tell now and then what each key did."""
        with self._lock:
            now = self._clock()
            backend = self._up_to_date()
            if backend is None:
                backend = self._backend = self._factory()
                self._since = now
            reply, told = backend.handle(message)
            if not 0 <= now - self._since < self._interval:  # also if the clock went back
                self._since = now
                told = (*told, *backend.handle(Tally())[1])
            return reply, told

    def tally(self) -> Sequence[Event]:
        """Return what each key did since that was told last."""
        with self._lock:
            backend = self._up_to_date()  # or it would tell of a ring that is not in force any more
            if backend is None:
                return ()
            self._since = self._clock()
            return backend.handle(Tally())[1]

    def _up_to_date(self) -> SessionBackend | None:
        """Return the backend under the ring in force, if there is one yet."""
        backend = self._backend
        if backend is not None and backend.keyring is not (ring := self._ring()):
            backend.handle(Reload(ring))
        return backend
