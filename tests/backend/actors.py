"""A behaviour and an actor made to be tested: they can be slow, fail, hold and crash on demand."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn, TypeAlias

import anyio

from sessionkit.backend.actor import Actor
from sessionkit.exceptions import ActorError
from tests.virtual_time import pass_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sessionkit.backend.lifecycle import Lifecycle
    from sessionkit.backend.parking import Envelope

__all__ = [
    "REQUEST",
    "Asked",
    "Crash",
    "Message",
    "Poison",
    "Quiet",
    "Say",
    "Script",
    "ScriptedActor",
    "Slow",
    "Swap",
    "Who",
]

REQUEST: ContextVar[str] = ContextVar("REQUEST", default="nobody")
"""What a request would bind for its log lines."""


@dataclass(frozen=True)
class Say:
    """Answered with its text and the word the behaviour knows; tells its text as an event."""

    text: str


@dataclass(frozen=True)
class Quiet:
    """Answered, without an event."""

    text: str


@dataclass(frozen=True)
class Swap:
    """Gives the behaviour another word, as a reload gives it another keyring."""

    word: str


@dataclass(frozen=True)
class Who:
    """Answered with the context variable of the caller."""


@dataclass(frozen=True)
class Slow:
    """Handled in so many seconds of virtual time."""

    seconds: float


@dataclass(frozen=True)
class Poison:
    """Makes the handler raise; must not be seen by anybody but its caller."""

    secret: str = "s3cr3t"
    error: type[BaseException] = KeyError


@dataclass(frozen=True)
class Crash:
    """Makes the loop itself raise before the handler is reached."""

    error: type[BaseException] = OSError


Message: TypeAlias = Say | Quiet | Swap | Who | Slow | Poison | Crash


class Script:
    """The behaviour: keeps a word and a list of all it was asked."""

    UNCRASHED = "the loop was not there to crash"

    def __init__(self, word: str = "old") -> None:
        self.word = word
        self.seen: list[Message] = []

    def facts(self) -> dict[str, object]:
        """Return the word."""
        return {"word": self.word}

    def handle(self, message: Message) -> tuple[str, Sequence[str]]:
        """Do what the message says."""
        self.seen.append(message)
        match message:
            case Say(text):
                return f"{text} {self.word}", [text]
            case Quiet(text):
                return text, ()
            case Swap(word):
                self.word = word
                return word, ["swapped"]
            case Who():
                return REQUEST.get(), [REQUEST.get()]
            case Slow(seconds):
                pass_time(seconds)
                return "at last", ()
            case Poison(secret, error):
                raise error(secret)
            case Crash():
                return self.UNCRASHED, ()


class ScriptedActor(Actor["Message", str, str]):
    """An actor whose loop can be held and crashed, and that keeps what it told."""

    def __init__(
        self,
        factory: Callable[[], Script] = Script,
        *,
        capacity: int = 1024,
        reserve: int = 16,
        in_place: bool = True,
        drain_timeout: float = 5.0,
        max_restarts: int = 3,
    ) -> None:
        self.events: list[str] = []
        self.lives: list[Lifecycle] = []
        self.elsewhere = Script("elsewhere")
        self._gate: anyio.Event | None = None
        super().__init__(
            factory,
            elsewhere=self.elsewhere,
            on_events=self.events.extend,
            on_life=self.lives.append,
            capacity=capacity,
            reserve=reserve,
            in_place=in_place,
            drain_timeout=drain_timeout,
            max_restarts=max_restarts,
        )

    def hold(self) -> None:
        """Keep the loop, when next it starts, from looking into the mailbox."""
        self._gate = anyio.Event()

    def release(self) -> None:
        """Let the loop go on."""
        assert self._gate is not None
        self._gate.set()
        self._gate = None

    async def _receive(self) -> NoReturn:
        if self._gate is not None:
            await self._gate.wait()
        await super()._receive()

    def _deliver(self, envelope: Envelope[Message, str]) -> None:
        if isinstance(envelope.message, Crash):
            raise envelope.message.error
        super()._deliver(envelope)


@dataclass
class Asked:
    """One ask in a task of its own, and all the ways it ended: exactly one, if all is well."""

    actor: ScriptedActor
    message: Message
    timeout: float = 5.0
    control: bool = False
    outcomes: list[str] = field(default_factory=list)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    async def __call__(self) -> None:
        """Ask, and note how that ended."""
        with self.scope:
            try:
                reply = await self.actor.ask(self.message, timeout=self.timeout, control=self.control)
            except ActorError as error:
                self.outcomes.append(type(error).__name__)
            else:
                self.outcomes.append(reply)
        if self.scope.cancelled_caught:
            self.outcomes.append("cancelled")

    def cancel(self) -> None:
        """Cancel the caller."""
        self.scope.cancel()
