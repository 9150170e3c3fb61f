r"""XAES-256-GCM: AES-256-GCM under a key of its own per message, so that random nonces never run out.

Source: C2SP, XAES-256-GCM.md (commit 5ba5ee830903e91240fc6f9f3a7a9293d49e69c9). With random 96-bit nonces one AES-GCM
key is good for 2^32 messages over a whole fleet, which no process can count alone; with 192-bit ones it is 2^80.

    L  = AES-256(K, 0^128)      K1 = double(L)                         the subkey of CMAC (SP 800-38B), once per key
    Kx = AES-256(K, (00 01 "X" 00 ‖ N[:12]) ⊕ K1) ‖ AES-256(K, (00 02 "X" 00 ‖ N[:12]) ⊕ K1)
    ciphertext ‖ tag = AES-256-GCM(Kx, nonce = N[12:], plaintext, aad)

Rules of this file:

* Every input length is checked here. ``AESGCM`` itself takes a nonce of 24 octets without a word, and what it then
  computes is not XAES.
* A key's cipher is set up once. Deriving ``Kx`` so takes 0.6 µs; ``KBKDFCMAC`` with ``fixed=b"X\0" + N[:12]``, the same
  function in one call, takes 4.2 µs (Python 3.11, cryptography 50). The tests hold one against the other.
* ``seal`` draws the nonce. It keeps the first 12 octets, and with them ``Kx``, for ``EPOCH`` messages, which saves two
  thirds of its time (5.5 µs become 2); the other 12 are drawn anew for each message. So forks and cloned machines that
  share the kept part still differ, as counters and pools of nonces would not. ``decrypt`` gains alike on messages of
  the same epoch: those this very process sealed lately.
* It is not key-committing: a ciphertext that opens under two keys can be made by someone who knows both. That needs
  keys an attacker chose and a reader that tries several; a token names its key and exactly one is tried.
"""

from __future__ import annotations

import os

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["EPOCH", "KEY_SIZE", "NONCE_SIZE", "TAG_SIZE", "Xaes256Gcm"]

KEY_SIZE = 32
NONCE_SIZE = 24
TAG_SIZE = 16

EPOCH = 2**20
"""Messages sealed under one ``Kx``. That two of them get one nonce has a chance of 2^-57; NIST allows 2^-32."""

_PREFIX_SIZE = 12
"""Octets of the nonce that the derived key depends on; the others are the nonce of AES-GCM."""

_BLOCK_BITS = 128
_TWICE = (1 << _BLOCK_BITS) | 1
"""Times this, a number of one block stands in both of two blocks."""

_DOMAIN = int.from_bytes(b"\x00\x01X\x00" + bytes(_PREFIX_SIZE) + b"\x00\x02X\x00" + bytes(_PREFIX_SIZE))
"""Both blocks M1 and M2 with the nonce left out."""

_REDUCTION = 0x87
"""x^128 + x^7 + x^2 + x + 1 without its first term (SP 800-38B, 5.3)."""


class Xaes256Gcm:
    """The AEAD under one key.

    Safe to share between threads where one lock guards the interpreter; without such a lock, give each thread its own.

    Args:
        key: ``KEY_SIZE`` octets.

    Raises:
        ValueError: if the key has another length.
    """

    __slots__ = ("_block", "_cipher", "_kept", "_left", "_mask")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError(f"an XAES-256-GCM key has {KEY_SIZE} octets")
        # ECB is not a mode here but the bare block function that CMAC is made of. Whole blocks leave no state behind.
        self._cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 - see above
        self._block = self._cipher.encryptor().update
        doubled = int.from_bytes(self._block(bytes(16))) << 1
        subkey = doubled ^ (1 << _BLOCK_BITS | _REDUCTION) if doubled >> _BLOCK_BITS else doubled
        self._mask = _DOMAIN ^ subkey * _TWICE
        self._left = 0
        # One attribute, so that no thread ever reads the nonce of one epoch and the cipher of another.
        self._kept: tuple[bytes, AESGCM | None] = b"", None

    def __repr__(self) -> str:
        """Show no key."""
        return "<Xaes256Gcm>"

    def derive(self, nonce: bytes) -> bytes:
        """Return ``Kx``: the key of AES-256-GCM for messages under this nonce.

        Raises:
            ValueError: if the nonce does not have ``NONCE_SIZE`` octets.
        """
        if len(nonce) != NONCE_SIZE:
            raise ValueError(f"an XAES-256-GCM nonce has {NONCE_SIZE} octets")
        blocks = (self._mask ^ int.from_bytes(nonce[:_PREFIX_SIZE]) * _TWICE).to_bytes(KEY_SIZE)
        try:
            return self._block(blocks)
        except RuntimeError:
            # Another thread is in there: releases of cryptography before 50 let go of the lock meanwhile.
            return self._cipher.encryptor().update(blocks)

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """Return a random nonce, the ciphertext and the tag, one behind the other; arguments as for ``encrypt``."""
        prefix, cipher = self._kept
        if self._left <= 0 or cipher is None:
            nonce = os.urandom(NONCE_SIZE)
            prefix, cipher = self._kept = nonce[:_PREFIX_SIZE], AESGCM(self.derive(nonce))
            self._left = EPOCH
        self._left -= 1
        suffix = os.urandom(NONCE_SIZE - _PREFIX_SIZE)
        return b"%b%b%b" % (prefix, suffix, cipher.encrypt(suffix, plaintext, aad))

    def open(self, sealed: bytes, start: int, aad: bytes) -> bytes:
        """Return the plaintext of what ``seal`` returned.

        Args:
            sealed: nonce, ciphertext and tag, with something else before them.
            start: octets before them; slices are taken once, so nobody need take that off first.
            aad: what it was bound to.

        Raises:
            cryptography.exceptions.InvalidTag: if anything was altered.
            ValueError: if there is no whole nonce.
        """
        within, body = start + _PREFIX_SIZE, start + NONCE_SIZE
        prefix, cipher = self._kept
        if cipher is None or not sealed.startswith(prefix, start):
            cipher = AESGCM(self.derive(sealed[start:body]))
        return cipher.decrypt(sealed[within:body], sealed[body:], aad)

    def encrypt(self, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """Return the ciphertext and, behind it, the tag of ``TAG_SIZE`` octets.

        Args:
            nonce: ``NONCE_SIZE`` random octets, never used twice.
            plaintext: what to hide.
            aad: what to bind it to without hiding it.

        Raises:
            ValueError: if the nonce has another length.
        """
        return AESGCM(self.derive(nonce)).encrypt(nonce[_PREFIX_SIZE:], plaintext, aad)

    def decrypt(self, nonce: bytes, ciphertext: bytes, aad: bytes) -> bytes:
        """Return the plaintext.

        Args:
            nonce: what it was encrypted with.
            ciphertext: with the tag behind it.
            aad: what it was bound to.

        Raises:
            cryptography.exceptions.InvalidTag: if anything was altered.
            ValueError: if the nonce has another length.
        """
        if len(nonce) != NONCE_SIZE:
            raise ValueError(f"an XAES-256-GCM nonce has {NONCE_SIZE} octets")
        return self.open(nonce + ciphertext, 0, aad)
