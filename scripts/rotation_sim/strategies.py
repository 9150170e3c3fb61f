"""Ways to rotate: what operators publish and when, as scripts of steps of ``rotation``, and how nodes re-encrypt.

A script is a generator that publishes, and yields the seconds to wait before it goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rotation_sim.world import LIFETIME, POLICY, RESTART, START
from sessionkit.backend.backend import SessionBackend
from sessionkit.exceptions import RotationRefused
from sessionkit.keyring import rotation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rotation_sim.world import World
    from sessionkit.backend.messages import Loaded, Save
    from sessionkit.keyring.key import Key
    from sessionkit.keyring.keyring import Keyring
    from sessionkit.session import Record

__all__ = ["HORIZON", "PROTOCOL", "STRATEGIES", "Strategy", "barrier"]

HORIZON = START + POLICY.propagation + 4 * POLICY.skew + 3 * RESTART[1] + LIFETIME
"""When the scripts end: after three publishes, the slowest nodes for each, and the longest life of a session."""

POLL = 15.0
"""Seconds between two looks at whether all nodes agree."""

AFTERMATH = 60.0
"""Seconds that a run about a barrier goes on when every node has the key."""

AWAY = 1.5 * LIFETIME
"""Seconds between two visits, on average: every now and then somebody comes too late. 100,000 users make 37 requests a
second, and a quarter of a million in a run, which is what there is time for."""

BUSY = 1_200.0
"""The same in runs about a barrier: 165 requests a second."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """A way to rotate.

    Attributes:
        name: for people.
        script: what the operators do.
        backend: what each node runs.
        lead: seconds from the start of the script until users come.
        away: seconds that users stay away between two visits, on average.
    """

    name: str
    script: Callable[[World], Iterator[float]]
    backend: type[SessionBackend] = SessionBackend
    lead: float = 0.0
    away: float = AWAY


class EagerBackend(SessionBackend):
    """The mistake that keyrings are known for: whatever is not under *my* active key is encrypted under it, at once.

    It takes "another key" for "an older key": a node that does not have the newest ring yet moves sessions backwards.
    """

    def _must_write(self, message: Save, loaded: Loaded, record: Record, now: float) -> bool:
        other = loaded.key.id != self.keyring.active(now).id
        return other or super()._must_write(message, loaded, record, now)

    def _sealing_key(self, loaded: Loaded | None, now: float) -> Key:  # noqa: ARG002 - that it does not look is the point
        return self.keyring.active(now)


# --- steps ------------------------------------------------------------------------------------------------------------


def allowed(world: World, step: Callable[[], Keyring]) -> Iterator[float]:
    """Publish what a step makes, as soon as the package does not refuse it."""
    while True:
        try:
            ring = step()
        except RotationRefused as refused:
            if refused.allowed_at is None:
                raise
            yield max(POLL, refused.allowed_at - world.now)
        else:
            world.publish(ring)
            return


def agreement(world: World) -> Iterator[float]:
    """Wait until every node says that it runs the ring published last."""
    while not world.agreed():
        yield POLL


def staged(world: World) -> Keyring:
    """Return the ring with key B staged."""
    return rotation.stage(world.ring, world.key("B"))


def promoted(world: World) -> Iterator[float]:
    """Stage a key, wait until all nodes agree, and promote it when the package allows it."""
    world.publish(staged(world))
    yield from agreement(world)
    yield from allowed(world, lambda: rotation.promote(world.ring, world.now, successor=world.key("C")))


def pruned(world: World) -> Iterator[float]:
    """Take the retired key out as soon as nothing speaks against it, and go on to the horizon."""
    yield from agreement(world)
    sealed = world.last_sealed("A")

    def step() -> Keyring:
        ring = rotation.prune(world.ring, world.now)  # by what the ring itself promises
        rotation.prune(world.ring, world.now, last_sealed=sealed)  # and by what nodes did, who may have come late
        return ring

    yield from allowed(world, step)
    yield HORIZON - world.now


# --- scripts ----------------------------------------------------------------------------------------------------------


def swap(world: World) -> Iterator[float]:
    """Replace the active key by one that no node has seen."""
    world.publish(rotation.promote(staged(world), world.now, force=True))
    yield from pruned(world)


def protocol(world: World) -> Iterator[float]:
    """Stage; promote once D + ε are over and all nodes agree; prune T + ε after the last sealing under the old key."""
    yield from promoted(world)
    yield from pruned(world)


def hasty(world: World) -> Iterator[float]:
    """Stage, and promote right away."""
    world.publish(staged(world))
    world.publish(rotation.promote(world.ring, world.now, successor=world.key("C"), force=True))
    yield from pruned(world)


def forgetful(world: World) -> Iterator[float]:
    """Do as prescribed, but take the retired key out when a quarter of T is over."""
    yield from promoted(world)
    yield from agreement(world)
    yield LIFETIME / 4
    world.publish(rotation.prune(world.ring, world.now, force=True))
    yield HORIZON - world.now


PROTOCOL = Strategy("staged, re-encrypt only if the key is older than mine", protocol)
"""What the package does."""

STRATEGIES = (
    Strategy("swap, re-encrypt if the key is not active", swap, EagerBackend),
    Strategy("staged, re-encrypt if the key is not active", protocol, EagerBackend),
    PROTOCOL,
    Strategy("staged, two publishes without waiting", hasty),
    Strategy("staged, prune before the longest token age", forgetful),
)
"""One change to ``PROTOCOL`` each, but the first one, which has two."""


def barrier(seconds: float) -> Strategy:
    """Return a rotation that waits for so long between stage and promote, whatever the nodes say.

    Users come when the new key begins to seal, since nothing can be lost before; they are busy, so that few nodes get
    away with being behind. It ends soon after the last node has the key.
    """

    def script(world: World) -> Iterator[float]:
        world.publish(staged(world))
        yield seconds
        world.publish(rotation.promote(world.ring, world.now, successor=world.key("C"), force=True))
        yield max(0.0, world.result.everywhere - seconds) + AFTERMATH

    return Strategy(f"barrier of {seconds:g} s", script, lead=seconds, away=BUSY)
