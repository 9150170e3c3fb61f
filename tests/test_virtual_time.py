"""The clock the other tests rely on."""

from __future__ import annotations

import asyncio
import threading
import time

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.virtual_time import VirtualTimeLoop


async def test_a_long_sleep_takes_no_time_and_exactly_its_length() -> None:
    """A sleep of a day ends at once, and the clock has moved by one day."""
    before, started = anyio.current_time(), time.monotonic()
    await anyio.sleep(86_400 * 1.5)
    assert anyio.current_time() - before == pytest.approx(86_400 * 1.5)
    assert time.monotonic() - started < 3600


async def test_timers_fire_in_the_order_of_their_deadlines() -> None:
    """Sleepers wake in the order of their deadlines, whoever went to sleep first."""
    woken: list[int] = []

    async def sleeper(seconds: int) -> None:
        await anyio.sleep(seconds)
        woken.append(seconds)

    async with anyio.create_task_group() as tasks:
        for seconds in (30, 10, 20):
            tasks.start_soon(sleeper, seconds)
    assert woken == [10, 20, 30]


async def test_time_does_not_jump_over_a_worker_thread() -> None:
    """A timeout of an hour does not fire while a worker thread is still on its way."""
    release = threading.Event()

    async def in_thread() -> None:
        await anyio.to_thread.run_sync(release.wait)

    async def free() -> None:
        release.set()

    with anyio.fail_after(3600):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(in_thread)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(free)
    before = anyio.current_time()
    await anyio.sleep(100)
    assert anyio.current_time() - before == pytest.approx(100)


async def test_a_worker_thread_may_wait_for_a_timer_of_the_loop() -> None:
    """While a thread is out time is real, so a thread that waits for a short sleep on the loop is not stuck."""

    def sleep_on_the_loop() -> bool:
        anyio.from_thread.run(anyio.sleep, 0.001)
        return True

    assert await anyio.to_thread.run_sync(sleep_on_the_loop)


@pytest.mark.real_time
async def test_the_marker_chooses_the_real_clock() -> None:
    """Under ``real_time`` the loop's clock is the machine's."""
    if isinstance(asyncio._get_running_loop(), VirtualTimeLoop):
        pytest.fail("virtual time under the real_time marker")
    before = anyio.current_time()
    await anyio.sleep(0.001)
    assert 0 < anyio.current_time() - before < 3600


@given(st.integers(min_value=1, max_value=1000))
async def test_hypothesis_examples_each_run_in_virtual_time(seconds: int) -> None:
    """An async property test gets virtual time for every example."""
    before = anyio.current_time()
    await anyio.sleep(seconds)
    assert anyio.current_time() - before == pytest.approx(seconds)


def test_the_executor_of_the_loop_is_waited_for_and_shut_down() -> None:
    """``loop.run_in_executor`` and the shutdown of its threads take real time, not the next timer's."""

    async def main() -> None:
        async with asyncio.timeout(3600):
            await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.001)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())
