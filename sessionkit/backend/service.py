"""Hosts the backend: the actor and its keyring's reloader inside a lifespan, or the same behaviour inline without one.

Rules of this file:

* One way in, ``ask``, wherever the caller runs: on the actor's loop, on another one, with or without a host.
* Whatever happens is told to the audit log here; the core only builds events.
* Nothing of a process is made at import: after a fork, each worker has an actor and an instance name of its own.
"""

from __future__ import annotations

import math
import os
import threading
from contextlib import asynccontextmanager, suppress
from functools import cache
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from anyio import to_thread

from sessionkit.audit import events
from sessionkit.audit.events import Event, Level
from sessionkit.audit.log import FLUSH_INTERVAL, AuditLog, Sink
from sessionkit.audit.pseudonyms import Pseudonyms
from sessionkit.backend import lifecycle
from sessionkit.backend.actor import Actor
from sessionkit.backend.backend import SessionBackend, system_clock
from sessionkit.backend.inline import InlineBackend
from sessionkit.backend.lifecycle import ActorState, Lifecycle
from sessionkit.backend.messages import Message, Rejected, Reload, Reply, Tally
from sessionkit.backend.trail import Trail
from sessionkit.exceptions import (
    ActorError,
    ConfigurationError,
    KeyringError,
    MessageFailed,
    RejectReason,
    SerializationError,
)
from sessionkit.keyring.admission import refuse_ahead, self_test
from sessionkit.keyring.key import KeyState
from sessionkit.keyring.keyring import Keyring
from sessionkit.keyring.reloader import Reloader, key_events, watch_folder
from sessionkit.keyring.source import looks_like_secret
from sessionkit.keyring.succession import next_takeover
from sessionkit.migrate.reader import readers
from sessionkit.revocation.gate import Gate, list_of
from sessionkit.revocation.memory import MemoryRevocationList
from sessionkit.revocation.settings import RevocationConfig
from sessionkit.wire.serializer import Serializer
from sessionkit.wire.token import named_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from sessionkit.config import SessionConfig
    from sessionkit.revocation.lists import RevocationList

__all__ = ["SessionService"]

TALLY_INTERVAL = 60.0
"""Seconds between ``keyring.key_usage`` events while keys are in use."""

TALLIES_A_FULL_ONE = 60
"""Every so many tallies all keys are told of, also those that did nothing: hourly."""

TAKEOVER_CHECK = 5.0
"""Seconds at most between looks at whether a key's time has come: clocks are set, and rings change, meanwhile."""

_TICK = 0.01
"""Seconds at least between those looks: a timer may wake a moment too soon by the clock."""


class SessionService:
    """Answers messages about sessions, and keeps the ring up to date.

    Args:
        keyring: a ring, the path of a keyring file, or one secret of 16, 24 or 32 octets. Without one, the path that
            the configuration names.
        config: settings.
        clock: returns Unix seconds.
        logger: where audit lines go; by default ``structlog.get_logger("sessionkit")``.
        in_place: let an idle actor serve in the caller's task.
        watch: yields when the keyring file may have changed.
        revocations: the list of revocations, in place of the one that the configuration names.

    Attributes:
        gate: what the list of revocations is asked by; ``None`` without one.
        hosted: whether a lifespan hosts the service now, or is about to.
        told_insecure: whether it was said that a Secure cookie went over plain HTTP.

    Raises:
        ConfigurationError: if there is no keyring, it cannot be used, or it does not suit the configuration.
    """

    def __init__(
        self,
        keyring: Keyring | str | PathLike[str] | bytes | None,
        config: SessionConfig,
        *,
        clock: Callable[[], float] = system_clock,
        logger: Sink | None = None,
        in_place: bool = True,
        watch: Callable[[Path], AsyncIterator[None]] = watch_folder,
        revocations: RevocationList | None = None,
    ) -> None:
        self._encoders = dict(config.type_encoders)  # one for all who serialise here, now and later; see ``learn``
        self.config = config.model_copy(update={"type_encoders": self._encoders})
        self.hosted = False
        self.told_insecure = False
        self._clock = clock
        self._keyring, path = _resolve(config.keyring if keyring is None else keyring)
        SessionBackend.check(config, self._keyring)
        refuse_ahead(self._keyring, clock(), path)
        self_test(self._keyring)
        self._refs = Pseudonyms(config.audit.key_octets() or _process_key())
        self.trail = Trail(config.audit, self._refs)
        self._readers = readers(config)
        self._serializer = Serializer(self._encoders)
        self.log = AuditLog(Level[config.audit.level.upper()], clock=clock, logger=logger, queue=config.audit.queue)
        self.gate = self._gate(revocations)
        self._inline = InlineBackend(self._behaviour, lambda: self._keyring, clock=clock, interval=TALLY_INTERVAL)
        self._actor: Actor[Message, Reply, Event] = Actor(
            self._behaviour,
            elsewhere=self._inline,
            on_events=self.log.emit,
            on_life=self._tell_life,
            in_place=in_place,
        )
        self._reloader = (
            None
            if path is None
            else Reloader(
                path,
                self._keyring,
                adopt=self._adopt,
                suits=self._suits,
                emit=self.log.emit,
                clock=clock,
                watch=watch,
            )
        )
        self._source = "code" if path is None else path.name
        self._announced = self._announced_inline = False
        self._takeover_lock = threading.Lock()
        self._told_of = self._keyring  # what its keys' times have brought about is told …
        self._told_until = 0.0  # … up to here
        self._takeover_ahead = False
        self._next_takeover = math.inf  # when there will be more to tell; never before the ring is announced

    def __repr__(self) -> str:
        """Show the cookie's name, the ring and the actor's state."""
        return f"<SessionService {self.config.key!r} {self._keyring!r} {self._actor.stats().state}>"

    @property
    def keyring(self) -> Keyring:
        """The ring in force."""
        return self._keyring

    def stats(self) -> dict[str, Any]:
        """Return figures of the actor, of the ring and of the log, without waiting; fit for a health page."""
        stats = self._actor.stats()
        figures = {name: getattr(stats, name) for name in stats.__slots__ if name != "behaviour"}
        unhosted = {"digest": self._keyring.digest, "generation": self._keyring.generation}
        return {
            **figures,
            "state": stats.state.value,
            **(unhosted if stats.state in _UNHOSTED else stats.behaviour),
            "reload_failures": 0 if self._reloader is None else self._reloader.consecutive_failures,
            "audit_failures": self.log.failures,
            "audit_waiting": self.log.waiting,
            "revocation_unavailable": self.gate is not None and self.gate.unavailable,
        }

    def differs(self, value: object, stored: bytes) -> bool:
        """Return whether a session's value is another than a stored payload; also if it could not be stored at all."""
        try:
            payload = b"{}" if value is None else self._serializer.dump(value)[0]
        except SerializationError:
            return True
        return not self._serializer.same(payload, stored)

    def learn(self, encoders: Mapping[type, Callable[[Any], Any]]) -> None:
        """Take over how an application turns values of further types into plain data, where nothing is known yet.

        For frameworks whose applications are complete only after their middleware is made.
        """
        for kind, encoder in encoders.items():
            self._encoders.setdefault(kind, encoder)

    # --- asking -------------------------------------------------------------------------------------------------------

    def answer_now(self, message: Message) -> Reply | None:
        """Answer at once if the actor is idle; ``None`` if it is not, or there is none: ``ask`` then.

        Raises:
            ActorError: if it cannot be answered.
        """
        if self._takeover_ahead and self._clock() >= self._next_takeover:
            self._tell_takeover()
        answered = self._actor.answer_now(message)
        if answered is None:
            return None
        reply = answered[0]
        if type(reply) is Rejected:
            self._look_for(reply)
        return reply

    async def ask(self, message: Message) -> Reply:
        """Have a message answered.

        Raises:
            ActorError: if it cannot be answered now.
        """
        if self._takeover_ahead and self._clock() >= self._next_takeover:
            self._tell_takeover()
        if self._actor.state in _UNHOSTED:
            reply = await self._ask_inline(message)
        else:
            reply = await self._actor.ask(message)
        if type(reply) is Rejected:
            self._look_for(reply)
        return reply

    def _look_for(self, rejected: Rejected) -> None:
        """Have the file looked at for a key that is not in the ring."""
        if rejected.reason is RejectReason.UNKNOWN_KEY and self._reloader is not None:
            self._reloader.prod(named_key(rejected.value))

    async def _ask_inline(self, message: Message) -> Reply:
        if self._reloader is not None:
            await self._reloader.look_if_due()
        self._announce_inline()
        try:
            reply, told = self._inline.handle(message)
        except Exception as error:  # noqa: BLE001 - as the actor does it: the type alone, never chained
            failure = MessageFailed(type(error).__name__)
        else:
            self.log.emit(told)
            self.log.tick()  # no timer runs here: summaries come with the next request
            return reply
        self.log.emit(
            (
                events.ActorMessageFailed(
                    message_type=type(message).__name__, error_type=failure.error_type, where="inline"
                ),
            )
        )
        del message
        raise failure

    def _announce_inline(self) -> None:
        if self._announced_inline:
            return
        self._announced_inline = True
        self._announce()
        stopped = self._actor.state is not ActorState.NEW
        self.log.emit((events.ActorInline(reason="stopped" if stopped else "no_lifespan"),))

    # --- hosting ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def host(self) -> AsyncIterator[None]:
        """Run the actor, the reloader and the tallies while the body runs.

        Raises:
            Exception: what the body raises, as it is and in no group.
        """
        failure: Exception | None = None
        # Said before anything is awaited: a second lifespan may begin meanwhile.
        self.hosted = True
        try:
            async with anyio.create_task_group() as tasks:
                try:
                    if self.gate is not None:
                        await self.gate.start()
                    await tasks.start(self._actor.run)
                    try:
                        self._announce()
                        if self._reloader is not None:
                            tasks.start_soon(self._reloader.run)
                        tasks.start_soon(self._tally)
                        tasks.start_soon(self._flush)
                        tasks.start_soon(self._await_takeovers)
                        yield
                    finally:
                        await self._end()
                except Exception as error:  # noqa: BLE001 - raised again below, where no task group wraps it
                    failure = error
                tasks.cancel_scope.cancel()
        finally:
            self.hosted = False
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # or the error would hold this frame, and this frame the error

    async def _end(self) -> None:
        """Stop the actor, then tell what its keys did last: also if its host is cancelled, or it has failed before."""
        with anyio.CancelScope(shield=True):
            await self._actor.stop()
            if self.gate is not None:
                with suppress(Exception):  # whatever ails the list has been told
                    await self.gate.aclose()
            with suppress(Exception):  # whatever ails the behaviour has been told; the application's shutdown goes on
                self.log.emit((*self._actor.behaviour.handle(Tally())[1], *self._inline.tally()))
            if self.config.audit.queue:
                await to_thread.run_sync(self.log.close)  # waits for the sink; the loop must not
            else:
                self.log.close()

    async def _tally(self) -> None:
        round_ = 0
        while True:
            await anyio.sleep(TALLY_INTERVAL)
            round_ += 1
            # An actor that does not answer has said so itself; what it counted is told later.
            with suppress(ActorError):
                await self._actor.ask(Tally(all_keys=round_ % TALLIES_A_FULL_ONE == 0), control=True)
            with suppress(Exception):  # as at the end
                self.log.emit(self._inline.tally())

    async def _flush(self) -> None:
        while True:
            await anyio.sleep(FLUSH_INTERVAL)
            self.log.flush()

    async def _await_takeovers(self) -> None:
        """Tell of a key that takes over by its time when it does, also where nobody asks for anything."""
        while True:
            wait = self._next_takeover - self._clock()
            await anyio.sleep(min(max(wait, _TICK), TAKEOVER_CHECK))
            self._tell_takeover()

    def _tell_takeover(self, following: Keyring | None = None) -> float:
        """Tell what the times of keys have brought about since that was last told: once, whoever asks.

        Args:
            following: the ring to tell of from now on, if it is another one.

        Returns:
            Up to when it is told, in Unix seconds.
        """
        told: Sequence[Event] = ()
        with self._takeover_lock:
            ring, since = self._told_of, self._told_until
            now = max(self._clock(), since)  # a clock that is set back makes nothing happen twice
            if now >= self._next_takeover:
                told = key_events(ring, ring, now, since)
            self._tell_from(ring if following is None else following, now)
        self.log.emit(told)
        return now

    def _tell_from(self, ring: Keyring, now: float) -> None:
        self._told_of, self._told_until, self._next_takeover = ring, now, next_takeover(ring, now)
        self._takeover_ahead = self._next_takeover < math.inf

    def _announce(self) -> None:
        if self._announced:
            return
        self._announced = True
        ring = self._keyring
        now = self._clock()
        self._tell_from(ring, now)
        counts = ring.counts()
        self.log.emit(
            (
                events.KeyringLoaded(
                    digest=ring.digest,
                    generation=ring.generation,
                    active_kid=ring.active(now).kid,
                    staged=counts[KeyState.STAGED],
                    retired=counts[KeyState.RETIRED],
                    revoked=counts[KeyState.REVOKED],
                    source=self._source,
                ),
                *self.trail.over(self._readers, self._clock()),
            )
        )

    # --- collaborators ------------------------------------------------------------------------------------------------

    def _gate(self, given: RevocationList | None) -> Gate | None:
        """Return what asks the list of revocations; ``None`` if there is no list.

        Raises:
            ConfigurationError: if there is no key for what leaves this process, or the list cannot be made.
        """
        if given is None and self.config.revocation is None:
            return None
        settings = RevocationConfig() if self.config.revocation is None else self.config.revocation
        try:
            settings = settings.resolved()
        except ConfigurationError as error:
            raise ConfigurationError(f"revocation.{error.field}", error.problem, error.remedy) from None
        revocations = list_of(settings, clock=self._clock) if given is None else given
        key = settings.octets or self.config.audit.key_octets()
        if key is None:
            if not isinstance(revocations, MemoryRevocationList):
                raise ConfigurationError(
                    "revocation.key",
                    "is missing, and so is audit.key: what stands in the list would mean nothing to another process",
                    "Give all processes the same 32 random octets, e.g. {env: SESSIONKIT_AUDIT_KEY}.",
                )
            key = _process_key()
        return Gate(
            revocations,
            settings,
            self.config,
            key=key,
            skew=lambda: self._keyring.policy.skew,
            clock=self._clock,
            trail=self.trail,
            emit=self.log.emit,
        )

    def _behaviour(self) -> SessionBackend:
        return SessionBackend(
            self.config, self._keyring, clock=self._clock, pseudonyms=self._refs, migrate=self._readers
        )

    async def _adopt(self, keyring: Keyring) -> float:
        # First for everybody made from now on, then for the actor between two of its messages.
        before, self._keyring = self._keyring, keyring
        if self._actor.state not in _UNHOSTED:
            try:
                await self._actor.ask(Reload(keyring), control=True)
            except ActorError:
                self._keyring = before
                raise
        return self._tell_takeover(keyring)

    def _suits(self, keyring: Keyring) -> None:
        SessionBackend.check(self.config, keyring)

    def _tell_life(self, life: Lifecycle) -> None:
        self.log.emit((_life_event(life),))


_UNHOSTED = (ActorState.NEW, ActorState.DRAINING, ActorState.STOPPED)
"""Without an actor to ask: requests that outlive the lifespan are served inline as those are that never had one.

No set: to look into one takes a function in Python, which is how members of an enumeration are hashed.
"""


@cache
def _process_key() -> bytes:
    """Return the audit key of a process that is given none: one for all, since Litestar makes a middleware a route."""
    return os.urandom(32)


def _resolve(keyring: object) -> tuple[Keyring, Path | None]:
    match keyring:
        case Keyring():
            return keyring, None
        case bytes():
            return Keyring.from_secret(keyring), None
        case str() | PathLike():
            path = Path(keyring)
            try:
                return Keyring.load(path), path
            except KeyringError as error:
                if error.field != "file" or not looks_like_secret(str(keyring)):
                    raise
            # The path would stand in the error, and from there in logs.
            problem = "is no keyring file, and looks like a secret as text"
            remedy = "Pass a secret as octets (base64.b64decode or bytes.fromhex make them), or check the path."
        case None:
            problem = "is missing"
            remedy = (
                "Pass a Keyring, the path of a keyring file (`sessionkit keyring init PATH` makes one), or one secret "
                "of 32 random octets. A random one per process would end all sessions at every restart."
            )
        case _:
            problem = f"is a {type(keyring).__name__}"
            remedy = "Pass a Keyring, a path, or one secret as bytes."
    raise ConfigurationError("keyring", problem, remedy)


def _life_event(life: Lifecycle) -> Event:
    event: Event
    match life:
        case lifecycle.Started():
            event = events.ActorStarted()
        case lifecycle.Stopped():
            event = events.ActorStopped(handled=life.handled, unanswered=life.unanswered)
        case lifecycle.Restarted():
            event = events.ActorRestarted(error_type=life.error_type, where=life.where, restarts=life.restarts)
        case lifecycle.Failed():
            event = events.ActorFailed(
                error_type=life.error_type, where=life.where, restarts=life.restarts, unanswered=life.unanswered
            )
        case lifecycle.HandlerFailed():
            event = events.ActorMessageFailed(
                message_type=life.message_type, error_type=life.error_type, where=life.where
            )
        case lifecycle.Overflowed():
            event = events.ActorOverloaded(depth=life.depth)
        case _:
            event = events.ActorRecovered(rejected=life.rejected)
    return event
