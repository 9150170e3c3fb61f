"""Sessions of Flask and Quart: ``SecureCookieSessionInterface`` over itsdangerous' ``URLSafeTimedSerializer``.

From Flask 3.1 and Quart 0.22 (``sessions.py``, ``json/tag.py``): compact JSON, compressed by zlib where that is
shorter, which a leading dot tells; URL-safe base64 without padding; signed with salt ``cookie-session`` and a key by
HMAC. Types that JSON lacks are objects of one member: `` t`` tuple, `` b`` bytes (base64), `` m`` markup, `` u`` UUID
(hex), `` d`` datetime (an HTTP date, UTC), `` di`` a dict that looks like one of these, its key with ``__`` behind.

Markup comes back as plain ``str``: that is what a session of ours holds of it from then on, and a template escapes it.
"""

from __future__ import annotations

from base64 import b64decode
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sessionkit.migrate.old import Old, OldRefusal, Unreadable, from_base64url, from_json, inflate, mapping
from sessionkit.migrate.signed import TimestampSigner, keyed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["FlaskFormat"]

_SALT = b"cookie-session"


class FlaskFormat:
    """Opens Flask's and Quart's cookies.

    Args:
        secrets: ``SECRET_KEY`` and ``SECRET_KEY_FALLBACKS`` as the application had them, in UTF-8.
    """

    __slots__ = ("_signer",)

    max_chunks = chunk_size = 0

    def __init__(self, secrets: Iterable[bytes]) -> None:
        self._signer = TimestampSigner(keyed(secret, _SALT) for secret in secrets)

    def open(self, value: bytes) -> Old:
        """Return the session inside a cookie's value.

        Raises:
            Unreadable: if it is not authentic, or no session.
        """
        text, issued = self._signer.unsign(value)
        plain = inflate(from_base64url(text[1:])) if text[:1] == b"." else from_base64url(text)
        tagged = from_json(plain)
        try:
            data = _untagged(tagged)
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError, OverflowError):
            # Authentic, and yet a tag holds what Flask would not have put there.
            raise Unreadable(OldRefusal.BAD_PAYLOAD) from None
        return Old(mapping(data), issued, issued)


def _untagged(value: Any) -> Any:
    if type(value) is list:
        return [_untagged(member) for member in value]
    if type(value) is not dict:
        return value
    entries = {name: _untagged(member) for name, member in value.items()}
    if len(entries) == 1:
        [(name, member)] = entries.items()
        restore = _TAGS.get(name)
        return entries if restore is None else restore(member)
    return entries


def _date(text: str) -> datetime:
    when = parsedate_to_datetime(text)
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def _dict(value: dict[str, Any]) -> dict[str, Any]:
    [(name, member)] = value.items()
    return {name.removesuffix("__"): member}


_TAGS: dict[str, Callable[[Any], Any]] = {
    " di": _dict,
    " t": tuple,
    " b": b64decode,
    " m": str,
    " u": UUID,
    " d": _date,
}
