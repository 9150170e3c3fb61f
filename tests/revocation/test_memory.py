"""The list in memory, and the mapping under it: bounded, and forgetful in time."""

from __future__ import annotations

from random import Random

from sessionkit.revocation import Standing
from sessionkit.revocation.expiring import Expiring
from sessionkit.revocation.memory import MemoryRevocationList
from sessionkit.testing import FixedClock


async def test_ends_and_subjects_are_remembered_for_their_time() -> None:
    """And not a moment longer."""
    clock = FixedClock(1000.0)
    revocations = MemoryRevocationList(clock=clock)
    await revocations.start()
    assert await revocations.look(b"id", b"who", terminate_for=10.0) == Standing()
    await revocations.revoke(b"who", 900.0, keep_for=20.0)
    await revocations.revoke(b"who", 800.0, keep_for=20.0)
    clock.advance(9.9)
    assert await revocations.look(b"id", b"who") == Standing(terminated=True, not_before=900.0)
    assert await revocations.look(None, b"who") == Standing(not_before=900.0)
    assert repr(revocations) == "<MemoryRevocationList: 1 sessions, 1 subjects>"
    await revocations.aclose()
    clock.advance(0.1)
    assert await revocations.look(b"id", b"who") == Standing(not_before=900.0)
    clock.advance(10.0)
    assert await revocations.look(b"id", b"who") == Standing()


async def test_what_is_over_takes_no_room() -> None:
    """The next entry clears it away."""
    clock = FixedClock(1000.0)
    revocations = MemoryRevocationList(clock=clock)
    for number in range(100):
        await revocations.look(bytes([number]), None, terminate_for=1.0)
    clock.advance(2.0)
    await revocations.look(b"id", None, terminate_for=1.0)
    assert len(revocations._terminated) == 1


def test_when_it_is_full_the_soonest_to_end_goes() -> None:
    """So a flood of short entries does not push out a long one."""
    held: Expiring[int] = Expiring(2)
    held.put(b"long", 1, 100.0, 0.0)
    for number in range(10):
        held.put(b"short %d" % number, number, 10.0 + number, 0.0)
    assert (held.get(b"long", 0.0), held.get(b"short 9", 0.0), len(held)) == (1, 9, 2)
    assert repr(held) == "<Expiring: 2 entries>"


def test_it_is_a_mapping_with_ends() -> None:
    """Whatever is put, and put again with another end: as a plain dict would have it, and never more than bounded."""
    random = Random(7)
    held: Expiring[int] = Expiring(1000)
    model: dict[bytes, tuple[float, int]] = {}
    now = 0.0
    for step in range(5000):
        now += random.random()
        key, until = bytes([random.randrange(50)]), now + random.uniform(-1.0, 40.0)
        held.put(key, step, until, now)
        model[key] = (until, step)
        wanted = bytes([random.randrange(50)])
        end, value = model.get(wanted, (0.0, 0))
        assert held.get(wanted, now) == (value if now < end else None)
        assert len(held._queue) <= 2 * len(held) + 64 + 1
    assert len(held) <= 50


def test_an_entry_that_is_put_anew_again_and_again_takes_no_more_room() -> None:
    """Its earlier places in the queue are swept, though none of them has come to its end."""
    held: Expiring[int] = Expiring(1000)
    for step in range(1000):
        held.put(b"id", step, 1_000_000.0 + step, 0.0)
    assert len(held._queue) <= 2 + 64 + 1
    assert held.get(b"id", 1_000_500.0) == 999
    held.put(b"other", 1, 1_000_998.5, 1_000_998.0)
    assert len(held) == 2
