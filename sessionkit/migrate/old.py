"""What a reader makes of an old cookie: its session, or a word for why not.

Rules of this file:

* Nothing is decompressed or parsed before it is authenticated, and nothing at all beyond a size.
* ``Unreadable`` carries a word and nothing of the cookie; only readers see it.
* Base64 has one spelling here: the old libraries take several, which would let a signature be altered and still fit.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

__all__ = [
    "MAX_PLAIN",
    "Format",
    "Old",
    "OldRefusal",
    "Unreadable",
    "from_base64",
    "from_base64url",
    "from_json",
    "inflate",
    "mapping",
    "number",
]

MAX_PLAIN = 65_536
"""Octets of a decompressed session at most: sixteen cookies, the most a session of ours takes, hold less."""


class OldRefusal(StrEnum):
    """Why an old session is not taken over. Closed: dashboards and queries may rely on these words."""

    MALFORMED = "malformed"
    """Not of this format at all."""
    BAD_SIGNATURE = "bad_signature"
    """Of this format, but none of the old secrets made it."""
    NOT_YET_VALID = "not_yet_valid"
    """Made in the future, or ``max_age`` is not what the old application had."""
    EXPIRED = "expired"
    """Past the old library's age, or past our ``absolute_max_age``."""
    REVOKED = "revoked"
    """Begun before the ring's ``not_before``."""
    OVER = "over"
    """Came after the end date."""
    BAD_PAYLOAD = "bad_payload"
    """Authentic, but no session that this release can read or store."""
    TOO_LARGE = "too_large"
    """Authentic, but more than the cookies of this configuration hold."""


class Unreadable(Exception):  # noqa: N818 - a reply in the shape of an exception; it never leaves the package
    """A cookie that is not taken over.

    Attributes:
        reason: why.
    """

    def __init__(self, reason: OldRefusal) -> None:
        self.reason = reason
        super().__init__(reason.value)


@dataclass(frozen=True, slots=True, repr=False)
class Old:
    """An authentic old session.

    Attributes:
        data: its values.
        issued: Unix seconds at which this cookie was made.
        created: Unix seconds at which the session began, where the old library keeps that; else ``issued``.
    """

    data: dict[str, Any]
    issued: float
    created: float


class Format(Protocol):
    """How one library writes its sessions. Synchronous and without a clock: ages are the reader's to judge."""

    @property
    def max_chunks(self) -> int:
        """Cookies named ``name-0``, ``name-1`` … that one session may come in; 0 if the library does not split."""
        ...

    @property
    def chunk_size(self) -> int:
        """Octets of each of these but the last."""
        ...

    def open(self, value: bytes) -> Old:
        """Return the session inside a cookie's value.

        Args:
            value: anything at all.

        Raises:
            Unreadable: if it is not authentic, or no session. Nothing else.
        """
        ...


def from_base64url(text: bytes) -> bytes:
    """Return octets from URL-safe base64 without padding, as itsdangerous and Django write it.

    Raises:
        Unreadable: if they would not have written it so.
    """
    try:
        data = urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except ValueError:
        raise Unreadable(OldRefusal.MALFORMED) from None
    if urlsafe_b64encode(data).rstrip(b"=") != text:
        raise Unreadable(OldRefusal.MALFORMED)
    return data


def from_base64(text: bytes) -> bytes:
    """Return octets from base64 with padding, as ``b64encode`` writes it.

    Raises:
        Unreadable: if it would not have written it so.
    """
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        raise Unreadable(OldRefusal.MALFORMED) from None
    if b64encode(data) != text:
        raise Unreadable(OldRefusal.MALFORMED)
    return data


def inflate(data: bytes) -> bytes:
    """Return what zlib compressed, if it is not too much.

    Raises:
        Unreadable: if it is, or is no such stream.
    """
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(data, MAX_PLAIN)
    except zlib.error:
        raise Unreadable(OldRefusal.BAD_PAYLOAD) from None
    if stream.unconsumed_tail:
        raise Unreadable(OldRefusal.TOO_LARGE)
    if not stream.eof or stream.unused_data:
        raise Unreadable(OldRefusal.BAD_PAYLOAD)
    return plain


def from_json(data: bytes, encoding: str = "utf-8") -> Any:
    """Return what authentic JSON says, as Python's own module reads it: the old libraries write with that.

    Raises:
        Unreadable: if it is none.
    """
    try:
        return json.loads(data.decode(encoding))
    except (ValueError, RecursionError):
        raise Unreadable(OldRefusal.BAD_PAYLOAD) from None


def mapping(value: object) -> dict[str, Any]:
    """Return a session that must be a mapping.

    Raises:
        Unreadable: if it is none.
    """
    if type(value) is not dict:
        raise Unreadable(OldRefusal.BAD_PAYLOAD)
    return value


def number(value: object) -> float | None:
    """Return a time that the old library keeps among its data, or ``None`` if it is none."""
    if type(value) in {int, float} and 0 <= value < 2**53:  # type: ignore[operator]  # numbers both; NaN is in no range
        return float(value)  # type: ignore[arg-type]  # as above
    return None
