"""What must hold between two rings so that no session is lost, and what a publish would break.

D is the policy's ``propagation``, ε its ``skew``, T its ``token_lifetime``: of two rings the larger ones count, so that
no publish makes use of a promise that it gives itself. ``now`` is Unix seconds.

* C1: what a node on either of two adjacent rings may seal, a node on the other one opens. A node may seal under the
  active key, under a staged one as soon as any clock says so, and under any staged key that a session came under.
* C2: a ring is published when every node has the one before: generations grow, a key seals only D + ε after it was
  published, and one that was set back is retired only D + ε later. That other publishes were waited for cannot be seen
  in two files; compare digests, or wait.
* C3: a key goes only when its last session has ended on every clock: T + ε after the last node sealed under it.
* C4: opening never depends on time (``Keyring.active`` sees to that), and nodes agree on which key is newer: none moves
  sessions to a key that another node moves them away from.
* E1: what an emergency has ended stays ended: no revoked key opens again, and ``not_before`` does not go back. Asked of
  whoever publishes alone: processes take such a ring, so that a key which was revoked by mistake has a way back.

The theorem: where publishes follow one another under C1 to C4, every token that a node makes opens on every node until
it is T old, and no session moves to and fro. ``tests/keyring/test_fleet_machine.py`` looks for counterexamples, and
finds one for each condition that is left out.

A revoked key that seals is an emergency and exempts what takes over from it from C1 and C2: its sessions are meant to
end, and waiting would be worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from sessionkit.keyring import succession
from sessionkit.keyring.key import KeyState
from sessionkit.keyring.keyring import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from sessionkit.keyring.key import Key
    from sessionkit.keyring.keyring import Keyring

__all__ = ["CONDITIONS", "Publish", "Violation", "check"]

_SEALING = frozenset({KeyState.ACTIVE, KeyState.STAGED})


@dataclass(frozen=True, slots=True)
class Violation:
    """A condition that a publish would break.

    Attributes:
        condition: ``C1``, ``C2``, ``C3``, ``C4`` or ``E1``.
        reason: what would happen.
        remedy: what to publish instead.
        kid: the key it is about, in hexadecimal; ``None`` if it is about the ring as a whole.
        label: its label.
        allowed_at: Unix seconds from which the same publish is safe, if waiting helps and the ring tells.
    """

    condition: str
    reason: str
    remedy: str
    kid: str | None = None
    label: str | None = None
    allowed_at: float | None = None


class Publish:
    """One ring on its way to take another one's place.

    Args:
        old: the ring in force.
        new: the ring to follow it.
        now: Unix seconds.
        loading: ``now`` is when a node loads the ring, up to D after it was published: what depends on the time of the
            publish is judged by the dates of the keys alone.

    Attributes:
        served: the old ring as published: what nodes go by.
        old: the old ring as it stands at ``now``.
        new: as given.
        now: as given.
        loading: as given.
        policy: the larger value of both rings for each promise.
        spread: D + ε of that policy, in seconds.
        emergency: whether the key that seals under the old ring is revoked by the new one.
    """

    __slots__ = ("emergency", "loading", "new", "now", "old", "policy", "served", "spread")

    def __init__(self, old: Keyring, new: Keyring, now: float, *, loading: bool = False) -> None:
        self.served = old
        self.old = succession.settle(old, now)
        self.new = new
        self.now = now
        self.loading = loading
        one, other = old.policy, new.policy
        self.policy = Policy(
            propagation=max(one.propagation, other.propagation),
            skew=max(one.skew, other.skew),
            token_lifetime=max(succession.lifetime(one), succession.lifetime(other)),
        )
        self.spread = succession.spread(self.policy)
        sealing = succession.sealing_between(old, now - self.policy.skew, now + self.policy.skew)
        self.emergency = any(
            (then := new.find(key.id)) is not None and then.state is KeyState.REVOKED for key in sealing
        )

    def begins(self, key: Key) -> float | None:
        """Return when a key of the new ring begins to seal by somebody's clock, at the earliest; ``None`` if never."""
        if key.state is KeyState.STAGED:
            return key.activates
        if key.state is not KeyState.ACTIVE:
            return None
        return self.now if key.activates is None or not self.loading else key.activates


def check(
    old: Keyring, new: Keyring, now: float, *, loading: bool = False, conditions: Collection[str] | None = None
) -> tuple[Violation, ...]:
    """Return what publishing ``new`` after ``old`` would break; nothing if it is safe.

    Args:
        old: the ring published now.
        new: the ring to publish.
        now: when it is published, in Unix seconds.
        loading: as for ``Publish``.
        conditions: which of ``CONDITIONS`` to look at; all of them by default.
    """
    publish = Publish(old, new, now, loading=loading)
    looked_at = CONDITIONS if conditions is None else conditions
    return tuple(found for name, condition in CONDITIONS.items() if name in looked_at for found in condition(publish))


def _about(key: Key, condition: str, reason: str, remedy: str, allowed_at: float | None = None) -> Violation:
    return Violation(condition, reason, remedy, key.kid, key.label, allowed_at)


# --- C1 ---------------------------------------------------------------------------------------------------------------


def _opens(publish: Publish) -> Iterator[Violation]:
    """C1: what one side may seal the other one opens."""
    old, new = publish.old, publish.new
    for key in new.keys:
        before = old.find(key.id)
        if before is None:
            yield from _comes_too_soon(publish, key)
        elif before.state is KeyState.REVOKED and key.state in _SEALING:
            yield _about(
                key,
                "C1",
                f"key {key.label!r} was revoked and would seal again: nodes on the old ring refuse its sessions and "
                "clear their cookies",
                "Leave it revoked, and stage a fresh key.",
            )
    for key in old.keys:
        if key.state not in _SEALING or new.find(key.id) is not None:
            continue
        heir = next((one for one in new.keys if one.label == key.label), None)
        swapped = "" if heir is None else f" (another secret, key {heir.kid}, has taken its label)"
        if key.state is KeyState.ACTIVE:
            yield _about(
                key,
                "C1",
                f"key {key.label!r}, which seals now, would not open any more{swapped}",
                "Keep it as retired until its last session has ended.",
            )
        else:
            yield _about(
                key,
                "C1",
                f"staged key {key.label!r} would be gone{swapped}: nodes may seal under it by their clock, or go on "
                "with sessions that came under it",
                "Retire it instead, and prune it later.",
            )


def _comes_too_soon(publish: Publish, key: Key) -> Iterator[Violation]:
    begins = publish.begins(key)
    if begins is None or publish.emergency:
        return
    if key.state is KeyState.ACTIVE:
        yield _about(
            key,
            "C1",
            f"key {key.label!r} would seal before the nodes on the old ring can open it",
            "Publish it as staged first, wait until every node has it, then promote it.",
        )
        return
    published = key.created if publish.loading else publish.now
    if published is not None and begins < published + publish.spread:
        yield _about(
            key,
            "C1",
            f"key {key.label!r} would take over by its `activates` before every node has it",
            "Let it take over when propagation and skew have passed since it was published.",
        )


# --- C2 ---------------------------------------------------------------------------------------------------------------


def _waits(publish: Publish) -> Iterator[Violation]:
    """C2: nobody builds upon a ring that is not everywhere yet."""
    yield from _generations(publish.served, publish.new)
    for key in publish.new.keys:
        before = publish.old.find(key.id)
        if before is None:
            yield from _late(publish, key)
        elif before.state is KeyState.STAGED and before.retired is not None and key.state is KeyState.RETIRED:
            yield from _set_back(publish, key, before.retired)
        elif not publish.emergency:
            yield from _too_young(publish, before, key)


def _generations(old: Keyring, new: Keyring) -> Iterator[Violation]:
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


def _late(publish: Publish, key: Key) -> Iterator[Violation]:
    if publish.loading or key.state not in _SEALING or key.created is None or publish.emergency:
        return
    if key.created + publish.spread < publish.now:
        yield _about(
            key,
            "C2",
            f"key {key.label!r} counts as being on every node by its date `created`, and is only published now",
            "Write the time of this publish as its `created`.",
        )


def _set_back(publish: Publish, key: Key, when: float) -> Iterator[Violation]:
    now = key.retired if publish.loading and key.retired is not None else publish.now
    ready = when + publish.spread
    if now < ready:
        yield _about(
            key,
            "C2",
            f"key {key.label!r} was set back a moment ago, and nodes that do not know it yet still move sessions to it",
            "Retire it when propagation and skew have passed since then.",
            ready,
        )


def _too_young(publish: Publish, before: Key, key: Key) -> Iterator[Violation]:
    begins = publish.begins(key)
    if begins is None or before.state in {KeyState.ACTIVE, KeyState.REVOKED}:
        return
    if not publish.loading:
        begins = max(begins, publish.now)
    # Whoever dated that it stopped sealing knew then how long it had stood, by another clock perhaps.
    begins = max(begins, before.retired or begins)
    if before.created is not None:
        ready = before.created + publish.spread
        if begins < ready:
            yield _about(
                key,
                "C2",
                f"key {key.label!r} would take over before every node has it",
                "Let it take over when propagation and skew have passed since it was published.",
                ready,
            )
    elif before.state is KeyState.STAGED and begins < publish.now + publish.spread:
        # A retired key without a date has sealed before, so it is everywhere.
        yield _about(
            key,
            "C2",
            f"key {key.label!r} would take over, and has no date `created` that tells whether every node has it",
            "Write down when it was published.",
        )


# --- C3 ---------------------------------------------------------------------------------------------------------------


def _outlives(publish: Publish) -> Iterator[Violation]:
    """C3: no key goes before its last session, and no date says that it may."""
    policed = publish.old.changed(policy=publish.policy)
    became = succession.settle(publish.new, publish.now)
    for key in publish.old.keys:
        then = became.find(key.id)
        if then is None and key.state is KeyState.RETIRED:
            gone = succession.prunable_at(policed, key)
            if gone is None or publish.now < gone:
                yield _about(
                    key,
                    "C3",
                    f"sessions under key {key.label!r} may still be alive and would be lost",
                    "Keep it as retired until its last session has ended.",
                    gone,
                )
        elif then is not None and then.state is KeyState.RETIRED:
            retired = _counts_from(publish, then)
            if retired is not None:
                yield from _backdated(publish, key, then, retired)


def _counts_from(publish: Publish, key: Key) -> float | None:
    """Return when a retired key stopped sealing as far as its dates tell, of which ``retired`` comes first."""
    if key.retired is None and key.prune_after is not None:
        return key.prune_after - succession.kept(publish.policy)
    return key.retired


def _backdated(publish: Publish, key: Key, then: Key, retired: float) -> Iterator[Violation]:
    if key.state is KeyState.RETIRED:
        before = _counts_from(publish, key)
        earliest = retired if before is None else before
    elif publish.loading:
        return
    elif (written := publish.new.find(key.id)) is not None and written.state is not KeyState.RETIRED:
        if retired < publish.now - publish.policy.skew:
            yield _about(
                then,
                "C3",
                f"key {then.label!r} would be outrun by a time gone by, and count as retired since before it stopped "
                "sealing",
                "Write a time ahead as `activates`, or make the key that takes over active.",
            )
        return
    else:
        earliest = publish.now - publish.spread
    if retired < earliest:
        yield _about(
            then,
            "C3",
            f"key {then.label!r} would count as retired since before it stopped sealing, and be pruned too early",
            "Write the time at which it stops sealing as its `retired`, and leave `prune_after` out.",
        )


# --- C4 ---------------------------------------------------------------------------------------------------------------


def _agrees(publish: Publish) -> Iterator[Violation]:
    """C4: no session is moved to and fro between nodes on the two rings."""
    start, end = publish.now - publish.policy.skew, publish.now + publish.spread
    sealing = (succession.sealing_between(ring, start, end) for ring in (publish.served, publish.new))
    for one, other in product(*sealing):
        if _moves(publish.served, other, one) and _moves(publish.new, one, other):
            yield _about(
                one,
                "C4",
                f"nodes on the old ring move sessions from key {other.label!r} to {one.label!r}, and nodes on the new "
                "one move them back",
                f"Make {one.label!r} staged, without `activates`; retire it when every node has that ring.",
            )


def _moves(ring: Keyring, came: Key, active: Key) -> bool:
    """Return whether a node on a ring moves sessions from one key to another that seals there."""
    one, other = ring.find(came.id), ring.find(active.id)
    return one is not None and other is not None and one.decrypts and ring.is_older(one, other)


# --- E1 ---------------------------------------------------------------------------------------------------------------


def _stays_ended(publish: Publish) -> Iterator[Violation]:
    """E1: an older file put back, or a line lost in a merge, does not undo an emergency."""
    old, new = publish.old, publish.new
    for key in new.keys:
        before = old.find(key.id)
        if before is not None and before.state is KeyState.REVOKED is not key.state:
            yield _about(
                key,
                "E1",
                f"key {key.label!r} was revoked and would open again: whoever has learnt it can make sessions",
                "Leave it revoked until it is pruned, and stage a fresh key.",
            )
    if old.not_before is not None and (new.not_before is None or new.not_before < old.not_before):
        yield Violation(
            "E1",
            "not_before goes back: sessions that are refused now would be let in again",
            "Keep not_before as it is, or set a later time; it costs nothing.",
        )


CONDITIONS: Mapping[str, Callable[[Publish], Iterator[Violation]]] = {
    "C1": _opens,
    "C2": _waits,
    "C3": _outlives,
    "C4": _agrees,
    "E1": _stays_ended,
}
"""The conditions by name; each tells what a publish would break of it."""
