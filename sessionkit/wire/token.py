"""The token: what a cookie holds, encrypted and bound to a cookie name.

    token = base64url( 01 ‖ kid[4] ‖ nonce[24] ‖ ciphertext ‖ tag[16] )                45 octets over the plaintext
    AEAD  = XAES-256-GCM under Key.derive("session")
    AAD   = "sessionkit" ‖ 01 ‖ kid ‖ u16(len name) ‖ cookie name ‖ u16(len context) ‖ context

The whole format with its vectors is in ``tests/vectors/``.

Rules of this file:

* The version octet selects the whole suite, by the closed table ``SUITES``; nothing is negotiated. A release reads and
  writes every version in it: the ring's ``write_format`` says which one is written. 0x02 is reserved for a
  key-committing suite.
* The kid is derived from the secret, so exactly one key is tried and a wrong tag means altered bytes.
* Before authentication nothing is read but length, version and kid; no part of a token gets into an error.
* A refusal is ``TokenRejected`` with one reason, whatever the bytes. One token has one spelling.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from cryptography.exceptions import InvalidTag

from sessionkit.exceptions import KeyringError, RejectReason
from sessionkit.wire import base64url
from sessionkit.wire.xaes import NONCE_SIZE, TAG_SIZE, Xaes256Gcm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sessionkit.keyring.key import Key
    from sessionkit.keyring.keyring import Keyring

__all__ = ["OVERHEAD", "PREFIX_SIZE", "SUITES", "VERSION", "Sealer", "TokenCipher", "TokenRejected", "named_key"]

_KID_SIZE = 4
PREFIX_SIZE = 1 + _KID_SIZE
"""Octets before the nonce: version and kid."""

OVERHEAD = PREFIX_SIZE + NONCE_SIZE + TAG_SIZE
"""Octets of a token beyond its plaintext, before base64: version, kid, nonce and tag. No suite may have fewer."""


class Sealer(Protocol):
    """What a suite does under one key; ``Xaes256Gcm`` says the rest."""

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """Return what stands behind version and kid."""
        ...

    def encrypt(self, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """Return what stands behind a given nonce, for test vectors."""
        ...

    def open(self, sealed: bytes, start: int, aad: bytes) -> bytes:
        """Return the plaintext, or raise ``InvalidTag``, whatever stands from ``start`` on."""
        ...


def _version_1(key: Key) -> Sealer:
    return Xaes256Gcm(key.derive("session"))


VERSION = 1
"""What is written where the ring does not say."""

SUITES: Mapping[int, Callable[[Key], Sealer]] = MappingProxyType({VERSION: _version_1})
"""All versions there are. The next one comes with a release of its own, and this one reads it never."""

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

    Attributes:
        beginnings: the two characters that tokens of the known versions begin with.
        opened_by: key, what opens (``None`` if it is revoked) and AAD, by what a token begins with: version and kid.
        sealed_by: what a token begins with, what seals and AAD, by the key's id.

    Raises:
        KeyringError: if the ring asks for a format that this release does not write.
        ValueError: if the name is not ASCII, or either is longer than 65,535 octets.
    """

    __slots__ = ("_versions", "beginnings", "opened_by", "sealed_by")

    def __init__(self, keyring: Keyring, name: str, context: str = "") -> None:
        written = _written(keyring)
        bound = _bound(name, "ascii") + _bound(context, "utf-8")
        self._versions = frozenset(SUITES)
        self.beginnings = frozenset(
            base64url.encode(bytes([version, rest << 4]))[:2] for version in SUITES for rest in range(16)
        )
        self.opened_by: dict[bytes, tuple[Key, Sealer | None, bytes]] = {}
        self.sealed_by: dict[bytes, tuple[bytes, Sealer, bytes]] = {}
        for version, suite in SUITES.items():
            for key in keyring.keys:
                prefix = b"%c%b" % (version, key.id)
                aad = b"sessionkit%b%b" % (prefix, bound)
                sealer = suite(key) if key.decrypts else None
                self.opened_by[prefix] = key, sealer, aad
                if sealer is not None and version == written:
                    self.sealed_by[key.id] = prefix, sealer, aad

    def __repr__(self) -> str:
        """Show how many keys open and how many do not."""
        return f"<TokenCipher: {len(self.sealed_by)} of {len(self.opened_by) // len(self._versions)} keys open>"

    def seal(self, key: Key, plaintext: bytes, *, nonce: bytes | None = None) -> bytes:
        """Return the token of a plaintext, as ASCII octets.

        Args:
            key: the key to seal under; one of the ring.
            plaintext: header and payload.
            nonce: 24 octets for test vectors; leave it out, and they are random.

        Raises:
            ValueError: if the ring does not hold the key or it is revoked, or the nonce has another length.
        """
        found = self.sealed_by.get(key.id)
        if found is None:
            raise ValueError(f"{key!r} seals nothing: it is revoked, or not of this ring")
        prefix, sealer, aad = found
        sealed = sealer.seal(plaintext, aad) if nonce is None else nonce + sealer.encrypt(nonce, plaintext, aad)
        return base64url.encode(prefix + sealed)

    def unknown(self, raw: bytes) -> RejectReason:
        """Return why a token does not open whose beginning is none of ``opened_by``.

        Args:
            raw: its octets.
        """
        return RejectReason.UNKNOWN_KEY if raw[0] in self._versions else RejectReason.UNSUPPORTED_VERSION

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
        found = self.opened_by.get(raw[:PREFIX_SIZE])
        if found is None:
            raise TokenRejected(self.unknown(raw))
        key, sealer, aad = found
        if sealer is None:
            raise TokenRejected(RejectReason.REVOKED, key)
        try:
            return key, sealer.open(raw, PREFIX_SIZE, aad)
        except InvalidTag:
            # Wrong name or context look the same: they are part of what the tag is over.
            raise TokenRejected(RejectReason.BAD_TAG, key) from None


def named_key(token: bytes) -> bytes:
    """Return the id of the key that a well-formed token names; nothing vouches for it.

    Args:
        token: refused for nothing worse than ``unknown_key``.
    """
    # Eight characters are six octets: the version, the kid, and one of the nonce.
    return (base64url.decode(token[:8]) or b"")[1:PREFIX_SIZE]


def _written(keyring: Keyring) -> int:
    """Return the version that is written under a ring."""
    asked = keyring.write_format
    if asked is None:
        return VERSION
    if asked not in SUITES:
        known = ", ".join(map(str, sorted(SUITES)))
        raise KeyringError(
            "write_format",
            f"is {asked}, and this release of sessionkit writes {known} alone",
            "Install the newer release everywhere first, then raise it; or leave it out.",
        )
    return asked


def _bound(text: str, encoding: str) -> bytes:
    """Return the text with its length before it, so that no two pairs of name and context give the same octets."""
    octets = text.encode(encoding)
    if len(octets) > _MAX_BOUND:
        raise ValueError(f"a cookie name or a context has at most {_MAX_BOUND} octets")
    return len(octets).to_bytes(2) + octets
