"""Reads a log once and keeps what a report needs: sums, counts over time, and what each process said of its ring.

Memory does not grow with the lines: counts over time have a bounded number of buckets, refusals a bounded number of
kinds. What must grow grows with what is asked for: one entry a session, to say which of them hang on a key.

The order of lines does not matter, as in ``audit.usage``, whose sums this builds on.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from sessionkit.audit.events import CATALOGUE
from sessionkit.audit.fleet import prunable_at
from sessionkit.audit.reading import seconds
from sessionkit.audit.usage import Usage
from sessionkit.keyring.keyring import Policy
from sessionkit.keyring.succession import kept
from sessionkit.report.findings import (
    Basis,
    Findings,
    KeyFinding,
    Period,
    Pruning,
    Refusals,
    Refused,
    RingWarning,
    Safety,
    Worker,
    Workers,
    duration,
    shown,
)
from sessionkit.report.timeline import OTHERS, Timeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sessionkit.audit.reading import LogParser
    from sessionkit.audit.usage import Instance, KeyUse
    from sessionkit.keyring.keyring import Keyring

__all__ = ["EXPIRED", "KEY_REVOKED", "SESSION_SERIES", "SKEW", "Survey"]

PROPAGATION = SKEW = 300.0
"""Seconds taken for D and ε where no keyring file says them: the defaults of ``sessionkit keyring init``."""

KINDS = 100_000
"""Kinds of refusals (event, reason, client) that are kept apart; some 30 MB. Beyond, they are counted together."""

CHANGES = 256
"""Changes of ring kept of one process, a rotation a day for most of a year; some 30 kB."""

WARNINGS = 256
"""Different warnings against rings that are kept apart; a fleet has a few."""

_FINE = 12
"""Tallies that a log must be long for them to show a course: below, the chart of keys is made of single events."""

_REFUSING = frozenset({"session.rejected", "session.revoked", "session.use_after_expire"})

KEY_REVOKED = "key_revoked"

EXPIRED = "expired"
"""Put before the reason of a ``session.use_after_expire``, which says only which of two deadlines had passed."""

_OVER_TIME = {
    "session.created": "begun",
    "session.regenerated": "new id",
    "session.renewed": "renewed",
    "session.rekeyed": "re-encrypted",
    "session.destroyed": "ended",
    "session.expired": "expired",
}

_WRITING = frozenset({"session.created", "session.regenerated", "session.renewed", "session.rekeyed"})
"""Those of them that sealed a cookie, as ``session.updated`` does besides."""

SESSION_SERIES = tuple(_OVER_TIME.values())
"""Series of ``Findings.sessions_over_time``."""


class Survey:
    """Takes in events and comes to findings.

    Args:
        until: later events do not count; Unix seconds.

    Attributes:
        usage: what the log tells of keys, sessions and instances.
        until: as given.
    """

    def __init__(self, *, until: float = inf) -> None:
        self.usage = Usage()
        self.until = until
        self._later = 0
        self._events: Counter[str] = Counter()
        self._refused: dict[tuple[str, str, str | None], list[int]] = {}
        self._crowded_out = 0
        self._unattributed = 0
        self._sessions = Timeline()
        self._refusals = Timeline()
        self._opened = Timeline()
        self._written = Timeline()
        self._windows = [0, 0.0]
        self._rings: dict[str, dict[str, list[float]]] = {}
        self._activated: dict[str, float] = {}
        self._changes: dict[str, dict[tuple[int, str], float]] = {}
        self._warned: dict[tuple[str, str], _Warned] = {}

    def feed(self, events: Iterable[dict[str, Any]]) -> None:
        """Take in events."""
        for event in events:
            self.add(event)

    def add(self, event: dict[str, Any]) -> None:
        """Take in one event, as ``audit.reading`` yields them."""
        name, when = event["event"], event["timestamp"]
        if when > self.until:
            self._later += 1
            return
        self.usage.add(event)
        series = _OVER_TIME.get(name)
        if series is not None:
            self._sessions.add(series, when)
            if name in _WRITING:
                self._written.add(event["kid"], when)
            self._events[name] += 1
            return  # nearly all lines of a long log end here
        if name == "audit.summary":
            self._summed(event)
            return
        self._events[name if name in CATALOGUE else OTHERS] += 1
        if name == "session.updated":
            self._written.add(event["kid"], when)
        elif name in _REFUSING:
            self._refuse(name, event, 1, summed=0)
            self._refusals.add(_reason(name, event), when)
        elif name == "audit.overflow":
            self._unattributed += max(0, event["count"])
        elif name.startswith("keyring.") and name in CATALOGUE:
            self._ring(event)

    # --- parts of it --------------------------------------------------------------------------------------------------

    def _summed(self, event: dict[str, Any]) -> None:
        name, count = event["summarised"], max(0, event["count"])
        self._events[name if name in CATALOGUE else OTHERS] += count
        if name in _REFUSING:
            self._refuse(name, event, count, summed=count)
            end = event["timestamp"]
            first, last = _moment(event["first_seen"], end), _moment(event["last_seen"], end)
            self._refusals.spread(_reason(name, event), first, last, count)

    def _refuse(self, name: str, event: Mapping[str, Any], count: int, *, summed: int) -> None:
        kind = (name, _reason(name, event), event.get("client_ref"))
        counts = self._refused.get(kind)
        if counts is None:
            if len(self._refused) >= KINDS:
                self._crowded_out += count
                return
            counts = self._refused[kind] = [0, 0]
        counts[0] += count
        counts[1] += summed

    def _ring(self, event: Mapping[str, Any]) -> None:
        name, when = event["event"], event["timestamp"]
        match name:
            case "keyring.key_usage":
                self._tally(event)
            case "keyring.key_activated":
                self._activated[event["kid"]] = min(when, self._activated.get(event["kid"], inf))
                self._change(event["kid"], "active", event)
            case "keyring.key_pruned":
                self._change(event["kid"], "pruned", event)
            case "keyring.key_staged" | "keyring.key_retired" | "keyring.key_revoked":
                self._change(event["kid"], event["state"], event)
            case "keyring.loaded" | "keyring.reloaded":
                self._change(event["active_kid"], "active", event)
            case "keyring.unsafe" | "keyring.reload_failed" | "keyring.rotation_overdue":
                self._warn(event, *_complaint(event))
            case _:
                pass
        # A generation never comes back, so a process has each ring for one stretch of time.
        history = self._rings.setdefault(event["instance"], {})
        told = history.get(event["digest"])
        if told is not None:
            told[:] = min(told[0], when), max(told[1], when)
        elif len(history) < CHANGES:
            history[event["digest"]] = [when, when]

    def _warn(self, event: Mapping[str, Any], about: str, problem: str) -> None:
        kind, when = (event["event"], about), event["timestamp"]
        warned = self._warned.get(kind)
        if warned is None:
            if len(self._warned) >= WARNINGS:
                return
            warned = self._warned[kind] = _Warned(when)
        warned.count += 1
        warned.instances.add(event["instance"])
        warned.first_seen = min(when, warned.first_seen)
        if when >= warned.last_seen:
            warned.last_seen, warned.problem = when, problem

    def _change(self, kid: str, state: str, event: Mapping[str, Any]) -> None:
        """Take in that a key is in a state in one generation of the ring; the first process to have it counts."""
        told = self._changes.setdefault(kid, {})
        change = event["generation"], state
        if change in told or len(told) < CHANGES:
            told[change] = min(event["timestamp"], told.get(change, inf))

    def _tally(self, event: Mapping[str, Any]) -> None:
        window = event["window"] if isfinite(event["window"]) and event["window"] > 0 else 0.0
        if event["opened"] > 0:
            when = event["timestamp"]
            self._opened.spread(event["kid"], max(0.0, when - window), when, event["opened"])
            self._windows[0] += 1
            self._windows[1] += window

    @property
    def _end(self) -> float:
        """Time of the last event, if there is one."""
        return self.usage.until or 0.0

    # --- findings -----------------------------------------------------------------------------------------------------

    def findings(
        self,
        read: LogParser,
        at: float,
        *,
        ring: Keyring | None = None,
        session: str | None = None,
        trace: Sequence[Mapping[str, Any]] = (),
    ) -> Findings:
        """Come to findings.

        Args:
            read: who has read the log, for its counts of lines.
            at: the "now" of the answers.
            ring: the ring published now, for its policy and labels.
            session: the session that was asked about.
            trace: its events.
        """
        usage = self.usage
        policy = None if ring is None else ring.policy
        lifetime = usage.lifetime if policy is None or policy.token_lifetime is None else policy.token_lifetime
        skew = SKEW if policy is None else policy.skew
        workers = self._workers(at, ring)
        keys = [
            self._key(use, at, lifetime=lifetime, skew=skew, workers=workers, ring=ring) for use in usage.keys.values()
        ]
        keys.sort(key=lambda key: (key.lives[0].start if key.lives else inf, key.kid))
        enough = self._windows[0] > 0 and self._windows[1] / self._windows[0] * _FINE <= self._end - (
            usage.since or 0.0
        )
        return Findings(
            at=at,
            start=usage.since,
            end=usage.until,
            lines={
                "events": read.events,
                "later": self._later,
                "foreign": read.foreign,
                "broken": read.broken,
            },
            broken=tuple(str(place) for place in read.located),
            events=dict(self._events.most_common()),
            lifetime=lifetime,
            lifetime_from="log" if policy is None or policy.token_lifetime is None else "keyring",
            skew=skew,
            keys=tuple(keys),
            refusals=self._tampering(),
            workers=workers,
            warnings=self._warnings(),
            session=session,
            trace=tuple(trace),
            sessions_over_time=self._sessions,
            refusals_over_time=self._refusals,
            keys_over_time=self._opened if enough else self._written,
            basis=Basis.OPENED if enough else Basis.WRITTEN,
        )

    def _tampering(self) -> Refusals:
        kinds = [
            Refused(event=name, reason=reason, client_ref=client, count=count, summed=summed)
            for (name, reason, client), (count, summed) in self._refused.items()
        ]
        kinds.sort(key=lambda kind: (-kind.count, kind.event, kind.reason, kind.client_ref or ""))
        return Refusals(
            kinds=tuple(kinds),
            total=sum(kind.count for kind in kinds) + self._crowded_out,
            unattributed=self._unattributed,
            crowded_out=self._crowded_out,
        )

    def _warnings(self) -> tuple[RingWarning, ...]:
        found = [
            RingWarning(
                event=event,
                about=about,
                problem=warned.problem,
                count=warned.count,
                instances=len(warned.instances),
                first_seen=warned.first_seen,
                last_seen=warned.last_seen,
            )
            for (event, about), warned in self._warned.items()
        ]
        return tuple(sorted(found, key=lambda one: (-one.last_seen, one.event, one.about)))

    def _workers(self, at: float, ring: Keyring | None) -> Workers:
        ended = min(at, self._end)
        ours = None if ring is None else {key.kid for key in ring.keys}
        live = {one.name: one for one in self.usage.live(ended) if ours is None or not one.kids or one.kids & ours}
        told = [instance for instance in live.values() if instance.digest is not None]
        newest = max(told, key=lambda instance: (instance.generation, instance.told_at), default=None)
        every = sorted(self.usage.instances.values(), key=lambda one: (one.first_seen, one.name))
        return Workers(
            agree=None if newest is None else len({instance.digest for instance in told}) == 1,
            digest=None if newest is None else newest.digest,
            behind=tuple(one.name for one in told if newest is not None and one.digest != newest.digest),
            silent=tuple(one.name for one in live.values() if one.digest is None),
            all=tuple(self._worker(one, live=one.name in live) for one in every),
        )

    def _worker(self, instance: Instance, *, live: bool) -> Worker:
        told = sorted((first, digest) for digest, (first, _) in self._rings.get(instance.name, {}).items())
        ends = [*(first for first, _ in told[1:]), instance.last_seen]
        return Worker(
            instance=instance.name,
            live=live,
            digest=instance.digest,
            generation=instance.generation,
            first_seen=instance.first_seen,
            last_seen=instance.last_seen,
            rings=tuple(Period(digest, first, end) for (first, digest), end in zip(told, ends, strict=False)),
        )

    # --- one key ------------------------------------------------------------------------------------------------------

    def _key(
        self, use: KeyUse, at: float, *, lifetime: float, skew: float, workers: Workers, ring: Keyring | None
    ) -> KeyFinding:
        states = self._states(use)
        state = _UNTOLD if use.state is None else use.state
        hanging = state in {"retired", "pruned"}
        judged = _Judged(
            use=use,
            states=states,
            state=state,
            sessions=tuple(self.usage.sessions_on(use.kid, at, lifetime, skew)) if hanging else (),
            at=at,
            lifetime=lifetime,
            skew=skew,
            propagation=PROPAGATION if ring is None else ring.policy.propagation,
            ring=ring,
        )
        last = max((when for when in (use.last_opened, use.last_sealed) if when is not None), default=None)
        known = None if ring is None else ring.find(use.kid)
        return KeyFinding(
            kid=use.kid,
            label=use.label if known is None else known.label,
            state=state,
            lives=self._lives(use.kid, states),
            took_over=self._activated.get(use.kid),
            opened=use.opened,
            sealed=use.sealed,
            failed=use.failed,
            last_opened=use.last_opened,
            last_sealed=use.last_sealed,
            unused_for=None if last is None else max(0.0, at - last),
            sessions=judged.sessions,
            depends_until=judged.depends_until,
            pruning=self._pruning(judged, workers),
        )

    def _states(self, use: KeyUse) -> dict[str, float]:
        """Return when a key was first told to be in each state."""
        states = {name: when for name, when in use.states.items() if name in _ORDER}
        return dict(sorted(states.items(), key=lambda entry: (entry[1], _ORDER.index(entry[0]))))

    def _lives(self, kid: str, states: Mapping[str, float]) -> tuple[Period, ...]:
        """Return the stretches of time a key was in its states: more than one of a kind, if it was taken back."""
        changes: list[tuple[float, str]] = []
        until = inf
        for (_, state), when in sorted(self._changes.get(kid, {}).items(), key=lambda one: (one[0][0], one[1]))[::-1]:
            until = min(when, until)  # a process may tell of a generation after others have told of the next
            changes.append((until, state))
        told = {state for _, state in changes}
        changes = [*changes[::-1], *((when, state) for state, when in states.items() if state not in told)]
        changes.sort(key=lambda change: change[0])
        turns = [
            change for change, before in zip(changes, [(0.0, ""), *changes], strict=False) if change[1] != before[1]
        ]
        ends = [*(when for when, _ in turns[1:]), self._end]
        return tuple(
            Period(state, start, max(start, end))
            for (start, state), end in zip(turns, ends, strict=False)
            if state in _ORDER and state != "pruned"
        )

    def _pruning(self, key: _Judged, workers: Workers) -> Pruning:
        """Answer question 3, with every reason for the answer."""
        match key.state:
            case "active" | "staged":
                why = [f"It is {key.state}: only what is retired is pruned."]
                return Pruning(safe=Safety.NO, allowed_at=None, why=tuple(why))
            case "pruned":
                gone = f"It was pruned at {shown(key.states['pruned'])}."
                return Pruning(safe=Safety.GONE, allowed_at=None, why=(gone, *key.dependants()))
            case "retired" | "revoked":
                return self._judgement(key, key.allowed_at(), workers)
            case _:
                return Pruning(safe=Safety.UNKNOWN, allowed_at=None, why=("The log does not tell its state.",))

    @staticmethod
    def _judgement(key: _Judged, allowed: float, workers: Workers) -> Pruning:
        why = [] if key.state == "revoked" else key.dependants()
        if key.lifetime <= 0:
            why.append("The log does not tell how long a session lives: give --keyring.")
        elif allowed == inf:
            why.append("The keyring does not tell when it was retired.")
        if key.lifetime <= 0 or allowed == inf:
            return Pruning(safe=Safety.UNKNOWN, allowed_at=None, why=tuple(why))
        if key.at < allowed and key.state == "revoked":
            what = "its entry tells cookies that it sealed from those of unknown keys"
            why.append(f"It opens nothing any more; until {shown(allowed)} {what}.")
        elif key.at < allowed:
            why.append(f"A cookie under it may live until {shown(allowed)}.")
        stray = (*workers.behind, *workers.silent)
        if stray:
            why.append(f"It is not known to be out of use on {', '.join(stray)}: another ring, or none told.")
        if key.at < allowed or stray:
            return Pruning(safe=Safety.NO, allowed_at=None if stray else allowed, why=tuple(why))
        return Pruning(
            safe=Safety.YES, allowed_at=allowed, why=(f"Every cookie under it had ended by {shown(allowed)}.",)
        )


class _Warned:
    """One warning, as it adds up."""

    __slots__ = ("count", "first_seen", "instances", "last_seen", "problem")

    def __init__(self, when: float) -> None:
        self.count = 0
        self.instances: set[str] = set()
        self.first_seen = self.last_seen = when
        self.problem = ""


_ORDER = ("staged", "active", "retired", "revoked", "pruned")

_UNTOLD = "unknown"
"""State of a key that sessions name and no keyring event does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """What the judgement on a key rests on.

    Attributes:
        use: what the log tells of it.
        states: when it came into each.
        state: the last of them.
        sessions: which hang on it, with until when.
        at: Unix seconds.
        lifetime: T.
        skew: ε.
        propagation: D.
        ring: the ring published now, if its file is at hand: its dates count as well.
    """

    use: KeyUse
    states: Mapping[str, float]
    state: str
    sessions: tuple[tuple[str, float], ...]
    at: float
    lifetime: float
    skew: float
    propagation: float
    ring: Keyring | None

    def allowed_at(self) -> float:
        """Return from when on a retired or revoked key may go: C3 of ``keyring.rotation``; ``inf`` if nothing tells."""
        if self.state == "revoked":
            return self.states["revoked"] + kept(Policy(self.propagation, self.skew, self.lifetime))
        known = None if self.ring is None else self.ring.find(self.use.kid)
        if self.ring is not None and known is not None:
            gone = prunable_at(self.ring, known, self.use) or inf
        else:
            life = self.lifetime + self.skew
            gone = max(self.use.last_sealed or 0.0, self.states.get("retired", 0.0)) + life
            gone = max(gone, self.use.prune_after or 0.0)
            if self.use.last_opened is not None and self.use.last_opened >= gone:
                gone = self.use.last_opened + life  # by somebody whose log is missing: as in ``audit.fleet``
        return max(gone, self.depends_until or 0.0)

    @property
    def depends_until(self) -> float | None:
        """Until when a session may hang on it."""
        return max((until for _, until in self.sessions), default=None)

    def dependants(self) -> list[str]:
        """Return what is to be said of the sessions that hang on it."""
        count = len(self.sessions)
        return [f"{count:,} session{'' if count == 1 else 's'} of this log may still hang on it."] if count else []


def _reason(name: str, event: Mapping[str, Any]) -> str:
    """Return why a cookie was refused, in a word that tells the same whatever event it comes from."""
    reason = event.get("reason") or OTHERS
    return f"{EXPIRED}_{reason}" if name == "session.use_after_expire" else reason


def _complaint(event: Mapping[str, Any]) -> tuple[str, str]:
    """Return what a warning against a ring is about, and what is wrong with it."""
    match event["event"]:
        case "keyring.unsafe":
            about = event["condition"] if event.get("kid") is None else f"{event['condition']}, key {event['kid']}"
            return about, event["problem"]
        case "keyring.reload_failed":
            return event["location"], event["problem"]
        case _:  # keyring.rotation_overdue
            return f"key {event['kid']}", f"has sealed for {duration(max(0.0, event['active_for']))}"


def _moment(text: str | None, otherwise: float) -> float:
    """Return a time in a field as Unix seconds."""
    moment = seconds(text)
    return otherwise if moment is None else moment
