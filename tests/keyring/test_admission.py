"""What a process asks of a ring before it takes it: each key opens what it seals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sessionkit.keyring.admission import self_test
from sessionkit.keyring.key import Key
from sessionkit.keyring.keyring import Keyring
from sessionkit.wire.token import TokenCipher, TokenRejected
from tests.keyring.rings import A

if TYPE_CHECKING:
    from collections.abc import Callable


def _ring(*keys: Key) -> Keyring:
    return Keyring([*keys, Key.from_secret(A, label="a")])


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the labels of the keys that something is sealed with, in order."""
    labels: list[str] = []
    seal: Callable[..., bytes] = TokenCipher.seal

    def noted(self: TokenCipher, key: Key, plaintext: bytes) -> bytes:
        labels.append(key.label)
        return seal(self, key, plaintext)

    monkeypatch.setattr(TokenCipher, "seal", noted)
    return labels


def test_self_test_passes_over_what_cannot_open(sealed: list[str]) -> None:
    """A tombstone has no secret to try; the others are tried all the same."""
    self_test(_ring(Key.tombstone(b"\x01\x02\x03\x04", label="gone")))
    assert sealed == ["a"]


def test_self_test_finds_a_key_that_does_not_open_what_it_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cipher that seals differently from what it opens is found before it is put in force."""
    seal = TokenCipher.seal

    def garble(self: TokenCipher, key: Key, plaintext: bytes) -> bytes:
        return seal(self, key, plaintext)[:-4] + b"AAAA"

    monkeypatch.setattr(TokenCipher, "seal", garble)
    with pytest.raises(TokenRejected):
        self_test(_ring())
