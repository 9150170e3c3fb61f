"""Who comes after whom in a ring, and when: what follows from the dates of its keys alone.

D is the policy's ``propagation``, ε its ``skew``, T its ``token_lifetime``; times are Unix seconds.

Rules of this file:

* A staged key whose time has come seals, whatever the file calls it: ``settle`` says what has become of each key, so
  that nobody who reads a ring after a scheduled take-over treats the key that was outrun as the one that seals.
* A date that is missing is never taken for one long ago: people write files too, and leave dates out.
* Dates are written by one machine and read by others, so ε counts once for each clock that is compared with another.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from sessionkit.keyring.key import KeyState

if TYPE_CHECKING:
    from sessionkit.keyring.key import Key
    from sessionkit.keyring.keyring import Keyring, Policy

__all__ = [
    "activated",
    "kept",
    "lifetime",
    "next_takeover",
    "promotable_at",
    "prunable_at",
    "retire_at",
    "sealing_between",
    "settle",
    "spread",
]

_FILE_LIFETIME = 1_209_600.0
"""Seconds taken for T where a ring promises none: the reference's ``max_age``."""


def spread(policy: Policy) -> float:
    """Return D + ε: seconds from a publish until every node has it, by whichever clock the publish was dated."""
    return policy.propagation + policy.skew


def lifetime(policy: Policy) -> float:
    """Return T: seconds that a token is accepted for."""
    return _FILE_LIFETIME if policy.token_lifetime is None else policy.token_lifetime


def kept(policy: Policy) -> float:
    """Return how long a key is kept from its retirement on, in seconds: D + ε, then T + ε.

    The last node stops sealing under it D after the publish, or ε after a scheduled time; what it sealed then is
    accepted for T by the slowest clock.
    """
    return spread(policy) + lifetime(policy) + policy.skew


def settle(ring: Keyring, now: float) -> Keyring:
    """Return what has become of a ring whose keys take over by themselves; the ring itself if none has yet.

    The newest key whose time has come is active; each one that it has outrun is retired since its successor's time.
    Generation and policy are the ring's: this is the same publish, read later.

    Args:
        ring: a ring as published.
        now: Unix seconds.
    """
    seals = ring.active(now)
    if seals.state is KeyState.ACTIVE:
        return ring
    # A staged key older than the active one is never the newest: it stays staged.
    first = next(key for key in ring.keys if key.state is KeyState.ACTIVE)
    begun = [key for key in ring.keys if key.state is KeyState.STAGED and key.activates is not None]
    line = [first, *sorted((key for key in begun if _between(ring, first, key, seals)), key=ring.order)]
    became = {seals.id: activated(seals, _time(seals))}
    for key, successor in pairwise(line):
        became[key.id] = retire_at(key, _time(successor), ring.policy)
    return ring.changed(keys=[became.get(key.id, key) for key in ring.keys])


def _between(ring: Keyring, first: Key, key: Key, last: Key) -> bool:
    return ring.order(first) < ring.order(key) <= ring.order(last)


def _time(key: Key) -> float:
    """Return when a key takes over by itself; never, if nothing says so."""
    return math.inf if key.activates is None else key.activates


def next_takeover(ring: Keyring, after: float) -> float:
    """Return the next time at which a staged key's time comes; infinity if there is none."""
    times = (_time(key) for key in ring.keys if key.state is KeyState.STAGED)
    return min((time for time in times if time > after), default=math.inf)


def sealing_between(ring: Keyring, start: float, end: float) -> tuple[Key, ...]:
    """Return the keys that the clocks of nodes choose for new sessions from one time to another, oldest first."""
    chosen = [ring.active(start)]
    while (start := next_takeover(ring, start)) <= end:
        key = ring.active(start)
        if key is not chosen[-1]:
            chosen.append(key)
    return tuple(chosen)


def activated(key: Key, when: float) -> Key:
    """Return a key as it is when it has taken over at a time."""
    return replace(key, state=KeyState.ACTIVE, activates=when, retired=None, prune_after=None)


def retire_at(key: Key, when: float, policy: Policy) -> Key:
    """Return a key as it is when it has stopped sealing at a time."""
    return replace(key, state=KeyState.RETIRED, retired=when, prune_after=when + kept(policy))


def promotable_at(ring: Keyring, key: Key) -> float | None:
    """Return when every node has a staged key: D + ε after it was made; ``None`` if nothing tells when that was."""
    return None if key.created is None else key.created + spread(ring.policy)


def prunable_at(ring: Keyring, key: Key, last_sealed: float | None = None) -> float | None:
    """Return when the last session under a retired key has ended on every clock (C3); ``None`` if nothing tells.

    Args:
        ring: the ring published now.
        key: a retired key.
        last_sealed: when a node sealed under it last, if that is known from the audit log of all nodes up to now; else
            D + ε after its retirement.
    """
    policy = ring.policy
    if key.retired is None:
        return key.prune_after  # when it was made says nothing: it may have sealed until a moment ago
    if last_sealed is not None:
        # Not before every node has stopped: one that has not may seal once more after the log was read.
        drained = max(last_sealed, key.retired) + lifetime(policy) + policy.skew
        return max(drained, key.retired + spread(policy))
    return max(key.retired + kept(policy), key.prune_after or 0.0)
