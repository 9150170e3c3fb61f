"""Reads audit logs back: JSON lines from files, compressed or not, from a pipe, from a file that still grows.

Rules of this file:

* A log is material. A line that cannot be read is counted, located and passed over; nothing in a log ends the reading,
  and nothing in it is believed to have a type that was not checked. Strings come as they stand in the log: whoever
  shows them cleans them (``audit.text.clean``).
* Everything streams: memory holds one block and one line.
* Other people's lines in the same stream are passed over, most of them without being parsed.

What people's set-ups do to our lines is undone here: the event's name may stand under ``event``, ``message`` or
``msg`` (structlog's ``EventRenamer``, formatters of ``logging``), the time may be ISO 8601 or Unix seconds, and a line
may have words of a collector in front of its JSON (docker compose, Kubernetes' CRI files, journalctl), or be a string
in JSON of the collector's (the files of Docker's ``json-file`` driver).
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import sys
import zlib
from dataclasses import MISSING, dataclass, fields
from datetime import UTC, datetime
from functools import cache
from itertools import chain
from operator import itemgetter
from pathlib import Path
from types import NoneType
from typing import IO, TYPE_CHECKING, Any, cast, get_args, get_type_hints

from pydantic_core import from_json

from sessionkit.audit.events import CATALOGUE, SCHEMA
from sessionkit.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sessionkit.audit.events import Event

__all__ = ["MAX_LINE", "Broken", "Lines", "LogParser", "LogReader", "seconds"]

MAX_LINE = 1 << 20
"""Octets of a line at most. Ours have some 400; a file without line breaks must not fill the memory."""

KEPT = 20
"""Broken lines of which the place is kept; beyond, they are counted. Enough to see what is wrong with a log."""

_BLOCK = 1 << 18
"""Octets read at once: from there on, larger blocks were no faster."""

_MARK = b'sessionkit"'
"""In every line of ours, as the value of ``component``. No JSON writer escapes a letter."""

_WRAPPED = b'sessionkit\\"'
"""The same in a line that is a string in another one."""

_WRAPPER = b'{"log":'
_WRAPPING = {"log", "stream", "time"}
"""How a line that Docker puts around another one begins, and what it has; ``attrs`` besides, if it is told to."""

_GZIP = b"\x1f\x8b"

_NUMBERS = frozenset({int, float})
_MOST = 1 << 63
_LEAST = -_MOST
"""What no count, size or span of ours comes near. Beyond, sums and averages would end in an ``OverflowError``; NaN is
on neither side of it."""

_from_iso = datetime.fromisoformat

_LATEST = 253_402_300_800.0
"""Unix seconds at which years get five digits: the end of what ISO 8601 and ``datetime`` can say."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A line that could not be read.

    Attributes:
        source: the file as it was named, or ``-``.
        line: counted from 1; of a compressed file, in what it holds.
        problem: what is wrong with it; quotes nothing of it.
    """

    source: str
    line: int
    problem: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}: {self.problem}"


class Lines:
    """Cuts blocks of octets into lines, and cuts off lines that do not end."""

    __slots__ = ("_rest", "_skipping")

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False

    def feed(self, block: bytes) -> list[bytes]:
        """Return the lines that end in a block, without their line breaks.

        A line that is longer than ``MAX_LINE`` and goes on comes cut, at one octet more; the rest of it is dropped.
        """
        lines = (self._rest + block).split(b"\n")
        rest = lines.pop()
        if self._skipping:
            if not lines:
                return []
            del lines[0]
            self._skipping = False
        if len(rest) > MAX_LINE:
            lines.append(rest[: MAX_LINE + 1])
            rest = b""
            self._skipping = True
        self._rest = rest
        return lines

    def rest(self) -> bytes:
        """Return the line that has not ended, and forget it."""
        rest, self._rest = self._rest, b""
        return rest


class LogParser:
    """Makes events of lines, and counts the others.

    Args:
        keep: broken lines whose place is kept.

    Attributes:
        events: lines of ours.
        foreign: lines of others.
        broken: lines that could not be read.
        located: the first of those, with their place.
    """

    def __init__(self, *, keep: int = KEPT) -> None:
        self.events = self.foreign = self.broken = 0
        self.located: list[Broken] = []
        self._keep = keep

    @property
    def lines(self) -> int:
        """Lines that were looked at."""
        return self.events + self.foreign + self.broken

    def parse(self, line: bytes, source: str = "-", number: int = 0) -> dict[str, Any] | None:
        """Return the event of a line as a dict, or ``None`` if it holds none.

        Args:
            line: one line.
            source: where it stands, should it be broken.
            number: likewise.

        Returns:
            The line's fields, where ``event`` is the name, ``timestamp`` a float (Unix seconds), ``instance`` a string;
            the fields that the catalogue has for an event of this name are there and of its types.
        """
        event: dict[str, Any] | None
        try:
            event = _event(line)
        except _UnreadableError as error:
            self.break_off(source, number, str(error))
            return None
        if event is None:
            self.foreign += 1
        else:
            self.events += 1
        return event

    def break_off(self, source: str, number: int, problem: str) -> None:
        """Count something that could not be read."""
        self.broken += 1
        if len(self.located) < self._keep:
            self.located.append(Broken(source, number, problem))


class LogReader(LogParser):
    """Yields the events of some logs, in the order of the lines.

    Args:
        sources: files, compressed by gzip or not, in any order; ``-`` is standard input.
        progress: told after each block how many octets of the files have been read, compressed ones as they lie there.
        keep: broken lines whose place is kept.
        stdin: what ``-`` reads, instead of the process's own.

    Attributes:
        size: octets of all regular files together, against which progress can be held.

    Raises:
        ConfigurationError: before anything is read, if a file is not there, cannot be read, or is given twice (every
            count would be wrong).
    """

    def __init__(
        self,
        sources: Iterable[str | os.PathLike[str]],
        *,
        progress: Callable[[int], None] | None = None,
        keep: int = KEPT,
        stdin: IO[bytes] | None = None,
    ) -> None:
        super().__init__(keep=keep)
        self._sources = [os.fspath(source) for source in sources]
        self._progress = progress
        self._stdin = stdin
        self._consumed = 0
        self._failure: str | None = None
        self.size = _checked_size(self._sources)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the events; what cannot be read is counted on the way."""
        for source in self._sources:
            number = 0
            for lines in self._blocks(source):
                for line in lines:  # as ``parse`` does it, spared a call for each of a million lines
                    number += 1
                    try:
                        event = _event(line)
                    except _UnreadableError as error:
                        self.break_off(source, number, str(error))
                        continue
                    if event is not None:
                        self.events += 1
                        yield event
                    elif line and line != b"\r":
                        self.foreign += 1
            self._ended(source, number)

    def having(self, needles: Sequence[bytes]) -> Iterator[dict[str, Any]]:
        """Yield the events of the lines that hold one of some strings; the others are not parsed, nor counted."""
        for source, number, line in self.raw():
            if any(needle in line for needle in needles):
                event = self.parse(line, source, number)
                if event is not None:
                    yield event

    def raw(self) -> Iterator[tuple[str, int, bytes]]:
        """Yield every line that is not empty, unparsed, with its source and number."""
        for source in self._sources:
            number = 0
            for number, line in enumerate(chain.from_iterable(self._blocks(source)), 1):
                if line and line != b"\r":
                    yield source, number, line
            self._ended(source, number)

    def _ended(self, source: str, lines: int) -> None:
        if self._failure is not None:
            self.break_off(source, lines + 1, self._failure)

    def _blocks(self, source: str) -> Iterator[list[bytes]]:
        """Yield the lines of a source, those of a block at once."""
        self._failure = None
        lines = Lines()
        try:
            with self._opened(source) as (raw, stream):
                at = 0
                while block := stream.read(_BLOCK):
                    yield lines.feed(block)
                    at = self._told(raw, at)
        except (OSError, EOFError, zlib.error) as error:
            # A compressed file that was cut, a disk that fails: what came before it counts.
            what = error.strerror if isinstance(error, OSError) and error.strerror else "damaged or cut short"
            self._failure = f"cannot be read on from here ({what})"
        rest = lines.rest()
        if rest:
            yield [rest]

    def _told(self, raw: IO[bytes], before: int) -> int:
        if self._progress is None or not raw.seekable():
            return before
        at = raw.tell()
        self._consumed += at - before
        self._progress(self._consumed)
        return at

    def _opened(self, source: str) -> _Opened:
        if source != "-":
            return _Opened(Path(source).open("rb"), owned=True)
        return _Opened(sys.stdin.buffer if self._stdin is None else self._stdin, owned=False)


class _Opened:
    """A stream as it lies there and as it is to be read, which differ where it is compressed."""

    def __init__(self, raw: IO[bytes], *, owned: bool) -> None:
        self._raw = raw
        self._owned = owned

    def __enter__(self) -> tuple[IO[bytes], IO[bytes]]:
        # Read ahead by a reader of our own: not every stream lets one look at what comes.
        self._ahead = io.BufferedReader(cast("io.RawIOBase", self._raw), _BLOCK)
        compressed = self._ahead.peek(len(_GZIP))[: len(_GZIP)] == _GZIP
        return self._raw, cast("IO[bytes]", gzip.GzipFile(fileobj=self._ahead)) if compressed else self._ahead

    def __exit__(self, *_: object) -> None:
        self._ahead.detach()  # or it would close what may not be ours
        if self._owned:
            self._raw.close()


def _checked_size(sources: list[str]) -> int:
    size = 0
    seen: dict[object, str] = {}
    for source in sources:
        identity: object = source
        if source != "-":
            path = Path(source)
            try:
                about = path.stat()
            except OSError as error:
                problem = f"cannot be read ({error.strerror})"
                raise ConfigurationError("log", problem, "Check the path; '-' is standard input.", path=path) from None
            if stat.S_ISDIR(about.st_mode):
                raise ConfigurationError("log", "is a folder", "Name the files in it.", path=path)
            if not os.access(path, os.R_OK):
                raise ConfigurationError("log", "may not be read by this user", "Check its permissions.", path=path)
            if stat.S_ISREG(about.st_mode):
                size += about.st_size
                identity = about.st_dev, about.st_ino
        if identity in seen:
            problem = f"is given twice, as {seen[identity]!r} and {source!r}"
            raise ConfigurationError("log", problem, "Give each log once, or every count would be wrong.")
        seen[identity] = source
    return size


# --- one line ---------------------------------------------------------------------------------------------------------


class _UnreadableError(ValueError):
    """A line that should be ours, or should be whole, and is not. Its text quotes nothing of the line."""


def _event(line: bytes) -> dict[str, Any] | None:
    """Return the event in a line, or ``None`` if the line is somebody else's.

    Raises:
        _UnreadableError: if it is broken.
    """
    if len(line) > MAX_LINE:
        raise _UnreadableError(f"is longer than {MAX_LINE} octets")
    if _MARK not in line and not (line.startswith(_WRAPPER) and _WRAPPED in line):
        # Not parsed: where an application logs a lot of its own, this is most of the work saved.
        if b"\0" in line or (line.startswith(b"{") and not line.rstrip().endswith(b"}")):
            raise _UnreadableError("is cut short or overwritten")
        return None
    start = line.find(b"{")
    if start < 0:
        return None
    try:
        event = from_json(line[start:] if start else line, cache_strings="keys")
    except ValueError:
        raise _UnreadableError("is no JSON, or cut short") from None
    if type(event) is not dict:
        return None
    if event.get("component") != "sessionkit":
        inner = _unwrapped(event)
        return None if inner is None else _event(inner)
    return _checked(event)


def _unwrapped(outer: dict[str, Any]) -> bytes | None:
    """Return the line that Docker's ``json-file`` driver has put into one of its own; ``None`` if it is none of those.

    Nothing else that has a ``log`` is looked into: an application may log there what its visitors say.
    """
    if outer.keys() - {"attrs"} != _WRAPPING or type(outer["log"]) is not str:
        return None
    return outer["log"].encode()


def _checked(event: dict[str, Any]) -> dict[str, Any]:
    """Put name and time where they belong, and see that every field is what the catalogue says."""
    if event.get("schema") != SCHEMA:
        raise _UnreadableError(f"is of another schema than {SCHEMA}: another release of sessionkit wrote it")
    name = event.get("event") or event.get("message") or event.get("msg")
    if type(name) is not str:
        raise _UnreadableError("has no name of an event")
    when = seconds(event.get("timestamp"))
    if when is None:
        raise _UnreadableError("has no time that can be understood")
    if type(event.get("instance")) is not str:
        raise _UnreadableError("does not say which instance wrote it")
    event["event"], event["timestamp"] = name, when
    shape = _shapes().get(name)
    if shape is not None and (field := shape.misfit(event)) is not None:
        raise _UnreadableError(f"has no usable field {field!r}, as an event of its name must")
    return event


def seconds(value: object) -> float | None:
    """Return a time in a line as Unix seconds, ``None`` if it is none, or none from 1970 on that can be shown again.

    One without an offset is taken for UTC, as all of ours are.
    """
    if type(value) is str:
        minute, rest = _minutes.get(value[:_TO_MINUTES]), _rests.get(value[_TO_MINUTES:])
        if minute is not None and rest is not None:
            return minute + rest
        try:
            moment = _from_iso(value)
        except ValueError:
            return None
        found = moment.timestamp() if moment.tzinfo is not None else moment.replace(tzinfo=UTC).timestamp()
        if not 0 <= found < _LATEST:
            return None
        _remember(value, moment, found)
        return found
    if type(value) in _NUMBERS and 0 <= (number := cast("float", value)) < _LATEST:
        return float(number)
    return None


_TO_MINUTES = len("2026-03-02T00:00:")
_minutes: dict[str, float] = {}
_rests: dict[str, float] = {}
"""Unix seconds of minutes, and the seconds behind them, by how our own lines spell both. A log says each again and
again, and two looks take half of what ``datetime`` takes. Emptied when there are many: some 6 MB."""

_MOST_SPELLINGS = 1 << 16


def _remember(value: str, moment: datetime, found: float) -> None:
    """Remember how a time is spelt, if it is spelt as ours are."""
    if len(value) != len("2026-03-02T00:00:00.124Z") or value[-1] != "Z" or value[10] != "T":
        return
    if len(_rests) + len(_minutes) >= _MOST_SPELLINGS:
        _rests.clear()
        _minutes.clear()
    rest = moment.second + moment.microsecond / 1e6
    _minutes[value[:_TO_MINUTES]] = float(round(found - rest))
    _rests[value[_TO_MINUTES:]] = rest


class _Shape:
    """The fields of one kind of event with the JSON types they may have, and whether they must be there."""

    __slots__ = ("_fields", "_fitting", "_names", "_values")

    def __init__(self, kind: type[Event]) -> None:
        hints = get_type_hints(kind)
        self._fields = [
            (field.name, _json_types(hints[field.name]), field.default is MISSING) for field in fields(kind)
        ]
        self._names = tuple(name for name, _, _ in self._fields)
        self._values = itemgetter(*self._names, "event", "timestamp")  # two more: with fewer it yields no tuple
        self._fitting: dict[tuple[type, ...], tuple[int, ...]] = {}

    def misfit(self, event: dict[str, Any]) -> str | None:
        """Return the first field of an event that is not as it must be."""
        try:
            values: tuple[Any, ...] = self._values(event)
        except KeyError:  # what may be missing: rare, for our own lines say null
            values = tuple(map(event.get, self._names))
        # Nearly all events of a kind have the same types: looking those up costs a fifth of looking at each.
        types = tuple(map(type, values))
        numbers = self._fitting.get(types)
        if numbers is None:
            for (name, allowed, needed), found in zip(self._fields, types, strict=False):
                if found not in allowed and (needed or found is not NoneType):
                    return name
            numbers = tuple(at for at in range(len(self._names)) if types[at] in _NUMBERS)
            self._fitting[types] = numbers
        for at in numbers:
            if not _LEAST < values[at] < _MOST:
                return self._names[at]
        return None


@cache
def _shapes() -> dict[str, _Shape]:
    return {name: _Shape(kind) for name, kind in CATALOGUE.items()}


def _json_types(hint: Any) -> frozenset[type]:
    types = frozenset(get_args(hint) or (hint,)) - {type(None)}
    return types | {int} if float in types else types  # 60.0 is 60 in some writers' JSON
