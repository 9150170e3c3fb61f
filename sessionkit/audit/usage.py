"""What a log tells of keys, of the sessions that hang on them, and of the processes that serve them: sums over events.

Rules of this file:

* Pure: events in (as ``audit.reading`` yields them), facts out; ``now`` is an argument.
* The order of events does not matter. Logs of several hosts and rotated files are read one after another, so what
  counts is the time on a line, never its place.
* Where the log shows less than the truth, the answer errs on the side that loses no session, and says so.

What a log at level INFO does not show: that a session was written again under its own key (``session.updated``, and
``session.renewed`` where it is automatic, are DEBUG). So *which* key a session hangs on is known, since every move to
another key is told; *until when* is not, since it may have been renewed unseen for as long as its key sealed. The
bound is the last sealing under that key (``keyring.key_usage`` counts every one) plus T, the longest life of a cookie,
plus ε, the difference of clocks. A browser that was closed for good ends its session in no log either: the sessions
counted here are an upper bound of those that still come back.

What no log shows: sessions from before it begins, the last minute of counts of a process that was killed, and hosts
whose logs were not given.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf
from sys import intern
from typing import TYPE_CHECKING, Any

from sessionkit.audit.reading import seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["INLINE_SILENT_AFTER", "SILENT_AFTER", "Instance", "KeyUse", "Usage"]

SILENT_AFTER = 7_200.0
"""Seconds after which an instance that says nothing is taken for gone: two of the full tallies that each one that is
hosted by a lifespan writes every hour, however idle it is."""

_GLIMPSE = -1e12
"""Added to the time at which a session was only read, so that any time at which it was written outranks it."""

_SAME = 1.0
"""Seconds within which two deadlines are one: the log rounds them."""

INLINE_SILENT_AFTER = 120.0
"""The same for one without a lifespan: it speaks each minute while it is used, and looks for a new ring before it
serves again, so that nothing hangs on what it had when it spoke last."""

_LIFE = {
    "actor.inline": "inline",
    "actor.started": "serving",
    "actor.restarted": "serving",
    "actor.failed": "failed",
    "actor.stopped": "stopped",
    "audit.chain_closed": "stopped",  # a hash chain has a name of its own, and says nothing but goodbye
}
"""What becomes of a process by an event; of several at one time the last of this order counts."""

_LIVES = ("inline", "serving", "failed", "stopped")

Event = dict[str, Any]


@dataclass(slots=True)
class KeyUse:
    """What is known of one key. Times are Unix seconds.

    Attributes:
        kid: its id in hexadecimal.
        label: its name, where an event told it.
        state: its state in the newest ring that an event told of.
        states: each state it was seen in, with when that was first; in the order of time.
        opened: sessions opened under it, over all tallies.
        sealed: cookies sealed under it.
        rekeyed_from: sessions that left it for another key.
        failed: cookies that named it and were refused.
        last_opened: when it opened a session last.
        last_sealed: when it sealed last.
        prune_after: when it may go, as its retirement told.
    """

    kid: str
    label: str | None = None
    state: str | None = None
    states: dict[str, float] = field(default_factory=dict)
    opened: int = 0
    sealed: int = 0
    rekeyed_from: int = 0
    failed: int = 0
    last_opened: float | None = None
    last_sealed: float | None = None
    prune_after: float | None = None
    _labelled: float = -inf
    _stated: tuple[int, bool, float, str] = (-1, False, -inf, "")

    def in_state(self, state: str, event: Event) -> None:
        """Take in that it was in some state, in the ring of an event."""
        when = event["timestamp"]
        # A tally counts under the state that a key had while it was used, which may be of the ring before.
        rank = event["generation"], event["event"] != "keyring.key_usage", when, state
        if rank > self._stated:
            self._stated, self.state = rank, state
        if when < self.states.get(state, inf):
            self.states[state] = when
            self.states = dict(sorted(self.states.items(), key=lambda entry: entry[1]))

    def told(self, event: Event) -> None:
        """Take in one ``keyring.key_*`` event of this key."""
        self.in_state("pruned" if event["event"] == "keyring.key_pruned" else event["state"], event)
        label = event.get("label")
        if label is not None and (event["timestamp"], label) > (self._labelled, self.label or ""):
            self.label, self._labelled = label, event["timestamp"]
        if (prune_after := seconds(event.get("prune_after"))) is not None:
            self.prune_after = max(prune_after, self.prune_after or 0.0)

    def sealed_at(self, when: float) -> None:
        """Take in that it sealed at some time."""
        if self.last_sealed is None or when > self.last_sealed:
            self.last_sealed = when

    def opened_at(self, when: float) -> None:
        """Take in that it opened a session at some time."""
        if self.last_opened is None or when > self.last_opened:
            self.last_opened = when


@dataclass(slots=True)
class Instance:
    """What is known of one process (of one middleware in it, if it has several). Times are Unix seconds.

    Attributes:
        name: its random name in the log.
        first_seen: its first line.
        last_seen: its last one.
        digest: of the ring it last said to have in force; ``None`` if it never did.
        generation: likewise.
        told_at: when it said so.
        life: ``serving``, ``inline`` (without a lifespan), ``failed`` or ``stopped``.
        kids: keys it has spoken of.
    """

    name: str
    first_seen: float
    last_seen: float
    digest: str | None = None
    generation: int = 0
    told_at: float = -inf
    life: str = "serving"
    kids: set[str] = field(default_factory=set)
    _lived: tuple[float, int] = (-inf, 0)

    def ring(self, event: Event) -> None:
        """Take in which ring it has in force."""
        told = event["timestamp"], event["generation"], event["digest"]
        if told > (self.told_at, self.generation, self.digest or ""):
            self.told_at, self.generation, self.digest = told

    def lives(self, when: float, life: str) -> None:
        """Take in that it began or ceased to serve."""
        rank = when, _LIVES.index(life)
        if rank >= self._lived:
            self._lived, self.life = rank, life

    def is_live(self, now: float, silent_after: float = SILENT_AFTER) -> bool:
        """Tell whether it is to be reckoned with: it has not stopped, and was heard of not long ago."""
        if self.life == "inline":
            silent_after = min(silent_after, INLINE_SILENT_AFTER)
        return self.life != "stopped" and now - self.last_seen <= silent_after


class _Session:
    """What is known of one session. Times are Unix seconds, ``-inf`` where there is none.

    Attributes:
        kid: the key it hangs on.
        rank: when it was last written under that key; by ``_GLIMPSE`` less if it was only read.
        until: the latest deadline that was told; later ones may have gone untold.
        destroyed: when it was ended last, by the application or for a successor.
        expired: the latest deadline that a cookie of it came after.
    """

    __slots__ = ("destroyed", "expired", "kid", "rank", "until")

    def __init__(self, kid: str) -> None:
        self.kid = kid
        self.rank = self.until = self.destroyed = self.expired = -inf

    def hangs(self, kid: str, rank: float, until: float) -> None:
        """Take in that it hung on a key at some time, with a deadline."""
        if rank > self.rank or (rank == self.rank and kid > self.kid):
            self.rank, self.kid = rank, kid
        self.until = max(self.until, until)

    @property
    def is_over(self) -> bool:
        """Whether a line told its end. A cookie that expired tells it only if it was the newest: copies are kept."""
        return self.destroyed >= self.rank or self.expired >= self.until - _SAME > -inf


class Usage:
    """Sums up events.

    Args:
        sessions: keep track of each session, at some 300 octets; without it, memory does not grow with their number.

    Attributes:
        keys: what is known of each key, by its id.
        instances: what is known of each instance, by its name.
        lifetime: the longest life in seconds that a cookie was seen to get: T, where no keyring file is at hand to say.
    """

    def __init__(self, *, sessions: bool = True) -> None:
        self._tracks = sessions
        self.keys: dict[str, KeyUse] = {}
        self.instances: dict[str, Instance] = {}
        self.lifetime = 0.0
        self._sessions: dict[str, _Session] = {}
        self._handlers: Mapping[str, Callable[[Event], None]] = {
            "session.created": self._written,
            "session.renewed": self._written,
            "session.regenerated": self._regenerated,
            "session.rekeyed": self._rekeyed,
            "session.updated": self._written,
            "session.loaded": self._loaded,
            "session.destroyed": self._destroyed,
            "session.expired": self._expired,
            "session.use_after_expire": self._expired,
            "keyring.loaded": self._ring,
            "keyring.reloaded": self._ring,
            "keyring.reload_failed": self._ring,
            "keyring.recovered": self._ring,
            "keyring.rotation_overdue": self._ring,
            "keyring.key_staged": self._key,
            "keyring.key_activated": self._key,
            "keyring.key_retired": self._key,
            "keyring.key_pruned": self._key,
            "keyring.key_revoked": self._key,
            "keyring.key_usage": self._tally,
            **dict.fromkeys(_LIFE, self._life),
        }

    def feed(self, events: Iterable[Event]) -> None:
        """Take in events."""
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        """Take in one event."""
        when, name = event["timestamp"], event["instance"]
        instance = self.instances.get(name)
        if instance is None:
            self.instances[name] = Instance(name, when, when)
        elif when > instance.last_seen:
            instance.last_seen = when
        elif when < instance.first_seen:
            instance.first_seen = when
        handler = self._handlers.get(event["event"])
        if handler is not None:
            handler(event)

    # --- answers ------------------------------------------------------------------------------------------------------

    @property
    def since(self) -> float | None:
        """Time of the earliest event; ``None`` if there was none."""
        return min((instance.first_seen for instance in self.instances.values()), default=None)

    @property
    def until(self) -> float | None:
        """Time of the latest event; ``None`` if there was none."""
        return max((instance.last_seen for instance in self.instances.values()), default=None)

    def sessions_on(self, kid: str, now: float, lifetime: float, skew: float) -> list[tuple[str, float]]:
        """Return the sessions of the log that may still hang on a key, with until when, the soonest to end first.

        An upper bound: see the head of this module. Sessions from before the log begins are not among them.

        Args:
            kid: the key.
            now: Unix seconds; sessions that have surely ended by then are left out.
            lifetime: T, the longest life of a cookie in seconds.
            skew: ε, the largest difference of two clocks in seconds.
        """
        bound = self.hangs_until(kid, lifetime, skew)
        found = [
            (reference, max(session.until + skew, bound))
            for reference, session in self._sessions.items()
            if session.kid == kid and not session.is_over
        ]
        return sorted((entry for entry in found if entry[1] > now), key=lambda entry: (entry[1], entry[0]))

    def hanging(self) -> Counter[str]:
        """Return how many sessions of the log hang on each key, as far as no line tells their end."""
        return Counter(session.kid for session in self._sessions.values() if not session.is_over)

    def hangs_until(self, kid: str, lifetime: float, skew: float) -> float:
        """Return until when a session under a key can live: last sealing + T + ε; ``-inf`` if it never sealed."""
        use = self.keys.get(kid)
        if use is None or use.last_sealed is None:
            return -inf
        return use.last_sealed + lifetime + skew

    def live(self, now: float, silent_after: float = SILENT_AFTER) -> list[Instance]:
        """Return the instances that are to be reckoned with, in the order of their first lines."""
        found = [instance for instance in self.instances.values() if instance.is_live(now, silent_after)]
        return sorted(found, key=lambda instance: (instance.first_seen, instance.name))

    # --- sessions -----------------------------------------------------------------------------------------------------

    def _session(self, reference: str, kid: str) -> _Session:
        session = self._sessions.get(reference)
        if session is None:
            session = _Session(intern(kid))
            if self._tracks:
                self._sessions[reference] = session
        return session

    def _key_of(self, kid: str) -> KeyUse:
        use = self.keys.get(kid)
        if use is None:
            use = self.keys[kid] = KeyUse(kid)
        return use

    def _written(self, event: Event) -> None:
        when, kid = event["timestamp"], event["kid"]
        until = seconds(event.get("expires_at"))
        if until is None:
            until = when
        elif until - when > self.lifetime:
            self.lifetime = until - when
        key = self.keys.get(kid) or self._key_of(kid)
        key.sealed_at(when)
        reference = event["session_ref"]
        session = self._sessions.get(reference) or self._session(reference, key.kid)
        session.hangs(key.kid, when, until)  # the key's own string: one a key, not one a session

    def _regenerated(self, event: Event) -> None:
        self._written(event)
        self._over(event["previous_session_ref"], event)

    def _rekeyed(self, event: Event) -> None:
        self._written(event)
        self._key_of(event["previous_kid"]).opened_at(event["timestamp"])

    def _loaded(self, event: Event) -> None:
        when, kid = event["timestamp"], event["kid"]
        self._key_of(kid).opened_at(when)
        self._session(event["session_ref"], kid).hangs(kid, when + _GLIMPSE, when)

    def _destroyed(self, event: Event) -> None:
        self._over(event["session_ref"], event)

    def _over(self, reference: str, event: Event) -> None:
        session = self._session(reference, event["kid"])
        session.destroyed = max(session.destroyed, event["timestamp"])

    def _expired(self, event: Event) -> None:
        session = self._session(event["session_ref"], event["kid"])
        deadline = event["timestamp"] - event["expired_for"]
        # Past its absolute limit no cookie of the session is good any more; past the other one, a newer one may be.
        session.expired = max(session.expired, inf if event["reason"] == "absolute" else deadline)
        session.until = max(session.until, deadline)

    # --- keys and instances -------------------------------------------------------------------------------------------

    def _ring(self, event: Event) -> None:
        instance = self.instances[event["instance"]]
        instance.ring(event)
        if (active := event.get("active_kid")) is not None:
            instance.kids.add(active)
            self._key_of(active).in_state("active", event)
        if (kid := event.get("kid")) is not None:
            instance.kids.add(kid)

    def _key(self, event: Event) -> None:
        self._ring(event)
        self._key_of(event["kid"]).told(event)

    def _tally(self, event: Event) -> None:
        self._key(event)
        use = self._key_of(event["kid"])
        use.opened += event["opened"]
        use.sealed += event["sealed"]
        use.rekeyed_from += event["rekeyed_from"]
        use.failed += event["failed"]
        if (opened := seconds(event.get("last_opened_at"))) is not None:
            use.opened_at(opened)
        if (sealed := seconds(event.get("last_sealed_at"))) is not None:
            use.sealed_at(sealed)

    def _life(self, event: Event) -> None:
        self.instances[event["instance"]].lives(event["timestamp"], _LIFE[event["event"]])
