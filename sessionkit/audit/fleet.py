"""A keyring held against what its users logged: how far retired keys have drained, and who runs which ring.

Rules of this file:

* Pure: a ring and sums over a log in, facts out; ``now`` is an argument, Unix seconds.
* A log can only make things later. It proves that a key was used, or that a process is behind; that nobody else is, it
  cannot prove, since the log of one host may be missing. So what the keyring's own dates promise always holds as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sessionkit.audit.usage import SILENT_AFTER
from sessionkit.keyring import succession
from sessionkit.keyring.key import KeyState

if TYPE_CHECKING:
    from sessionkit.audit.usage import Instance, KeyUse, Usage
    from sessionkit.keyring.key import Key
    from sessionkit.keyring.keyring import Keyring

__all__ = ["Convergence", "Drain", "convergence", "drains", "prunable_at"]


@dataclass(frozen=True, slots=True)
class Drain:
    """How far a retired key has drained.

    Attributes:
        key: the key.
        last_opened: when it opened a session last, as far as the log tells.
        last_sealed: when it sealed one last, likewise.
        sessions: how many sessions of the log may still hang on it; an upper bound, see ``audit.usage``.
        until: when the last of them ends; ``None`` if there are none.
        prunable: when it may go; ``None`` if nothing tells.
        complete: whether the log reaches back to when the key began to seal, so that ``sessions`` lacks none.
    """

    key: Key
    last_opened: float | None
    last_sealed: float | None
    sessions: int
    until: float | None
    prunable: float | None
    complete: bool


def drains(ring: Keyring, usage: Usage, now: float) -> tuple[Drain, ...]:
    """Return how far each retired key of a ring has drained."""
    lifetime, skew = succession.lifetime(ring.policy), ring.policy.skew
    found = []
    for key in ring.keys:
        if key.state is not KeyState.RETIRED:
            continue
        use = usage.keys.get(key.kid)
        hanging = usage.sessions_on(key.kid, now, lifetime, skew)
        began = key.created if key.activates is None else key.activates
        found.append(
            Drain(
                key=key,
                last_opened=None if use is None else use.last_opened,
                last_sealed=None if use is None else use.last_sealed,
                sessions=len(hanging),
                until=hanging[-1][1] if hanging else None,
                prunable=prunable_at(ring, key, use),
                complete=began is not None and usage.since is not None and usage.since <= began + skew,
            )
        )
    return tuple(found)


def prunable_at(ring: Keyring, key: Key, use: KeyUse | None) -> float | None:
    """Return when a retired key may go, by the ring's dates and by what the log tells; ``None`` if nothing tells.

    Args:
        ring: the ring published now.
        key: a retired key.
        use: what the log tells of it.
    """
    gone = succession.prunable_at(ring, key)
    if gone is None or use is None:
        return gone
    kept = succession.lifetime(ring.policy) + ring.policy.skew
    if use.last_sealed is not None:
        gone = max(gone, use.last_sealed + kept)
    if use.last_opened is not None and use.last_opened >= gone:
        # Its last session should have ended by then. One that has not was sealed by somebody whose log is missing, and
        # as late as a moment before it was opened.
        gone = use.last_opened + kept
    return gone


@dataclass(frozen=True, slots=True)
class Convergence:
    """Which live instances run a ring.

    Attributes:
        same: those that do.
        behind: those that said to have another one, or did not say.
        strangers: those whose ring has no key in common with it: other applications in the same log. Nobody waits for
            them, but a process that missed whole rotations looks like that, too.
    """

    same: tuple[Instance, ...]
    behind: tuple[Instance, ...]
    strangers: tuple[Instance, ...]

    @property
    def is_reached(self) -> bool:
        """Whether there are live instances, and all of them run the ring."""
        return bool(self.same) and not self.behind


def convergence(ring: Keyring, usage: Usage, now: float, silent_after: float = SILENT_AFTER) -> Convergence:
    """Return which live instances run a ring.

    Args:
        ring: the ring published now.
        usage: sums over a log.
        now: Unix seconds.
        silent_after: seconds of silence after which an instance is taken for gone.
    """
    same, behind, strangers = [], [], []
    ours = {key.kid for key in ring.keys}
    for instance in usage.live(now, silent_after):
        if instance.digest == ring.digest:
            same.append(instance)
        elif instance.kids and not instance.kids & ours:
            strangers.append(instance)
        else:
            behind.append(instance)
    return Convergence(tuple(same), tuple(behind), tuple(strangers))
