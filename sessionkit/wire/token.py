"""The token: what a cookie holds, encrypted and bound to a cookie name.

    token = base64url( 01 ‖ kid[4] ‖ nonce[24] ‖ ciphertext ‖ tag[16] )                45 octets over the plaintext
    AEAD  = XAES-256-GCM under Key.derive("session")
    AAD   = "sessionkit" ‖ 01 ‖ kid ‖ u16(len name) ‖ cookie name ‖ u16(len context) ‖ context

The whole format with its vectors is in ``tests/vectors/``.

Rules of this file:

* The version octet selects the whole suite; it is a closed set and nothing is negotiated. 0x02 is reserved for a
  key-committing suite.
* The kid is derived from the secret, so exactly one key is tried and a wrong tag means altered bytes.
* Before authentication nothing is read but length, version and kid; no part of a token gets into an error.
* A refusal is ``TokenRejected`` with one reason, whatever the bytes. One token has one spelling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag

from sessionkit.exceptions import RejectReason
from sessionkit.wire import base64url
from sessionkit.wire.xaes import NONCE_SIZE, TAG_SIZE, Xaes256Gcm

if TYPE_CHECKING:
    from sessionkit.keyring.key import Key
    from sessionkit.keyring.keyring import Keyring

__all__ = ["OVERHEAD", "VERSION", "TokenCipher", "TokenRejected"]

VERSION = 1

_KID_SIZE = 4
_NONCE_AT = 1 + _KID_SIZE
_BODY_AT = _NONCE_AT + NONCE_SIZE

OVERHEAD = _BODY_AT + TAG_SIZE
"""Octets of a token beyond its plaintext, before base64: version, kid, nonce and tag."""

_MAX_BOUND = 0xFFFF
"""Octets of a name or a context at most: their lengths are bound as 16 bits."""


class TokenRejected(Exception):  # noqa: N818 - a reply in the shape of an exception; it never leaves the wire modules
    """A token does not open.

    Attributes:
        reason: why.
        key: the key it names, if the ring holds it.
    """

    def __init__(self, reason: RejectReason, key: Key | None = None) -> None:
        self.reason = reason
        self.key = key
        super().__init__(reason.value)


class TokenCipher:
    """Seals and opens the tokens of one cookie under one ring. All keys are derived here, once.

    Args:
        keyring: the ring in force; a new ring takes a new cipher.
        name: the cookie's name, bound into every token: what was made for ``session`` does not open as ``admin``.
        context: the audience, bound likewise: an application, a tenant, a host.

    Raises:
        ValueError: if the name is not ASCII, or either is longer than 65,535 octets.
    """

    __slots__ = ("_opened_by", "_sealed_by")

    def __init__(self, keyring: Keyring, name: str, context: str = "") -> None:
        bound = _bound(name, "ascii") + _bound(context, "utf-8")
        self._opened_by: dict[bytes, tuple[Key, Xaes256Gcm | None, bytes]] = {}
        self._sealed_by: dict[bytes, tuple[bytes, Xaes256Gcm, bytes]] = {}
        for key in keyring.keys:
            aad = b"sessionkit%c%b%b" % (VERSION, key.id, bound)
            cipher = Xaes256Gcm(key.derive("session")) if key.decrypts else None
            self._opened_by[key.id] = key, cipher, aad
            if cipher is not None:
                self._sealed_by[key.id] = b"%c%b" % (VERSION, key.id), cipher, aad

    def __repr__(self) -> str:
        """Show how many keys open and how many do not."""
        return f"<TokenCipher: {len(self._sealed_by)} of {len(self._opened_by)} keys open>"

    def seal(self, key: Key, plaintext: bytes, *, nonce: bytes | None = None) -> bytes:
        """Return the token of a plaintext, as ASCII octets.

        Args:
            key: the key to seal under; one of the ring.
            plaintext: header and payload.
            nonce: 24 octets for test vectors; leave it out, and they are random.

        Raises:
            ValueError: if the ring does not hold the key or it is revoked, or the nonce has another length.
        """
        found = self._sealed_by.get(key.id)
        if found is None:
            raise ValueError(f"{key!r} seals nothing: it is revoked, or not of this ring")
        prefix, cipher, aad = found
        sealed = cipher.seal(plaintext, aad) if nonce is None else nonce + cipher.encrypt(nonce, plaintext, aad)
        return base64url.encode(prefix + sealed)

    def open(self, token: bytes) -> tuple[Key, bytes]:
        """Return the key a token was sealed under, and its plaintext.

        Args:
            token: what a client sent; anything at all.

        Raises:
            TokenRejected: ``malformed``, ``unsupported_version``, ``unknown_key``, ``revoked`` or ``bad_tag``.
        """
        raw = base64url.decode(token)
        if raw is None or len(raw) < OVERHEAD:
            raise TokenRejected(RejectReason.MALFORMED)
        if raw[0] != VERSION:
            raise TokenRejected(RejectReason.UNSUPPORTED_VERSION)
        found = self._opened_by.get(raw[1:_NONCE_AT])
        if found is None:
            raise TokenRejected(RejectReason.UNKNOWN_KEY)
        key, cipher, aad = found
        if cipher is None:
            raise TokenRejected(RejectReason.REVOKED, key)
        try:
            return key, cipher.decrypt(raw[_NONCE_AT:_BODY_AT], raw[_BODY_AT:], aad)
        except InvalidTag:
            # Wrong name or context look the same: they are part of what the tag is over.
            raise TokenRejected(RejectReason.BAD_TAG, key) from None


def _bound(text: str, encoding: str) -> bytes:
    """Return the text with its length before it, so that no two pairs of name and context give the same octets."""
    octets = text.encode(encoding)
    if len(octets) > _MAX_BOUND:
        raise ValueError(f"a cookie name or a context has at most {_MAX_BOUND} octets")
    return len(octets).to_bytes(2) + octets
