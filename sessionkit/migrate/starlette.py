"""Sessions of Starlette's ``SessionMiddleware``, which is FastAPI's too.

From Starlette 1.10 (``middleware/sessions.py``): base64 with padding of JSON, signed by itsdangerous'
``TimestampSigner`` with its default salt and key derivation. The time is that of the last write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sessionkit.migrate.old import Old, from_base64, from_json, mapping
from sessionkit.migrate.signed import TimestampSigner, concatenated

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SALT", "StarletteFormat"]

SALT = b"itsdangerous.Signer"
"""Salt of a ``TimestampSigner`` that is given none."""


class StarletteFormat:
    """Opens Starlette's cookies.

    Args:
        secrets: ``secret_key`` as the application had it, in UTF-8.
    """

    __slots__ = ("_signer",)

    max_chunks = chunk_size = 0

    def __init__(self, secrets: Iterable[bytes]) -> None:
        self._signer = TimestampSigner(concatenated(secret, SALT) for secret in secrets)

    def open(self, value: bytes) -> Old:
        """Return the session inside a cookie's value.

        Raises:
            Unreadable: if it is not authentic, or no session.
        """
        text, issued = self._signer.unsign(value)
        return self._session(mapping(from_json(from_base64(text))), issued)

    def _session(self, data: dict[str, Any], issued: float) -> Old:
        return Old(data, issued, issued)
