"""Sessions of aiohttp-session's ``EncryptedCookieStorage``: JSON in a Fernet token.

From aiohttp-session 2.12 (``cookie_storage.py``, ``__init__.py``) and the Fernet specification: the token holds its
time in clear and authenticated; inside is ``{"created": Unix seconds, "session": {…}}``.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet, InvalidToken

from sessionkit.migrate.old import Old, OldRefusal, Unreadable, from_json, mapping, number

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["AiohttpFormat"]

_KEY_SIZE = 32
_VERSION = 0x80
_SMALLEST = 1 + 8 + 16 + 16 + 32
"""Octets of the shortest token: version, time, IV, one block, tag."""


class AiohttpFormat:
    """Opens aiohttp-session's cookies.

    Args:
        secrets: ``secret_key``: 32 octets, or their URL-safe base64.
    """

    __slots__ = ("_fernets",)

    max_chunks = chunk_size = 0

    def __init__(self, secrets: Iterable[bytes]) -> None:
        self._fernets = tuple(Fernet(_key(secret)) for secret in secrets)

    def open(self, value: bytes) -> Old:
        """Return the session inside a cookie's value.

        Raises:
            Unreadable: if it is not authentic, or no session.
        """
        try:
            token = urlsafe_b64decode(value)
        except ValueError:
            raise Unreadable(OldRefusal.MALFORMED) from None
        if len(token) < _SMALLEST or token[0] != _VERSION or urlsafe_b64encode(token) != value:
            raise Unreadable(OldRefusal.MALFORMED)
        told = mapping(from_json(self._decrypt(value)))
        issued = float(int.from_bytes(token[1:9]))
        created = number(told.get("created"))
        return Old(mapping(told.get("session")), issued, issued if created is None else min(created, issued))

    def _decrypt(self, value: bytes) -> bytes:
        for fernet in self._fernets:
            try:
                return fernet.decrypt(value)
            except InvalidToken:
                continue
        raise Unreadable(OldRefusal.BAD_SIGNATURE)


def _key(secret: bytes) -> bytes:
    return urlsafe_b64encode(secret) if len(secret) == _KEY_SIZE else secret
