"""Makes the day: visitors, workers, rotations, a leaked key and an attack, in the order of one virtual clock.

What is real: the events, the audit log with its level gate, its aggregation and its JSON renderer, the references, the
rings and every step from one to the next. What is played: browsers, and what a backend would decide on their cookies.
Nothing is sealed, so that a million lines take a minute instead of an hour.

The plan, in hours after midnight:

* 1: rotation. The key from yesterday retires; by evening every session under it has ended.
* 10: for some minutes, forged cookies pour in from three addresses.
* 15: the key in force is found to have leaked. It is revoked, and the staged one takes over.
* 18: a worker stops and another one starts.
* 22.5: rotation. One worker does not get the new ring until 23.5 and goes on sealing under the retired key.
"""

from __future__ import annotations

import base64
import math
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any

import structlog
from pydantic_core import to_json

from sessionkit import Key, Keyring, KeyState
from sessionkit.audit import events
from sessionkit.audit.events import Event, Level, timestamp
from sessionkit.audit.log import AuditLog
from sessionkit.audit.pseudonyms import Pseudonyms
from sessionkit.backend.trail import EXPIRY_GRACE
from sessionkit.keyring import rotation
from sessionkit.keyring.editor import NewKey, create
from sessionkit.keyring.keyring import Policy
from sessionkit.keyring.reloader import key_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

__all__ = ["DAY", "LAGGING_AT", "LEAKED", "MIDNIGHT", "Day", "Plan", "Truth"]

MIDNIGHT = 1_772_409_600.0
"""2026-03-02, in Unix seconds."""

HOUR, DAY = 3_600.0, 86_400.0

LAGGING_AT = MIDNIGHT + 23 * HOUR
"""A moment at which one worker has an older ring than the others."""

LEAKED = "second"
"""Label of the key that leaks."""

POLICY_LIFETIME = 4 * HOUR
POLICY = Policy(propagation=300.0, skew=60.0, token_lifetime=POLICY_LIFETIME)

TALLY = 60.0
"""Seconds between two tallies of a worker, as the service takes them."""

THINKING = 1_500.0
"""Seconds between two visits of one browser, on average."""

LINES_A_SESSION = 1.8
"""Lines that one visitor is good for, roughly: more visitors come than that, so that there are never too few lines."""

REASONS = {"bad_tag": 70, "malformed": 20, "unknown_key": 10}
"""Why forged cookies are refused, with weights."""

ATTACKERS = 3
"""Addresses that the attack comes from."""

LOGOUTS, LOGINS, RENEWALS = 0.12, 0.25, 0.15
"""Shares of the visits on which an application ends a session, gives it a new id, or extends it."""

FORGOTTEN = 0.15
"""Share of the visitors who come back when it is too late."""

WATCHED, TRACES = 2_000, 5
"""Sessions of which every line is remembered, about; and those with the longest histories, which are asked about."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much happens.

    Attributes:
        lines: of visitors and workers, at least.
        forged: cookies of the attack.
        attack: seconds it lasts.
        tally: seconds between two tallies of a worker; every hour one names all keys.
        seed: of all chance.
    """

    lines: int = 1_000_000
    forged: int = 200_000
    attack: float = 600.0
    tally: float = TALLY
    seed: int = 7


class _Clock:
    """What all workers go by."""

    def __init__(self) -> None:
        self.now = MIDNIGHT

    def __call__(self) -> float:
        """Return Unix seconds."""
        return self.now


class _Log(AuditLog):
    """An audit log whose instance has a name of our choice: the day is the same on every run.

    Attributes:
        written: lines, by the client that they refer to.
        last: the event of the last line.
    """

    def __init__(self, name: str, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.written: Counter[str | None] = Counter()
        self.last: Event | None = None
        self._name = name

    @property
    def instance(self) -> str:
        """Name of the worker."""
        return self._name

    def _write(self, event: Event, now: float) -> None:
        self.written[getattr(event, "client_ref", None)] += 1
        self.last = event
        super()._write(event, now)


class _File:
    """Takes lines, counts them."""

    def __init__(self, file: BinaryIO) -> None:
        self.lines = 0
        self._file = file

    def write(self, line: bytes) -> None:
        """Take a line and its end."""
        self.lines += 1
        self._file.write(line)

    def flush(self) -> None:
        """Do nothing: who made the file closes it."""


@dataclass(slots=True)
class _Use:
    """What one worker did with one key since its last tally."""

    opened: int = 0
    sealed: int = 0
    rekeyed_from: int = 0
    failed: int = 0
    last_opened: float | None = None
    last_sealed: float | None = None


class _Worker:
    """A process."""

    def __init__(self, name: str, log: _Log, ring: Keyring) -> None:
        self.name = name
        self.log = log
        self.use: dict[str, _Use] = {}
        self.rounds = 0
        self.serves = True
        self.have(ring)

    def have(self, ring: Keyring) -> None:
        """Take another ring."""
        self.ring = ring
        self.states = {key.kid: key.state for key in ring.keys}
        self.seals = next(key.kid for key in ring.keys if key.state is KeyState.ACTIVE)

    def used(self, kid: str) -> _Use:
        """Return the books of a key."""
        use = self.use.get(kid)
        if use is None:
            use = self.use[kid] = _Use()
        return use


@dataclass(slots=True, eq=False)
class _Session:
    """What a browser holds.

    Attributes:
        ref: reference of its id.
        kid: key of its cookie.
        deadline: of its cookie.
        visits: still to come.
        over: whether it has ended.
        told: whether a line told its end.
        lines: what was written of it and of its earlier ids, if it is one of those that are watched.
    """

    ref: str
    kid: str
    deadline: float
    visits: int
    over: bool = False
    told: bool = False
    lines: list[tuple[str, str]] | None = None


@dataclass(slots=True)
class Truth:
    """What happened.

    Attributes:
        lines: written in all.
        attack_lines: of these, on the forged cookies.
        hanging: for each key, sessions whose end no line tells, with the deadline of their newest cookie.
        last_opened: of each key.
        last_sealed: of each key.
        refused: cookies by event, reason and client.
        rings: for each worker that serves, the digest of its ring.
        lagging: the same at ``LAGGING_AT``.
        traces: name and time of the lines of some sessions, by their last reference.
        ring: the last one published.
        kids: ids of the keys by label.
    """

    ring: Keyring
    lines: int = 0
    attack_lines: int = 0
    hanging: dict[str, dict[str, float]] = field(default_factory=dict)
    last_opened: dict[str, float] = field(default_factory=dict)
    last_sealed: dict[str, float] = field(default_factory=dict)
    refused: Counter[tuple[str, str, str | None]] = field(default_factory=Counter)
    rings: dict[str, str] = field(default_factory=dict)
    lagging: dict[str, str] = field(default_factory=dict)
    traces: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    kids: dict[str, str] = field(default_factory=dict)


class Day:
    """Plays the day.

    Args:
        plan: how much happens.
        file: where the log goes.
    """

    def __init__(self, plan: Plan, file: BinaryIO) -> None:
        self._plan = plan
        self._random = Random(plan.seed)
        self._clock = _Clock()
        self._file = _File(file)
        self._refs = Pseudonyms(self._random.randbytes(32))
        self._agenda: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()
        self._secrets: dict[str, str] = {}
        keys = [self._key("first", KeyState.ACTIVE), self._key(LEAKED, KeyState.STAGED)]
        self._ring = Keyring(keys, generation=1, policy=POLICY)
        self.truth = Truth(self._ring)
        self._workers: dict[str, _Worker] = {}
        self._sessions: dict[str, _Session] = {}
        self._watched: list[_Session] = []
        self._visitors = plan.lines / LINES_A_SESSION
        self._clients = [self._refs.client(f"192.0.2.{number}") for number in range(256)]

    def play(self) -> Truth:
        """Play it, from midnight to midnight; return what happened."""
        for name in ("worker-a", "worker-b", "worker-c", "worker-d"):
            self._at(MIDNIGHT + self._random.random(), self._start, name)
        self._at(MIDNIGHT + 1 * HOUR, self._promote, "third")
        self._at(MIDNIGHT + 15 * HOUR, self._revoke, "fourth")
        self._at(MIDNIGHT + 18 * HOUR, self._stop, "worker-b")
        self._at(MIDNIGHT + 18 * HOUR + 5, self._start, "worker-e")
        self._at(MIDNIGHT + 22.5 * HOUR, self._promote, "fifth", "worker-d")
        self._at(LAGGING_AT, self._look_around)
        self._follow(self._arrivals(), self._arrive)
        self._follow(self._attack(), partial(self._forge, by_attacker=True))
        self._follow(self._mishaps(), partial(self._forge, by_attacker=False))
        for number in range(1, int(DAY / self._plan.tally) + 1):
            self._at(MIDNIGHT + number * self._plan.tally, self._tally)
        end = MIDNIGHT + DAY
        while self._agenda and self._agenda[0][0] <= end:
            when, _, do, what = heappop(self._agenda)
            self._clock.now = when
            do(*what)
        self._clock.now = end
        for worker in self._workers.values():
            worker.log.flush(everything=True)
        return self._conclude()

    # --- time ---------------------------------------------------------------------------------------------------------

    def _at(self, when: float, do: Callable[..., None], *what: Any) -> None:
        heappush(self._agenda, (round(when, 3), next(self._order), do, what))

    def _follow(self, times: Iterator[float], do: Callable[..., None]) -> None:
        """Do something at each of many times, of which only the next one is on the agenda."""
        when = next(times, None)
        if when is None:
            return

        def step() -> None:
            do()
            self._follow(times, do)

        self._at(when, step)

    def _arrivals(self) -> Iterator[float]:
        """Yield when visitors come: most of them around two in the afternoon."""
        when = MIDNIGHT + 2
        while True:
            daytime = 1 - 0.7 * math.cos(2 * math.pi * (when - MIDNIGHT - 2 * HOUR) / DAY)
            when += self._random.expovariate(self._visitors / DAY * daytime)
            yield when

    def _attack(self) -> Iterator[float]:
        start, step = MIDNIGHT + 10 * HOUR, self._plan.attack / max(1, self._plan.forged)
        for number in range(self._plan.forged):
            yield start + number * step

    def _mishaps(self) -> Iterator[float]:
        """Yield when cookies arrive damaged without anybody meaning it."""
        when = MIDNIGHT + 60
        while True:
            when += self._random.expovariate(self._visitors / DAY / 50)
            yield when

    # --- what workers do ----------------------------------------------------------------------------------------------

    def _emit(self, worker: _Worker, event: Event) -> bool:
        """Let a worker tell something; return whether a line came of it."""
        worker.log.last = None
        worker.log.emit((event,))
        return worker.log.last is event

    def _start(self, name: str) -> None:
        sink = structlog.wrap_logger(
            structlog.BytesLogger(self._file),  # type: ignore[arg-type]  # it writes and flushes, no more is asked of it
            processors=[structlog.processors.JSONRenderer(serializer=_json)],
            wrapper_class=structlog.make_filtering_bound_logger(Level.DEBUG),
        ).bind()
        log = _Log(name, Level.INFO, clock=self._clock, logger=sink)
        worker = self._workers[name] = _Worker(name, log, self._ring)
        ring = self._ring
        self._emit(worker, events.ActorStarted())
        self._emit(
            worker,
            events.KeyringLoaded(
                digest=ring.digest,
                generation=ring.generation,
                active_kid=worker.seals,
                source="keyring.yaml",
                **_counts(ring),
            ),
        )

    def _stop(self, name: str) -> None:
        worker = self._workers[name]
        self._tell_use(worker, everything=False)
        self._emit(worker, events.ActorStopped(handled=0, unanswered=0))
        worker.log.flush(everything=True)
        worker.serves = False

    def _serving(self) -> list[_Worker]:
        return [worker for worker in self._workers.values() if worker.serves]

    def _tally(self) -> None:
        for worker in self._serving():
            worker.rounds += 1
            self._tell_use(worker, everything=worker.rounds * self._plan.tally % HOUR == 0)

    def _tell_use(self, worker: _Worker, *, everything: bool) -> None:
        used, worker.use = worker.use, {}
        idle = [kid for kid in worker.states if kid not in used] if everything else []
        for kid in (*used, *idle):
            use = used.get(kid) or _Use()
            event = events.KeyUsage(
                kid=kid,
                state=worker.states[kid].value,
                digest=worker.ring.digest,
                generation=worker.ring.generation,
                window=self._plan.tally,
                opened=use.opened,
                sealed=use.sealed,
                rekeyed_from=use.rekeyed_from,
                failed=use.failed,
                last_opened_at=None if use.last_opened is None else timestamp(use.last_opened),
                last_sealed_at=None if use.last_sealed is None else timestamp(use.last_sealed),
            )
            self._emit(worker, event)

    # --- rings --------------------------------------------------------------------------------------------------------

    def _key(self, label: str, state: KeyState) -> Key:
        made = MIDNIGHT - DAY if state is KeyState.ACTIVE else self._clock.now - HOUR
        secret = self._random.randbytes(32)
        key = Key.from_secret(secret, label=label, state=state, created=made)
        self._secrets[key.kid] = base64.b64encode(secret).decode("ascii")
        return key

    def write_keyring(self, path: Path) -> None:
        """Write the ring that was published last."""
        new = {key.kid: NewKey(key, {"base64": self._secrets[key.kid]}) for key in self._ring.keys}
        create(path, self._ring, new)

    def _promote(self, successor: str, lagging: str | None = None) -> None:
        key = self._key(successor, KeyState.STAGED)
        self._publish(rotation.promote(self._ring, self._clock.now, successor=key), lagging)

    def _revoke(self, successor: str) -> None:
        key = self._key(successor, KeyState.STAGED)
        self._publish(rotation.revoke(self._ring, LEAKED, self._clock.now, successor=key))

    def _publish(self, ring: Keyring, lagging: str | None = None) -> None:
        """Publish a ring: every worker has it within ten seconds, but for one that lags by an hour."""
        self._ring = ring
        for worker in self._serving():
            late = HOUR if worker.name == lagging else 10 * self._random.random()
            self._at(self._clock.now + late, self._reload, worker, ring)

    def _reload(self, worker: _Worker, ring: Keyring) -> None:
        before = worker.ring
        worker.have(ring)
        self._emit(
            worker,
            events.KeyringReloaded(
                digest=ring.digest,
                previous_digest=before.digest,
                generation=ring.generation,
                active_kid=worker.seals,
                trigger="watch",
                duration=0.002,
                **_counts(ring),
            ),
        )
        for event in key_events(before, ring, self._clock.now):
            self._emit(worker, event)

    # --- what clients do ----------------------------------------------------------------------------------------------

    def _forge(self, *, by_attacker: bool) -> None:
        """Send a cookie that no worker made."""
        reason = self._random.choices(list(REASONS), list(REASONS.values()))[0]
        client = self._random.choice(self._clients[:ATTACKERS] if by_attacker else self._clients[ATTACKERS:])
        worker = self._random.choice(self._serving())
        kid = worker.seals if reason == "bad_tag" else None
        if kid is not None:
            worker.used(kid).failed += 1
        event = events.SessionRejected(
            reason=reason,
            cookie_ref=self._refs.cookie(self._random.randbytes(8)),
            size=120,
            chunks=1,
            kid=kid,
            client_ref=client,
        )
        self.truth.refused[event.name, reason, client] += 1
        self._emit(worker, event)

    def _arrive(self) -> None:
        worker, now = self._random.choice(self._serving()), self._clock.now
        visits = min(30, 1 + int(self._random.expovariate(0.4)))
        session = _Session(self._new_ref(), worker.seals, now, visits)
        if self._random.random() < WATCHED / self._visitors:
            session.lines = []
            self._watched.append(session)
        self._seal(worker, session)
        event = events.SessionCreated(
            session_ref=session.ref,
            kid=session.kid,
            expires_at=timestamp(session.deadline),
            size=self._random.randrange(120, 900),
            chunks=1,
            scope_type="http",
        )
        self._tell(worker, session, event)
        self._next_visit(session)

    def _next_visit(self, session: _Session) -> None:
        session.visits -= 1
        # A browser that does not come again keeps its cookie: nobody is told.
        if session.visits > 0:
            self._at(self._clock.now + self._random.expovariate(1 / THINKING), self._visit, session)
        elif self._random.random() < FORGOTTEN:
            self._at(session.deadline + self._random.expovariate(1 / EXPIRY_GRACE), self._visit, session)

    def _visit(self, session: _Session) -> None:
        """Come back with a cookie."""
        worker, now = self._random.choice(self._serving()), self._clock.now
        state = worker.states[session.kid]
        if state is KeyState.REVOKED:
            session.over = True
            self.truth.refused["session.revoked", "key_revoked", None] += 1
            ref = self._refs.cookie(session.ref.encode())
            self._emit(worker, events.SessionRevoked(cookie_ref=ref, kid=session.kid, reason="key_revoked"))
            return
        if now > session.deadline:
            self._expire(worker, session, now)
            return
        use = worker.used(session.kid)
        use.opened += 1
        use.last_opened = now
        _later(self.truth.last_opened, session.kid, now)
        # A worker that lags opens what is under the newer key, and leaves it there.
        if state is not KeyState.STAGED:
            self._write(worker, session)
        if not session.over:
            self._next_visit(session)

    def _write(self, worker: _Worker, session: _Session) -> None:
        """Do with an open session what applications do, and what a backend does of itself."""
        chance, before = self._random.random(), session.deadline
        kid, ref = session.kid, session.ref
        if chance < LOGOUTS:
            session.over = True
            session.told = self._tell(
                worker, session, events.SessionDestroyed(session_ref=ref, kid=kid, reason="logout")
            )
            return
        moves = kid != worker.seals
        logs_in = chance < LOGOUTS + LOGINS
        renews = not logs_in and chance < LOGOUTS + LOGINS + RENEWALS
        slides = before - self._clock.now < POLICY_LIFETIME / 2
        if not (moves or logs_in or renews or slides):
            return
        if moves:
            worker.used(kid).rekeyed_from += 1
        session.kid = worker.seals
        self._seal(worker, session)
        if logs_in:
            del self._sessions[ref]
            session.ref = self._new_ref()
            event: Event = events.SessionRegenerated(
                session_ref=session.ref, previous_session_ref=ref, kid=session.kid, reason="login"
            )
            self._sessions[session.ref] = session
            self._tell(worker, session, event)
        if moves:
            event = events.SessionRekeyed(
                session_ref=session.ref,
                previous_kid=kid,
                previous_key_state=worker.states[kid].value,
                kid=session.kid,
            )
            self._tell(worker, session, event)
        if renews or not (logs_in or moves):
            event = events.SessionRenewed(
                session_ref=session.ref,
                kid=session.kid,
                previous_expires_at=timestamp(before),
                expires_at=timestamp(session.deadline),
                automatic=not renews,
            )
            self._tell(worker, session, event)

    def _expire(self, worker: _Worker, session: _Session, now: float) -> None:
        late = now - session.deadline
        kind = events.SessionExpired if late <= EXPIRY_GRACE else events.SessionUseAfterExpire
        event = kind(session_ref=session.ref, kid=session.kid, reason="idle", expired_for=round(late, 3))
        session.over = True
        session.told = self._tell(worker, session, event)
        if event.hostile:
            self.truth.refused[event.name, "idle", None] += 1

    def _tell(self, worker: _Worker, session: _Session, event: Event) -> bool:
        """Let a worker tell something of a session, which remembers it if it is watched."""
        written = self._emit(worker, event)
        if written and session.lines is not None:
            session.lines.append((event.name, timestamp(self._clock.now)))
        return written

    def _seal(self, worker: _Worker, session: _Session) -> None:
        now = self._clock.now
        session.deadline = now + POLICY_LIFETIME
        self._sessions[session.ref] = session
        use = worker.used(session.kid)
        use.sealed += 1
        use.last_sealed = now
        _later(self.truth.last_sealed, session.kid, now)

    def _new_ref(self) -> str:
        return self._refs.session(self._random.randbytes(16))

    # --- what happened ------------------------------------------------------------------------------------------------

    def _look_around(self) -> None:
        self.truth.lagging = {worker.name: worker.ring.digest for worker in self._serving()}

    def _conclude(self) -> Truth:
        truth = self.truth
        truth.ring = self._ring
        truth.lines = self._file.lines
        attackers = self._clients[:ATTACKERS]
        truth.attack_lines = sum(worker.log.written[one] for worker in self._workers.values() for one in attackers)
        truth.kids = {key.label: key.kid for key in self._ring.keys}
        for session in self._sessions.values():
            if not session.told:
                truth.hanging.setdefault(session.kid, {})[session.ref] = session.deadline
        truth.rings = {worker.name: worker.ring.digest for worker in self._serving()}
        longest = sorted(self._watched, key=_richness, reverse=True)
        truth.traces = {session.ref: session.lines or [] for session in longest[:TRACES]}
        return truth


def _json(fields: dict[str, Any], **_: Any) -> bytes:
    return to_json(fields)


def _counts(ring: Keyring) -> dict[str, int]:
    counted = ring.counts()
    return {state.value: counted[state] for state in (KeyState.STAGED, KeyState.RETIRED, KeyState.REVOKED)}


def _later(times: dict[str, float], name: str, when: float) -> None:
    times[name] = max(when, times.get(name, when))


def _richness(session: _Session) -> tuple[int, int]:
    """Return how much a session's history has to tell: in kinds of lines first, then in lines."""
    lines = session.lines or []
    return len({name for name, _ in lines}), len(lines)
