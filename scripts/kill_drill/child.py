"""One run of the command line in a process of its own, which can be stopped at any step of its writing.

Rules of this file:

* A child is a fork of a process that has the command loaded and runs one thread: hundreds of them take seconds.
* A step is a line of the code that writes, seen by Python's tracing hook just before it is run, and one more within the
  write itself: half of the octets are in the file, the rest is not.
* Clock and randomness of a child are given. The same command on the same file leaves the same file, octet by octet.
"""

from __future__ import annotations

import os
import random
import resource
import secrets
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from linecache import getline
from typing import IO, TYPE_CHECKING, Any, NoReturn, Self

from sessionkit.cli import emergency as _keyring_commands  # noqa: F401 - loaded here, or each child would do it
from sessionkit.cli.app import app
from sessionkit.keyring import editor

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["Child", "Hook", "Outcome", "start"]

WRITERS = frozenset({"_sweep", "_replace", "_write", "_give", "_read_back", "_flush_folder"})
"""Functions of the editor between which and within which a writer can be hit."""

ENTRANCES = frozenset({"_sweep", "_replace"})
"""Those of them that are called from elsewhere."""

HALF = "half of the octets are written"

Hook = Callable[[int, str], None]
"""Called before each step with its number, from 0, and its name."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a child ended.

    Attributes:
        status: its exit status; minus the signal, if one ended it.
        told: what it printed on stdout and stderr.
        steps: names of the steps it came to, if it reported any.
    """

    status: int
    told: str
    steps: tuple[str, ...] = ()


class Child:
    """A running child.

    Args:
        pid: its process.
        output: what it prints.
        steps: where it names its steps, one a line.
        release: closed to let it go on where it waits.
    """

    def __init__(self, pid: int, output: int, steps: int, release: int) -> None:
        self.pid = pid
        self._output = open(output, encoding="utf-8", errors="replace")  # noqa: SIM115 - a pipe, closed in `end`
        self._steps = open(steps, encoding="utf-8")  # noqa: SIM115 - likewise
        self._release: int | None = release

    def next_step(self) -> str:
        """Wait for the next step that it names; nothing if it has ended."""
        return self._steps.readline().rstrip("\n")

    def let_go(self) -> None:
        """Let it go on."""
        if self._release is not None:
            os.close(self._release)
            self._release = None

    def kill(self) -> None:
        """Send SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> Outcome:
        """Wait for its end."""
        self.let_go()
        with self._output, self._steps:
            told, steps = self._output.read(), tuple(self._steps.read().splitlines())
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return Outcome(status, told, steps)


def start(
    words: list[str],
    *,
    now: float,
    seed: int,
    stop_at: int | None = None,
    how: str = "kill",
    named: bool = True,
    room: int | None = None,
) -> Child:
    """Start a child.

    Args:
        words: of the command, without its name.
        now: Unix seconds that it takes for the present.
        seed: of what it takes for randomness.
        stop_at: number of the step before which it stops.
        how: ``kill``, it dies there by SIGKILL; ``wait``, it names the step and waits.
        named: name all steps on the way.
        room: octets that it may write into a file: the disk is full.
    """
    output, steps, release = os.pipe(), os.pipe(), os.pipe()
    pid = os.fork()
    ours, theirs = (output[0], steps[0], release[1]), (output[1], steps[1], release[0])
    for end in theirs if pid else ours:
        os.close(end)
    if not pid:

        def step(number: int, name: str) -> None:
            if named or number == stop_at:
                os.write(steps[1], f"{name}\n".encode())
            if number == stop_at and how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            elif number == stop_at:
                os.read(release[0], 1)

        os.dup2(output[1], 1)
        os.dup2(output[1], 2)
        _run(words, now, seed, step, room)
    return Child(pid, *ours)


def _run(words: list[str], now: float, seed: int, step: Hook, room: int | None) -> NoReturn:
    status = 70
    try:
        generator = random.Random(seed)
        secrets.token_bytes = lambda size=None: generator.randbytes(size or 32)  # type: ignore[assignment]  # in this process alone
        time.time = lambda: now
        if room is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        _watch(step)
        app(words)
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # what the parent would do at its end is not this process's business


class _Torn:
    """A file that is written in two halves, with a step between them."""

    def __init__(self, stream: IO[bytes], reached: Callable[[str], None]) -> None:
        self._stream = stream
        self._reached = reached

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()

    def write(self, data: bytes) -> None:
        half = len(data) // 2
        self._stream.write(data[:half])
        self._stream.flush()
        self._reached(HALF)
        self._stream.write(data[half:])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _watch(step: Hook) -> None:
    """Call a hook before each step of writing."""
    numbers = count()

    def reached(name: str) -> None:
        step(next(numbers), name)

    def in_writer(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            line = getline(frame.f_code.co_filename, frame.f_lineno).strip()
            reached(f"{frame.f_code.co_name}: {line}")
        return in_writer

    def anywhere(frame: FrameType, *_: object) -> Any:
        code = frame.f_code
        return in_writer if code.co_filename == editor.__file__ and code.co_name in WRITERS else None

    def traced(writer: Callable[..., Any]) -> Callable[..., Any]:
        # Not from the start on: the hook is called for every call there is, and a command makes many.
        def call(*args: Any, **options: Any) -> Any:
            sys.settrace(anywhere)
            try:
                return writer(*args, **options)
            finally:
                sys.settrace(None)

        return call

    names = vars(editor)
    names["open"] = lambda handle, _: _Torn(os.fdopen(handle, "wb"), reached)
    for name in ENTRANCES:
        names[name] = traced(names[name])
