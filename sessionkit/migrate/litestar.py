"""Sessions of Litestar's client side: AES-GCM under the secret itself, cut into cookies.

From Litestar 2.25 (``middleware/session/client_side.py``): base64 with padding of ``nonce[12] ‖ ciphertext and tag ‖
"additional_authenticated_data=" ‖ {"expires_at": Unix seconds}``, cut every 4,032 characters into ``name-0``,
``name-1`` …, or whole in ``name``. The object at the end is the associated data. It says when the session ends, so its
beginning is that less ``max_age``, which must therefore be what the old application had.

Its ``max_age`` is counted from each response, for every response writes the session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sessionkit.migrate.old import Old, OldRefusal, Unreadable, from_base64, from_json, mapping, number
from sessionkit.wire.cookies import MAX_OLD_CHUNKS

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["LitestarFormat"]

_NONCE: Final = 12
_TAG: Final = 16
_MARK: Final = b"additional_authenticated_data="


class LitestarFormat:
    """Opens Litestar's cookies.

    Args:
        secrets: ``secret`` of its ``CookieBackendConfig``: 16, 24 or 32 octets.
        max_age: likewise, in seconds.
    """

    __slots__ = ("_ciphers", "_max_age")

    max_chunks = MAX_OLD_CHUNKS
    chunk_size = 4096 - 64

    def __init__(self, secrets: Iterable[bytes], max_age: int) -> None:
        self._ciphers = tuple(AESGCM(secret) for secret in secrets)
        self._max_age = max_age

    def open(self, value: bytes) -> Old:
        """Return the session inside a cookie's value.

        Raises:
            Unreadable: if it is not authentic, or no session.
        """
        sealed, mark, associated = from_base64(value).rpartition(_MARK)
        if not mark or len(sealed) < _NONCE + _TAG:
            raise Unreadable(OldRefusal.MALFORMED)
        plain = self._decrypt(sealed, associated)
        expires = number(mapping(from_json(associated)).get("expires_at"))
        if expires is None:
            raise Unreadable(OldRefusal.BAD_PAYLOAD)
        issued = expires - self._max_age
        return Old(mapping(from_json(plain)), issued, issued)

    def _decrypt(self, sealed: bytes, associated: bytes) -> bytes:
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], associated)
            except InvalidTag:
                continue
        raise Unreadable(OldRefusal.BAD_SIGNATURE)
