"""The states of an actor, its figures, and what it says about its own life.

Rules of this file:

* Everything is a frozen value; whoever hosts the actor decides where it is written.
* No value holds a message, a reply, or the text or traceback of an error: any of them may quote a secret. An error is
  named by its class and by the line of source that raised it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ActorState",
    "ActorStats",
    "Failed",
    "HandlerFailed",
    "Lifecycle",
    "Overflowed",
    "Recovered",
    "Restarted",
    "Started",
    "Stopped",
]


class ActorState(StrEnum):
    """Where an actor stands: ``new → running → draining → stopped``, or ``running → failed``."""

    NEW = "new"
    """Never run."""
    RUNNING = "running"
    """Takes messages."""
    DRAINING = "draining"
    """Refuses new messages, answers the accepted ones."""
    STOPPED = "stopped"
    """Every ask is answered. May be run again."""
    FAILED = "failed"
    """Its loop crashed too often; every ask is answered. May be run again, by a host that knows why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorStats:
    """What an actor has done since it was made, in messages unless said otherwise.

    Attributes:
        state: where it stands.
        depth: waiting in the mailbox now.
        high_water: the most that ever waited at once.
        handled: answered with a reply, in either way of dispatch.
        failed: answered with ``MessageFailed``.
        skipped: not handled, since their callers had gone.
        expired: not handled within the time their callers gave.
        rejected: refused with ``Overloaded``.
        inline: served on other threads or loops; counted without a lock, so low by a few at worst.
        restarts: times the loop was started again after a crash.
        sink_failures: times ``on_events`` or ``on_life`` raised.
        uptime: real seconds since the current run began; 0 while it does not run.
        behaviour: what the behaviour in service, or the last one, says of itself; nothing if there was none yet.
    """

    state: ActorState
    depth: int
    high_water: int
    handled: int
    failed: int
    skipped: int
    expired: int
    rejected: int
    inline: int
    restarts: int
    sink_failures: int
    uptime: float
    behaviour: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Started:
    """The actor takes messages from now on."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The actor has stopped.

    Attributes:
        handled: messages it has answered since it was made.
        unanswered: messages that did not fit into the time to drain, answered with ``NotRunning``.
    """

    handled: int
    unanswered: int


@dataclass(frozen=True, slots=True)
class Restarted:
    """The loop crashed and was started again; behaviour and mailbox were kept.

    Attributes:
        error_type: class of what crashed it.
        where: file and line that raised it, e.g. ``actor.py:210``.
        restarts: restarts since the actor was made.
    """

    error_type: str
    where: str
    restarts: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The loop crashed too often and stays down.

    Attributes:
        error_type: class of what crashed it last.
        where: file and line that raised it.
        restarts: restarts since the actor was made.
        unanswered: messages that were waiting, answered with ``NotRunning``.
    """

    error_type: str
    where: str
    restarts: int
    unanswered: int


@dataclass(frozen=True, slots=True)
class HandlerFailed:
    """A handler raised; its caller alone was told, by ``MessageFailed``.

    Attributes:
        message_type: class of the message.
        error_type: class of what the handler raised.
        where: file and line that raised it.
    """

    message_type: str
    error_type: str
    where: str


@dataclass(frozen=True, slots=True)
class Overflowed:
    """The mailbox is full. Said once, not for every message refused.

    Attributes:
        depth: messages waiting.
    """

    depth: int


@dataclass(frozen=True, slots=True)
class Recovered:
    """The mailbox, full a while ago, is half empty again.

    Attributes:
        rejected: messages refused in between.
    """

    rejected: int


Lifecycle: TypeAlias = Started | Stopped | Restarted | Failed | HandlerFailed | Overflowed | Recovered
