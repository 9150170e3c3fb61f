"""Steps that end sessions on purpose, beside ``rotation.revoke``: pure functions from ring to ring.

Rules of this file:

* An emergency does not wait: what it ends is meant to end, so C1 to C3 do not hold for it (see ``safety``).
* What is ended must be ended at once, everywhere and for good: one publish, and no way back by accident (E1).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sessionkit.exceptions import RotationRefused
from sessionkit.keyring.key import Key, KeyState

if TYPE_CHECKING:
    from sessionkit.keyring.keyring import Keyring

__all__ = ["compromise", "end_before"]


def compromise(ring: Keyring, now: float, active: Key, staged: Key | None = None) -> Keyring:
    """Refuse every key there is, since whoever read the file has them all: fresh ones take their places.

    Nothing can be staged ahead of this. Until a process has the new ring it goes on with the old one, and what is begun
    on either side is unknown on the other; for D at most.

    Args:
        ring: the ring published now.
        now: Unix seconds.
        active: a fresh key to seal from now on.
        staged: a fresh key to stand by.
    """
    revoked = [
        key if key.state is KeyState.REVOKED else replace(key, state=KeyState.REVOKED, revoked=now) for key in ring.keys
    ]
    fresh = replace(active, state=KeyState.ACTIVE, activates=now)
    keys = (*revoked, fresh, *(() if staged is None else (staged,)))
    return ring.changed(keys=keys, generation=ring.generation + 1)


def end_before(ring: Keyring, at: float, now: float, *, force: bool = False) -> Keyring:
    """Refuse every session that began before a time, whichever key it comes under.

    Args:
        ring: the ring published now.
        at: Unix seconds.
        now: likewise, by the clock of whoever asks.
        force: let sessions in again that are refused now.

    Raises:
        RotationRefused: if the time lies ahead by more than clocks may differ, or before the one in force.
    """
    # A time in the file is in whole seconds: the one that has begun counts as over.
    if at > now + ring.policy.skew + 1:
        raise RotationRefused(
            "that time lies ahead, by more than clocks may differ: every session begun until then would be refused. "
            "Give the present, or a time that is past."
        )
    if not force and ring.not_before is not None and at < ring.not_before:
        raise RotationRefused(
            "sessions that began before a later time are refused already. With an earlier one some would be let in "
            "again, and by now only somebody who kept a copy has their cookies."
        )
    return ring.changed(not_before=at, generation=ring.generation + 1)
