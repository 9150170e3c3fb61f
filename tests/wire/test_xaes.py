"""XAES-256-GCM against the vectors C2SP publishes, and against a second way to compute the same function.

Vectors: C2SP, XAES-256-GCM.md, commit 5ba5ee830903e91240fc6f9f3a7a9293d49e69c9.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFCMAC, CounterLocation, Mode
from hypothesis import given
from hypothesis import strategies as st

from sessionkit.wire import xaes
from sessionkit.wire.xaes import KEY_SIZE, NONCE_SIZE, TAG_SIZE, Xaes256Gcm


@dataclass(frozen=True)
class Vector:
    """One published vector; ``l``, ``k1`` and ``kx`` are the intermediate values."""

    key: bytes
    l: bytes  # noqa: E741 - its name in the specification
    k1: bytes
    kx: bytes
    aad: bytes
    ciphertext: bytes
    nonce: bytes = b"ABCDEFGHIJKLMNOPQRSTUVWX"
    plaintext: bytes = b"XAES-256-GCM"


PUBLISHED = [
    Vector(
        key=b"\x01" * 32,
        l=bytes.fromhex("7298caa565031eadc6ce23d23ea66378"),
        k1=bytes.fromhex("e531954aca063d5b8d9c47a47d4cc6f0"),
        kx=bytes.fromhex("c8612c9ed53fe43e8e005b828a1631a0bbcb6ab2f46514ec4f439fcfd0fa969b"),
        aad=b"",
        ciphertext=bytes.fromhex("ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
    ),
    # The first bit of this L is set: doubling reduces.
    Vector(
        key=b"\x03" * 32,
        l=bytes.fromhex("91c08762876dccf9ba204a33768fa5fe"),
        k1=bytes.fromhex("23810ec50edb99f374409466ed1f4b7b"),
        kx=bytes.fromhex("e9c621d4cdd9b11b00a6427ad7e559aeedd66b3857646677748f8ca796cb3fd8"),
        aad=b"c2sp.org/XAES-256-GCM",
        ciphertext=bytes.fromhex("986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
    ),
]

published = pytest.mark.parametrize("vector", PUBLISHED, ids=["no reduction", "reduction"])

keys = st.binary(min_size=KEY_SIZE, max_size=KEY_SIZE)
nonces = st.binary(min_size=NONCE_SIZE, max_size=NONCE_SIZE)


def block(key: bytes, data: bytes) -> bytes:
    """AES-256 of whole blocks, as the specification names it."""
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(data)  # noqa: S305 - the block function


def derive_by_kbkdf(key: bytes, nonce: bytes) -> bytes:
    """Return the key of a message as SP 800-108r1 has it: a KDF in counter mode over CMAC."""
    return KBKDFCMAC(
        algorithm=algorithms.AES,
        mode=Mode.CounterMode,
        length=32,
        rlen=2,
        llen=None,
        location=CounterLocation.BeforeFixed,
        label=None,
        context=None,
        fixed=b"X\x00" + nonce[:12],
    ).derive(key)


@published
def test_published_vectors_seal_and_open(vector: Vector) -> None:
    """Both published vectors come out to the byte, and open again."""
    cipher = Xaes256Gcm(vector.key)
    assert cipher.encrypt(vector.nonce, vector.plaintext, vector.aad) == vector.ciphertext
    assert cipher.decrypt(vector.nonce, vector.ciphertext, vector.aad) == vector.plaintext
    assert cipher.derive(vector.nonce) == vector.kx


@published
def test_published_intermediate_values(vector: Vector) -> None:
    """L, K1 and both input blocks of the specification lead to the key that the cipher derives."""
    assert block(vector.key, bytes(16)) == vector.l
    k1 = int.from_bytes(vector.k1)
    m1 = int.from_bytes(b"\x00\x01X\x00" + vector.nonce[:12])
    m2 = int.from_bytes(b"\x00\x02X\x00" + vector.nonce[:12])
    assert m1 == 0x000158004142434445464748494A4B4C
    assert m2 == 0x000258004142434445464748494A4B4C
    kx = block(vector.key, (m1 ^ k1).to_bytes(16)) + block(vector.key, (m2 ^ k1).to_bytes(16))
    assert kx == vector.kx == Xaes256Gcm(vector.key).derive(vector.nonce)
    assert AESGCM(kx).encrypt(b"MNOPQRSTUVWX", vector.plaintext, vector.aad) == vector.ciphertext


def test_accumulated_vectors() -> None:
    """The ciphertexts of 10,000 messages drawn from SHAKE-128 have the published hash; every one opens again."""
    # Per test at most 32 + 24 + 1 + 255 + 1 + 255 octets are drawn.
    stream = memoryview(hashlib.shake_128().digest(10_000 * 568))
    position = 0

    def draw(octets: int) -> bytes:
        nonlocal position
        position += octets
        return bytes(stream[position - octets : position])

    sealed = hashlib.shake_128()
    for _ in range(10_000):
        cipher, nonce = Xaes256Gcm(draw(32)), draw(24)
        plaintext = draw(draw(1)[0])
        aad = draw(draw(1)[0])
        ciphertext = cipher.encrypt(nonce, plaintext, aad)
        assert cipher.decrypt(nonce, ciphertext, aad) == plaintext
        sealed.update(ciphertext)
    assert sealed.hexdigest(32) == "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"


@given(keys, nonces)
def test_derivation_agrees_with_kbkdf(key: bytes, nonce: bytes) -> None:
    """Two block operations under a kept cipher give what cryptography's own KDF gives, whatever key and nonce."""
    assert Xaes256Gcm(key).derive(nonce) == derive_by_kbkdf(key, nonce)


@given(keys, nonces, st.binary(max_size=64), st.binary(max_size=64), st.data())
def test_altered_input_is_refused(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes, data: st.DataObject) -> None:
    """One flipped bit in ciphertext, tag, nonce or associated data is refused."""
    cipher = Xaes256Gcm(key)
    parts = [nonce, cipher.encrypt(nonce, plaintext, aad), aad]
    assert len(parts[1]) == len(plaintext) + TAG_SIZE
    which = data.draw(st.sampled_from([0, 1, 2] if aad else [0, 1]))
    bit = data.draw(st.integers(0, len(parts[which]) * 8 - 1))
    flipped = int.from_bytes(parts[which]) ^ (1 << bit)
    parts[which] = flipped.to_bytes(len(parts[which]))
    with pytest.raises(InvalidTag):
        cipher.decrypt(*parts)


@pytest.mark.parametrize("size", [0, 12, 16, 23, 25, 48])
def test_nonce_of_another_length_is_refused(size: int) -> None:
    """A nonce that is not 24 octets long raises in both directions, although AES-GCM itself would take it."""
    cipher = Xaes256Gcm(bytes(32))
    with pytest.raises(ValueError, match="24 octets"):
        cipher.encrypt(bytes(size), b"", b"")
    with pytest.raises(ValueError, match="24 octets"):
        cipher.decrypt(bytes(size), bytes(32), b"")
    kept = cipher.seal(b"", b"")[:NONCE_SIZE]
    with pytest.raises(ValueError, match="24 octets"):
        cipher.decrypt((kept + bytes(24))[:size], bytes(32), b"")


@pytest.mark.parametrize("size", [0, 16, 24, 31, 33])
def test_key_of_another_length_is_refused(size: int) -> None:
    """A key that is not 32 octets long raises, although AES itself would take some of these."""
    with pytest.raises(ValueError, match="32 octets"):
        Xaes256Gcm(bytes(size))


def test_differs_from_plain_aes_gcm_with_a_long_nonce() -> None:
    """Handing the 24 octets to AES-GCM, which it accepts, is another function: the trap this module guards."""
    vector = PUBLISHED[0]
    assert AESGCM(vector.key).encrypt(vector.nonce, vector.plaintext, vector.aad) != vector.ciphertext


@pytest.mark.parametrize("size", [0, 1, 15])
def test_ciphertext_shorter_than_a_tag_is_refused(size: int) -> None:
    """What is too short to hold a tag is refused as any altered ciphertext is."""
    with pytest.raises(InvalidTag):
        Xaes256Gcm(bytes(32)).decrypt(bytes(24), bytes(size), b"")


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_sealed_messages_open(plaintext: bytes, aad: bytes) -> None:
    """What is sealed under nonces of its own drawing opens here, and as plain XAES under another instance."""
    cipher = Xaes256Gcm(bytes(32))
    for _ in range(3):
        sealed = cipher.seal(plaintext, aad)
        nonce, ciphertext = sealed[:NONCE_SIZE], sealed[NONCE_SIZE:]
        for reader in (cipher, Xaes256Gcm(bytes(32))):
            assert reader.decrypt(nonce, ciphertext, aad) == plaintext
            with pytest.raises(InvalidTag):
                reader.decrypt(nonce, ciphertext, aad + b"x")
        assert Xaes256Gcm(bytes(32)).encrypt(nonce, plaintext, aad) == ciphertext


def test_opens_behind_something_else() -> None:
    """What is sealed opens where it stands, in the epoch it was sealed in and after it; nothing short is taken."""
    cipher = Xaes256Gcm(bytes(KEY_SIZE))
    sealed = cipher.seal(b"plain", b"aad")
    for opener in (cipher, Xaes256Gcm(bytes(KEY_SIZE))):
        assert opener.open(b"front" + sealed, 5, b"aad") == opener.open(sealed, 0, b"aad") == b"plain"
        for wrong in (b"fron" + sealed, b"front" + sealed[:-1], b"front" + sealed[:NONCE_SIZE]):
            with pytest.raises(InvalidTag):
                opener.open(wrong, 5, b"aad")
    with pytest.raises(ValueError, match="24 octets"):
        cipher.open(b"short", 0, b"")


def test_nonces_come_from_the_operating_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every octet of a nonce is drawn from ``os.urandom``: 24 at the start of an epoch, 12 for each message."""
    asked: list[int] = []
    real = os.urandom

    def urandom(size: int) -> bytes:
        asked.append(size)
        return real(size)

    monkeypatch.setattr(os, "urandom", urandom)
    cipher = Xaes256Gcm(bytes(32))
    nonces = [cipher.seal(b"", b"")[:NONCE_SIZE] for _ in range(3)]
    assert asked == [24, 12, 12, 12]
    assert len({nonce[:12] for nonce in nonces}) == 1
    assert len({nonce[12:] for nonce in nonces}) == 3


def test_an_epoch_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """After ``EPOCH`` messages the kept part of the nonce is drawn anew; messages of epochs gone by still open."""
    monkeypatch.setattr(xaes, "EPOCH", 3)
    cipher = Xaes256Gcm(bytes(32))
    sealed = [cipher.seal(b"text", b"") for _ in range(10)]
    prefixes = [message[:12] for message in sealed]
    assert [prefixes.count(prefix) for prefix in dict.fromkeys(prefixes)] == [3, 3, 3, 1]
    assert all(cipher.decrypt(message[:NONCE_SIZE], message[NONCE_SIZE:], b"") == b"text" for message in sealed)


def test_threads_share_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """However threads interleave at the end of an epoch, each message belongs to the nonce it carries."""
    monkeypatch.setattr(xaes, "EPOCH", 2)
    cipher = Xaes256Gcm(bytes(32))

    def work(_: int) -> bool:
        sealed = cipher.seal(b"text", b"")
        return Xaes256Gcm(bytes(32)).decrypt(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], b"") == b"text"

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(1000)))


def test_instances_do_not_share_epochs() -> None:
    """Two ciphers of one key, as two workers have, draw nonces of their own."""
    assert Xaes256Gcm(bytes(32)).seal(b"", b"")[:12] != Xaes256Gcm(bytes(32)).seal(b"", b"")[:12]


def test_one_cipher_serves_many_threads() -> None:
    """The kept block cipher holds no state between calls: threads that share it do not disturb each other."""
    cipher = Xaes256Gcm(bytes(32))

    def work(number: int) -> bool:
        nonce = number.to_bytes(24)
        return all(cipher.derive(nonce) == derive_by_kbkdf(bytes(32), nonce) for _ in range(50))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(40)))


def test_a_block_cipher_in_use_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ``cryptography`` refuses a second thread in one block cipher (44 to 49), it takes its own."""

    def borrowed(_: bytes) -> bytes:
        raise RuntimeError("Already borrowed")

    cipher = Xaes256Gcm(bytes(32))
    nonce = bytes(range(24))
    expected = cipher.derive(nonce)
    monkeypatch.setattr(cipher, "_block", borrowed)
    assert cipher.derive(nonce) == expected


def test_repr_and_pickle_hold_no_key() -> None:
    """Neither repr nor pickle gives the key away."""
    cipher = Xaes256Gcm(b"planted-secret-planted-secret-32")
    assert repr(cipher) == "<Xaes256Gcm>"
    with pytest.raises(TypeError):
        pickle.dumps(cipher)
