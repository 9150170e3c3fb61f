"""A thread that does what would keep a request waiting, in the order it was handed over.

Rules of this file:

* Whoever hands something over never waits: where there is no room it is refused, at once.
* The thread is made when it is first needed, by each process for itself: a forked child inherits neither the thread nor
  what waits for it, which the parent does.
* It is a daemon, so a sink that hangs cannot keep a process alive; a process that ends in order waits a moment for it.

Python's own ``QueueHandler`` and ``QueueListener`` do this for records of ``logging``. Ours are calls of a structlog
logger, whose processors need the caller's context variables, and what is refused must be counted.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CLOSE_TIMEOUT", "QueueFull", "Writer"]

CLOSE_TIMEOUT = 3.0
"""Seconds that the end waits for what is still to be written: less than the 5 s left to the actor before it, and both
together less than the 10 s that common process managers leave between the polite signal and the final one."""


class QueueFull(Exception):  # noqa: N818 - a word for the log, as of `queue.Full`
    """There is no room for another line: the sink is slower than what is said, or stands still."""


class Writer:
    """Does what it is given, one after the other, on a thread of its own.

    Args:
        places: how much may wait; each some 2 kB for a line of the audit log with its context.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._waiting: deque[Callable[[], object]] = deque()
        self._busy = False
        self._ending = False
        self._thread: threading.Thread | None = None

    def _own(self) -> None:
        """Begin anew in a forked child: a lock that another thread held at that moment would stay locked for ever."""
        if self._pid != os.getpid():
            self._begin()

    def __len__(self) -> int:
        """How much waits."""
        return len(self._waiting)

    @property
    def lags(self) -> bool:
        """Whether more than half of the places are taken."""
        return len(self._waiting) > self._places // 2

    def put(self, call: Callable[[], object]) -> None:
        """Have something done later.

        Raises:
            QueueFull: if there is no room.
            RuntimeError: if there can be no thread (any more).
        """
        self._own()
        with self._changed:
            if len(self._waiting) >= self._places:
                raise QueueFull
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="sessionkit-audit", daemon=True)
                thread.start()
                self._thread = thread
                atexit.register(self.close)
            self._ending = False
            self._waiting.append(call)
            self._changed.notify_all()

    def close(self, timeout: float = CLOSE_TIMEOUT) -> bool:
        """Wait until all is done, then let the thread end; what is put later begins another.

        Args:
            timeout: seconds to wait at most.

        Returns:
            Whether all was done.
        """
        self._own()
        with self._changed:
            done = self._changed.wait_for(lambda: not (self._waiting or self._busy), timeout)
            self._ending = True
            self._changed.notify_all()
        atexit.unregister(self.close)
        return done

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ending)
                if not self._waiting:
                    self._thread = None
                    return
                call = self._waiting.popleft()
                self._busy = True
            survives = False
            try:
                call()
                survives = True
            finally:
                del call  # or the last line would live until the next
                with self._changed:
                    self._busy = False
                    if not survives:
                        self._thread = None  # the next that is put has another
                    self._changed.notify_all()
