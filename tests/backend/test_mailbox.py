"""The mailbox and its envelopes by themselves."""

from __future__ import annotations

import gc
import math
from typing import TYPE_CHECKING

import anyio
import pytest

from sessionkit.backend.mailbox import Mailbox
from sessionkit.backend.parking import Failure, home_here
from sessionkit.exceptions import MessageFailed, NotRunning

if TYPE_CHECKING:
    from sessionkit.backend.parking import Envelope


def envelope(message: str = "s3cr3t", deadline: float = math.inf) -> Envelope[str, str]:
    """Make an envelope on the present loop."""
    return home_here().envelope(message, deadline)


async def outcome(asked: Envelope[str, str]) -> str:
    """Wait for an answer as the actor does."""
    answer = await asked.wait()
    if type(answer) is Failure:
        answer.reraise()
    assert isinstance(answer, str)
    return answer


async def test_what_is_settled_stays_settled() -> None:
    """The first answer counts, whatever is tried after it."""
    answered = envelope()
    answered.answer("first")
    answered.answer("second")
    answered.answer(Failure(NotRunning()))
    assert await outcome(answered) == "first"

    failed = envelope()
    failed.answer(Failure(MessageFailed("KeyError")))
    failed.answer(Failure(NotRunning()))
    failed.answer("too late")
    with pytest.raises(MessageFailed):
        await outcome(failed)


async def test_a_settled_envelope_has_let_go_of_its_message() -> None:
    """However long an answered or abandoned envelope lies in the mailbox, its message does not."""
    abandoned, answered = envelope(), envelope()
    with anyio.move_on_after(1):
        await outcome(abandoned)
    answered.answer("reply")
    for one in (abandoned, answered):
        assert not one.pending
        assert not hasattr(one, "message")


async def test_an_envelope_lets_go_of_its_error() -> None:
    """Error, traceback, frame and envelope do not form a cycle that only the collector could undo."""
    failed = envelope()
    error = MessageFailed("KeyError")
    failure = Failure(error)
    failed.answer(failure)
    with pytest.raises(MessageFailed) as caught:
        await outcome(failed)
    assert caught.value is error
    assert error not in gc.get_referents(failed, failure)


async def test_neither_envelope_nor_mailbox_shows_a_message() -> None:
    """Their reprs say how things stand, and nothing of what was asked."""
    mailbox: Mailbox[str, str] = Mailbox(capacity=2, reserve=1)
    one = envelope()
    mailbox.put(one)
    assert repr(one) == "<Envelope pending>"
    assert repr(mailbox) == "<Mailbox 1 of 2 + 1>"
    mailbox.close()
    assert repr(one) == "<Envelope settled>"


async def test_places_are_counted_and_come_back() -> None:
    """An envelope taken out leaves a place for the next; the reserve is for control messages alone."""
    mailbox: Mailbox[str, str] = Mailbox(capacity=1, reserve=1)
    assert mailbox.put(envelope("a"))
    assert not mailbox.put(envelope("b"))
    assert mailbox.put(envelope("c"), control=True)
    assert not mailbox.put(envelope("d"), control=True)
    taken = [mailbox.take(0), mailbox.take(0)]
    assert [one.message for one in taken if one is not None] == ["a", "c"]
    assert mailbox.take(0) is None
    assert mailbox.put(envelope("e"))
    assert (mailbox.rejected, mailbox.high_water) == (2, 2)


async def test_closing_ends_what_waits_and_counts_it() -> None:
    """Whoever waits is told; the abandoned are not counted among them."""
    mailbox: Mailbox[str, str] = Mailbox(capacity=3, reserve=0)
    waiting, abandoned, overdue = envelope(), envelope(), envelope(deadline=-1)
    for one in (waiting, abandoned, overdue):
        mailbox.put(one)
    abandoned.answer(Failure(NotRunning()))
    assert mailbox.close() == 2
    assert len(mailbox) == 0
    for one in (waiting, overdue):
        with pytest.raises(NotRunning):
            await outcome(one)
