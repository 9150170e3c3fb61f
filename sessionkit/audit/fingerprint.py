r"""What a line's fingerprint is: the format that the chain writes and ``sessionkit audit verify`` reads, version 1.

A chain is a row of lines of one thread of one process. Each carries four fields more than it had:

* ``chain_uid``: name of the chain, 16 characters of base32 (80 random bits), then ``.N`` for each step of descent.
* ``sequence``: number of the line within its chain, from 0.
* ``prev_fingerprint``: fingerprint of the line before it; 32 zeros on line 0.
* ``fingerprint``: the first 128 bits of
  ``HMAC-SHA256(key of the line, "line" 00 chain_uid 00 sequence 00 prev_fingerprint 00 canonical)``, in hexadecimal.

**Canonical** is the rest of the line, as JSON in one spelling, so that a line still fits after another program has
parsed and rewritten it: names sorted by code point; no spaces; ASCII, all else as ``\uXXXX`` (lower case, surrogate
pairs beyond the BMP), control characters as JSON's two-letter escapes where there is one; a number that is integral in
decimal digits however it was spelled (``1``, ``1.0`` and ``1e0`` are ``1``), any other as the shortest digits that read
back as the same double, spelled as Python does (``0.5``, ``1e-07``). Numbers are read as Python reads JSON: without
fraction and exponent exactly, else as a double. The chain writes no value that two JSON libraries render differently:
see ``plain``.

**Keys.** Every line has a key of its own, and a chain forgets it with the line. What is left in memory leads to later
keys alone: that is how a thief of the keys cannot rewrite what was written before. All follow from the root key::

    secret(uid)        HMAC-SHA256(root, "sessionkit chain 1" 00 uid)       of a process that was not forked
    secret(uid.N)      key N of Ratchet(HMAC-SHA256(secret(uid), "forks"))  of a fork, a further thread, or a successor
    key of line N      key N of Ratchet(HMAC-SHA256(secret(uid), "lines"))

A ``Ratchet`` is a binary tree of height 40: the children of a node are the halves of HMAC-SHA512(node, "ratchet"), its
leaves from left to right are keys 0, 1, 2 … It holds the leaf in turn and the roots of the subtrees to the right, so it
cannot go back; whoever has the seed reaches any leaf in 40 steps. (Marson and Poettering, "Even more practical secure
logging: tree-based seekable sequential key generators", ESORICS 2014; systemd's journal seals epochs of 15 minutes in
the same spirit.)

**Checkpoints** are lines of JSON in a second place: ``checkpoint`` (1, the version), ``chain_uid``, ``lines`` (how many
the chain has), ``fingerprint`` (of the last of them), ``closed`` (the chain ended in order), ``timestamp`` and ``mac``,
the first 128 bits of ``HMAC-SHA256(key of line N, "checkpoint" 00 canonical of the other fields)``, in hexadecimal,
with N as in ``lines``: the key of the first line that is not there yet.

Rules of this file: pure, nothing but the standard library. A change of the format is a new version of its own.
"""

from __future__ import annotations

import hmac
import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import date, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from types import NoneType
from typing import Any
from uuid import UUID

__all__ = [
    "CHAIN_FIELDS",
    "FIRST",
    "MAX_LINES",
    "Ratchet",
    "canonical",
    "checkpoint_mac",
    "fingerprint",
    "forks_seed",
    "lines_seed",
    "plain",
    "root_secret",
    "secret_of",
]

CHAIN_FIELDS = ("chain_uid", "sequence", "prev_fingerprint", "fingerprint")
"""What a chain adds to a line."""

FIRST = "0" * 32
"""``prev_fingerprint`` of line 0. No proof of its own is needed: only the key of line 0 can have made that line."""

_HEIGHT = 40
MAX_LINES = 1 << _HEIGHT
"""Lines of a chain, and descendants of a process, at most: at 10,000 a second, enough for three years of one thread."""

_MAX_DEPTH = 64
"""How deeply a value may be nested (orjson takes 254 levels, json what the interpreter's stack does)."""

_MAX_DESCENT = 16
_UID = re.compile(r"[A-Z2-7]{16}(?:\.(?:0|[1-9][0-9]{0,12}))*")
_LABEL = b"sessionkit chain 1\0"
_INT_LIMIT = 1 << 63  # what orjson takes, and every other library at least reads

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, check_circular=False).encode


class Ratchet:
    """Keys 0, 1, 2 … in order; those before the one in turn cannot be computed from what it holds.

    Args:
        seed: 32 octets.
        index: the key to begin with, below ``MAX_LINES``.

    Attributes:
        key: the key in turn.
        index: its number.

    Python cannot overwrite octets it has freed. What is forgotten here is out of reach of the program; a copy may
    remain in free memory until that is used again.
    """

    __slots__ = ("_ahead", "index", "key")

    def __init__(self, seed: bytes, index: int = 0) -> None:
        self.index = index
        self._ahead: list[tuple[bytes, int]] = []
        node, height = seed, _HEIGHT
        while height:
            left, right = _split(node)
            height -= 1
            if index >> height & 1:
                node = right
            else:
                self._ahead.append((right, height))
                node = left
        self.key = node

    def advance(self) -> None:
        """Go on to the next key, and forget this one."""
        node, height = self._ahead.pop()
        while height:
            node, right = _split(node)
            height -= 1
            self._ahead.append((right, height))
        self.key = node
        self.index += 1


def _split(node: bytes) -> tuple[bytes, bytes]:
    pair = hmac.digest(node, b"ratchet", "sha512")
    return pair[:32], pair[32:]


def root_secret(root: bytes, uid: str) -> bytes:
    """Return the secret of a process that was not forked.

    Args:
        root: the root key.
        uid: the first part of its chains' names.
    """
    return hmac.digest(root, _LABEL + uid.encode(), "sha256")


def lines_seed(secret: bytes) -> bytes:
    """Return the seed of a ratchet: the keys of a chain's lines."""
    return hmac.digest(secret, b"lines", "sha256")


def forks_seed(secret: bytes) -> bytes:
    """Return the seed of a ratchet: the secrets of a chain's descendants."""
    return hmac.digest(secret, b"forks", "sha256")


def secret_of(root: bytes, uid: str) -> bytes | None:
    """Return the secret of any chain, or ``None`` if no chain can have that name."""
    if len(uid) > 16 * _MAX_DESCENT or not _UID.fullmatch(uid):
        return None
    name, *steps = uid.split(".")
    numbers = [int(step) for step in steps]
    if len(numbers) > _MAX_DESCENT or max(numbers, default=0) >= MAX_LINES:
        return None
    secret = root_secret(root, name)
    for number in numbers:
        secret = Ratchet(forks_seed(secret), number).key
    return secret


def fingerprint(key: bytes, uid: str, sequence: int, previous: str, text: bytes) -> str:
    """Return the fingerprint of a line.

    Args:
        key: the key of this line.
        uid: name of its chain.
        sequence: its number there.
        previous: fingerprint of the line before it.
        text: what ``canonical`` makes of its other fields.
    """
    return hmac.digest(key, f"line\0{uid}\0{sequence}\0{previous}\0".encode() + text, "sha256")[:16].hex()


def checkpoint_mac(key: bytes, record: Mapping[str, Any]) -> str:
    """Return the ``mac`` of a checkpoint's other fields."""
    return hmac.digest(key, b"checkpoint\0" + canonical(record), "sha256")[:16].hex()


def canonical(fields: Mapping[str, Any]) -> bytes:
    """Return the one spelling of fields that ``plain`` has made, or that JSON was read into.

    Raises:
        ValueError: if a number is infinite or none.
        TypeError: if a value is none of JSON's.
    """
    return _encode(_numbers(fields)).encode("ascii")


def _numbers(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields with their integral floats as integers."""
    return {name: _number(value) if type(value) in _WITH_FLOATS else value for name, value in fields.items()}


def _number(value: Any) -> Any:
    if type(value) is float:
        return int(value) if value.is_integer() else value
    if type(value) is dict:
        return _numbers(value)
    return [_number(inner) for inner in value] if type(value) is list else value


_WITH_FLOATS = frozenset({float, dict, list})


def plain(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON knows it, in exactly one way, so that no renderer has anything left to decide.

    Dates and times become ISO 8601, enums their values, UUIDs, paths and decimals text, tuples and sets lists, what has
    a ``__structlog__`` method what that returns, and all else its ``repr`` (as structlog's own JSON renderer has it).
    Names become text. Lone surrogates become ``?``, integers beyond 64 bits hexadecimal text, infinities and NaN text:
    some renderer refuses or alters each of them. What is nested too deeply becomes ``…``.
    """
    scalar = _SCALARS.get(type(value))
    if scalar is not None:
        return scalar(value)
    if depth > _MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return {_name(name): plain(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner, depth + 1) for inner in value]
    return plain(_other(value), depth + 1)


_SCALARS: dict[type, Callable[[Any], Any]] = {
    str: lambda text: text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8"),
    # Not in decimal: that takes long for huge numbers, and Python refuses beyond 4,300 digits.
    int: lambda number: number if -_INT_LIMIT <= number < _INT_LIMIT else hex(number),
    float: lambda number: number if math.isfinite(number) else repr(number),
    bool: lambda truth: truth,
    NoneType: lambda nothing: nothing,
}


def _name(name: Any) -> str:
    text = plain(name)
    return text if isinstance(text, str) else json.dumps(text)


def _other(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    for kind, tell in _KNOWN:
        if isinstance(value, kind):
            return tell(value)
    return value.__structlog__() if hasattr(type(value), "__structlog__") else repr(value)


_KNOWN: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    ((date, time), lambda moment: moment.isoformat()),
    ((UUID, PurePath, Decimal), str),
)
"""Subclasses of plain types as what they hold, then types with one obvious text. The first that fits decides."""
