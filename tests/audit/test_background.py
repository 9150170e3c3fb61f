"""The thread that writes: in order, bounded, never waited for but at the end.

What a test waits for is an event that the other side sets; the timeouts are there to fail instead of hanging.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from sessionkit.audit.background import QueueFull, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 30.0


class Gate:
    """Something to do that takes as long as the test wants."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self._opened = threading.Event()

    def __call__(self) -> None:
        """Be done once the gate is open."""
        self.entered.set()
        assert self._opened.wait(PATIENCE)

    def open(self) -> None:
        """Let it be done."""
        self._opened.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate that is open at the end, however the test went."""
    gate = Gate()
    yield gate
    gate.open()


def test_all_is_done_in_order_on_another_thread() -> None:
    """What is put is done one after the other, elsewhere; ``close`` returns when the last is done."""
    writer, done = Writer(1000), list[tuple[int, bool]]()
    here = threading.get_ident()
    for number in range(1000):
        writer.put(lambda number=number: done.append((number, threading.get_ident() == here)))  # type: ignore[misc]  # a lambda's default has no type
    assert writer.close(PATIENCE)
    assert done == [(number, False) for number in range(1000)]


def test_where_there_is_no_room_it_is_refused_at_once(gate: Gate) -> None:
    """Behind something that takes long as much waits as there are places; the next is refused, and nothing is lost."""
    writer, done = Writer(2), list[str]()
    writer.put(gate)
    assert gate.entered.wait(PATIENCE)
    writer.put(lambda: done.append("first"))
    assert (len(writer), writer.lags) == (1, False)
    writer.put(lambda: done.append("second"))
    assert (len(writer), writer.lags) == (2, True)
    with pytest.raises(QueueFull):
        writer.put(lambda: done.append("third"))
    gate.open()
    assert writer.close(PATIENCE)
    assert done == ["first", "second"]


def test_the_end_does_not_wait_for_ever(gate: Gate) -> None:
    """Behind something that hangs, ``close`` gives up after its time and says so; later it can be closed again."""
    writer = Writer(2)
    writer.put(gate)
    assert gate.entered.wait(PATIENCE)
    assert not writer.close(0)
    gate.open()
    assert writer.close(PATIENCE)


def test_after_the_end_another_thread_begins() -> None:
    """What is put after ``close``, by a request that outlives the lifespan, is done as well."""
    writer, threads = Writer(2), list[threading.Thread]()
    for _ in range(2):
        writer.put(lambda: threads.append(threading.current_thread()))
        assert writer.close(PATIENCE)
        threads[-1].join(PATIENCE)
        assert not threads[-1].is_alive()
    assert threads[0] is not threads[1]


def test_a_thread_that_dies_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ends the thread, the next that is put has one."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    writer, done = Writer(2), list[str]()
    writer.put(sys.exit)
    assert writer.close(PATIENCE)
    writer.put(lambda: done.append("next"))
    assert writer.close(PATIENCE)
    assert done == ["next"]


@pytest.mark.parametrize("closes", [False, True])
def test_a_forked_child_begins_anew(gate: Gate, monkeypatch: pytest.MonkeyPatch, *, closes: bool) -> None:
    """Case 134: what waited at the fork is the parent's to do; the child waits neither for it nor for its lock."""
    writer, done = Writer(2), list[str]()
    writer.put(gate)
    assert gate.entered.wait(PATIENCE)
    writer.put(lambda: done.append("parent's"))
    with monkeypatch.context() as patch, writer._changed:  # held by another thread when the process is copied
        patch.setattr(os, "getpid", lambda: -1)
        if closes:
            assert writer.close(0)
        writer.put(lambda: done.append("child's"))
        assert writer.close(PATIENCE)
    assert done == ["child's"]


PROGRAM = """
import sys, time
from sessionkit.audit.background import Writer
writer = Writer(10)
for number in range(10):
    writer.put(lambda number=number: (time.sleep(0.01), print(number, flush=True)))
"""


def test_a_process_that_ends_in_order_waits_for_it() -> None:
    """Where nobody closes it, as without a lifespan, the interpreter's end does."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == [str(number) for number in range(10)]
    assert done.stderr == ""
