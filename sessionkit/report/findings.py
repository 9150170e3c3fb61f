"""What a log has to say to the six questions an auditor asks, as values.

1. Which sessions still depend on a retired key, and until when?
2. How long since a key was last used?
3. Is it safe to prune a key now?
4. Who tampers: counts by reason and client, also of what was only summed up?
5. Do all workers run the same ring?
6. What happened to one session?

Times are Unix seconds, durations seconds; ``as_json`` gives times in ISO 8601, as log lines have them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sessionkit.audit.events import CATALOGUE, timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sessionkit.report.timeline import Timeline

__all__ = [
    "Basis",
    "Findings",
    "KeyFinding",
    "Period",
    "Pruning",
    "Refusals",
    "Refused",
    "RingWarning",
    "Safety",
    "Worker",
    "Workers",
    "duration",
    "shown",
    "warned",
]

_LAST = 253_402_300_799.0
"""Unix seconds of the last second that has a date of four digits. A log may name any time, and sums go beyond."""


def _time() -> Any:
    """Mark a field that holds a time."""
    return field(metadata={"time": True})


_APART = {"apart": True}
"""Marks fields that ``Findings.as_json`` leaves out, or puts into words of its own."""


class Safety(StrEnum):
    """Whether a key may be pruned."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time."""

    what: str
    start: float = _time()
    end: float = _time()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """The answer to question 3 about one key.

    Attributes:
        safe: the answer.
        allowed_at: from when on it is safe, if that is known.
        why: one sentence a reason.
    """

    safe: Safety
    allowed_at: float | None = _time()
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFinding:
    """The answers to questions 1 to 3 about one key.

    Attributes:
        kid: its id.
        label: its name, if the log tells it.
        state: the last one told: ``staged``, ``active``, ``retired``, ``revoked`` or ``pruned``.
        lives: its states one after the other.
        took_over: when it began to seal in place of another key, if that was while the log was written.
        opened: sessions opened under it.
        sealed: cookies sealed under it.
        failed: cookies that named it and were refused.
        last_opened: when it opened a session last.
        last_sealed: when it sealed a cookie last.
        unused_for: since the later of the two.
        sessions: references of the sessions that depend on it, each with the time until which it may; an upper bound.
        depends_until: the latest of these times.
        pruning: whether it may go.
    """

    kid: str
    label: str | None
    state: str
    lives: tuple[Period, ...]
    took_over: float | None = _time()
    opened: int
    sealed: int
    failed: int
    last_opened: float | None = _time()
    last_sealed: float | None = _time()
    unused_for: float | None
    sessions: tuple[tuple[str, float], ...] = field(metadata=_APART)
    depends_until: float | None = _time()
    pruning: Pruning

    @property
    def name(self) -> str:
        """Label and id, for people."""
        return self.kid if self.label is None else f"{self.label} ({self.kid})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """How many cookies of one kind were refused.

    Attributes:
        event: name of the event.
        reason: why.
        client_ref: reference of the client, where references to clients are logged.
        count: all of them.
        summed: those among them that were only counted in ``audit.summary``.
    """

    event: str
    reason: str
    client_ref: str | None
    count: int
    summed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusals:
    """The answer to question 4.

    Attributes:
        kinds: the most frequent first.
        total: of all kinds, and of what was counted without its kind.
        unattributed: of events that ``audit.overflow`` counted: any that a client can cause, of no known kind.
        crowded_out: refusals of kinds beyond the most that a report keeps apart; they are part of ``total``.
    """

    kinds: tuple[Refused, ...]
    total: int
    unattributed: int
    crowded_out: int

    def by_reason(self) -> dict[str, int]:
        """Return counts by reason, the most frequent first."""
        return _summed((kind.reason, kind.count) for kind in self.kinds)

    def by_client(self) -> dict[str | None, int]:
        """Return counts by client, the most frequent first; ``None`` stands for those without a reference."""
        return _summed((kind.client_ref, kind.count) for kind in self.kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One process.

    Attributes:
        instance: its name in the log.
        live: whether it served when the log ended.
        digest: of its ring, if it told.
        generation: likewise.
        first_seen: its first line.
        last_seen: its last line.
        rings: which it had when, by digest.
    """

    instance: str
    live: bool
    digest: str | None
    generation: int
    first_seen: float = _time()
    last_seen: float = _time()
    rings: tuple[Period, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """The answer to question 5.

    Attributes:
        agree: whether all that are live have one ring; ``None`` if no live one has told which.
        digest: the newest ring in force among the live.
        behind: live ones that have another ring than that.
        silent: live ones that never told which ring they have.
        all: every one, live or not.
    """

    agree: bool | None
    digest: str | None
    behind: tuple[str, ...]
    silent: tuple[str, ...]
    all: tuple[Worker, ...]

    @property
    def live(self) -> int:
        """How many are live."""
        return sum(1 for worker in self.all if worker.live)

    def last_words(self) -> str:
        """Return what is to be said where none is live."""
        last = max(self.all, key=lambda worker: worker.last_seen, default=None)
        if last is None or last.digest is None:
            return "No worker was live when the log ended."
        return f"No worker was live when the log ended; the last to serve had ring {last.digest}."


@dataclass(frozen=True, slots=True, kw_only=True)
class RingWarning:
    """What processes said against their ring, in the same words.

    Attributes:
        event: ``keyring.unsafe``, ``keyring.reload_failed`` or ``keyring.rotation_overdue``.
        about: the condition and the key, the place in the file, or the key that has sealed for too long.
        problem: what is wrong, as the last of them said it.
        count: how often it was said.
        instances: by how many processes.
        first_seen: when first.
        last_seen: when last.
    """

    event: str
    about: str
    problem: str
    count: int
    instances: int
    first_seen: float = _time()
    last_seen: float = _time()


class Basis(StrEnum):
    """What the chart of traffic by key is made of."""

    OPENED = "opened"
    """Sessions opened, as ``keyring.key_usage`` counts them."""
    WRITTEN = "written"
    """Sessions written: the log is so short that its tallies show no course."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All that a report says.

    Attributes:
        at: the "now" of the answers.
        start: time of the first event; ``None`` if there is no event.
        end: time of the last one.
        lines: lines read, by what they were: ``events``, ``foreign`` (of others) and ``broken``; ``later`` are those of
            the events that came after the "now" that was asked for, and do not count.
        broken: where the first broken lines are.
        events: how often each event happened, including what was only summed up.
        lifetime: T, the longest life of a cookie, that the answers reckon with.
        lifetime_from: ``keyring`` or ``log``.
        skew: ε, by how much clocks may differ.
        keys: in the order in which they came into use.
        refusals: of cookies.
        workers: and their rings.
        warnings: against rings, the latest first.
        session: the reference that question 6 was asked about, if it was.
        trace: the events of that session, in order.
        sessions_over_time: sessions that began, moved, ended.
        refusals_over_time: by reason.
        keys_over_time: by key.
        basis: what the last is made of.
    """

    at: float = _time()
    start: float | None = _time()
    end: float | None = _time()
    lines: Mapping[str, int]
    broken: tuple[str, ...]
    events: Mapping[str, int]
    lifetime: float
    lifetime_from: str
    skew: float
    keys: tuple[KeyFinding, ...]
    refusals: Refusals
    workers: Workers
    warnings: tuple[RingWarning, ...]
    session: str | None
    trace: tuple[Mapping[str, Any], ...] = field(metadata=_APART)
    sessions_over_time: Timeline = field(metadata=_APART)
    refusals_over_time: Timeline = field(metadata=_APART)
    keys_over_time: Timeline = field(metadata=_APART)
    basis: Basis = field(metadata=_APART)

    def as_json(self) -> dict[str, Any]:
        """Return everything but the counts over time, as JSON has it."""
        facts: dict[str, Any] = _plain(self)
        for key, finding in zip(facts["keys"], self.keys, strict=True):
            dates = {until: _iso(until) for _, until in finding.sessions}  # thousands share one bound
            key["sessions"] = [{"session_ref": ref, "until": dates[until]} for ref, until in finding.sessions]
        facts["trace"] = [
            {"timestamp": _iso(event["timestamp"]), "event": event["event"], **details(event)} for event in self.trace
        ]
        facts["refusals"]["by_reason"] = self.refusals.by_reason()
        facts["refusals"]["by_client"] = [
            {"client_ref": client, "count": count} for client, count in self.refusals.by_client().items()
        ]
        return facts


def shown(moment: float) -> str:
    """Return a time for people, to the second. What lies beyond the calendar is its last second."""
    return f"{timestamp(min(moment, _LAST))[:19]}Z".replace("T", " ")


def warned(warning: RingWarning) -> str:
    """Return a warning for people, in one sentence."""
    times = "once" if warning.count == 1 else f"{warning.count:,} times by {warning.instances:,} workers"
    return f"{warning.about}: {warning.problem} ({warning.event}, {times}, last at {shown(warning.last_seen)})"


def duration(seconds: float) -> str:
    """Return a duration for people, in its two largest units."""
    rest, parts = round(seconds), []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count:,} {unit}")
    return " ".join(parts[:2]) or "0 s"


def details(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a line that are its event's own, in the catalogue's order."""
    kind = CATALOGUE.get(event["event"])
    names = () if kind is None else (one.name for one in fields(kind))
    return {name: event[name] for name in names if event.get(name) is not None}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {
            one.name: _iso(getattr(value, one.name)) if one.metadata.get("time") else _plain(getattr(value, one.name))
            for one in fields(value)
            if not one.metadata.get("apart")
        }
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value


def _iso(moment: float | None) -> str | None:
    return None if moment is None else timestamp(min(moment, _LAST))


def _summed(pairs: Any) -> dict[Any, int]:
    sums: dict[Any, int] = {}
    for name, count in pairs:
        sums[name] = sums.get(name, 0) + count
    return dict(sorted(sums.items(), key=lambda entry: (-entry[1], str(entry[0]))))
