"""What goes wrong in actors on anyio, each reproduced here, and shown not to happen.

Also proven in ``test_actor.py``: errors of a start come out bare; a cancelled host drains over several batches; asking
from another loop or thread never hangs.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio
import pytest

from sessionkit.backend.actor import Actor, ActorState, running
from sessionkit.exceptions import NotRunning, Overloaded
from tests.backend.actors import REQUEST, Asked, Message, Poison, Say, ScriptedActor, Swap, Who

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from sessionkit.backend.parking import Envelope


class Halt(BaseException):
    """Something that must not be swallowed, like the signal of a person who wants the process to end."""


async def queued(tasks: TaskGroup, actor: ScriptedActor, *messages: Message) -> list[Asked]:
    """Ask in this order, and return when all of them wait."""
    asked = [Asked(actor, message) for message in messages]
    for one in asked:
        tasks.start_soon(one)
        await anyio.wait_all_tasks_blocked()
    return asked


async def test_nobody_waits_to_get_into_the_mailbox(in_place: bool) -> None:
    """Senders blocked on a full stream behave differently from one anyio to the next; here none ever blocks."""
    actor = ScriptedActor(in_place=in_place, capacity=1)
    actor.hold()
    async with running(actor), anyio.create_task_group() as tasks:
        asked = await queued(tasks, actor, Say("fits"), Say("does not"), Say("neither"))
        assert [one.outcomes for one in asked] == [[], ["Overloaded"], ["Overloaded"]]
        await actor.stop()
    assert asked[0].outcomes == ["fits old"]


async def test_closing_answers_before_it_closes(in_place: bool) -> None:
    """A closed stream keeps what is in it and nobody is told; a closed actor has told everyone."""
    actor = ScriptedActor(in_place=in_place, drain_timeout=0)
    actor.hold()
    async with running(actor), anyio.create_task_group() as tasks:
        asked = await queued(tasks, actor, Say("a"), Say("b"))
        await actor.stop()
        assert actor.stats().depth == 0
    assert [one.outcomes for one in asked] == [["NotRunning"], ["NotRunning"]]


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_a_natively_cancelled_host_loses_no_message(in_place: bool) -> None:
    """A message that wakes the loop in the moment asyncio cancels its task is still handled."""
    actor = ScriptedActor(in_place=in_place)
    for hold in (False, True):
        if hold:
            actor.hold()
        host = asyncio.create_task(actor.run())
        await anyio.wait_all_tasks_blocked()
        caller = asyncio.create_task(actor.ask(Say("hello")))
        await asyncio.sleep(0)  # lets the caller ask; the loop has not looked yet
        host.cancel()
        assert await caller == "hello old"
        await asyncio.wait([host])
        assert host.cancelled()
        assert actor.state is ActorState.STOPPED


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_a_host_cancelled_natively_while_it_drains_leaves_nobody_waiting() -> None:
    """A second native cancellation, which no shield holds off, cuts the drain short; nobody is left waiting."""
    drains = asyncio.Event()

    class Observed(ScriptedActor):
        def _deliver(self, envelope: Envelope[Message, str]) -> None:
            drains.set()
            super()._deliver(envelope)

    actor = Observed(in_place=False)
    actor.hold()
    host = asyncio.create_task(actor.run())
    await anyio.wait_all_tasks_blocked()
    callers = [asyncio.create_task(actor.ask(Say(str(number)))) for number in range(200)]
    await anyio.wait_all_tasks_blocked()
    host.cancel()
    await drains.wait()
    host.cancel()
    await asyncio.wait([host, *callers])
    errors = [caller.exception() for caller in callers]
    answered = errors.index(None) + errors.count(None)
    assert errors[:answered] == [None] * answered
    assert 0 < answered < len(errors)
    assert {type(error) for error in errors[answered:]} == {NotRunning}
    assert actor.state is ActorState.STOPPED


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_a_natively_cancelled_caller_abandons_its_message(in_place: bool) -> None:
    """Case 117: cancelling a caller by asyncio's own means withdraws its message and leaves the actor alone."""
    actor = ScriptedActor(in_place=in_place)
    actor.hold()
    async with running(actor):
        caller = asyncio.create_task(actor.ask(Say("hello")))
        await anyio.wait_all_tasks_blocked()
        caller.cancel()
        await asyncio.wait([caller])
        actor.release()
        assert await actor.ask(Say("next")) == "next old"
    assert caller.cancelled()
    assert actor.stats().skipped == 1


async def test_the_handler_runs_in_the_context_of_the_caller_not_of_the_host(in_place: bool) -> None:
    """Context variables do not follow a message by themselves; a copy of the caller's context does."""
    actor = ScriptedActor(in_place=in_place)
    token = REQUEST.set("host")
    actor.hold()
    async with running(actor), anyio.create_task_group() as tasks:
        REQUEST.set("caller")
        queued_one = await queued(tasks, actor, Who())
        REQUEST.set("somebody later")
        actor.release()
    REQUEST.reset(token)
    assert queued_one[0].outcomes == ["caller"]


async def test_the_cancellation_of_the_host_is_not_swallowed(in_place: bool) -> None:
    """A cancelled ``run`` cleans up and stays cancelled."""
    actor = ScriptedActor(in_place=in_place)
    with anyio.move_on_after(10) as scope:
        await actor.run()
    assert scope.cancelled_caught
    assert actor.state is ActorState.STOPPED


async def test_what_is_no_exception_is_passed_on_and_nobody_hangs() -> None:
    """A ``BaseException`` out of a handler ends the host with it; the message in hand and all others are answered."""
    actor = ScriptedActor(in_place=False)
    actor.hold()
    asked: list[Asked] = []

    async def host(callers: TaskGroup) -> None:
        async with anyio.create_task_group() as tasks:
            await tasks.start(actor.run)
            asked.extend(await queued(callers, actor, Poison(error=Halt), Say("b")))
            actor.release()

    async with anyio.create_task_group() as callers:
        with pytest.raises(BaseExceptionGroup) as caught:
            await host(callers)
        assert caught.value.subgroup(Halt) is not None
    assert [one.outcomes for one in asked] == [["MessageFailed"], ["b old"]]
    assert actor.state.value == "stopped"


async def test_what_is_no_exception_reaches_the_caller_served_in_place() -> None:
    """In place, a ``BaseException`` passes through whoever asked, and the actor goes on."""
    actor = ScriptedActor()
    async with running(actor):
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(Halt):
            await actor.ask(Poison(error=Halt))
        assert await actor.ask(Say("next")) == "next old"


async def test_a_crash_behind_the_answer_does_not_take_it_back() -> None:
    """If the loop crashes after the reply is set, the caller has the reply and nothing else."""

    class CrashesAfterwards(ScriptedActor):
        def _deliver(self, envelope: Envelope[Message, str]) -> None:
            super()._deliver(envelope)
            raise OSError

    actor = CrashesAfterwards(in_place=False)
    async with running(actor):
        assert await actor.ask(Say("a")) == "a old"
    assert actor.stats().restarts == 1


async def test_a_stop_in_the_moment_of_a_crash_is_a_stop(in_place: bool) -> None:
    """A crash while the host is being cancelled neither leaves ``run`` as a group of errors nor restarts the loop."""
    actor = ScriptedActor(in_place=in_place)
    for _ in range(20):  # trio chooses at random who goes first
        actor.hold()
        async with anyio.create_task_group() as callers, anyio.create_task_group() as host:
            await host.start(actor.run)
            asked = Asked(actor, Swap("new"))
            callers.start_soon(asked)
            await anyio.wait_all_tasks_blocked()
            actor.release()
            callers.start_soon(actor.stop)
            host.cancel_scope.cancel()
        assert asked.outcomes == ["new"]
        assert actor.state is ActorState.STOPPED


async def test_an_ask_makes_no_timer_of_its_own(in_place: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many asks wait, one timer watches their deadlines."""
    made: list[float] = []
    real = anyio.CancelScope

    def counted(*, deadline: float = float("inf"), shield: bool = False) -> anyio.CancelScope:
        made.append(deadline)
        return real(deadline=deadline, shield=shield)

    actor: Actor[Message, str, str] = ScriptedActor(in_place=in_place, capacity=100)
    assert isinstance(actor, ScriptedActor)
    actor.hold()
    async with running(actor), anyio.create_task_group() as tasks:
        await anyio.wait_all_tasks_blocked()
        monkeypatch.setattr(anyio, "CancelScope", counted)
        for number in range(100):
            tasks.start_soon(actor.ask, Say(str(number)))
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(Overloaded):
            await actor.ask(Say("one more"))
        assert made == []
        monkeypatch.undo()
        actor.release()
