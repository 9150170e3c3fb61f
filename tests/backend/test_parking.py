"""Parked tasks: one an envelope, woken once with its answer, on either loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio
from anyio.lowlevel import checkpoint

from sessionkit.backend.actor import Actor, running
from sessionkit.backend.parking import Failure, Home, home_here
from tests.backend.actors import REQUEST, Asked, Say, ScriptedActor, Who

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionkit.backend.parking import Envelope

ASYNCIO = pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)


def envelope() -> Envelope[str, str]:
    """Make an envelope on the present loop."""
    return home_here().envelope("question", math.inf)


async def test_a_parked_task_is_woken() -> None:
    """Who waits sleeps until there is an answer, and not a moment longer."""
    asked = envelope()
    told: list[str] = []

    async def sleeper() -> None:
        told.append(await asked.wait())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sleeper)
        await anyio.wait_all_tasks_blocked()
        assert told == []
        asked.answer("woken")
    assert told == ["woken"]


async def test_an_envelope_that_is_answered_lets_nobody_sleep() -> None:
    """Answered first, waited for later: the wait is over before it begins."""
    asked = envelope()
    asked.answer("at once")
    with anyio.fail_after(1):
        assert await asked.wait() == "at once"


async def test_a_sleeper_that_was_cancelled_abandons_its_envelope() -> None:
    """Cancellation reaches a parked task at once; to answer it afterwards, even twice, wakes nobody."""
    asked = envelope()
    with anyio.move_on_after(1) as scope:
        await asked.wait()
    assert scope.cancelled_caught
    assert not asked.pending
    asked.answer("too late")
    asked.answer("later still")
    await anyio.sleep(1)


@pytest.mark.parametrize("answer", [None, (), ("a", "b"), StopIteration("stop"), ValueError("a reply, not raised")])
async def test_an_answer_arrives_as_it_is(answer: object) -> None:
    """Whatever an answer is made of, it is returned: also what means something to iterators."""
    asked: Envelope[str, object] = home_here().envelope("question", math.inf)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(_compare, asked, answer))
        await anyio.wait_all_tasks_blocked()
        asked.answer(answer)


async def _compare(asked: Envelope[str, object], expected: object) -> None:
    assert await asked.wait() is expected


async def test_who_is_answered_and_cancelled_in_one_moment_ends_once() -> None:
    """Whichever came first, the task ends, with its answer or cancelled, and the loop goes on."""
    for answer_first in (True, False):
        asked = envelope()
        ended: list[str] = []
        scope = anyio.CancelScope()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_wait, asked, scope, ended)
            await anyio.wait_all_tasks_blocked()
            for step in (partial(asked.answer, "answer"), scope.cancel)[:: 1 if answer_first else -1]:
                step()
        assert ended in (["answer"], ["cancelled"])


async def _wait(asked: Envelope[str, str], scope: anyio.CancelScope, ended: list[str]) -> None:
    with scope:
        ended.append(await asked.wait())
    if scope.cancelled_caught:
        ended.append("cancelled")
    await checkpoint()


async def test_the_context_is_that_of_the_parked_task() -> None:
    """It is the task's own, as it stands when somebody asks for it."""
    asked = envelope()

    async def sleeper() -> None:
        REQUEST.set("sleeper")
        await asked.wait()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sleeper)
        await anyio.wait_all_tasks_blocked()
        assert asked.context[REQUEST] == "sleeper"
        assert REQUEST.get() == "nobody"
        asked.answer("")


def test_a_failure_is_raised_once_and_forgotten() -> None:
    """The error comes out bare, and nothing but who caught it holds it."""
    error = ValueError("told")
    failure = Failure(error)
    with pytest.raises(ValueError, match="told") as caught:
        failure.reraise()
    assert caught.value is error
    assert caught.value.__context__ is None
    assert not hasattr(failure, "_error")


# --- asyncio: what a Task sees ----------------------------------------------------------------------------------------


@ASYNCIO
async def test_a_native_cancellation_says_what_it_was_told() -> None:
    """The message of a cancellation arrives, and its count can be taken back, as with a Future."""
    for told in ((), ("enough",)):
        asked = envelope()
        task = asyncio.ensure_future(_native(asked))
        await asyncio.sleep(0)
        assert task.cancel(*told)
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value.args == told
        assert task.cancelled()


@ASYNCIO
async def test_a_cancellation_that_is_taken_back_is_still_raised() -> None:
    """``asyncio.timeout`` cancels and takes that back: who was parked hears of it in any case, never of nothing."""
    asked = envelope()
    task = asyncio.ensure_future(_native(asked))
    await asyncio.sleep(0)
    task.cancel()
    task.uncancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@ASYNCIO
async def test_a_task_cancelled_before_it_parks_does_not_sleep() -> None:
    """A cancellation that is on its way when the task begins to wait ends the wait."""
    asked = envelope()

    async def cancels_itself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asked.wait()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(cancels_itself())
    assert not asked.pending


@ASYNCIO
async def test_a_cancellation_behind_the_answer_is_not_swallowed() -> None:
    """Whoever is cancelled before it has seen its answer is cancelled, as with a Future that is done."""
    asked = envelope()
    task = asyncio.ensure_future(_native(asked))
    await asyncio.sleep(0)
    asked.answer("too early")
    assert task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@ASYNCIO
async def test_a_coroutine_that_is_closed_abandons_its_question() -> None:
    """Also who asks by a coroutine driven by hand, and gives up, leaves nothing behind that would be handled."""
    actor = ScriptedActor(in_place=False)
    actor.hold()
    async with running(actor):
        await anyio.wait_all_tasks_blocked()
        asking = actor.ask(Say("given up"))
        asking.send(None)
        asking.close()
        actor.release()
        assert await actor.ask(Say("next")) == "next old"
    assert (actor.stats().skipped, actor.stats().handled) == (1, 1)


@ASYNCIO
async def test_a_task_in_pure_python_waits_as_well() -> None:
    """Not only the Task written in C knows how to wait for an envelope."""
    asked = envelope()
    loop = asyncio.get_running_loop()
    pure: Any = asyncio.tasks._PyTask  # type: ignore[attr-defined]  # not in typeshed
    task = pure(_native(asked), loop=loop)
    await asyncio.sleep(0)
    asked.answer("pure")
    assert await task == "pure"


def test_uvloop_parks_and_wakes_as_well() -> None:
    """A loop of another make: an ask is answered, one is cancelled, one runs out of time, by way of the mailbox."""

    async def main() -> list[list[str]]:
        actor = ScriptedActor(in_place=False)
        asked = [Asked(actor, Say("a")), Asked(actor, Say("b")), Asked(actor, Say("c"), timeout=0.01)]
        actor.hold()
        async with running(actor), anyio.create_task_group() as tasks:
            for one in asked:
                tasks.start_soon(one)
            await anyio.wait_all_tasks_blocked()
            asked[1].cancel()
            while not asked[2].outcomes:
                await checkpoint()
            actor.release()
        return [one.outcomes for one in asked]

    found = anyio.run(main, backend_options={"use_uvloop": True})
    assert found == [["a old"], ["cancelled"], ["AskTimeout"]]


@ASYNCIO
async def test_timeouts_of_others_end_the_wait() -> None:
    """``asyncio.wait_for`` and ``asyncio.timeout`` around it work as around anything."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(_native(envelope()), 1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await envelope().wait()


async def _native(asked: Envelope[str, str]) -> str:
    reply: str = await asked.wait()
    return reply


@ASYNCIO
async def test_callers_that_share_one_context_with_the_host_are_served() -> None:
    """A context that is entered by the host itself, too, is no obstacle: handlers run in a copy of it."""
    actor = ScriptedActor(in_place=False)
    shared = contextvars.copy_context()
    shared.run(REQUEST.set, "shared")
    host = asyncio.create_task(actor.run(), context=shared)
    await anyio.wait_all_tasks_blocked()
    assert await asyncio.create_task(actor.ask(Who()), context=shared) == "shared"
    await actor.stop()
    await host


async def test_what_a_handler_binds_stays_with_its_message() -> None:
    """A context variable that a handler sets is seen by the events of its message and by nobody after it."""
    seen: list[str] = []

    class Binds:
        def facts(self) -> dict[str, object]:
            return {}

        def handle(self, _: object) -> tuple[str, list[str]]:
            seen.append(REQUEST.get())
            REQUEST.set("bound by a handler")
            return "reply", ["event"]

    actor = Actor(Binds, on_events=lambda _: seen.append(REQUEST.get()), in_place=False)
    async with running(actor):
        REQUEST.set("caller")
        for _ in range(2):
            await actor.ask("hello")
            assert REQUEST.get() == "caller"
    assert seen == ["caller", "bound by a handler"] * 2


# --- whose loop it is -------------------------------------------------------------------------------------------------


async def test_a_loop_knows_its_own_tasks(anyio_backend_name: str) -> None:
    """A task of the loop is at home; other threads are not, with a loop or without."""
    home = home_here()
    assert home.is_here()
    assert not await anyio.to_thread.run_sync(home.is_here)

    async def elsewhere() -> bool:
        return home.is_here()

    for other in ("asyncio", "trio"):
        assert not await anyio.to_thread.run_sync(partial(anyio.run, elsewhere, backend=other))
    assert anyio_backend_name in type(home).__name__.lower()


async def _home() -> Home:
    return home_here()


def test_another_loop_of_the_same_thread_is_not_home() -> None:
    """Neither a later loop of this thread, nor the thread without any."""
    for backend in ("asyncio", "trio"):
        home = anyio.run(_home, backend=backend)
        assert not home.is_here()
        for other in ("asyncio", "trio"):
            assert not anyio.run(partial(_is_here, home), backend=other)


async def _is_here(home: Home) -> bool:
    return home.is_here()


def test_trio_as_a_guest_and_its_host_are_told_apart() -> None:
    """They share a thread and take turns; each is at home with its own tasks alone."""
    found: dict[str, bool] = {}

    async def guest(host: Home, told: Callable[[Home], None]) -> None:
        home = home_here()
        found["guest at home"] = home.is_here()
        found["guest at the host's"] = host.is_here()
        told(home)
        await trio.lowlevel.checkpoint()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        host, done = home_here(), loop.create_future()
        guests: asyncio.Future[Home] = loop.create_future()
        trio.lowlevel.start_guest_run(
            partial(guest, host, guests.set_result),
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=done.set_result,
        )
        found["host at the guest's"] = (await guests).is_here()
        found["host at home"] = host.is_here()
        await done

    with contextlib.closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(main())
    assert found == {
        "guest at home": True,
        "guest at the host's": False,
        "host at the guest's": False,
        "host at home": True,
    }
