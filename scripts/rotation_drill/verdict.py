"""What a drill has to show, held against what it showed: one finding a promise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rotation_drill.plan import Step
from rotation_shop.tally import End

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rotation_drill.logs import Logs
    from rotation_drill.plan import Plan
    from rotation_drill.steps import Proof
    from rotation_shop.tally import Tally

__all__ = ["Finding", "Outcome", "findings"]


class Finding(NamedTuple):
    """One promise.

    Attributes:
        what: was promised.
        seen: in words and figures.
        good: whether it was kept.
    """

    what: str
    seen: str
    good: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a drill showed.

    Attributes:
        plan: what was to be done.
        tally: what the browsers saw.
        logs: what the workers said.
        proof: what the operator saw.
        order: ids of the keys that sealed, in the order in which they took over.
        troubles: what the servers' own output tells of.
    """

    plan: Plan
    tally: Tally
    logs: Logs
    proof: Proof
    order: Sequence[str]
    troubles: Sequence[str]


def findings(outcome: Outcome) -> Iterator[Finding]:
    """Yield everything that must hold."""
    plan, tally, logs, proof = outcome.plan, outcome.tally, outcome.logs, outcome.proof
    ends = tally.ends
    yield Finding("the whole plan", proof.stopped or f"{len(plan.steps)} steps", proof.stopped is None)
    yield Finding("sessions lost", f"{ends[End.LOST]}", not tally.lost)
    yield Finding("errors", f"{len(tally.errors)}", not tally.errors and tally.requests > 0)
    told = ", ".join(f"{ends[end]:,} {end}" for end in (End.LOGOUT, End.REVOKED, End.EXPIRED))
    yield Finding(
        "every session accounted for",
        f"{tally.sessions:,} begun: {told}, {ends[End.LOST]} lost, {tally.alive} alive; {tally.unaccounted} left over",
        tally.unaccounted == 0 and tally.sessions > 0,
    )
    yield _workers(outcome)
    yield Finding(
        "rotations",
        f"{proof.rotations} of {plan.rotations}, {proof.scheduled} of them by the clocks",
        proof.rotations == plan.rotations and proof.scheduled == plan.steps.count(Step.ROTATE_AT),
    )
    yield _backwards(outcome)
    if Step.ROTATE in plan.steps:
        yield Finding("a prune that comes too early", "refused" if proof.prune_refused else "done", proof.prune_refused)
    if Step.ROTATE_STUCK in plan.steps:
        yield Finding(
            "a stuck host",
            f"no promotion without {', '.join(proof.held)}" if proof.held else "nobody waited for it",
            0 < len(proof.held) < len(logs.workers),
        )
    if Step.ROLL_BACK in plan.steps:
        back = ", ".join(f"from {before} to {after}" for before, after in proof.rolled_back)
        yield Finding("a rollback", back or "none", len(proof.rolled_back) == plan.steps.count(Step.ROLL_BACK))
    if Step.BAD_FILE in plan.steps:
        everybody = len(logs.workers)
        command = "refused" if proof.command_refused else "taken"
        yield Finding(
            "a bad file",
            f"refused by {proof.refused} workers, {proof.recovered} recovered; {command} by the command line",
            proof.refused == proof.recovered == everybody and proof.command_refused,
        )
    if Step.REVOKE in plan.steps:
        yield Finding(
            "a revoked key",
            f"{proof.revoked}: {ends[End.REVOKED]} sessions ended with it",
            proof.revoked is not None and ends[End.REVOKED] > 0,
        )
    if Step.PRUNE in plan.steps:
        yield Finding("a prune in time", f"{len(proof.pruned)} keys", bool(proof.pruned))


def _workers(outcome: Outcome) -> Finding:
    """Every worker served, none ended, none raised."""
    tally, logs, troubles = outcome.tally, outcome.logs, outcome.troubles
    again = [worker.name for worker in logs.workers if len(worker.instances) != 1]
    seen = f"{len(tally.workers)} served, the idlest {min(tally.workers.values(), default=0):,} requests"
    if again:
        seen += f"; started again: {', '.join(again)}"
    if troubles:
        seen += f"; {'; '.join(troubles)}"
    good = len(tally.workers) == len(logs.workers) and not again and not troubles
    return Finding("workers", seen, good)


def _backwards(outcome: Outcome) -> Finding:
    """No session went back to a key that had sealed before, but by the rollback."""
    logs = outcome.logs
    place = {kid: number for number, kid in enumerate(outcome.order)}
    back = {
        (before, after): count
        for (before, after), count in logs.rekeyed.items()
        if place.get(after, -1) < place.get(before, -1)
    }
    rolled = sum(back.pop(pair, 0) for pair in outcome.proof.rolled_back)
    wrong = sum(back.values())
    seen = f"{logs.rekeyed.total():,} moves to another key, {rolled} of them by the rollback, {wrong} backwards"
    return Finding("re-encryption", seen, wrong == 0)
