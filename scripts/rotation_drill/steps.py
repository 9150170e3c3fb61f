"""The operator: goes through a plan by the command line, with a look at the workers' logs before every step.

Rules of this file:

* No key is promoted before every worker runs what was published before (C2): ``promote`` is given the logs of all
  workers, and refuses. Without them it reckons with the policy's times alone.
* What happened is written down as a fact in ``Proof``; whether it is as it should be is decided elsewhere.
* What browsers may find is told to them before it can happen, by ``Tally.notice``.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio

from rotation_drill.hosts import put
from rotation_drill.plan import Step
from rotation_drill.swap import swapped
from rotation_shop.command import Failed, run, text
from rotation_shop.tally import Span
from sessionkit import Keyring, KeyState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from subprocess import CompletedProcess

    from rotation_drill.hosts import Delivery, Host
    from rotation_drill.logs import Logs
    from rotation_drill.plan import Plan
    from rotation_shop.tally import Tally
    from sessionkit import Key

__all__ = ["Held", "Mark", "Operator", "Proof"]

LOOK = 0.1
"""Seconds between two looks at the logs."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment of the drill.

    Attributes:
        at: seconds since the traffic began.
        what: what the operator did.
    """

    at: float
    what: str


@dataclass(slots=True)
class Proof:
    """What happened, as the operator saw it.

    Attributes:
        rotations: changes of the sealing key that every worker made and that sessions came under.
        scheduled: how many of these were made by the workers' clocks.
        rolled_back: from which key to which a rollback led, once sessions came under that again.
        held: workers that did not have the newest file when the barrier refused a promotion although the policy's time
            was over.
        refused: workers that refused the bad file.
        recovered: workers that said it was good again.
        command_refused: whether the command line refused the bad file.
        revoked: id of the revoked key.
        prune_refused: whether the command line refused a prune that came too early.
        pruned: ids of the keys that were pruned.
        stopped: why the operator could not go on.
    """

    rotations: int = 0
    scheduled: int = 0
    rolled_back: list[tuple[str, str]] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    refused: int = 0
    recovered: int = 0
    command_refused: bool = False
    revoked: str | None = None
    prune_refused: bool = False
    pruned: list[str] = field(default_factory=list)
    stopped: str | None = None


class Held(Failed):
    """The command line refuses a promotion while workers do not run the newest ring.

    Attributes:
        workers: their names.
    """

    def __init__(self, reason: str, workers: list[str]) -> None:
        self.workers = workers
        super().__init__(reason)


class Operator:
    """Takes a fleet through a plan.

    Args:
        plan: what to do.
        path: the keyring file to work on, which is delivered from there.
        hosts: where it goes.
        delivery: brings it there.
        logs: of the workers.
        tally: of the browsers.
        tell: called with a line for people at every step.

    Attributes:
        proof: what happened.
        marks: when.
        order: ids of the keys that sealed, in the order in which they took over.
    """

    def __init__(
        self,
        plan: Plan,
        path: Path,
        hosts: Sequence[Host],
        delivery: Delivery,
        *,
        logs: Logs,
        tally: Tally,
        tell: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._path = path
        self._hosts = hosts
        self._delivery = delivery
        self._logs = logs
        self._tally = tally
        self._tell = tell
        self._stuck: Host | None = None
        self._outrun = ""
        self._slowest = 0.0
        self.proof = Proof()
        self.marks: list[Mark] = []
        self.order: list[str] = []

    async def create(self) -> None:
        """Write the first ring.

        Raises:
            Failed: if the command line does.
        """
        plan = self._plan
        await self._must(
            "init",
            f"--propagation={plan.propagation}",
            f"--skew={plan.skew}",
            f"--token-lifetime={plan.lifetime}",
        )
        self._seals(self._ring().active(time.time()).kid, Span())
        self._tally.notice.skew = float(plan.skew)

    async def work(self) -> None:
        """Do what the plan says; stop where that is not possible."""
        doing = {
            Step.ROTATE: self._rotate,
            Step.ROTATE_STUCK: self._rotate_stuck,
            Step.ROTATE_AT: self._rotate_at,
            Step.ROLL_BACK: self._roll_back,
            Step.BAD_FILE: self._bad_file,
            Step.REVOKE: self._revoke,
            Step.PRUNE: self._prune,
            Step.NAIVE_SWAP: self._naive_swap,
            Step.EARLY_PRUNE: self._early_prune,
            Step.ROTATE_BLINDLY: self._rotate_blindly,
        }
        try:
            for step in self._plan.steps:
                await self._calm()
                await doing[step]()
            await self._calm()
        except Failed as failed:
            self.proof.stopped = str(failed)
            self._tell(f"stopped: {failed}")

    # --- what the operator looks at -----------------------------------------------------------------------------------

    def _ring(self) -> Keyring:
        return Keyring.load(self._path)

    def _behind(self) -> list[str]:
        """Return the workers that do not run the newest ring, as their logs have it."""
        self._logs.look()
        return self._logs.behind(self._ring().digest)

    async def _until(self, holds: Callable[[], object], what: str) -> None:
        """Wait until something holds.

        Raises:
            Failed: if it does not within the plan's patience.
        """
        end = time.monotonic() + self._plan.patience
        while not holds():
            if time.monotonic() > end:
                raise Failed(f"waited {self._plan.patience:.0f} s in vain until {what}")
            await anyio.sleep(LOOK)

    async def _barrier(self) -> None:
        """Wait until every worker runs the newest ring."""
        await self._until(lambda: not self._behind(), "every worker runs the ring that was published last")

    async def _used(self, kid: str, times: int) -> None:
        """Wait until sessions came under a key so many times more."""
        wanted = self._tally.by_key()[kid] + times
        await self._until(lambda: self._tally.by_key()[kid] >= wanted, f"sessions come under key {kid}")

    async def _wait(self, moment: float) -> None:
        await anyio.sleep(max(0.0, moment - time.time()))

    async def _calm(self) -> None:
        await anyio.sleep(self._plan.calm)

    def _ready(self, ring: Keyring) -> float:
        """Return the time from which the key that stands by may take over, by the policy alone."""
        return (_standby(ring).created or 0.0) + ring.policy.propagation + ring.policy.skew

    # --- what the operator says ---------------------------------------------------------------------------------------

    async def _run(self, name: str, *options: str) -> CompletedProcess[bytes]:
        """Run a command on the file."""
        began = time.monotonic()
        result = await run("keyring", name, str(self._path), *options)
        self._slowest = max(self._slowest, time.monotonic() - began)
        return result

    async def _must(self, name: str, *options: str) -> None:
        """Run a command on the file.

        Raises:
            Failed: if it refuses.
        """
        result = await self._run(name, *options)
        if result.returncode != 0:
            raise Failed(f"sessionkit keyring {name}: {text(result)}")

    def _audits(self) -> list[str]:
        """Return the options that show a command the logs of all workers."""
        return [f"--audit={path}" for host in self._hosts for path in host.audits()]

    def _mark(self, what: str, *, published: bool = False) -> None:
        """Note what was done: now, or when the file was published, since commands take their time to start and end."""
        ago = time.time() - self._path.stat().st_mtime if published else 0.0
        self.marks.append(Mark(self._tally.elapsed - ago, what))
        self._tell(what)

    def _seals(self, kid: str, span: Span) -> None:
        """Tell the browsers when a key may seal."""
        if kid not in self.order:
            self.order.append(kid)
        self._tally.notice.sealing[kid] = span

    def _sealed(self, kid: str) -> None:
        """Tell the browsers that a key has sealed for the last time."""
        self._tally.notice.sealing[kid] = Span(self._tally.notice.sealing[kid].since, time.time())

    # --- the steps ----------------------------------------------------------------------------------------------------

    async def _rotate(self) -> None:
        """Promote the staged key: once every worker has it, and the policy's time is over."""
        if self._stuck is not None:
            await self._meet_stuck()
        await self._barrier()
        before, after = await self._promote()
        await self._barrier()
        self._sealed(before)
        await self._used(after, len(self._logs.workers))
        self.proof.rotations += 1
        if not self.proof.prune_refused:
            result = await self._run("prune")
            self.proof.prune_refused = result.returncode == 1
            self._tell(f"prune, exit status {result.returncode}: {text(result)}")

    async def _promote(self, *, blindly: bool = False) -> tuple[str, str]:
        """Let the staged key take over; return the id of the key that sealed before, and that of the one that does now.

        Args:
            blindly: go by the policy's time alone, whatever the workers run.

        Raises:
            Held: if the command refuses.
            Failed: if no other key seals then.
        """
        ring = self._ring()
        await self._wait(self._ready(ring))
        before = ring.active(time.time()).kid
        after = _standby(ring).kid
        self._seals(after, Span(since=time.time()))
        result = await self._run("promote", *(() if blindly else self._audits()))
        if result.returncode != 0:
            self.order.remove(after)
            del self._tally.notice.sealing[after]
            raise Held(text(result), self._behind())
        seals = self._ring().active(time.time()).kid
        if seals != after:
            raise Failed(f"key {seals} seals after a promotion of {after}")
        self._mark(f"promote: {after} after {before}", published=True)
        return before, after

    async def _rotate_stuck(self) -> None:
        """Promote a key, and let one host get nothing of it."""
        await self._barrier()
        self._stuck = self._hosts[-1]
        self._delivery.hold(self._stuck)
        self._mark(f"{self._stuck.server} stuck: nothing arrives")
        before, after = await self._promote()
        # Half of the fleet changes keys, half goes on under the old one; each opens what the other seals.
        await self._used(after, len(self._logs.workers))
        self._outrun = before
        self.proof.rotations += 1

    async def _meet_stuck(self) -> None:
        """Ask for a promotion while a host is stuck: the barrier refuses it, also when the policy's time is over."""
        try:
            await self._promote()
        except Held as held:
            self.proof.held = held.workers
            self._mark(f"refused: {', '.join(held.workers)} not on {self._ring().generation}")
            self._tell(f"promote, exit status 1: {held}")
        await self._free_stuck()
        await self._barrier()
        self._sealed(self._outrun)

    async def _free_stuck(self) -> None:
        if self._stuck is not None:
            self._delivery.release(self._stuck)
            self._mark(f"{self._stuck.server} gets its files")
            self._stuck = None

    async def _rotate_at(self) -> None:
        """Publish now that the staged key takes over later, on every worker by its own clock."""
        await self._barrier()
        ring = self._ring()
        # On a busy machine the command itself takes longer than all that comes after it.
        published = max(time.time() + 2 + 2 * self._slowest, self._ready(ring))
        at = math.ceil(published + self._plan.propagation + self._plan.skew)
        before, after = ring.active(time.time()).kid, _standby(ring).kid
        self._seals(after, Span(since=at - self._plan.skew / 2))
        await self._must("promote", f"--at={datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}", *self._audits())
        self._mark(f"promote --at: {after} in {at - time.time():.0f} s", published=True)
        await self._barrier()
        in_time = time.time() < at - self._plan.skew / 2
        await self._wait(at + self._plan.skew / 2)
        told = self._looked(lambda: all(after in worker.activated for worker in self._logs.workers))
        await self._until(told, f"every worker says that {after} took over")
        self._mark(f"{after} took over by the clocks")
        self._sealed(before)
        await self._used(after, len(self._logs.workers))
        self.proof.rotations += 1
        self.proof.scheduled += in_time

    async def _roll_back(self) -> None:
        """Go back to the key that sealed before.

        Sessions under the newer key stay there until every worker has that file; then the key retires.
        """
        await self._barrier()
        before = self._ring().active(time.time()).kid
        after = self._overtaken(before)
        self._seals(after, Span(since=self._tally.notice.sealing[after].since))
        await self._must("rollback")
        self._mark(f"rollback: {after} again", published=True)
        await self._barrier()
        await self._wait(time.time() + self._plan.propagation + self._plan.skew)
        await self._must("retire", before)
        self._mark(f"retire: {before}", published=True)
        await self._barrier()
        self._sealed(before)
        await self._used(after, len(self._logs.workers))
        if self._ring().active(time.time()).kid == after:
            self.proof.rolled_back.append((before, after))

    def _overtaken(self, kid: str) -> str:
        """Return the key that sealed before another."""
        return self.order[self.order.index(kid) - 1]

    async def _bad_file(self) -> None:
        """Publish a file that breaks off within a secret, see every worker refuse it, and put the good one back."""
        await self._barrier()
        good = self._path.read_bytes()
        workers = self._logs.workers
        put(good[: good.rindex(b"base64:") + 20], self._path)
        self._mark("bad file: breaks off in the middle")
        await self._until(self._looked(lambda: all(worker.refused for worker in workers)), "every worker refuses it")
        result = await self._run("promote")
        self.proof.command_refused = result.returncode == 1
        self._tell(f"promote, exit status {result.returncode}: {text(result)}")
        put(good, self._path)
        self._mark("good file again")
        await self._until(self._looked(lambda: all(worker.recovered for worker in workers)), "every worker recovers")
        self.proof.refused = sum(worker.refused > 0 for worker in workers)
        self.proof.recovered = sum(worker.recovered > 0 for worker in workers)

    def _looked(self, holds: Callable[[], bool]) -> Callable[[], bool]:
        def look() -> bool:
            self._logs.look()
            return holds()

        return look

    async def _revoke(self) -> None:
        """Revoke the key that seals; the staged one takes over in the same publish."""
        await self._barrier()
        ring = self._ring()
        lost, after = ring.active(time.time()).kid, _standby(ring).kid
        self._tally.notice.revoked.add(lost)
        self._seals(after, Span(since=time.time()))
        await self._must("revoke", lost)
        self._mark(f"revoke: {lost}; {after} takes over", published=True)
        self.proof.revoked = lost
        await self._barrier()
        self._sealed(lost)
        self._tally.notice.refused[lost] = time.time()
        await self._used(after, len(self._logs.workers))

    async def _prune(self) -> None:
        """Take out what may go; wait for the first key if need be."""
        await self._barrier()
        ring = self._ring()
        due = [key.prune_after for key in ring.keys if key.state is KeyState.RETIRED and key.prune_after is not None]
        await self._wait(min(due))
        await self._must("prune")
        self.proof.pruned = [key.kid for key in ring.keys if self._ring().find(key.id) is None]
        self._mark(f"prune: {', '.join(self.proof.pruned)}", published=True)
        await self._barrier()

    # --- mistakes -----------------------------------------------------------------------------------------------------

    async def _damage(self) -> None:
        """Give a mistake the time to show, and little more."""
        with suppress(Failed):
            await self._until(lambda: self._tally.lost, "a session is lost")
        await self._calm()

    async def _naive_swap(self) -> None:
        """Publish a new key as active that was staged nowhere, under a generation that hides it from every check."""
        self._stuck = self._hosts[-1]
        self._delivery.hold(self._stuck)
        kept = self._plan.propagation + self._plan.lifetime + self._plan.skew
        candidate = self._path.with_name("candidate.yaml")
        put(swapped(self._path.read_bytes(), time.time(), kept), candidate)
        after = Keyring.load(candidate).active(time.time()).kid
        self._seals(after, Span(since=time.time()))
        candidate.replace(self._path)
        self._mark(f"swap: {after}, never staged")
        await self._damage()
        await self._free_stuck()

    async def _early_prune(self) -> None:
        """Prune the key that has just retired."""
        await self._barrier()
        retired, _ = await self._promote()
        await self._barrier()
        await self._must("prune", retired, "--force")
        self._mark(f"prune --force: {retired}", published=True)
        await self._damage()

    async def _rotate_blindly(self) -> None:
        """Promote when the policy's time is over, whatever the workers run."""
        await self._promote(blindly=True)
        await self._damage()
        await self._free_stuck()


def _standby(ring: Keyring) -> Key:
    """Return the key that takes over next: the oldest that is staged and does not seal yet by its time."""
    seals = ring.active(time.time())
    waiting = [key for key in ring.keys if key.state is KeyState.STAGED and key is not seals]
    return min(waiting, key=lambda key: (key.created or 0.0, key.id))
