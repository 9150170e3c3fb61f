"""Holds a report against what happened: every answer must be right, not just near."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from audit_day.day import DAY, LAGGING_AT, MIDNIGHT, POLICY
from sessionkit.keyring import rotation
from sessionkit.keyring.key import KeyState
from sessionkit.keyring.succession import kept

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from audit_day.day import Truth

__all__ = ["Verdict", "judge", "judge_lagging"]

NOW = MIDNIGHT + DAY

BOUND = (POLICY.token_lifetime or 0.0) + POLICY.skew
"""Seconds after its sealing at which a cookie has ended on every clock."""

RELOADING = 10.0
"""Seconds within which workers reload: the log tells a state when the first has it, the ring when it was made."""

ROUNDING = 0.0015
"""Seconds: the log has milliseconds."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one comparison.

    Attributes:
        question: of the six.
        about: what was compared.
        right: whether the report says what happened.
        told: what the report says, in short.
    """

    question: int
    about: str
    right: bool
    told: str


def judge(report: Mapping[str, Any], truth: Truth) -> list[Verdict]:
    """Compare the report on the whole day with the truth."""
    keys = {key["label"]: key for key in report["keys"]}
    return [
        *_dependants(keys, truth),
        *_last_used(keys, truth),
        *_prunable(keys, truth),
        *_refusals(report, truth),
        _rings(report, truth.rings, "at midnight"),
        *_trace(report, truth),
    ]


def judge_lagging(report: Mapping[str, Any], truth: Truth) -> list[Verdict]:
    """Compare the report as of a moment at which one worker has an older ring."""
    return [_rings(report, truth.lagging, f"{(LAGGING_AT - MIDNIGHT) / 3600:g} h after midnight")]


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _dependants(keys: Mapping[str, Any], truth: Truth) -> Iterator[Verdict]:
    """1: of sessions that no line ends, those are told whose key may still be presented."""
    for key in truth.ring.keys:
        if key.state is not KeyState.RETIRED:
            continue
        told = {entry["session_ref"]: _seconds(entry["until"]) for entry in keys[key.label]["sessions"]}
        hanging = truth.hanging.get(key.kid, {})
        possible = truth.last_sealed[key.kid] + BOUND > NOW
        yield Verdict(1, f"sessions on {key.label}", set(told) == set(hanging if possible else ()), f"{len(told):,}")
        alive = {ref: deadline for ref, deadline in hanging.items() if deadline > NOW}
        covered = all(told.get(ref, 0.0) >= deadline for ref, deadline in alive.items())
        yield Verdict(1, f"until when, on {key.label}", covered, f"covers {len(alive):,} live cookies")


def _last_used(keys: Mapping[str, Any], truth: Truth) -> Iterator[Verdict]:
    """2: to the millisecond."""
    for key in truth.ring.keys:
        used = [times[key.kid] for times in (truth.last_opened, truth.last_sealed) if key.kid in times]
        told = keys[key.label]["unused_for"]
        right = told is None if not used else told is not None and abs(NOW - max(used) - told) < ROUNDING
        yield Verdict(2, f"last use of {key.label}", right, "never" if told is None else f"{told:,.3f} s ago")


def _prunable(keys: Mapping[str, Any], truth: Truth) -> Iterator[Verdict]:
    """3: as the rules of rotations have it, with the true time of the last sealing."""
    for key in truth.ring.keys:
        told = keys[key.label]["pruning"]
        if key.state is KeyState.RETIRED:
            # The ring's own date holds as well: a log cannot prove that nobody else has sealed.
            allowed = max(rotation.prunable_at(truth.ring, key) or 0.0, truth.last_sealed[key.kid] + BOUND)
        elif key.state is KeyState.REVOKED:
            allowed = (key.revoked or 0.0) + kept(POLICY)
        else:
            yield Verdict(3, f"prune {key.label}", told["safe"] == "no" and told["allowed_at"] is None, told["safe"])
            continue
        near = told["allowed_at"] is not None and abs(_seconds(told["allowed_at"]) - allowed) <= RELOADING
        right = near and told["safe"] == ("yes" if allowed <= NOW else "no")
        yield Verdict(3, f"prune {key.label}", right, f"{told['safe']}, {told['allowed_at']}")


def _refusals(report: Mapping[str, Any], truth: Truth) -> Iterator[Verdict]:
    """4: counts of every reason and client, of which most were only summed up."""
    told = Counter(
        {(kind["event"], kind["reason"], kind["client_ref"]): kind["count"] for kind in report["refusals"]["kinds"]}
    )
    happened = Counter(
        {
            (event, f"expired_{reason}" if event == "session.use_after_expire" else reason, client): count
            for (event, reason, client), count in truth.refused.items()
        }
    )
    summed = sum(kind["summed"] for kind in report["refusals"]["kinds"])
    total = report["refusals"]["total"]
    yield Verdict(4, "refusals by event, reason, client", told == happened, f"{len(told):,} kinds")
    yield Verdict(4, "refusals in all", total == truth.refused.total(), f"{total:,}, {summed:,} only summed up")


def _rings(report: Mapping[str, Any], rings: Mapping[str, str], when: str) -> Verdict:
    """5: which workers are live, and whether they have one ring."""
    workers = report["workers"]
    live = {worker["instance"]: worker["digest"] for worker in workers["all"] if worker["live"]}
    newest = Counter(rings.values()).most_common(1)[0][0]
    behind = sorted(name for name, digest in rings.items() if digest != newest)
    right = live == dict(rings) and workers["agree"] is (not behind) and sorted(workers["behind"]) == behind
    told = "all agree" if workers["agree"] else f"behind: {', '.join(workers['behind'])}"
    return Verdict(5, f"rings {when}", right, f"{len(live)} live, {told}")


def _trace(report: Mapping[str, Any], truth: Truth) -> Iterator[Verdict]:
    """6: every line of a session, under all of its references, in order."""
    lines = truth.traces.get(report["session"])
    if lines is not None:
        told = [(event["event"], event["timestamp"]) for event in report["trace"]]
        yield Verdict(6, f"session {report['session']}", told == lines, f"{len(told)} events")
