"""What the actor promises, point by point, by both ways of dispatch, on asyncio and trio in virtual time."""

from __future__ import annotations

import asyncio
import math
import re
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint

from sessionkit.backend.actor import BATCH, Actor, ActorState, running
from sessionkit.backend.lifecycle import (
    Failed,
    HandlerFailed,
    Overflowed,
    Recovered,
    Restarted,
    Started,
    Stopped,
)
from sessionkit.exceptions import ActorError, AskTimeout, MessageFailed, NotRunning, Overloaded
from tests.backend.actors import (
    REQUEST,
    Asked,
    Crash,
    Message,
    Poison,
    Quiet,
    Say,
    Script,
    ScriptedActor,
    Slow,
    Swap,
    Who,
)
from tests.virtual_time import VirtualTimeLoop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Sequence

    from anyio.abc import TaskGroup


async def queue(tasks: TaskGroup, actor: ScriptedActor, *messages: Message, control: bool = False) -> list[Asked]:
    """Ask in this order, each in a task of its own, and return when all of them wait or have their answer."""
    asked = [Asked(actor, message, control=control) for message in messages]
    for one in asked:
        tasks.start_soon(one)
        await anyio.wait_all_tasks_blocked()
    return asked


def outcomes(asked: list[Asked]) -> list[list[str]]:
    """All the ways each ask ended."""
    return [one.outcomes for one in asked]


@asynccontextmanager
async def held(actor: ScriptedActor) -> AsyncIterator[TaskGroup]:
    """Run an actor that looks into its mailbox only when released, beside a task group for its callers."""
    actor.hold()
    async with running(actor), anyio.create_task_group() as tasks:
        yield tasks


def step(coroutine: Coroutine[Any, Any, str]) -> str:
    """Run a coroutine that must end without yielding to the loop even once."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: str = end.value
        return result
    coroutine.close()
    pytest.fail("it yielded")


# --- 1: the behaviour -------------------------------------------------------------------------------------------------


async def test_the_factory_makes_one_behaviour_for_a_run(in_place: bool) -> None:
    """The behaviour comes from the factory, once a run, and is open to inspection."""
    made: list[Script] = []

    def factory() -> Script:
        made.append(Script())
        return made[-1]

    actor = ScriptedActor(factory, in_place=in_place)
    assert made == []
    async with running(actor):
        assert await actor.ask(Say("hello")) == "hello old"
        assert await actor.ask(Say("again")) == "again old"
        assert actor.behaviour is made[0]
    assert len(made) == 1
    assert made[0].seen == [Say("hello"), Say("again")]


async def test_no_behaviour_before_the_first_run() -> None:
    """An actor that has never run has no behaviour to show."""
    with pytest.raises(NotRunning, match="not been started"):
        _ = ScriptedActor().behaviour


# --- 2: the mailbox ---------------------------------------------------------------------------------------------------


async def test_a_full_mailbox_refuses_at_once(in_place: bool) -> None:
    """Beyond its capacity the mailbox refuses data without waiting, and takes control messages from its reserve."""
    actor = ScriptedActor(in_place=in_place, capacity=2, reserve=1)
    async with held(actor) as tasks:
        data = await queue(tasks, actor, Say("a"), Say("b"))
        with pytest.raises(Overloaded):
            step(actor.ask(Say("c")))
        control = await queue(tasks, actor, Swap("new"), control=True)
        with pytest.raises(Overloaded):
            step(actor.ask(Swap("newer"), control=True))
        assert actor.stats().depth == actor.stats().high_water == 3
        actor.release()
    assert outcomes(data + control) == [["a old"], ["b old"], ["new"]]
    assert actor.stats().rejected == 2


async def test_overflow_and_recovery_are_each_told_once(in_place: bool) -> None:
    """However many asks are refused, one event says so, and one says that the mailbox is half empty again."""
    actor = ScriptedActor(in_place=in_place, capacity=4)
    async with held(actor) as tasks:
        await queue(tasks, actor, *[Say(str(number)) for number in range(4)])
        for _ in range(3):
            with pytest.raises(Overloaded):
                await actor.ask(Say("too much"))
        assert actor.lives == [Started(), Overflowed(depth=4)]
        actor.release()
    assert actor.lives[2:] == [Recovered(rejected=3), Stopped(handled=4, unanswered=0)]


async def test_refusals_are_counted_for_each_overflow_apart(in_place: bool) -> None:
    """The second overflow of an actor counts its own refusals only."""
    actor = ScriptedActor(in_place=in_place, capacity=1)
    for refusals in (2, 1):
        async with held(actor) as tasks:
            await queue(tasks, actor, Say("first"))
            for _ in range(refusals):
                with pytest.raises(Overloaded):
                    await actor.ask(Say("too much"))
            actor.release()
    assert [life.rejected for life in actor.lives if isinstance(life, Recovered)] == [2, 1]


# --- 3: the ways an ask ends ------------------------------------------------------------------------------------------


async def test_an_actor_that_does_not_run_says_so(in_place: bool) -> None:
    """Before, while draining and after a run an ask ends with ``NotRunning``, which says which of them it is."""
    actor = ScriptedActor(in_place=in_place)
    with pytest.raises(NotRunning, match="not been started"):
        await actor.ask(Say("early"))
    async with running(actor):
        pass
    with pytest.raises(NotRunning, match="has stopped"):
        await actor.ask(Say("late"))


async def test_a_caller_whose_time_is_over_gets_a_timeout(in_place: bool) -> None:
    """An ask that is not answered in its time ends then, even if the loop never comes to it."""
    actor = ScriptedActor(in_place=in_place)
    async with held(actor):
        before = anyio.current_time()
        with pytest.raises(AskTimeout):
            await actor.ask(Say("hello"), timeout=7)
        assert anyio.current_time() - before == pytest.approx(7)
        assert actor.stats().depth == 0
        actor.release()
    assert actor.stats().expired == 1
    assert isinstance(actor.behaviour, Script)
    assert actor.behaviour.seen == []


async def test_each_ask_has_its_own_deadline(in_place: bool) -> None:
    """A later ask with less time ends before an earlier one with more, and one without a limit waits on."""
    actor = ScriptedActor(in_place=in_place)
    ended: list[tuple[str, float]] = []

    async def ask(text: str, seconds: float) -> None:
        try:
            reply = await actor.ask(Say(text), timeout=seconds)
        except AskTimeout:
            reply = text
        ended.append((reply, anyio.current_time() // 1))

    async with held(actor) as tasks:
        start = anyio.current_time()
        for text, timeout in (("long", 30.5), ("endless", math.inf), ("short", 10.5), ("middle", 20.5)):
            tasks.start_soon(ask, text, timeout)
        await anyio.sleep(100)
        actor.release()
    assert [(text, at - start // 1) for text, at in ended] == [
        ("short", 10),
        ("middle", 20),
        ("long", 30),
        ("endless old", 100),
    ]


async def test_no_time_at_all_is_a_timeout_at_once_unless_served_in_place(in_place: bool) -> None:
    """With a timeout of 0 an ask that has to queue ends as soon as the timer runs."""
    actor = ScriptedActor(in_place=in_place)
    async with held(actor) as tasks:
        await queue(tasks, actor, Say("arms the timer"))
        with pytest.raises(AskTimeout):
            await actor.ask(Say("now"), timeout=0)
        actor.release()


async def test_cancelling_the_caller_ends_its_ask_alone(in_place: bool) -> None:
    """Case 113: a caller is cancelled promptly while it waits; the actor and the other callers do not notice."""
    actor = ScriptedActor(in_place=in_place)
    async with held(actor) as tasks:
        first, second = await queue(tasks, actor, Say("a"), Say("b"))
        first.cancel()
        await anyio.wait_all_tasks_blocked()
        assert first.outcomes == ["cancelled"]
        actor.release()
    assert outcomes([first, second]) == [["cancelled"], ["b old"]]


# --- 4: in place ------------------------------------------------------------------------------------------------------


async def test_an_idle_actor_serves_without_yielding() -> None:
    """An ask of an idle actor is over before any other task can run."""
    actor = ScriptedActor(in_place=True)
    async with running(actor):
        await anyio.wait_all_tasks_blocked()
        assert step(actor.ask(Say("hello"))) == "hello old"
    assert actor.stats().high_water == 0


async def test_the_switch_turns_serving_in_place_off() -> None:
    """With ``in_place=False`` every message goes through the mailbox."""
    actor = ScriptedActor(in_place=False)
    async with running(actor):
        await anyio.wait_all_tasks_blocked()
        assert await actor.ask(Say("hello")) == "hello old"
    assert actor.stats().high_water == 1


async def test_an_actor_that_has_work_is_not_idle(in_place: bool) -> None:
    """While anything waits, whoever asks next waits behind it, also by the quick way."""
    actor = ScriptedActor(in_place=in_place)
    async with held(actor) as tasks:
        first = [Quiet(str(number)) for number in range(BATCH + 2)]
        await queue(tasks, actor, *first)
        actor.release()
        assert await actor.ask(Say("last")) == "last old"
    assert isinstance(actor.behaviour, Script)
    assert actor.behaviour.seen == [*first, Say("last")]


async def test_whoever_asks_between_two_batches_waits_his_turn(in_place: bool) -> None:
    """A caller that has its reply and asks again, while others still wait, comes after them."""
    actor = ScriptedActor(in_place=in_place)
    depths: list[int] = []

    async def ask_twice() -> None:
        await actor.ask(Quiet("first"))
        depths.append(actor.stats().depth)
        await actor.ask(Quiet("again"))

    others = [Quiet(str(number)) for number in range(BATCH * 2)]
    async with held(actor) as tasks:
        tasks.start_soon(ask_twice)
        await anyio.wait_all_tasks_blocked()
        await queue(tasks, actor, *others)
        actor.release()
        await anyio.wait_all_tasks_blocked()
    assert depths[0] > 0, "others get their turn after each batch"
    assert isinstance(actor.behaviour, Script)
    assert actor.behaviour.seen == [Quiet("first"), *others, Quiet("again")]


# --- 5: the context of the caller -------------------------------------------------------------------------------------


async def test_the_handler_and_the_events_see_the_context_of_the_caller(in_place: bool) -> None:
    """A request id bound by the caller reaches its handler and the lines written for its events, and nobody else's."""
    told: list[tuple[str, str]] = []

    def on_events(events: Sequence[str]) -> None:
        told.extend((event, REQUEST.get()) for event in events)

    actor: Actor[Message, str, str] = Actor(Script, on_events=on_events, in_place=in_place)
    replies: dict[str, str] = {}

    async def request(name: str) -> None:
        REQUEST.set(name)
        replies[name] = await actor.ask(Who())

    async with running(actor), anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(request, f"r{number}")
    assert replies == {f"r{number}": f"r{number}" for number in range(5)}
    assert sorted(told) == [(f"r{number}", f"r{number}") for number in range(5)]


# --- 6: work nobody waits for -----------------------------------------------------------------------------------------


async def test_abandoned_work_is_skipped_and_counted(in_place: bool) -> None:
    """Case 112: the message of a caller that has gone is never handled."""
    actor = ScriptedActor(in_place=in_place)
    async with held(actor) as tasks:
        asked = await queue(tasks, actor, Say("a"), Say("b"), Say("c"))
        asked[1].cancel()
        await anyio.wait_all_tasks_blocked()
        actor.release()
    assert isinstance(actor.behaviour, Script)
    assert actor.behaviour.seen == [Say("a"), Say("c")]
    assert (actor.stats().skipped, actor.stats().handled) == (1, 2)


async def test_the_timer_clears_abandoned_work_away(in_place: bool) -> None:
    """An abandoned message whose time passes gives its place back, and the timer goes on to the next deadline."""
    actor = ScriptedActor(in_place=in_place)
    async with held(actor) as tasks:
        asked = await queue(tasks, actor, Say("a"), Say("b"))
        asked[0].cancel()
        await anyio.sleep(6)
        assert actor.stats().depth == 0
        actor.release()
    assert outcomes(asked) == [["cancelled"], ["AskTimeout"]]
    assert (actor.stats().skipped, actor.stats().expired) == (1, 1)


async def test_work_that_expires_behind_a_slow_message_is_not_done(in_place: bool) -> None:
    """A message whose time passes while another one is handled is skipped when its turn comes."""
    actor = ScriptedActor(in_place=in_place)
    async with held(actor) as tasks:
        slow = await queue(tasks, actor, Slow(60), Say("too late"))
        actor.release()
    assert outcomes(slow) == [["at last"], ["AskTimeout"]]
    assert isinstance(actor.behaviour, Script)
    assert actor.behaviour.seen == [Slow(60)]
    assert (actor.stats().expired, actor.stats().skipped) == (1, 0)


# --- 7: order ---------------------------------------------------------------------------------------------------------


async def test_a_reload_divides_the_messages_before_it_from_those_after(in_place: bool) -> None:
    """Messages are handled in the order accepted: those before a swap see the old word, those after it the new one."""
    actor = ScriptedActor(in_place=in_place)
    async with held(actor) as tasks:
        before = await queue(tasks, actor, Say("a"), Say("b"))
        swap = await queue(tasks, actor, Swap("new"), control=True)
        after = await queue(tasks, actor, Say("c"))
        actor.release()
    assert outcomes(before + swap + after) == [["a old"], ["b old"], ["new"], ["c new"]]
    assert actor.events == ["a", "b", "swapped", "c"]


async def test_a_reload_of_an_idle_actor_holds_for_the_next_ask(in_place: bool) -> None:
    """Once the reply to a swap is there, every later message sees the new word."""
    actor = ScriptedActor(in_place=in_place)
    async with running(actor):
        assert await actor.ask(Say("a")) == "a old"
        assert await actor.ask(Swap("new"), control=True) == "new"
        assert await actor.ask(Say("b")) == "b new"


# --- 8: poison --------------------------------------------------------------------------------------------------------


async def test_a_poison_message_harms_its_caller_alone(in_place: bool) -> None:
    """A handler that raises is an error for who asked, counted, told by class and place, and never tried again."""
    actor = ScriptedActor(in_place=in_place)
    async with running(actor):
        with pytest.raises(MessageFailed) as caught:
            await actor.ask(Poison())
        assert await actor.ask(Say("next")) == "next old"
    assert caught.value.error_type == "KeyError"
    assert isinstance(actor.behaviour, Script)
    assert actor.behaviour.seen == [Poison(), Say("next")]
    assert (actor.stats().failed, actor.stats().handled, actor.stats().restarts) == (1, 1, 0)
    told = actor.lives[1]
    assert isinstance(told, HandlerFailed)
    assert (told.message_type, told.error_type) == ("Poison", "KeyError")
    assert re.fullmatch(r"actors\.py:\d+", told.where)


async def test_the_neighbours_of_a_poison_message_are_answered(in_place: bool) -> None:
    """Messages queued before and after a poison message get their replies."""
    actor = ScriptedActor(in_place=in_place)
    async with held(actor) as tasks:
        asked = await queue(tasks, actor, Say("a"), Poison(), Say("b"))
        actor.release()
    assert outcomes(asked) == [["a old"], ["MessageFailed"], ["b old"]]


async def test_an_answer_of_the_wrong_shape_is_poison(in_place: bool) -> None:
    """A handler that does not return reply and events has failed, by either way of dispatch."""

    class Broken:
        def handle(self, message: str) -> tuple[str, Sequence[str]]:
            return message  # type: ignore[return-value]  # the mistake under test

        def facts(self) -> dict[str, object]:
            return {}

    actor: Actor[str, str, str] = Actor(Broken, in_place=in_place)
    async with running(actor):
        with pytest.raises(MessageFailed):
            await actor.ask("x")


async def check_no_trace(actor: ScriptedActor, message: Message, expected: type[ActorError]) -> None:
    """Ask from a frame that forgets the message, and look for it in everything the error drags along."""
    holder = [message]
    with pytest.raises(expected) as caught:
        await actor.ask(holder.pop())
    error = caught.value
    assert error.__context__ is None
    assert error.__cause__ is None
    ours = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if "sessionkit" in frame.f_code.co_filename]
    assert ours
    for frame in ours:
        assert "s3cr3t" not in repr(frame.f_locals)
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    own = [line for line in shown.format() if "tests" not in line]
    assert "s3cr3t" not in "".join(own)


async def test_no_traceback_of_ours_shows_a_message(in_place: bool) -> None:
    """Neither the error a caller gets nor the locals of the frames it passed through hold the message."""
    actor = ScriptedActor(in_place=in_place, capacity=1)
    await check_no_trace(actor, Say("s3cr3t"), NotRunning)
    async with running(actor):
        await anyio.wait_all_tasks_blocked()
        await check_no_trace(actor, Poison(), MessageFailed)
    async with held(actor) as tasks:
        await check_no_trace(actor, Say("s3cr3t"), AskTimeout)
        await queue(tasks, actor, Quiet("fills the mailbox"))
        await check_no_trace(actor, Say("s3cr3t"), Overloaded)
        actor.release()
    assert "s3cr3t" not in repr(actor.lives)


# --- 9: crash of the loop ---------------------------------------------------------------------------------------------


async def test_the_loop_is_restarted_and_the_mailbox_kept(in_place: bool) -> None:
    """Case 136: when the loop crashes, the message in hand is answered and all others are handled after the restart."""
    actor = ScriptedActor(in_place=in_place)
    async with held(actor) as tasks:
        await queue(tasks, actor, Swap("kept"), control=True)
        asked = await queue(tasks, actor, Say("a"), Crash(), Say("b"))
        actor.release()
        await anyio.wait_all_tasks_blocked()
        assert outcomes(asked) == [["a kept"], ["MessageFailed"], ["b kept"]]
        assert await actor.ask(Say("after")) == "after kept"
    assert actor.stats().restarts == 1
    restarted = actor.lives[1]
    assert isinstance(restarted, Restarted)
    assert (restarted.error_type, restarted.restarts) == ("OSError", 1)
    assert re.fullmatch(r"actors\.py:\d+", restarted.where)


async def test_a_loop_that_crashes_too_often_fails_for_good(in_place: bool) -> None:
    """The fourth crash within a minute ends the actor: everyone waiting is told, and the host is not harmed."""
    actor = ScriptedActor(in_place=in_place)
    async with held(actor) as tasks:
        asked = await queue(tasks, actor, Say("a"), Crash(), Crash(), Crash(), Crash(), Say("b"), Say("c"))
        actor.release()
        await anyio.wait_all_tasks_blocked()
        assert outcomes(asked) == [["a old"], *[["MessageFailed"]] * 4, ["NotRunning"], ["NotRunning"]]
        assert actor.state is ActorState.FAILED
        with pytest.raises(NotRunning, match="crashed too often"):
            await actor.ask(Say("later"))
        await actor.stop()
    assert actor.state is ActorState.FAILED
    failed = actor.lives[-1]
    assert isinstance(failed, Failed)
    assert (failed.error_type, failed.restarts, failed.unanswered) == ("OSError", 3, 2)


async def test_crashes_long_apart_do_not_add_up() -> None:
    """Only crashes within the window count, so an actor survives any number of rare ones."""
    actor = ScriptedActor(in_place=False, max_restarts=1)
    async with running(actor):
        for _ in range(4):
            with pytest.raises(MessageFailed):
                await actor.ask(Crash())
            await anyio.sleep(60)
        assert await actor.ask(Say("alive")) == "alive old"
    assert actor.stats().restarts == 4


async def test_a_crash_of_the_timer_restarts_the_loop(in_place: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The timer of the deadlines is supervised like the loop, and a crash in its task is named by its own class."""
    actor = ScriptedActor(in_place=in_place)

    async def broken_sleep() -> None:
        monkeypatch.undo()
        raise ZeroDivisionError

    monkeypatch.setattr(anyio, "sleep_forever", broken_sleep)
    async with held(actor) as tasks:
        waiting = await queue(tasks, actor, Say("hello"))
        actor.release()
    assert outcomes(waiting) == [["hello old"]]
    assert [life.error_type for life in actor.lives if isinstance(life, Restarted)] == ["ZeroDivisionError"]


async def test_an_error_without_a_traceback_is_named_all_the_same(in_place: bool) -> None:
    """An error that says nothing of its place is told with the place unknown."""

    class Bare(Exception):  # noqa: N818 - made to be odd
        __traceback__ = None  # hides the real one

    actor = ScriptedActor(in_place=in_place)
    async with running(actor):
        with pytest.raises(MessageFailed):
            await actor.ask(Poison(error=Bare))
    assert HandlerFailed("Poison", "Bare", "unknown") in actor.lives


# --- 10: stop ---------------------------------------------------------------------------------------------------------


async def test_stopping_answers_all_that_was_accepted(in_place: bool) -> None:
    """A stop refuses new messages and handles everything in the mailbox, in order, before it returns."""
    actor = ScriptedActor(in_place=in_place)
    async with held(actor) as tasks:
        asked = await queue(tasks, actor, *[Quiet(str(number)) for number in range(BATCH * 2 + 1)])
        refused: list[str] = []

        async def ask_while_draining() -> None:
            with pytest.raises(NotRunning, match="is stopping"):
                step(actor.ask(Say("late")))
            refused.append(actor.state)

        async def stop() -> None:
            tasks.start_soon(ask_while_draining)
            await actor.stop()

        tasks.start_soon(stop)
    assert outcomes(asked) == [[str(number)] for number in range(BATCH * 2 + 1)]
    assert refused == ["draining"]
    assert actor.state is ActorState.STOPPED
    assert actor.lives[-1] == Stopped(handled=BATCH * 2 + 1, unanswered=0)


async def test_callers_get_their_replies_while_others_are_drained(in_place: bool) -> None:
    """Draining a long mailbox does not keep the first caller waiting for the last message."""
    actor = ScriptedActor(in_place=in_place)
    depths: list[int] = []

    async def ask() -> None:
        await actor.ask(Quiet("first"))
        depths.append(actor.stats().depth)

    async with held(actor) as tasks:
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        await queue(tasks, actor, *[Quiet(str(number)) for number in range(BATCH * 2)])
        await actor.stop()
    assert depths[0] > 0


async def test_from_the_call_of_stop_nothing_more_is_accepted(in_place: bool) -> None:
    """An idle actor that has been told to stop refuses at once, before its own task has heard of it."""
    actor = ScriptedActor(in_place=in_place)
    async with running(actor), anyio.create_task_group() as tasks:
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(actor.stop)
        while actor.state is ActorState.RUNNING:
            await checkpoint()
        with pytest.raises(NotRunning):
            await actor.ask(Say("late"))
    assert actor.stats().handled == 0


async def test_what_cannot_be_drained_in_time_is_answered_too(in_place: bool) -> None:
    """When the time to drain is over, whoever still waits hears ``NotRunning``: nobody hangs."""
    actor = ScriptedActor(in_place=in_place, drain_timeout=5)
    async with held(actor) as tasks:
        asked = [Asked(actor, Slow(2), timeout=100) for _ in range(5)]
        for one in asked:
            tasks.start_soon(one)
        await anyio.wait_all_tasks_blocked()
        await actor.stop()
    assert sorted(outcomes(asked)) == [*[["NotRunning"]] * 2, *[["at last"]] * 3]
    assert actor.lives[-1] == Stopped(handled=3, unanswered=2)


async def test_no_time_to_drain_answers_everyone_at_once(in_place: bool) -> None:
    """With no time to drain at all, stopping handles nothing and leaves nobody waiting."""
    actor = ScriptedActor(in_place=in_place, drain_timeout=0)
    async with held(actor) as tasks:
        asked = await queue(tasks, actor, Say("a"), Say("b"))
        await actor.stop()
    assert outcomes(asked) == [["NotRunning"], ["NotRunning"]]


async def test_a_cancelled_host_drains_all_the_same(in_place: bool) -> None:
    """Case 118: when the host is cancelled, everything accepted is still answered, over several batches."""
    actor = ScriptedActor(in_place=in_place)
    actor.hold()
    async with anyio.create_task_group() as callers:
        async with anyio.create_task_group() as host:
            await host.start(actor.run)
            asked = await queue(callers, actor, *[Quiet(str(number)) for number in range(BATCH + 3)])
            host.cancel_scope.cancel()
        assert actor.state is ActorState.STOPPED
    assert outcomes(asked) == [[str(number)] for number in range(BATCH + 3)]


async def test_a_crash_while_draining_loses_nobody(in_place: bool) -> None:
    """If the loop crashes on a message while it drains, that one is answered and the drain goes on."""
    actor = ScriptedActor(in_place=in_place)
    async with held(actor) as tasks:
        asked = await queue(tasks, actor, Say("a"), Crash(), Say("b"))
        await actor.stop()
    assert outcomes(asked) == [["a old"], ["MessageFailed"], ["b old"]]
    assert actor.stats().restarts == 1


async def test_stopping_twice_and_from_two_tasks_is_stopping_once(in_place: bool) -> None:
    """All who stop the actor return when it has stopped; stopping one that does not run has no effect."""
    actor = ScriptedActor(in_place=in_place)
    await actor.stop()
    assert actor.state is ActorState.NEW
    async with running(actor), anyio.create_task_group() as tasks:
        tasks.start_soon(actor.stop)
        tasks.start_soon(actor.stop)
    await actor.stop()
    assert actor.lives == [Started(), Stopped(handled=0, unanswered=0)]


async def test_cancelling_who_stops_does_not_undo_the_stop(in_place: bool) -> None:
    """A stop goes on when the task that asked for it is cancelled."""
    actor = ScriptedActor(in_place=in_place)
    async with anyio.create_task_group() as host:
        await host.start(actor.run)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await actor.stop()
        assert scope.cancelled_caught
    assert actor.state is ActorState.STOPPED


async def test_an_actor_may_run_again(in_place: bool) -> None:
    """After a stop, and after a failure, a host may run the actor again: with a new behaviour and no old crashes."""
    words = iter(["first", "second", "third"])
    actor = ScriptedActor(lambda: Script(next(words)), in_place=in_place, max_restarts=1)
    async with running(actor):
        assert await actor.ask(Say("a")) == "a first"
    async with held(actor) as tasks:
        await queue(tasks, actor, Crash(), Crash())
        actor.release()
    assert actor.state.value == "failed"
    async with held(actor) as tasks:
        await queue(tasks, actor, Crash())
        actor.release()
        await anyio.wait_all_tasks_blocked()
        assert await actor.ask(Say("b")) == "b third"
    assert actor.state.value == "stopped"


async def test_an_actor_runs_once_at_a_time(in_place: bool) -> None:
    """A second host of a running actor is told so, and the first goes on."""
    actor = ScriptedActor(in_place=in_place)
    async with running(actor):
        with pytest.raises(RuntimeError, match="running already"):
            await actor.run()
        assert await actor.ask(Say("a")) == "a old"


# --- 11: health -------------------------------------------------------------------------------------------------------


async def test_the_figures_of_an_actor(in_place: bool) -> None:
    """Its figures need no await, add up, and uptime runs only while it does."""
    actor = ScriptedActor(in_place=in_place)
    assert {field.name: getattr(actor.stats(), field.name) for field in fields(actor.stats())} == {
        "state": ActorState.NEW,
        "depth": 0,
        "high_water": 0,
        "handled": 0,
        "failed": 0,
        "skipped": 0,
        "expired": 0,
        "rejected": 0,
        "inline": 0,
        "restarts": 0,
        "sink_failures": 0,
        "uptime": 0.0,
        "behaviour": {},
    }
    async with held(actor) as tasks:
        await queue(tasks, actor, Say("a"), Poison(), Crash())
        assert (actor.stats().state, actor.stats().depth) == (ActorState.RUNNING, 3)
        assert actor.stats().uptime > 0
        assert actor.stats().behaviour == {"word": "old"}
        actor.release()
    stats = actor.stats()
    assert stats.behaviour == {"word": "old"}
    assert (stats.state, stats.depth, stats.high_water, stats.uptime) == (ActorState.STOPPED, 0, 3, 0.0)
    assert (stats.handled, stats.failed, stats.restarts) == (1, 1, 1)


async def test_what_an_actor_shows_of_itself(in_place: bool) -> None:
    """Its repr has its state and figures, and no message."""
    actor = ScriptedActor(in_place=in_place)
    async with running(actor):
        await actor.ask(Say("secret"))
        assert repr(actor) == "<Actor running: 0 waiting, 1 handled>"


# --- events -----------------------------------------------------------------------------------------------------------


async def test_a_raising_listener_harms_nobody(in_place: bool) -> None:
    """Whatever ``on_events`` and ``on_life`` raise is counted; replies, restarts and the stop are as ever."""

    def broken(_: object) -> None:
        raise ConnectionError

    actor: Actor[Message, str, str] = Actor(Script, on_events=broken, on_life=broken, in_place=in_place)
    async with running(actor):
        assert await actor.ask(Say("a")) == "a old"
        with pytest.raises(MessageFailed):
            await actor.ask(Poison())
        assert await actor.ask(Quiet("b")) == "b"
    assert actor.stats().sink_failures == 4
    assert actor.state is ActorState.STOPPED


async def test_listeners_may_be_left_out(in_place: bool) -> None:
    """An actor without listeners works."""
    actor: Actor[Message, str, str] = Actor(Script, in_place=in_place)
    async with running(actor):
        assert await actor.ask(Say("a")) == "a old"
    assert actor.stats().sink_failures == 0


async def test_no_events_no_call(in_place: bool) -> None:
    """A message without events costs its listener nothing."""
    told: list[Sequence[str]] = []
    actor: Actor[Message, str, str] = Actor(Script, on_events=told.append, in_place=in_place)
    async with running(actor):
        await actor.ask(Quiet("a"))
        await actor.ask(Say("b"))
    assert told == [["b"]]


# --- 12: other loops and threads --------------------------------------------------------------------------------------


def ask_from_here(actor: ScriptedActor, message: Message, *, control: bool = False) -> str:
    """Ask by a coroutine without any loop, which must therefore never be awaited."""
    return step(actor.ask(message, control=control))


async def test_another_thread_is_served_elsewhere(in_place: bool) -> None:
    """Case 129: a caller without the actor's loop is answered at once by what serves elsewhere, and never waits."""
    actor = ScriptedActor(in_place=in_place)
    with ThreadPoolExecutor(max_workers=1) as thread:
        async with running(actor):
            for text in ("a", "b"):
                assert thread.submit(ask_from_here, actor, Say(text)).result() == f"{text} elsewhere"
            with pytest.raises(MessageFailed):
                thread.submit(ask_from_here, actor, Poison()).result()
            assert isinstance(actor.behaviour, Script)
            assert actor.behaviour.seen == []
    assert actor.events == ["a", "b"]
    assert (actor.stats().inline, actor.stats().handled, actor.stats().failed) == (3, 2, 1)


async def test_another_thread_is_refused_where_nothing_serves_elsewhere(in_place: bool) -> None:
    """An actor without anything for other threads says so at once, instead of letting them wait for ever."""
    actor: Actor[Message, str, str] = Actor(Script, in_place=in_place)
    async with running(actor):
        with pytest.raises(NotRunning, match="another thread or loop"):
            await anyio.to_thread.run_sync(lambda: anyio.run(actor.ask, Say("a")))
        assert await actor.ask(Say("b")) == "b old"


async def test_a_held_actor_still_serves_another_loop(in_place: bool) -> None:
    """Case 129: a whole event loop in another thread gets its answers though the actor's own loop does nothing."""
    actor = ScriptedActor(in_place=in_place)

    def other_loop() -> str:
        return anyio.run(actor.ask, Say("hello"))

    async with held(actor):
        assert await anyio.to_thread.run_sync(other_loop) == "hello elsewhere"
        actor.release()


async def test_control_messages_of_another_thread_are_refused(in_place: bool) -> None:
    """A swap that could only change a thread's own copy is refused instead of being lost."""
    actor = ScriptedActor(in_place=in_place)
    async with running(actor):
        with pytest.raises(NotRunning, match="own loop"):
            await anyio.to_thread.run_sync(lambda: ask_from_here(actor, Swap("new"), control=True))


async def test_another_thread_cannot_stop_the_actor(in_place: bool) -> None:
    """A stop belongs on the loop that runs the actor; elsewhere it could only wait for ever, and says so."""
    actor = ScriptedActor(in_place=in_place)
    async with running(actor):
        with pytest.raises(RuntimeError, match="on the loop that runs it"):
            await anyio.to_thread.run_sync(anyio.run, actor.stop)
        assert actor.state is ActorState.RUNNING


def test_another_loop_of_the_same_thread_is_served(in_place: bool) -> None:
    """Case 129: an actor whose loop does not run any more answers a new loop of the same thread, without waiting."""
    actor = ScriptedActor(in_place=in_place)

    async def start() -> asyncio.Task[None]:
        task = asyncio.create_task(actor.run())
        await anyio.wait_all_tasks_blocked()
        return task

    async def stop(task: asyncio.Task[None]) -> None:
        await actor.stop()
        await task

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as host:
        task = host.run(start())
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as other:
            assert other.run(actor.ask(Say("hello"))) == ("hello old" if in_place else "hello elsewhere")
        host.run(stop(task))
    assert actor.stats().inline == (0 if in_place else 1)


# --- start-up ---------------------------------------------------------------------------------------------------------


async def test_a_failing_factory_is_the_error_of_the_start(in_place: bool) -> None:
    """An error of the factory reaches the host as it is, and the actor may be started again."""

    class BadKeyringError(Exception):
        pass

    def factory() -> Script:
        raise BadKeyringError

    actor = ScriptedActor(factory, in_place=in_place)
    with pytest.raises(BadKeyringError):
        async with running(actor):
            pytest.fail("started")
    assert actor.state is ActorState.NEW
    assert actor.lives == []


async def test_an_error_of_the_block_comes_out_bare_after_the_stop(in_place: bool) -> None:
    """The host's own error is neither wrapped nor lost, and the actor is stopped before it goes on."""
    actor = ScriptedActor(in_place=in_place)
    with pytest.raises(LookupError) as caught:
        async with running(actor):
            raise LookupError
    assert not isinstance(caught.value, BaseExceptionGroup)
    assert actor.state is ActorState.STOPPED
