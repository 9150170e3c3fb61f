"""Sessions of Django's ``django.contrib.sessions.backends.signed_cookies``.

From Django 5.2 (``core/signing.py``, ``contrib/sessions/backends/signed_cookies.py``):
``value:timestamp:signature`` from the right. The value is compact JSON in Latin-1, compressed by zlib where that is
shorter, which a leading dot tells, in URL-safe base64 without padding. The timestamp is Unix seconds in base 62
(digits, upper case, lower case). The signature is ``HMAC-SHA256(SHA256(salt ‖ "signer" ‖ secret), value:timestamp)``
in the same base64. Sessions by Django's ``PickleSerializer``, gone since 5.0, are refused: unpickling runs code.
"""

from __future__ import annotations

import hashlib
import hmac
import string
from typing import TYPE_CHECKING, Final

from sessionkit.migrate.old import Old, OldRefusal, Unreadable, from_base64url, from_json, inflate, mapping

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["DjangoFormat"]

_SALT: Final = b"django.contrib.sessions.backends.signed_cookies" + b"signer"
_DIGITS: Final = {
    ord(digit): value for value, digit in enumerate(string.digits + string.ascii_uppercase + string.ascii_lowercase)
}
_MAX_DIGITS: Final = 7
"""Of a timestamp: 62**7 seconds are 111,000 years, but fewer digits end in the year 3769."""

_MAX_TIME: Final = 253_402_300_800
"""The year 10000."""


class DjangoFormat:
    """Opens Django's cookies.

    Args:
        secrets: ``SECRET_KEY`` and ``SECRET_KEY_FALLBACKS``, in UTF-8.
    """

    __slots__ = ("_keys",)

    max_chunks = chunk_size = 0

    def __init__(self, secrets: Iterable[bytes]) -> None:
        self._keys = tuple(hashlib.sha256(_SALT + secret).digest() for secret in secrets)

    def open(self, value: bytes) -> Old:
        """Return the session inside a cookie's value.

        Raises:
            Unreadable: if it is not authentic, or no session.
        """
        parts = value.rsplit(b":", 2)
        if len(parts) != 3:  # noqa: PLR2004 - value, timestamp, signature
            raise Unreadable(OldRefusal.MALFORMED)
        text, timestamp, signature = parts
        given, body = from_base64url(signature), value[: -len(signature) - 1]
        # All of them, so that the time tells nothing about which one fits.
        fits = [hmac.compare_digest(hmac.digest(key, body, "sha256"), given) for key in self._keys]
        if not any(fits):
            raise Unreadable(OldRefusal.BAD_SIGNATURE)
        issued = _time(timestamp)
        plain = inflate(from_base64url(text[1:])) if text[:1] == b"." else from_base64url(text)
        return Old(mapping(from_json(plain, "latin-1")), issued, issued)


def _time(text: bytes) -> float:
    when = 0
    for digit in text:
        value = _DIGITS.get(digit)
        if value is None or len(text) > _MAX_DIGITS:
            raise Unreadable(OldRefusal.BAD_PAYLOAD)
        when = when * 62 + value
    if not text or when >= _MAX_TIME:
        raise Unreadable(OldRefusal.BAD_PAYLOAD)
    return float(when)
