"""The steps of a rotation: pure functions from ring to ring.

Every step returns a new ring of the next generation, or raises ``RotationRefused`` with the time from which it is safe.
What a step publishes is safe by ``safety.check``, unless it is forced.

Rules of this file:

* A step first settles the ring: a staged key that has taken over by its time is the active one, and the key that it
  has outrun is retired since then. The publish writes that down along with the step itself.
* One writer makes one step after another; nodes may be as far behind as D.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from sessionkit.exceptions import RotationRefused
from sessionkit.keyring.key import KeyState
from sessionkit.keyring.safety import Violation, check
from sessionkit.keyring.succession import activated, kept, promotable_at, prunable_at, retire_at, settle, spread

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sessionkit.keyring.key import Key
    from sessionkit.keyring.keyring import Keyring

__all__ = [
    "Violation",
    "check",
    "gone_at",
    "promotable_at",
    "promote",
    "prunable_at",
    "prune",
    "retire",
    "revoke",
    "rollback",
    "schedule",
    "select",
    "settle",
    "stage",
]


def select(ring: Keyring, name: str) -> Key:
    """Return the key with a label or an id in hexadecimal.

    Raises:
        RotationRefused: if there is none.
    """
    for key in ring.keys:
        if name in {key.label, key.kid}:
            return key
    known = ", ".join(f"{key.label!r} ({key.kid})" for key in ring.keys)
    raise RotationRefused(f"the ring has no key {name!r}. It has {known}.")


def stage(ring: Keyring, key: Key) -> Keyring:
    """Add a key that opens and does not seal yet.

    Args:
        ring: the ring published now.
        key: a staged key.
    """
    return _next(ring, (*ring.keys, key))


def schedule(ring: Keyring, name: str, at: float, now: float) -> Keyring:
    """Let a staged key take over by itself at a time, on every node by its own clock; no new generation.

    Raises:
        RotationRefused: if it is not staged, or not every node can have it by then.
    """
    key = select(settle(ring, now), name)
    if key.state is not KeyState.STAGED:
        raise RotationRefused(f"key {key.label!r} is {key.state}. Only staged keys take over.")
    ready = (key.created if key.created is not None else now) + spread(ring.policy)
    if at < ready:
        raise RotationRefused(f"key {key.label!r} may not be on every node by then.", allowed_at=ready)
    return _scheduled(ring, key, at, now)


def _scheduled(ring: Keyring, key: Key, at: float, now: float) -> Keyring:
    if _is_coming(ring, key, now) and at > (key.activates or 0.0):
        raise RotationRefused(
            f"key {key.label!r} takes over by itself before every node can know better.", allowed_at=key.activates
        )
    earliest = max(now, _begun(ring, now))
    if at < earliest:
        raise RotationRefused(
            f"key {key.label!r} would never take over: the active one has sealed since later.", allowed_at=earliest
        )
    return ring.changed(keys=[replace(one, activates=at) if one.id == key.id else one for one in ring.keys])


def _passed_over(ring: Keyring, key: Key, now: float) -> bool:
    """Return whether a staged key's time came before that of the key that seals, so that it never takes over."""
    return key.activates is not None and key.activates <= now and ring.is_older(key, ring.active(now))


def _is_coming(ring: Keyring, key: Key, now: float) -> bool:
    """Return whether a staged key takes over by itself before another publish is on every node."""
    soon = key.activates is not None and key.activates <= now + spread(ring.policy)
    return soon and not _passed_over(ring, key, now)


def _begun(ring: Keyring, now: float) -> float:
    """Return since when the key seals that seals now; no key takes over from it by an earlier time."""
    return ring.order(ring.active(now))[0]


def promote(
    ring: Keyring,
    now: float,
    *,
    successor: Key | None = None,
    at: float | None = None,
    force: bool = False,
) -> Keyring:
    """Let the staged key take over, in one publish.

    Args:
        ring: the ring published now.
        now: Unix seconds.
        successor: the key to stage next.
        at: when to take over; now, if it is ``None``. Every node changes by its own clock then.
        force: do not wait until every node has the staged key.

    Raises:
        RotationRefused: if no key is staged, or not every node can have it yet.
    """
    ring = settle(ring, now)
    staged = sorted((key for key in ring.keys if key.state is KeyState.STAGED), key=_made)
    if not staged:
        raise RotationRefused(
            "no key is staged. Stage one first, and publish it: every node must have it before it seals."
        )
    ahead = [key for key in staged if not _passed_over(ring, key, now)]
    if not ahead:
        raise RotationRefused(
            f"key {staged[0].label!r} is staged for a time before that of the key that seals, so nodes take it for the "
            "older one and move sessions away from it. Remove its `activates`, publish that, then promote it."
        )
    chosen = ahead[0]
    ready = promotable_at(ring, chosen)
    if not force and ready is None:
        raise RotationRefused(
            f"key {chosen.label!r} has no date 'created', so nothing tells whether every node has it. "
            "Write down when it was published."
        )
    if not force and ready is not None and (now if at is None else at) < ready:
        raise RotationRefused(
            f"key {chosen.label!r} may not be on every node yet: {ring.policy.propagation:.0f} s of propagation and "
            f"{ring.policy.skew:.0f} s of skew must have passed since it was staged.",
            allowed_at=ready,
        )
    added = () if successor is None else (successor,)
    if at is not None and at > now:
        return _next(ring, (*_scheduled(ring, chosen, at, now).keys, *added))
    active = _active(ring)
    became = {chosen: activated(chosen, now), active: retire_at(active, now, ring.policy)}
    return _next(ring, (*(became.get(key, key) for key in ring.keys), *added))


def rollback(ring: Keyring, now: float, name: str | None = None) -> Keyring:
    """Go back one step: the key before the active one seals again, and the active one stands by.

    It becomes staged, not retired: as long as nodes with the ring before move sessions to it, nobody may move them
    back. When every node has the new ring, ``retire`` it, or promote it again.

    Args:
        ring: the ring published now.
        now: Unix seconds.
        name: the retired key to go back to; by default the one that the active key took over from.

    Raises:
        RotationRefused: if there is none, the key is not retired, or not every node can have it yet.
    """
    ring = settle(ring, now)
    active = _active(ring)
    retired = [key for key in ring.keys if key.state is KeyState.RETIRED]
    if name is not None:
        chosen = select(ring, name)
        if chosen not in retired:
            raise RotationRefused(f"key {chosen.label!r} is {chosen.state}. Only a retired key can seal again.")
    else:
        before = [key for key in retired if key.retired is not None and key.retired == active.activates]
        if not before:
            raise RotationRefused(
                f"no retired key is known to have sealed before {active.label!r}. Name the one to go back to."
            )
        chosen = max(before, key=_last_sealed)
    ready = promotable_at(ring, chosen)
    if ready is not None and max(now, chosen.retired or now) < ready:
        raise RotationRefused(f"key {chosen.label!r} may not be on every node yet.", allowed_at=ready)
    between = [key for key in retired if _has_sealed(key) and ring.is_older(chosen, key)]
    known = max((key.retired or 0.0 for key in between), default=-math.inf) + spread(ring.policy)
    if now < known:
        raise RotationRefused(
            f"a key that came after {chosen.label!r} has stopped sealing a moment ago: nodes that do not know it yet "
            "still move sessions to it.",
            allowed_at=known,
        )
    became = {
        chosen: activated(chosen, now),
        active: replace(active, state=KeyState.STAGED, activates=None, retired=now, prune_after=None),
    }
    return _next(ring, [became.get(key, key) for key in ring.keys])


def _last_sealed(key: Key) -> tuple[float, float]:
    """Order retired keys by when they took over; one that never did may have sealed only as the first of its ring."""
    return (key.activates or 0.0) if _has_sealed(key) else -math.inf, -(key.created or 0.0)


def _has_sealed(key: Key) -> bool:
    """Return whether a retired key is known to have taken over before it was retired."""
    return key.activates is not None and key.retired is not None and key.activates <= key.retired


def _active(ring: Keyring) -> Key:
    return next(key for key in ring.keys if key.state is KeyState.ACTIVE)


def retire(ring: Keyring, name: str, now: float) -> Keyring:
    """Retire a staged key that is not to take over; its sessions, if a node has made any, still open.

    Raises:
        RotationRefused: if it is the active key, which only ``promote`` and ``revoke`` replace, or not staged, or nodes
            may move sessions to it before they know better.
    """
    ring = settle(ring, now)
    key = select(ring, name)
    if key.state is KeyState.ACTIVE:
        raise RotationRefused(f"key {key.label!r} is active, and a ring needs one. Promote the staged key instead.")
    if key.state is not KeyState.STAGED:
        raise RotationRefused(f"key {key.label!r} is {key.state} already.")
    if _is_coming(ring, key, now):
        raise RotationRefused(
            f"key {key.label!r} takes over by itself before every node can know better. "
            "Let it, and go back by `rollback`."
        )
    if key.retired is not None and now < key.retired + spread(ring.policy):
        raise RotationRefused(
            f"key {key.label!r} was set back a moment ago: nodes that do not know it yet still move sessions to it.",
            allowed_at=key.retired + spread(ring.policy),
        )
    return _next(ring, [retire_at(one, now, ring.policy) if one is key else one for one in ring.keys])


def revoke(ring: Keyring, name: str, now: float, *, successor: Key | None = None) -> Keyring:
    """Refuse a key from now on; if it is the active one, the staged key takes over in the same publish.

    Args:
        ring: the ring published now.
        name: label or id of the key.
        now: Unix seconds.
        successor: the key to stage next, or to make active if none is staged.

    Raises:
        RotationRefused: if the key is revoked already, or is active and nothing can take over.
    """
    ring = settle(ring, now)
    key = select(ring, name)
    if key.state is KeyState.REVOKED:
        raise RotationRefused(f"key {key.label!r} is revoked already.")
    keys = [replace(one, state=KeyState.REVOKED, revoked=now) if one is key else one for one in ring.keys]
    if key.state is not KeyState.ACTIVE:
        return _next(ring, (*keys, *(() if successor is None else (successor,))))
    staged = sorted((one for one in keys if one.state is KeyState.STAGED), key=_made)
    if staged:
        keys = [activated(one, now) if one is staged[0] else one for one in keys]
        return _next(ring, (*keys, *(() if successor is None else (successor,))))
    if successor is None:
        raise RotationRefused(f"key {key.label!r} is active and no key is staged to take over.")
    return _next(ring, (*keys, activated(successor, now)))


def prune(
    ring: Keyring,
    now: float,
    names: Iterable[str] = (),
    *,
    last_sealed: float | None = None,
    force: bool = False,
) -> Keyring:
    """Take out retired keys whose last session has ended, and revoked keys.

    Args:
        ring: the ring published now.
        now: Unix seconds.
        names: labels or ids; all keys that may go, if there are none.
        last_sealed: as for ``prunable_at``.
        force: do not wait.

    Raises:
        RotationRefused: if a named key may not go yet, or nothing may go.
    """
    ring = settle(ring, now)
    chosen = [select(ring, name) for name in names]
    for key in chosen:
        if key.state in {KeyState.ACTIVE, KeyState.STAGED}:
            raise RotationRefused(f"key {key.label!r} is {key.state}. Only retired and revoked keys are pruned.")
        ready = gone_at(ring, key, last_sealed)
        if not force and ready is None:
            raise RotationRefused(
                f"key {key.label!r} has no date 'retired', so nothing tells when its last session ends. "
                "Write down when it was retired."
            )
        if not force and ready is not None and now < ready:
            raise RotationRefused(
                f"cookies under key {key.label!r}, which is revoked, may still come: without it they would be left "
                "alone as unknown instead of refused and cleared."
                if key.state is KeyState.REVOKED
                else f"sessions under key {key.label!r} may still be alive. Pruning it now would lose them.",
                allowed_at=ready,
            )
    if not chosen:
        over = [key for key in ring.keys if key.state in {KeyState.RETIRED, KeyState.REVOKED}]
        gone = {key: gone_at(ring, key, last_sealed) for key in over}
        chosen = [key for key, ready in gone.items() if force or (ready is not None and now >= ready)]
        if not chosen:
            raise RotationRefused(
                "no key may be pruned yet." if over else "no key is retired or revoked.",
                allowed_at=min((ready for ready in gone.values() if ready is not None), default=None),
            )
    return _next(ring, [key for key in ring.keys if key not in chosen])


def gone_at(ring: Keyring, key: Key, last_sealed: float | None = None) -> float | None:
    """Return when ``prune`` takes a retired or revoked key out, in Unix seconds; ``None`` if nothing tells.

    Args:
        ring: the ring published now.
        key: one of its keys; ``None`` comes of those that are staged or active, too.
        last_sealed: as for ``prunable_at``.
    """
    if key.state in {KeyState.STAGED, KeyState.ACTIVE}:
        return None
    # Revoked keys stay as long: their tombstone tells ``revoked`` from ``unknown_key``, which keeps the cookie. What
    # their retirement foresaw, if they had one, holds no more.
    if key.state is KeyState.REVOKED:
        return (key.revoked or 0.0) + kept(ring.policy)
    return prunable_at(ring, key, last_sealed)


def _made(key: Key) -> tuple[float, float, bytes]:
    """Staged keys take over in this order: by their time, then by age, then by id; what has no date comes last."""
    last = float("inf")
    return (
        last if key.activates is None else key.activates,
        last if key.created is None else key.created,
        key.id,
    )


def _next(ring: Keyring, keys: Iterable[Key]) -> Keyring:
    return ring.changed(keys=keys, generation=ring.generation + 1)
