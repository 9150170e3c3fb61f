"""Parking places: one task, woken once, on either loop."""

from __future__ import annotations

import anyio

from sessionkit.backend.parking import wakeup_here


async def test_a_parked_task_is_woken() -> None:
    """Who waits sleeps until the place is set, and not a moment longer."""
    place = wakeup_here()()
    told: list[str] = []

    async def sleeper() -> None:
        await place.wait()
        told.append("woken")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sleeper)
        await anyio.wait_all_tasks_blocked()
        assert told == []
        place.set()
    assert told == ["woken"]


async def test_a_place_that_is_set_lets_nobody_sleep() -> None:
    """Set first, waited for later: the wait is over before it begins."""
    place = wakeup_here()()
    place.set()
    with anyio.fail_after(1):
        await place.wait()


async def test_a_sleeper_that_was_cancelled_leaves_the_place_empty() -> None:
    """Cancellation reaches a parked task at once; to set its place afterwards, even twice, wakes nobody."""
    place = wakeup_here()()
    with anyio.move_on_after(1) as scope:
        await place.wait()
    assert scope.cancelled_caught
    place.set()
    place.set()
    await anyio.sleep(1)
