"""Values signed by itsdangerous' ``TimestampSigner``: ``value.timestamp.signature``.

From itsdangerous 2.2 (``signer.py``, ``timed.py``, ``encoding.py``): parts are separated by a dot from the right; the
timestamp is big-endian Unix seconds without leading zeros, signature and timestamp are URL-safe base64 without padding;
the signature is an HMAC of everything before its dot. The key is ``SHA1(salt ‖ "signer" ‖ secret)`` ("django-concat",
the default) or ``HMAC-SHA1(secret, salt)`` ("hmac", Flask's and Quart's choice).
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from sessionkit.migrate.old import OldRefusal, Unreadable, from_base64url

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["TimestampSigner", "concatenated", "keyed"]

_TIME_SIZE: Final = 8
"""Octets of a timestamp at most (``struct`` code Q)."""

_MAX_TIME: Final = 253_402_300_800
"""The year 10000 in Unix seconds: Python has no dates from there on."""


def concatenated(secret: bytes, salt: bytes) -> bytes:
    """Return the key by itsdangerous' default derivation."""
    return hashlib.sha1(salt + b"signer" + secret).digest()  # noqa: S324 - what signed these cookies; nothing new is


def keyed(secret: bytes, salt: bytes) -> bytes:
    """Return the key by the derivation named "hmac"."""
    return hmac.digest(secret, salt, "sha1")


class TimestampSigner:
    """Opens signed values.

    Args:
        keys: derived from the old secrets, any of which may have signed.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Iterable[bytes]) -> None:
        self._keys = tuple(keys)

    def unsign(self, signed: bytes) -> tuple[bytes, float]:
        """Return the value and the time of its signature in Unix seconds.

        Raises:
            Unreadable: if it is not authentic.
        """
        parts = signed.rsplit(b".", 2)
        if len(parts) != 3:  # noqa: PLR2004 - value, timestamp, signature
            raise Unreadable(OldRefusal.MALFORMED)
        value, timestamp, text = parts
        signature = from_base64url(text)
        body = signed[: -len(text) - 1]
        # All of them, so that the time tells nothing about which one fits.
        fits = [hmac.compare_digest(hmac.digest(key, body, "sha1"), signature) for key in self._keys]
        if not any(fits):
            raise Unreadable(OldRefusal.BAD_SIGNATURE)
        octets = from_base64url(timestamp)
        when = int.from_bytes(octets)
        if len(octets) > _TIME_SIZE or when >= _MAX_TIME:
            raise Unreadable(OldRefusal.BAD_PAYLOAD)
        return value, float(when)
