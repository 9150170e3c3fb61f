"""A keyring file held against audit logs, for ``keyring status``, ``prune`` and ``promote``: text, facts, refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sessionkit.audit import fleet
from sessionkit.cli.logs import printable
from sessionkit.cli.output import span, when
from sessionkit.exceptions import RotationRefused
from sessionkit.keyring import rotation
from sessionkit.keyring.key import KeyState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sessionkit.audit.usage import Instance, Usage
    from sessionkit.keyring.key import Key
    from sessionkit.keyring.keyring import Keyring

__all__ = ["Told", "demand_proof", "drained", "refuse_laggards"]

_NAMED = 5
"""Processes named in one message."""


def refuse_laggards(ring: Keyring, usage: Usage, now: float, live_within: float) -> fleet.Convergence:
    """Refuse to go on while a live process is known to run another ring: it seals by that one.

    Raises:
        RotationRefused: naming those processes.
    """
    found = fleet.convergence(ring, usage, now, live_within)
    if found.behind:
        who = ", ".join(_instance(one, now) for one in found.behind[:_NAMED])
        more = f" and {len(found.behind) - _NAMED} more" if len(found.behind) > _NAMED else ""
        raise RotationRefused(
            f"{len(found.behind)} of {len(found.behind) + len(found.same)} live processes do not run generation "
            f"{ring.generation} (digest {ring.digest}): {who}{more}. Wait until they have loaded it, or end them; one "
            "that was killed counts as gone after --live-within seconds."
        )
    return found


def demand_proof(ring: Keyring, usage: Usage, now: float, live_within: float) -> None:
    """Refuse to go on unless the log shows live processes, and all of them on the ring that is published.

    Raises:
        RotationRefused: naming those that are not, or saying that there are none.
    """
    if not refuse_laggards(ring, usage, now, live_within).same:
        raise RotationRefused(
            f"the log shows no process of this ring that said anything within {live_within:.0f} s, so it cannot tell "
            "who runs which ring. Give the current logs of every host."
        )


def drained(ring: Keyring, usage: Usage, now: float, names: Sequence[str]) -> list[str]:
    """Return which keys may be pruned by what the log tells as well: those that are named, or all that may go.

    Raises:
        RotationRefused: if a named key may not go yet, or none may, with the time from which one may.
    """
    chosen = [rotation.select(ring, name) for name in names]
    retired = [key for key in chosen or ring.keys if key.state is KeyState.RETIRED]
    gone = {key: fleet.prunable_at(ring, key, usage.keys.get(key.kid)) for key in retired}
    late = {key: time for key, time in gone.items() if time is not None and now < time}
    if chosen:
        for key, time in late.items():
            raise RotationRefused(_why(key, usage), allowed_at=time)
        return list(names)
    revoked = [key for key in ring.keys if key.state is KeyState.REVOKED]
    ready = [key.kid for key in (*retired, *revoked) if key not in late and _may_go(ring, key, now)]
    if late and not ready:
        key = min(late, key=late.__getitem__)
        raise RotationRefused(_why(key, usage), allowed_at=late[key])
    return ready


def _may_go(ring: Keyring, key: Key, now: float) -> bool:
    try:
        rotation.prune(ring, now, [key.kid])
    except RotationRefused:
        return False
    return True


def _why(key: Key, usage: Usage) -> str:
    use = usage.keys.get(key.kid)
    seen = None if use is None else use.last_sealed
    known = "" if seen is None else f" It sealed last at {when(seen)}."
    return f"sessions under key {key.label!r} may still be alive. Pruning it now would lose them.{known}"


class Told:
    """What some logs tell of a keyring.

    Args:
        ring: the ring published now.
        usage: sums over the logs.
        now: Unix seconds.
        live_within: seconds of silence after which a process is taken for gone.
    """

    def __init__(self, ring: Keyring, usage: Usage, now: float, live_within: float) -> None:
        self._now = now
        self._usage = usage
        self._drains = fleet.drains(rotation.settle(ring, now), usage, now)
        self._found = fleet.convergence(ring, usage, now, live_within)

    @property
    def prunable(self) -> dict[Key, float | None]:
        """When each retired key may go, by the ring and by the logs."""
        return {drain.key: drain.prunable for drain in self._drains}

    def waiting(self) -> str | None:
        """Return what is to be waited for before anything else is done, if there is something."""
        return "wait until every live process runs this ring" if self._found.behind else None

    def facts(self) -> dict[str, Any]:
        """Return it for programs."""
        found = self._found
        return {
            "drain": [
                {
                    "kid": drain.key.kid,
                    "label": drain.key.label,
                    "last_opened": when(drain.last_opened),
                    "last_sealed": when(drain.last_sealed),
                    "sessions_at_most": drain.sessions,
                    "sessions_until": when(drain.until),
                    "log_is_complete": drain.complete,
                    "prunable_from": when(drain.prunable),
                }
                for drain in self._drains
            ],
            "converged": found.is_reached,
            "instances": [
                {
                    "instance": one.name,
                    "ring": ring,
                    "digest": one.digest,
                    "generation": one.generation,
                    "life": one.life,
                    "last_seen": when(one.last_seen),
                }
                for ring, ones in (("same", found.same), ("behind", found.behind), ("other", found.strangers))
                for one in ones
            ],
        }

    def lines(self) -> Iterator[str]:
        """Return it for people."""
        for drain in self._drains:
            yield self._drain_line(drain)
        same, behind, strangers = self._found.same, self._found.behind, self._found.strangers
        if not same and not behind:
            yield "processes: none has said anything lately; give the current logs of every host"
        elif not behind:
            yield f"processes: {len(same)} live, all on this ring"
        else:
            yield f"processes: {len(same)} of {len(same) + len(behind)} live ones run this ring. Not:"
            for one in behind:
                yield f"  {_instance(one, self._now)}"
        if strangers:
            yield f"  and {len(strangers)} on rings without a key of this one: {', '.join(_names(strangers))}"
        if self._usage.since is not None and self._usage.until is not None:
            yield f"log: from {when(self._usage.since)} to {when(self._usage.until)}"

    def _drain_line(self, drain: fleet.Drain) -> str:
        name = f"{printable(drain.key.label)} ({drain.key.kid})"
        opened = (
            "has opened no session" if drain.last_opened is None else f"opened a session {self._ago(drain.last_opened)}"
        )
        sessions = f"at most {drain.sessions:,} session{'' if drain.sessions == 1 else 's'} of the log on it"
        if drain.until is not None:
            sessions += f" until {when(drain.until)}"
        if not drain.complete:
            sessions += " (the log begins later than this key; older ones are not counted)"
        prunable = "nothing tells when it may go" if drain.prunable is None else f"prune from {when(drain.prunable)}"
        return f"drain: {name} {opened}; {sessions}; {prunable}"

    def _ago(self, moment: float) -> str:
        return f"{span(max(0.0, self._now - moment))} ago"


def _names(instances: Sequence[Instance]) -> list[str]:
    return [printable(one.name) for one in instances[:_NAMED]]


def _instance(one: Instance, now: float) -> str:
    ring = (
        "has not said which" if one.digest is None else f"generation {one.generation}, digest {printable(one.digest)}"
    )
    return f"{printable(one.name)} ({ring}, last heard of {span(max(0.0, now - one.last_seen))} ago)"
