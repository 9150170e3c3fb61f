"""Checkpoints: how far a chain had come, kept where whoever alters the log cannot reach.

The format is in ``audit.fingerprint``. A checkpoint holds counts and fingerprints only, so it may be sent anywhere.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sessionkit.audit.events import timestamp
from sessionkit.audit.fingerprint import checkpoint_mac

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

__all__ = ["Checkpoint", "parse", "seal", "writer"]

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A chain had so many lines.

    Attributes:
        chain_uid: name of the chain.
        lines: how many it had.
        fingerprint: of the last of them.
        closed: whether it ended there in order.
        timestamp: when that was, in ISO 8601.
        mac: what proves it.
    """

    chain_uid: str
    lines: int
    fingerprint: str
    closed: bool
    timestamp: str
    mac: str

    def is_authentic(self, key: bytes) -> bool:
        """Tell whether it was made with the key of the line it expects next."""
        return self.mac == checkpoint_mac(key, _fields(self))

    def render(self) -> str:
        """Return it as a line of JSON, without the newline."""
        return json.dumps(_fields(self) | {"mac": self.mac})


def _fields(one: Checkpoint) -> dict[str, str | int | bool]:
    return {
        "checkpoint": _VERSION,
        "chain_uid": one.chain_uid,
        "lines": one.lines,
        "fingerprint": one.fingerprint,
        "closed": one.closed,
        "timestamp": one.timestamp,
    }


def seal(key: bytes, *, chain_uid: str, lines: int, fingerprint: str, closed: bool, now: float) -> Checkpoint:
    """Make a checkpoint.

    Args:
        key: the chain's key in turn, which no line has used yet.
        chain_uid: name of the chain.
        lines: how many it has.
        fingerprint: of the last of them.
        closed: whether it ends there.
        now: Unix seconds.
    """
    bare = Checkpoint(
        chain_uid=chain_uid, lines=lines, fingerprint=fingerprint, closed=closed, timestamp=timestamp(now), mac=""
    )
    mac = checkpoint_mac(key, _fields(bare))
    return Checkpoint(
        chain_uid=chain_uid, lines=lines, fingerprint=fingerprint, closed=closed, timestamp=bare.timestamp, mac=mac
    )


def parse(line: bytes) -> Checkpoint | None:
    """Return the checkpoint a line holds, or ``None`` if it holds none. Whether it is authentic is not looked at."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or type(found.get("checkpoint")) is not int or found["checkpoint"] != _VERSION:
        return None
    kinds = {"chain_uid": str, "lines": int, "fingerprint": str, "closed": bool, "timestamp": str, "mac": str}
    if any(type(found.get(name)) is not kind for name, kind in kinds.items()):
        return None
    return Checkpoint(**{name: found[name] for name in kinds})


def writer(place: str | PathLike[str] | Callable[[str], object]) -> Callable[[str], object]:
    """Return what takes a checkpoint's line: a callback as it is, or one that appends to a file and waits for the disk.

    Args:
        place: a path, or a function of the line. Either may raise, and may take its time.
    """
    if callable(place):
        return place
    return _File(Path(place).absolute())  # a process may yet change its folder


class _File:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._torn = False

    def __call__(self, line: str) -> None:
        # Opened anew each time: the file may be rotated away, and nothing is left open over a fork. One write, in
        # append mode, so that lines of several processes do not mix.
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            before = "\n" if self._torn else ""
            data = f"{before}{line}\n".encode()
            self._torn = True  # until it is known to be whole: what follows a torn line must not join it
            if os.write(file, data) != len(data):
                raise OSError("the disk took a part of the line")
            self._torn = False
            os.fsync(file)
        finally:
            os.close(file)
