"""References in place of identifiers: a keyed hash links the lines of one session and tells nothing else.

The audit key is separate from the encryption keys, so that a rotation does not break the link. Destroying it erases
the link for good.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from base64 import b32encode
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from typing import SupportsIndex

__all__ = ["MIN_KEY_SIZE", "Pseudonyms"]

MIN_KEY_SIZE = 16
"""Octets an audit key must have at least: shorter ones could be searched for."""

_LENGTH = 16
"""Characters of a reference: 80 bits, enough to tell 10^9 sessions apart (chance of one collision: 4 in 10^7)."""


class Pseudonyms:
    """Makes references under one audit key.

    Args:
        key: the audit key, at least ``MIN_KEY_SIZE`` octets. Without one, a random key of this process serves, and
            references of different processes do not match.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes | None = None) -> None:
        self._key = os.urandom(32) if key is None else key

    def session(self, session_id: bytes) -> str:
        """Return ``session_ref``: the reference of a session by its id."""
        return self._reference(b"session", session_id)

    def cookie(self, value: bytes) -> str:
        """Return ``cookie_ref``: the reference of a cookie value that was not accepted."""
        return self._reference(b"cookie", value)

    def client(self, host: str) -> str:
        """Return ``client_ref``: the reference of a client's address."""
        return self._reference(b"client", host.encode("utf-8", "replace"))

    def _reference(self, kind: bytes, value: bytes) -> str:
        return b32encode(hmac.digest(self._key, kind + value, hashlib.sha256)[:10]).decode("ascii")[:_LENGTH]

    def __repr__(self) -> str:
        """Show no key."""
        return "<Pseudonyms>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse to be copied or pickled: a pickle would hold the key."""
        raise TypeError("references cannot be copied or pickled: their key would go along")
