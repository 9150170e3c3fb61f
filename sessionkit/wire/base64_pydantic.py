"""Base64 by pydantic_core: the way that is always there.

0.4 µs for the 286 octets of a small token, against 1.2 µs by ``binascii`` in strict mode and ``bytes.translate`` (both
alphabets differ); 1.5 against 7.2 µs at 2,100 octets, 11 against 56 µs at 16,401 (Python 3.11, pydantic_core 2.50,
decoding). Its decoder is more lenient than one spelling allows, which ``decode`` makes good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pydantic_core import CoreConfig, SchemaValidator, ValidationError, core_schema, to_json

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PYDANTIC", "Base64", "decode", "encode"]

_PLUS, _SLASH = b"+/"

_decode = SchemaValidator(core_schema.bytes_schema(), config=CoreConfig(val_json_bytes="base64")).validate_json


class Base64(NamedTuple):
    """A way to write and read base64url.

    Attributes:
        name: of the library that does the work.
        encode: returns the text, as ASCII octets.
        decode: returns the octets, or ``None`` if the text is not exactly what ``encode`` writes.
    """

    name: str
    encode: Callable[[bytes], bytes]
    decode: Callable[[bytes], bytes | None]


def encode(data: bytes) -> bytes:
    """Return the text, as ASCII octets."""
    return to_json(data, bytes_mode="base64").strip(b'"=')


def decode(text: bytes) -> bytes | None:
    """Return the octets, or ``None`` if this is not exactly what ``encode`` writes.

    Args:
        text: anything at all; linear in its length.
    """
    try:
        data: bytes = _decode(b'"%b"' % text)
    except ValidationError:
        return None
    # The length gives padding and JSON's escapes away, the two octets the other alphabet (and the escape ``\/``).
    # Leftover bits, white space and all other octets the decoder refuses itself.
    if len(data) != len(text) * 3 // 4 or _PLUS in text or _SLASH in text:
        return None
    return data


PYDANTIC = Base64("pydantic_core", encode, decode)
