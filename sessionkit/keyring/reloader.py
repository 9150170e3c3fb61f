"""Keeps the ring in force up to date with its file, without ever serving a bad one.

Rules of this file:

* The folder is watched (Kubernetes swaps the ``..data`` link, editors rename) and the file is polled as well, since
  watching fails silently on network and overlay file systems. SIGHUP and an unknown key id make it look, too.
* Read once, parse what was read, check it against the ring in force, try every key, then hand it over whole.
* Whatever goes wrong keeps the ring in force. It is said when it begins, when it changes, and every minute.
"""

from __future__ import annotations

import hashlib
import random
import signal
import threading
from typing import TYPE_CHECKING, NoReturn

import anyio
from anyio import to_thread

from sessionkit.audit import events
from sessionkit.audit.events import Event, timestamp
from sessionkit.exceptions import ConfigurationError, KeyringError, SessionKitError
from sessionkit.keyring import file, safety, succession
from sessionkit.keyring.admission import refuse_ahead, self_test
from sessionkit.keyring.key import KeyState
from sessionkit.keyring.unknown import UnknownKeys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from pathlib import Path

    from sessionkit.keyring.key import Key
    from sessionkit.keyring.keyring import Keyring
    from sessionkit.keyring.safety import Violation

__all__ = ["POLL_INTERVAL", "Reloader", "key_events", "watch_folder"]

POLL_INTERVAL = 5.0
"""Seconds between looks where watching works, give or take a fifth, so that a fleet does not look in step."""

UNWATCHED_INTERVAL = 0.5
"""Seconds between looks where watching does not work: a new ring still takes over within a second."""

_UNASKED = frozenset({"poll", "unknown_key"})
"""Triggers that say nothing of the file. What was refused is not tried again for them before ``POLL_INTERVAL``: only
the source of a secret can have changed, and its command may take seconds."""

PROD_INTERVAL = 1.0
"""Seconds between looks that unknown key ids can cause, however many come."""

REPEAT_INTERVAL = 60.0
"""Seconds between repetitions of one and the same refusal."""


async def watch_folder(path: Path) -> AsyncIterator[None]:
    """Yield whenever something changes in the folder of ``path``."""
    from watchfiles import awatch  # noqa: PLC0415 - loads a native library that inline service never needs

    # 50 ms of quiet, 400 ms at the most: within a second of the change, and once for a burst of renames. Cancellation
    # waits for the library's thread, which returns every 250 ms; by its default it would hold up a shutdown for 5 s.
    async for _ in awatch(path.parent, watch_filter=None, debounce=400, step=50, rust_timeout=250, recursive=False):
        yield


class Reloader:
    """Looks after one keyring file.

    Args:
        path: the file.
        keyring: the ring in force, as read from it.
        adopt: puts another ring in force; awaited, and returns when that was, in Unix seconds.
        suits: raises ``ConfigurationError`` if a ring does not suit what it is used for.
        emit: takes events.
        clock: returns Unix seconds.
        watch: yields when the file may have changed.
    """

    def __init__(
        self,
        path: Path,
        keyring: Keyring,
        *,
        adopt: Callable[[Keyring], Awaitable[float]],
        suits: Callable[[Keyring], None],
        emit: Callable[[Iterable[Event]], None],
        clock: Callable[[], float],
        watch: Callable[[Path], AsyncIterator[None]] = watch_folder,
    ) -> None:
        self.path = path
        self._keyring = keyring
        self._adopt = adopt
        self._suits = suits
        self._emit = emit
        self._clock = clock
        self._watch = watch
        self._watching = False
        self._look_lock = threading.Lock()
        self._seen: bytes | None = None
        self._looked_at: bytes | None = None
        self._tried: bytes | None = None
        self._next_try = 0.0
        self._wake: anyio.Event | None = None
        self._thread = 0
        self._unknown = UnknownKeys()
        self._asked_for: list[bytes] = []
        self._trigger = "poll"
        self._next_look = self._next_prod = 0.0
        self._failures = 0
        self._failing_since = self._next_report = 0.0
        self._problem: str | None = None

    @property
    def consecutive_failures(self) -> int:
        """Looks in a row that found a file it refused; 0 while all is well."""
        return self._failures

    # --- hosted: a task of its own ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look whenever there may be news, until cancelled."""
        self._wake = anyio.Event()
        self._thread = threading.get_ident()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._follow)
                tasks.start_soon(self._listen)
                await self._keep_looking()
        finally:
            self._wake = None

    async def _keep_looking(self) -> NoReturn:
        trigger = "start"
        while True:
            self._wake = anyio.Event()
            await self.look(trigger)
            interval = POLL_INTERVAL * _spread() if self._watching else UNWATCHED_INTERVAL
            trigger = "poll"
            with anyio.move_on_after(interval):
                await self._wake.wait()
                trigger = self._trigger

    async def _follow(self) -> None:
        self._watching = True
        try:
            async for _ in self._watch(self.path):
                self._rouse("watch")
        except Exception:  # noqa: BLE001, S110 - no folder, no inotify instances left, no native library
            pass
        # Polling goes on, faster from now on.
        self._watching = False
        self._rouse("poll")

    async def _listen(self) -> None:
        """Look on SIGHUP, if nobody else has claimed it."""
        if not hasattr(signal, "SIGHUP") or threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL:
            return
        try:
            with anyio.open_signal_receiver(signal.SIGHUP) as hangups:
                async for _ in hangups:
                    self._rouse("signal")
        except (NotImplementedError, RuntimeError, ValueError):
            # A loop, or an interpreter within an interpreter, that takes no signals.
            return

    def _rouse(self, trigger: str) -> None:
        self._trigger = trigger
        if self._wake is not None:
            self._wake.set()

    def prod(self, kid: bytes) -> bool:
        """Ask for a look because a cookie names a key that is not in the ring; at most one a second.

        An id that was looked for in vain causes no further look until the file or the ring in force is another.

        Args:
            kid: the id that the cookie names; a client may have made it up.

        Returns:
            Whether a look is due.
        """
        if kid in self._unknown:
            return False
        now = self._clock()
        if self._next_prod - PROD_INTERVAL <= now < self._next_prod:
            return False
        self._next_prod = now + PROD_INTERVAL
        self._asked_for.append(kid)
        self._next_look = now
        self._trigger = "unknown_key"
        if self._thread == threading.get_ident():
            self._rouse("unknown_key")
        return True

    # --- inline: now and then, within a request -----------------------------------------------------------------------

    async def look_if_due(self) -> None:
        """Look if the last look was longer ago than the polling interval of a service that cannot watch."""
        now = self._clock()
        if self._next_look - UNWATCHED_INTERVAL <= now < self._next_look:
            return
        self._next_look = now + UNWATCHED_INTERVAL
        trigger, self._trigger = self._trigger, "poll"
        await self.look(trigger)

    # --- one look -----------------------------------------------------------------------------------------------------

    async def look(self, trigger: str) -> None:
        """Read the file and put its ring in force if it is another one, valid, and safe after the one in force."""
        if not self._look_lock.acquire(blocking=False):
            return
        try:
            await self._look(trigger)
        finally:
            self._look_lock.release()

    async def _look(self, trigger: str) -> None:
        began = self._clock()
        self._looked_at = None
        asked_for, self._asked_for = self._asked_for, []
        try:
            news = await to_thread.run_sync(self._read, trigger)
            if news is None:
                self._not_found(asked_for)
                return
            found, fingerprint, risks = news
            since = await self._adopt(found)
        except SessionKitError as error:
            self._report(error, trigger)
            self._not_found(asked_for)
            return
        except Exception as error:  # noqa: BLE001 - a worker must outlive any file; the type alone, its text may quote it
            self._report(_Unforeseen(type(error).__name__), trigger)
            self._not_found(asked_for)
            return
        # Not before: a request that looks may be cancelled, and what it has read would never be looked at again.
        self._seen = fingerprint
        before, self._keyring = self._keyring, found
        self._not_found(())
        self._recovered()
        self._emit(_reloaded(before, found, trigger, began, self._clock()))
        self._emit(key_events(before, found, since))
        self._emit(_unsafe(found, risks))

    def _not_found(self, kids: Iterable[bytes]) -> None:
        """Note ids that this look has not brought; it has also seen whether what is known of others still holds."""
        self._unknown.looked((self._looked_at, self._keyring.digest), kids)

    def _read(self, trigger: str) -> tuple[Keyring, bytes, tuple[Violation, ...]] | None:
        """Return another ring than the one in force, with its file's fingerprint and what it puts at risk.

        Runs in a worker thread.
        """
        data = file.read_bytes(self.path)
        fingerprint = self._looked_at = hashlib.sha256(data).digest()
        if fingerprint == self._seen and not self._failures:
            return None
        now = self._clock()
        resting = fingerprint == self._tried and self._next_try - POLL_INTERVAL <= now < self._next_try
        if resting and trigger in _UNASKED:
            return None
        self._tried, self._next_try = fingerprint, now + POLL_INTERVAL
        found = file.parse(data, self.path)
        if found.digest == self._keyring.digest:
            self._seen = fingerprint
            self._recovered()
            return None
        risks = refuse_unsafe(self._keyring, found, now, self.path)
        refuse_ahead(found, now, self.path)
        self._suits(found)
        self_test(found)
        return found, fingerprint, risks

    def _recovered(self) -> None:
        if self._failures:
            ring, stale_for = self._keyring, max(0.0, self._clock() - self._failing_since)
            self._emit(
                (
                    events.KeyringRecovered(
                        digest=ring.digest,
                        generation=ring.generation,
                        failures=self._failures,
                        stale_for=round(stale_for, 3),
                    ),
                )
            )
        self._failures = 0
        self._problem = None

    def _report(self, error: SessionKitError, trigger: str) -> None:
        now = self._clock()
        problem = error.problem if isinstance(error, ConfigurationError) else str(error)
        if not self._failures:
            self._failing_since = now
        self._failures += 1
        if problem == self._problem and self._next_report - REPEAT_INTERVAL <= now < self._next_report:
            return
        self._problem = problem
        self._next_report = now + REPEAT_INTERVAL
        line = error.line if isinstance(error, ConfigurationError) else None
        self._emit(
            (
                events.KeyringReloadFailed(
                    error_type=type(error).__name__,
                    location=self.path.name if line is None else f"{self.path.name}:{line}",
                    problem=problem,
                    digest=self._keyring.digest,
                    generation=self._keyring.generation,
                    consecutive_failures=self._failures,
                    stale_for=round(max(0.0, now - self._failing_since), 3),
                    trigger=trigger,
                ),
            )
        )


def _spread() -> float:
    return random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, keeps no secret


class _Unforeseen(SessionKitError):  # noqa: N818 - never raised, only told
    """Stands for an error whose text may quote the file."""


def refuse_unsafe(before: Keyring, found: Keyring, now: float, path: Path) -> tuple[Violation, ...]:
    """Refuse a ring that must not follow the one in force, and return what else it breaks, to be told.

    The check is that of ``sessionkit keyring check``. But a node sees a publish late, does not know what its operator
    knows, and would lose sessions itself if it alone refused what all others serve. So it demands what every node with
    the same ring in force demands as well, and what costs no session while they all do:

    * Generations (C2): one that goes backwards, or two rings under one generation, is never accepted.
    * C1, each side reads what the other writes: of the very next generation alone. A node that missed one cannot judge.

    What was ended and would go on (E1) is taken: a key that was revoked by mistake must have a way back.
    Keys that take over or go sooner than their dates allow (C2, C3) are taken: the operator may have seen by digests or
    in the log that all is well, or wants it so (``--force``). Moves to and fro (C4) lose nothing.

    Args:
        before: the ring in force.
        found: the ring to follow it.
        now: Unix seconds.
        path: the file, for the error.

    Raises:
        KeyringError: naming the condition.
    """
    missed_one = found.generation > before.generation + 1
    told = safety.check(before, found, now, loading=True)
    for violation in told:
        whole = violation.kid is None and violation.condition != "E1"
        if whole or (violation.condition == "C1" and not missed_one):
            raise KeyringError(
                violation.condition, violation.reason, violation.remedy, label=violation.label, path=path
            )
    return told


def _reloaded(before: Keyring, found: Keyring, trigger: str, began: float, now: float) -> list[Event]:
    return [
        events.KeyringReloaded(
            digest=found.digest,
            previous_digest=before.digest,
            generation=found.generation,
            active_kid=found.active(now).kid,
            staged=found.counts()[KeyState.STAGED],
            retired=found.counts()[KeyState.RETIRED],
            revoked=found.counts()[KeyState.REVOKED],
            trigger=trigger,
            duration=round(max(0.0, now - began), 6),
        )
    ]


def _unsafe(found: Keyring, risks: Iterable[Violation]) -> list[Event]:
    return [
        events.KeyringUnsafe(
            condition=risk.condition,
            problem=risk.reason,
            digest=found.digest,
            generation=found.generation,
            kid=risk.kid,
            label=risk.label,
        )
        for risk in risks
    ]


def key_events(before: Keyring, found: Keyring, now: float, since: float | None = None) -> list[Event]:
    """Return what happened to each key between two rings, or to one ring by time alone.

    A staged key that has taken over by its time is active, also where the file does not say so yet.

    Args:
        before: the older ring.
        found: the newer ring; the same one for what its keys' times brought about.
        now: Unix seconds; tells a prune that came early.
        since: when the older ring was last looked at, in Unix seconds; now by default.
    """
    told: list[Event] = []
    earlier_ring = succession.settle(before, now if since is None else since)
    for key in succession.settle(found, now).keys:
        earlier = earlier_ring.find(key.id)
        if earlier is None or earlier.state is not key.state:
            told.append(_key_event(key, found))
    told.extend(
        events.KeyPruned(
            kid=key.kid,
            label=key.label,
            state=key.state.value,
            digest=found.digest,
            generation=found.generation,
            prune_after=None if key.prune_after is None else timestamp(key.prune_after),
            early=key.state is not KeyState.REVOKED and key.prune_after is not None and now < key.prune_after,
        )
        for key in earlier_ring.keys
        if found.find(key.id) is None
    )
    return told


def _key_event(key: Key, ring: Keyring) -> Event:
    kid, label, state, digest, generation = key.kid, key.label, key.state.value, ring.digest, ring.generation
    match key.state:
        case KeyState.STAGED:
            activates = None if key.activates is None else timestamp(key.activates)
            return events.KeyStaged(
                kid=kid, label=label, state=state, digest=digest, generation=generation, activates_at=activates
            )
        case KeyState.ACTIVE:
            return events.KeyActivated(kid=kid, label=label, state=state, digest=digest, generation=generation)
        case KeyState.RETIRED:
            prune_after = None if key.prune_after is None else timestamp(key.prune_after)
            return events.KeyRetired(
                kid=kid, label=label, state=state, digest=digest, generation=generation, prune_after=prune_after
            )
        case _:
            return events.KeyRevoked(kid=kid, label=label, state=state, digest=digest, generation=generation)
