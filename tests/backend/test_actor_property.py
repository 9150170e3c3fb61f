"""One property above all: whatever happens in whatever order, every ask ends exactly once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import anyio
from hypothesis import given
from hypothesis import strategies as st

from sessionkit.backend.actor import ActorState
from tests.backend.actors import Asked, Crash, Message, Poison, Quiet, Script, ScriptedActor, Slow, Swap

if TYPE_CHECKING:
    from anyio.abc import TaskGroup, TaskStatus

LONG = 100_000
"""Seconds of virtual time after which whoever still waits is said to hang; no timeout below is near it."""


@dataclass(frozen=True)
class Ask:
    """Start a task that asks this."""

    message: Message
    timeout: float = 5.0
    control: bool = False


@dataclass(frozen=True)
class Cancel:
    """Cancel one of the callers so far."""

    which: int


@dataclass(frozen=True)
class Wait:
    """Let time pass; none at all lets the other tasks run until they wait."""

    seconds: float


@dataclass(frozen=True)
class Hold:
    """Hold the loop, or let it go; takes effect when it starts the next time."""

    held: bool


@dataclass(frozen=True)
class Stop:
    """Stop the actor, or cancel its host."""

    politely: bool


@dataclass(frozen=True)
class Run:
    """Run the actor again if it does not."""


Step: TypeAlias = Ask | Cancel | Wait | Hold | Stop | Run

messages: st.SearchStrategy[Message] = st.one_of(
    st.just(Quiet("reply")), st.just(Poison()), st.just(Crash()), st.builds(Slow, st.sampled_from([1, 4]))
)
steps: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.builds(Ask, messages, timeout=st.sampled_from([0, 3, 5, 60, float("inf")])),
        st.builds(Ask, messages),
        st.just(Ask(Swap("new"), control=True)),
        st.builds(Cancel, st.integers(min_value=0, max_value=20)),
        st.builds(Wait, st.sampled_from([0, 0, 1, 6, 61])),
        st.builds(Hold, st.booleans()),
        st.builds(Stop, st.booleans()),
        st.just(Run()),
    ),
    max_size=30,
)


class Play:
    """Takes the steps against one actor, whose hosts and callers are tasks of two groups."""

    def __init__(self, actor: ScriptedActor, hosts: TaskGroup, callers: TaskGroup) -> None:
        self.actor = actor
        self.asked: list[Asked] = []
        self._hosts = hosts
        self._callers = callers
        self._host = anyio.CancelScope()
        self._held = False

    async def take(self, step: Step) -> None:
        """Take one step."""
        match step:
            case Ask(message, timeout, control):
                self.asked.append(Asked(self.actor, message, timeout=timeout, control=control))
                self._callers.start_soon(self.asked[-1])
            case Cancel(which):
                for one in self.asked[which : which + 1]:
                    one.cancel()
            case Wait(seconds):
                await (anyio.sleep(seconds) if seconds else anyio.wait_all_tasks_blocked())
            case Hold(held):
                self.hold(held=held)
            case Stop(politely):
                self.stop(politely=politely)
            case Run():
                await self.run()

    def stop(self, *, politely: bool) -> None:
        """Stop the actor, or cancel its host."""
        if politely:
            self._hosts.start_soon(self.actor.stop)
        else:
            self._host.cancel()

    async def run(self) -> None:
        """Run the actor, unless it runs."""
        if self.actor.state not in {ActorState.RUNNING, ActorState.DRAINING}:
            self._host = anyio.CancelScope()
            await self._hosts.start(self._run)

    def hold(self, *, held: bool) -> None:
        """Hold the loop or let it go."""
        if held and not self._held:
            self.actor.hold()
        elif self._held and not held:
            self.actor.release()
        self._held = held

    async def _run(self, *, task_status: TaskStatus[None]) -> None:
        with self._host:
            await self.actor.run(task_status=task_status)


@given(steps=steps)
async def test_every_ask_ends_exactly_once(in_place: bool, steps: list[Step]) -> None:
    """For any interleaving of ask, cancel, reload, crash, stop and run again, no ask is lost or ends twice."""
    scripts: list[Script] = []

    def factory() -> Script:
        scripts.append(Script())
        return scripts[-1]

    actor = ScriptedActor(factory, in_place=in_place, capacity=3, reserve=1, max_restarts=1)
    with anyio.fail_after(LONG):
        async with anyio.create_task_group() as callers, anyio.create_task_group() as hosts:
            play = Play(actor, hosts, callers)
            for step in (Hold(held=True), Run(), *steps):
                await play.take(step)
            await actor.stop()
    ends = Counter(end for one in play.asked for end in one.outcomes)
    assert all(len(one.outcomes) == 1 for one in play.asked)

    stats = actor.stats()
    assert stats.depth == 0
    assert stats.rejected == ends.pop("Overloaded", 0)
    assert stats.handled + stats.failed == sum(len(script.seen) for script in scripts)
    # A caller cancelled in the moment its answer was set has not seen it.
    timeouts = ends.pop("AskTimeout", 0)
    assert timeouts <= stats.expired <= timeouts + ends["cancelled"]
    replies = ends.pop("reply", 0) + ends.pop("new", 0) + ends.pop("at last", 0) + ends.pop(Script.UNCRASHED, 0)
    assert replies <= stats.handled <= replies + ends["cancelled"]
    assert set(ends) <= {"NotRunning", "MessageFailed", "cancelled"}
