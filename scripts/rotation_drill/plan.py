"""What a drill consists of, and the policy numbers it runs on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Plan", "Sabotage", "Step"]


class Step(StrEnum):
    """What the operator does, in the words of the table and the picture."""

    ROTATE = "rotation"
    ROTATE_STUCK = "rotation that one host does not get"
    ROTATE_AT = "scheduled rotation"
    ROLL_BACK = "rollback"
    BAD_FILE = "bad file"
    REVOKE = "emergency revocation"
    PRUNE = "prune"
    NAIVE_SWAP = "a new key without staging it"
    EARLY_PRUNE = "a prune while sessions hang on the key"
    ROTATE_BLINDLY = "rotation without the barrier"


class Sabotage(StrEnum):
    """A mistake to make on purpose: the drill must find it."""

    NAIVE_SWAP = "naive-swap"
    EARLY_PRUNE = "early-prune"
    NO_BARRIER = "no-barrier"


WHOLE = (
    Step.ROTATE,
    Step.ROTATE_STUCK,
    Step.ROTATE,
    Step.ROLL_BACK,
    Step.BAD_FILE,
    Step.ROTATE_AT,
    Step.ROTATE,
    Step.REVOKE,
    Step.PRUNE,
)
SHORT = (Step.ROTATE_STUCK, Step.ROTATE, Step.ROLL_BACK, Step.BAD_FILE, Step.ROTATE_AT, Step.REVOKE)
MISTAKES = {
    Sabotage.NAIVE_SWAP: (Step.NAIVE_SWAP,),
    Sabotage.EARLY_PRUNE: (Step.EARLY_PRUNE,),
    Sabotage.NO_BARRIER: (Step.ROTATE_STUCK, Step.ROTATE_BLINDLY),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """One drill.

    Attributes:
        steps: what the operator does, in order.
        seconds: that it takes, more or less; on a busy machine more.
        propagation: whole seconds within which a publish is everywhere (the policy's D), unless a host is stuck.
        skew: whole seconds that clocks may differ by (ε). The workers' clocks differ by nearly as much.
        lifetime: seconds that a session lives without being renewed (T).
        latest: seconds after which a file arrives at the host that gets it last.
        calm: seconds between two steps.
    """

    steps: tuple[Step, ...]
    seconds: float
    propagation: int
    skew: int
    lifetime: int
    latest: float
    calm: float

    @classmethod
    def of(cls, seconds: float, *, short: bool = False, sabotage: Sabotage | None = None) -> Plan:
        """Return the plan of a drill that takes about so many seconds.

        A rotation takes ``propagation`` and ``skew``, and the whole drill some ten times that.
        """
        steps = SHORT if short else WHOLE
        propagation = max(2, round(seconds / (9 if short else 18)))
        return cls(
            steps=steps if sabotage is None else MISTAKES[sabotage],
            seconds=seconds,
            propagation=propagation,
            skew=max(1, min(3, propagation // 2)),
            # In a whole drill short enough that a prune comes due, but no visitor rests for longer.
            lifetime=600 if short else max(30, round(seconds / 4)),
            latest=propagation / 2,
            calm=propagation / 4,
        )

    @property
    def rotations(self) -> int:
        """How often the key is to change; rollback and revocation not counted."""
        rotations = {Step.ROTATE, Step.ROTATE_STUCK, Step.ROTATE_AT}
        return sum(step in rotations for step in self.steps)

    @property
    def patience(self) -> float:
        """Seconds after which what should have happened by now is a failure: a busy machine gets its time."""
        return 60.0 + 3 * self.propagation

    def rest(self) -> float:
        """Return the seconds a sleepy visitor thinks, on average: twice that at most, and the session is still alive.

        Half of its life may be over before a look renews it, so what comes on top must leave room for the clocks.
        """
        return min(5.0, 0.17 * self.lifetime)
