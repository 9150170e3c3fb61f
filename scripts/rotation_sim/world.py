"""The world of one run: nodes, their clocks, files that arrive late, users who come and go; events in order of time.

Rules of this file:

* A session is *lost* when its cookie is refused, or opens to something else than its user left there, although it is
  younger than T - ε: so long every node owes it to be opened, whatever its clock says. Older ones have *expired*.
* An application that finds no session begins a new one, which takes the old one's place in the browser. (The package
  itself leaves a cookie under an unknown key alone, so where an application does not write, nothing is overwritten.)
* A node asks nobody: an unknown key makes a real node look at its file at once, but here the file has not come yet.

Where the numbers come from:

* Delays are lognormal: what delays a file (poll intervals, caches, queues of an API server, image pulls) multiplies
  rather than adds, and the logarithms of such times are close to normal; the tail is long and has no end. The median of
  20 s with a sigma of 0.8 puts one node in a hundred beyond 130 s: Kubernetes takes up to 150 s to renew a mounted
  secret (the kubelet's sync period plus its cache).
* One node in fifty lags: all it does takes eight times as long.
* Of each publish three nodes in a thousand hear nothing until something restarts them, 5 to 15 minutes later (a health
  check that compares digests; secrets in environment variables and subPath mounts need a restart always).
"""

from __future__ import annotations

import gc
from array import array
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heappop, heappush, heapreplace
from random import Random
from typing import TYPE_CHECKING

from sessionkit.audit.events import KeyUsage, SessionRekeyed
from sessionkit.backend.backend import SessionBackend
from sessionkit.backend.messages import Inspect, Inspected, Load, Loaded, Rejected, Reload, Save, Tally
from sessionkit.config import SessionConfig
from sessionkit.keyring import rotation
from sessionkit.keyring.key import Key, KeyState
from sessionkit.keyring.keyring import Keyring, Policy
from sessionkit.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rotation_sim.strategies import Strategy
    from sessionkit.backend.messages import Received, Saved

__all__ = ["LIFETIME", "POLICY", "RESTART", "START", "Result", "Settings", "World"]

START = 1_800_000_000.0
"""Unix seconds at which every run begins."""

LIFETIME = 3_600
"""Seconds that a session lives: T. They are few, so that a run can wait for the last session of a key to end."""

POLICY = Policy(propagation=300.0, skew=30.0, token_lifetime=float(LIFETIME))
"""D, ε and T of the rings. The clocks of the fleet differ by ε at most."""

MEDIAN, SIGMA = 20.0, 0.8
"""Of the time in seconds from a publish until a node has loaded it, see above."""

LAGGING = 0.02
LAG = 8.0
"""Share of the nodes that lag, and how many times as long they take."""

STUCK = 0.003
RESTART = (300.0, 900.0)
"""Share of the nodes that a publish does not reach, and in how many seconds they are restarted, uniformly."""

RETURNS = 0.5
THINKING = 15.0
"""Share of the requests after which a user goes on, and in how many seconds; the others are away for the strategy's
time. Both times are means of exponential ones, so that the traffic is steady from the first moment on."""

WRITES = 0.3
"""Share of the requests that change the session; the others read it."""

_TASKS = 2**31
"""Makes indices negative, and keeps their order: of two tasks for one moment, the one that came first comes first."""

_LABELS = "ABC"
"""The keys there can be, oldest first."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What all runs have in common.

    Attributes:
        nodes: worker processes with a keyring of their own.
        users: with a browser each.
        seed: of everything random.
    """

    nodes: int = 1_000
    users: int = 100_000
    seed: int = 1


@dataclass(slots=True)
class Result:
    """What came of one run.

    Attributes:
        requests: requests made.
        lost: sessions lost.
        expired: sessions that ended because their time was over.
        rekeyed: cookies re-encrypted under another key.
        backwards: of those, under an older key.
        reasons: why the lost ones were refused; ``altered`` if they opened to something else.
        violations: for each publish, the conditions that ``rotation.check`` says it breaks.
        published: for each publish, seconds since the start.
        behind: nodes that could not open the new key's cookies yet when it began to seal.
        everywhere: seconds from the first publish until it has reached every node.
    """

    requests: int = 0
    lost: int = 0
    expired: int = 0
    rekeyed: int = 0
    backwards: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    violations: list[list[str]] = field(default_factory=list)
    published: list[float] = field(default_factory=list)
    behind: int = 0
    everywhere: float = 0.0


class World:
    """One run of one strategy.

    Args:
        settings: how large, and which world.
        strategy: how the operators rotate, and how the nodes re-encrypt.

    Attributes:
        now: Unix seconds, on a clock that is right.
        ring: the ring published last.
        result: what came of it so far.
    """

    def __init__(self, settings: Settings, strategy: Strategy) -> None:
        self.now = START
        self.result = Result()
        self._settings = settings
        self._away = strategy.away
        self._random = self._generator("traffic")
        secrets = self._generator("secrets")
        self._secrets = {label: secrets.randbytes(32) for label in _LABELS}
        first = self.key("A", KeyState.ACTIVE)
        self._age = {self.key(label).kid: number for number, label in enumerate(_LABELS)}
        self.ring = Keyring([first], generation=1, policy=POLICY)
        self._config = SessionConfig(max_age=LIFETIME)
        self._nodes = self._fleet(strategy)
        # What users had before seals their first cookie when they first come: many do not within a short run.
        opening = START + strategy.lead
        self._before = SessionBackend(self._config, self.ring, clock=lambda: opening)
        self._deaf_until = [0.0] * settings.nodes
        self._last_sealed: dict[str, float] = {}
        # By user: the cookie, how often they changed their session, and when their cookie was made.
        self._cookies: list[bytes | None] = [None] * settings.users
        self._changes = array("l", [0]) * settings.users
        self._made = array("d", [0.0]) * settings.users
        # When, and who makes a request; a negative number is an index of ``_tasks`` less ``_TASKS``.
        self._events: list[tuple[float, int]] = []
        self._tasks: list[Callable[[], None]] = []
        self._over = False
        self._at(opening, self._open)
        self._at(START, self._proceed(strategy.script(self)))

    def _generator(self, name: str) -> Random:
        """Return a generator that gives the same numbers in every run of this world."""
        return Random(f"{self._settings.seed} {name}")

    def _fleet(self, strategy: Strategy) -> list[SessionBackend]:
        random = self._generator("clocks")
        furthest = POLICY.skew / 2
        offsets = [random.uniform(-furthest, furthest) for _ in range(self._settings.nodes)]
        return [strategy.backend(self._config, self.ring, clock=self._clock(offset)) for offset in offsets]

    def _clock(self, offset: float) -> Callable[[], float]:
        return lambda: self.now + offset

    # --- what operators do --------------------------------------------------------------------------------------------

    def key(self, label: str, state: KeyState = KeyState.STAGED) -> Key:
        """Return key ``A``, ``B`` or ``C``, made now."""
        return Key.from_secret(self._secrets[label], label=label, state=state, created=self.now)

    def publish(self, ring: Keyring) -> None:
        """Publish a ring. Every node will have it, some sooner, some later."""
        self.result.violations.append(sorted({one.condition for one in rotation.check(self.ring, ring, self.now)}))
        self.result.published.append(round(self.now - START, 3))
        seals = ring.active(self.now)
        if seals.id != self.ring.active(self.now).id:
            self.result.behind = sum(node.keyring.find(seals.id) is None for node in self._nodes)
        self.ring = ring
        # Named after the generation: one step takes the same time in every strategy that has it.
        random = self._generator(f"publish {ring.generation}")
        lags = self._generator("lags")
        for number in range(self._settings.nodes):
            delay = random.lognormvariate(0.0, SIGMA) * MEDIAN * (LAG if lags.random() < LAGGING else 1.0)
            restart = random.uniform(*RESTART)
            if random.random() < STUCK:
                delay = restart
                self._deaf_until[number] = self.now + restart
            arrives = max(self.now + delay, self._deaf_until[number])
            self._at(arrives, self._delivery(number, ring))
            if len(self.result.published) == 1:
                self.result.everywhere = max(self.result.everywhere, round(arrives - START, 3))

    def agreed(self) -> bool:
        """Return whether every node runs the ring that was published last, by their own word."""
        told = (node.handle(Inspect())[0] for node in self._nodes)
        return all(isinstance(reply, Inspected) and reply.digest == self.ring.digest for reply in told)

    def last_sealed(self, label: str) -> float | None:
        """Return when a node sealed under a key last, by what all of them write to their audit logs."""
        for node in self._nodes:
            for event in node.handle(Tally())[1]:
                if isinstance(event, KeyUsage) and event.last_sealed_at is not None:
                    when = datetime.fromisoformat(event.last_sealed_at).timestamp()
                    self._last_sealed[event.kid] = max(self._last_sealed.get(event.kid, 0.0), when)
        return self._last_sealed.get(rotation.select(self.ring, label).kid)

    def _delivery(self, number: int, ring: Keyring) -> Callable[[], None]:
        def deliver() -> None:
            node = self._nodes[number]
            if ring.generation > node.keyring.generation:  # the reloader does not go back either
                node.handle(Reload(ring))

        return deliver

    def _proceed(self, script: Iterator[float]) -> Callable[[], None]:
        """Return a task that runs the script until it waits, again and again; when it ends, the run is over."""

        def step() -> None:
            try:
                wait = next(script)
            except StopIteration:
                self._over = True
            else:
                self._at(self.now + wait, step)

        return step

    # --- time ---------------------------------------------------------------------------------------------------------

    def _at(self, when: float, task: Callable[[], None]) -> None:
        self._tasks.append(task)
        heappush(self._events, (when, len(self._tasks) - 1 - _TASKS))

    def run(self, *, tell: Callable[[float], None] = lambda _: None, until_lost: bool = False) -> Result:
        """Let time pass until the operators are through.

        Args:
            tell: called every now and then with the seconds since the start.
            until_lost: stop at the first session lost.
        """
        events, result = self._events, self.result
        while not self._over and not (until_lost and result.lost):
            self.now, who = events[0]
            if who < 0:
                heappop(events)
                self._tasks[who + _TASKS]()
                continue
            if not result.requests % 1_000:
                tell(self.now - START)
            result.requests += 1
            heapreplace(events, (self.now + self._request(who), who))
        return result

    # --- what users do ------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Let the users in, each with a session under key A."""
        random, now = self._random, self.now
        going, away = RETURNS * THINKING, (1 - RETURNS) * self._away
        for user in range(self._settings.users):
            self._made[user] = now
            # Exponential times have no memory: in the midst of one, as much is left as it had at first.
            rest = random.expovariate(1 / (THINKING if random.random() < going / (going + away) else self._away))
            heappush(self._events, (now + rest, user))
        gc.freeze()  # so that the collector leaves alone what stays anyway

    def _first_cookie(self, user: int) -> bytes:
        (value,) = self._before.dump_data({"user": user, "changes": 0})
        return b"session=" + value

    def _request(self, user: int) -> float:
        """Make a request to some node; return the seconds until the user's next one."""
        random = self._random
        node = self._nodes[int(random.random() * len(self._nodes))]
        changes = random.random() < WRITES
        wait = random.expovariate(1 / (THINKING if random.random() < RETURNS else self._away))
        cookie = self._cookies[user]
        request = Load((self._first_cookie(user) if cookie is None else cookie,))
        received: Received = node.handle(request)[0]  # type: ignore[assignment]  # the reply to Load
        kept = {"user": user, "changes": self._changes[user]}
        if isinstance(received, Loaded):
            session = Session(received.data, record=received.record, clock=self._clock(0.0))
            if received.data != kept:
                self._lose("altered")
        else:
            session = Session(clock=self._clock(0.0))
            if self.now - self._made[user] >= LIFETIME - POLICY.skew:
                self.result.expired += 1
            else:
                self._lose(received.reason.value if isinstance(received, Rejected) else "absent")
            changes, self._changes[user] = True, 0
        if changes:
            self._changes[user] += 1
            session.update(user=user, changes=self._changes[user])
        saved: Saved = node.handle(Save(session, session, received))[0]  # type: ignore[assignment]  # it is small enough
        if saved.cookies:
            (cookie,) = saved.cookies
            self._cookies[user] = cookie.partition(b";")[0]
            self._made[user] = self.now
            for event in saved.events:
                if isinstance(event, SessionRekeyed):
                    self.result.rekeyed += 1
                    self.result.backwards += self._age[event.kid] < self._age[event.previous_kid]
        return wait

    def _lose(self, reason: str) -> None:
        self.result.lost += 1
        self.result.reasons[reason] = self.result.reasons.get(reason, 0) + 1
