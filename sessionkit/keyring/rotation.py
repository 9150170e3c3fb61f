"""The steps of a rotation and the conditions that keep it from losing sessions: pure functions from ring to ring.

D is the policy's ``propagation``, ε its ``skew``, T its ``token_lifetime``; ``now`` is Unix seconds.

* C1: what a node on either of two adjacent rings seals, a node on the other one opens.
* C2: a ring is published only when every node has the one before; generations grow.
* C3: a key goes only T + ε after the last node sealed under it.
* C4: opening never depends on time (``Keyring.active`` sees to that), and one key is active.
* E1: what an emergency has ended stays ended: no revoked key opens again, and ``not_before`` does not go back.

Every step returns a new ring of the next generation, or raises ``RotationRefused`` with the time from which it is safe.
People write files too, and leave dates out: a date that is missing is never taken for one long ago.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sessionkit.exceptions import RotationRefused
from sessionkit.keyring.key import KeyState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sessionkit.keyring.key import Key
    from sessionkit.keyring.keyring import Keyring

__all__ = [
    "Violation",
    "check",
    "promotable_at",
    "promote",
    "prunable_at",
    "prune",
    "retire",
    "revoke",
    "rollback",
    "schedule",
    "select",
    "stage",
]

_FILE_LIFETIME = 1_209_600.0
"""Seconds taken for T where a ring promises none: the reference's ``max_age``."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A condition that a publish would break.

    Attributes:
        condition: ``C1``, ``C2``, ``C3`` or ``E1``.
        reason: what would happen.
        remedy: what to publish instead.
        kid: the key it is about, in hexadecimal, if it is about one.
        label: its label.
    """

    condition: str
    reason: str
    remedy: str
    kid: str | None = None
    label: str | None = None


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
        RotationRefused: if not every node can have it by then.
    """
    key = select(ring, name)
    ready = (key.created if key.created is not None else now) + ring.policy.propagation + ring.policy.skew
    if at < ready:
        raise RotationRefused(f"key {key.label!r} may not be on every node by then.", allowed_at=ready)
    moved = [replace(one, activates=at) if one is key else one for one in ring.keys]
    return ring.changed(keys=moved)


def promotable_at(ring: Keyring, key: Key) -> float | None:
    """Return when every node has a staged key: D + ε after it was made; ``None`` if nothing tells when that was."""
    return None if key.created is None else key.created + ring.policy.propagation + ring.policy.skew


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
    staged = sorted((key for key in ring.keys if key.state is KeyState.STAGED), key=_made)
    if not staged:
        raise RotationRefused(
            "no key is staged. Stage one first, and publish it: every node must have it before it seals."
        )
    chosen = staged[0]
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
    if at is not None and at > now:
        moved = [replace(key, activates=at) if key is chosen else key for key in ring.keys]
    else:
        moved = [_promoted(ring, key, chosen, now) for key in ring.keys]
    return _next(ring, (*moved, *(() if successor is None else (successor,))))


def _promoted(ring: Keyring, key: Key, chosen: Key, now: float) -> Key:
    if key is chosen:
        return replace(key, state=KeyState.ACTIVE, activates=now)
    return _retired(ring, key, now) if key.state is KeyState.ACTIVE else key


def _retired(ring: Keyring, key: Key, now: float) -> Key:
    return replace(key, state=KeyState.RETIRED, retired=now, prune_after=now + _kept(ring))


def _kept(ring: Keyring) -> float:
    """Seconds a retired key is kept: D until the last node stops sealing under it, then T and ε."""
    lifetime = _FILE_LIFETIME if ring.policy.token_lifetime is None else ring.policy.token_lifetime
    return ring.policy.propagation + lifetime + ring.policy.skew


def rollback(ring: Keyring, now: float, name: str | None = None) -> Keyring:
    """Go back one step: the key before the one that seals now seals again, and that one stands by.

    Args:
        ring: the ring published now.
        now: Unix seconds.
        name: the retired key to go back to; by default the one that retired last.

    Raises:
        RotationRefused: if there is none, or the key is not retired.
    """
    sealing = ring.active(now)
    if name is not None:
        chosen = select(ring, name)
    elif sealing.state is KeyState.STAGED:  # it took over by its time; the key before it is the active one still
        chosen = _active(ring)
    else:
        dated = [key for key in ring.keys if key.state is KeyState.RETIRED and key.retired is not None]
        if not dated:
            raise RotationRefused(f"no retired key is known to have sealed before {sealing.label!r}. Name one.")
        chosen = max(dated, key=lambda key: (key.retired or 0.0, key.id))
    if chosen.state is not KeyState.RETIRED and chosen is not _active(ring):
        raise RotationRefused(f"key {chosen.label!r} is {chosen.state}. Only a retired key can seal again.")
    became = {
        chosen: replace(chosen, state=KeyState.ACTIVE, activates=now, retired=None, prune_after=None),
        sealing: replace(sealing, state=KeyState.STAGED, activates=None),
    }
    return _next(ring, [became.get(key, key) for key in ring.keys])


def retire(ring: Keyring, name: str, now: float) -> Keyring:
    """Retire a staged key that is not to take over; its sessions, if a node has made any, still open.

    Raises:
        RotationRefused: if it is the active key, which only ``promote`` and ``revoke`` replace, or not staged.
    """
    key = select(ring, name)
    if key.state is KeyState.ACTIVE:
        raise RotationRefused(f"key {key.label!r} is active, and a ring needs one. Promote the staged key instead.")
    if key.state is not KeyState.STAGED:
        raise RotationRefused(f"key {key.label!r} is {key.state} already.")
    return _next(ring, [_retired(ring, one, now) if one is key else one for one in ring.keys])


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
    key = select(ring, name)
    if key.state is KeyState.REVOKED:
        raise RotationRefused(f"key {key.label!r} is revoked already.")
    keys = [replace(one, state=KeyState.REVOKED, revoked=now) if one is key else one for one in ring.keys]
    if key.state is not KeyState.ACTIVE:
        return _next(ring, (*keys, *(() if successor is None else (successor,))))
    staged = sorted((one for one in keys if one.state is KeyState.STAGED), key=_made)
    if staged:
        keys = [replace(one, state=KeyState.ACTIVE, activates=now) if one is staged[0] else one for one in keys]
        return _next(ring, (*keys, *(() if successor is None else (successor,))))
    if successor is None:
        raise RotationRefused(f"key {key.label!r} is active and no key is staged to take over.")
    return _next(ring, (*keys, replace(successor, state=KeyState.ACTIVE, activates=now)))


def prunable_at(ring: Keyring, key: Key, last_sealed: float | None = None) -> float | None:
    """Return when the last session under a retired key has ended on every clock (C3); ``None`` if nothing tells.

    Args:
        ring: the ring published now.
        key: a retired key.
        last_sealed: when a node sealed under it last, if that is known from an audit log; else D after its retirement.
    """
    if key.retired is None:
        return key.prune_after  # when it was made says nothing: it may have sealed until a moment ago
    if last_sealed is not None:
        lifetime = _FILE_LIFETIME if ring.policy.token_lifetime is None else ring.policy.token_lifetime
        return max(last_sealed, key.retired) + lifetime + ring.policy.skew
    return max(key.retired + _kept(ring), key.prune_after or 0.0)


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
    chosen = [select(ring, name) for name in names]
    for key in chosen:
        if key.state in {KeyState.ACTIVE, KeyState.STAGED}:
            raise RotationRefused(f"key {key.label!r} is {key.state}. Only retired and revoked keys are pruned.")
        ready = _gone_at(ring, key, last_sealed)
        if not force and ready is None:
            raise RotationRefused(
                f"key {key.label!r} has no date 'retired', so nothing tells when its last session ends. "
                "Write down when it was retired."
            )
        if not force and ready is not None and now < ready:
            raise RotationRefused(
                f"sessions under key {key.label!r} may still be alive. Pruning it now would lose them.",
                allowed_at=ready,
            )
    if not chosen:
        over = [key for key in ring.keys if key.state in {KeyState.RETIRED, KeyState.REVOKED}]
        gone = {key: _gone_at(ring, key, last_sealed) for key in over}
        chosen = [key for key, ready in gone.items() if force or (ready is not None and now >= ready)]
        if not chosen:
            raise RotationRefused(
                "no key may be pruned yet." if over else "no key is retired or revoked.",
                allowed_at=min((ready for ready in gone.values() if ready is not None), default=None),
            )
    return _next(ring, [key for key in ring.keys if key not in chosen])


def _gone_at(ring: Keyring, key: Key, last_sealed: float | None) -> float | None:
    # Revoked keys stay as long: their tombstone tells ``revoked`` from ``unknown_key``, which keeps the cookie.
    if key.state is KeyState.REVOKED:
        return (key.revoked or 0.0) + _kept(ring)
    return prunable_at(ring, key, last_sealed)


def check(old: Keyring, new: Keyring, now: float | None = None) -> tuple[Violation, ...]:
    """Return what publishing ``new`` after ``old`` would break; nothing if it is safe.

    A revoked key is an emergency and exempt: its sessions are meant to end, and waiting would be worse.

    Args:
        old: the ring published now.
        new: the ring to publish.
        now: when it is published, in Unix seconds; without it, what depends on that is not judged.
    """
    found = [
        *_generations(old, new),
        *_opens(old, new),
        *_keeps(old, new),
        *_waits(old, new, now),
        *_stays_ended(old, new),
    ]
    return tuple(found)


def _generations(old: Keyring, new: Keyring) -> Iterable[Violation]:
    if new.generation < old.generation:
        yield Violation(
            "C2",
            f"generation goes back from {old.generation} to {new.generation}: nodes would refuse it or disagree",
            f"Set generation to {old.generation + 1}, also when going back to older keys.",
        )
    elif new.generation == old.generation > 0 and new.digest != old.digest:
        yield Violation(
            "C2",
            f"two different rings have generation {new.generation}: nodes cannot tell which is newer",
            f"Set generation to {old.generation + 1}.",
        )


def _active(ring: Keyring) -> Key:
    return next(key for key in ring.keys if key.state is KeyState.ACTIVE)


def _opens(old: Keyring, new: Keyring) -> Iterable[Violation]:
    if _emergency(old, new):
        return
    before, after = _active(old), _active(new)
    then = new.find(before.id)
    known = old.find(after.id)
    if known is None or not known.decrypts:
        yield Violation(
            "C1",
            f"key {after.label!r} would seal before the nodes on the old ring can open it",
            "Publish it as staged first, wait until every node has it, then promote it.",
            after.kid,
            after.label,
        )
    if then is None or not then.decrypts:
        yield Violation(
            "C1",
            f"key {before.label!r}, which seals now, would not open any more",
            "Keep it as retired until its last session has ended.",
            before.kid,
            before.label,
        )


def _keeps(old: Keyring, new: Keyring) -> Iterable[Violation]:
    for key in old.keys:
        if key.state is KeyState.STAGED and new.find(key.id) is None:
            yield Violation(
                "C1",
                f"staged key {key.label!r} would be gone: nodes may seal under it by their clock",
                "Retire it instead, and prune it later.",
                key.kid,
                key.label,
            )


def _waits(old: Keyring, new: Keyring, now: float | None) -> Iterable[Violation]:
    """C1 and C3 where they are a matter of time."""
    for key in () if _emergency(old, new) else new.keys:
        before = old.find(key.id)
        ready = _everywhere_at(new, key, now) if before is None else promotable_at(old, before)
        at = now if key.state is KeyState.ACTIVE else key.activates
        if _newly_sealing(before, key) and at is not None and ready is not None and at < ready:
            yield Violation(
                "C1",
                f"key {key.label!r} would take over before every node has it",
                "Let it take over when propagation and skew have passed since it was published.",
                key.kid,
                key.label,
            )
    if now is None:
        return
    for key in old.keys:
        if key.state is not KeyState.RETIRED or new.find(key.id) is not None:
            continue
        gone = prunable_at(old, key)
        if gone is None or now < gone:
            yield Violation(
                "C3",
                f"sessions under key {key.label!r} may still be alive and would be lost",
                "Keep it as retired until its last session has ended.",
                key.kid,
                key.label,
            )


def _stays_ended(old: Keyring, new: Keyring) -> Iterable[Violation]:
    """E1: an older file put back, or a line lost in a merge, must not undo an emergency."""
    for key in old.keys:
        after = new.find(key.id)
        if key.state is KeyState.REVOKED and after is not None and after.state is not KeyState.REVOKED:
            yield Violation(
                "E1",
                f"key {key.label!r} was revoked and would open sessions again",
                "Leave it revoked until it is pruned.",
                key.kid,
                key.label,
            )
    if old.not_before is not None and (new.not_before is None or new.not_before < old.not_before):
        yield Violation(
            "E1",
            "not_before goes back: sessions that are refused now would be let in again",
            "Keep not_before as it is, or set a later time; it costs nothing.",
        )


def _newly_sealing(before: Key | None, key: Key) -> bool:
    if before is None:
        return key.state is KeyState.STAGED  # an unknown active key is told of whatever the time
    return before.state is KeyState.STAGED and key.state in {KeyState.STAGED, KeyState.ACTIVE}


def _everywhere_at(new: Keyring, key: Key, now: float | None) -> float | None:
    published = key.created if now is None else now
    return None if published is None else published + new.policy.propagation + new.policy.skew


def _emergency(old: Keyring, new: Keyring) -> bool:
    then = new.find(_active(old).id)
    return then is not None and then.state is KeyState.REVOKED


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
