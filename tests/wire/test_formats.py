"""Versions of the format: a release reads all it knows, writes the one the ring names, and leaves the rest alone.

The newer release is made here: version 2 is ChaCha20-Poly1305 under a key of its own, put into the closed table for as
long as that release runs. Nothing outside of a test can do that.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from random import Random
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from sessionkit.backend.backend import SessionBackend
from sessionkit.backend.messages import Load, Loaded, Received, Rejected, Reload, Save, Saved
from sessionkit.config import SessionConfig
from sessionkit.exceptions import KeyringError, RejectReason
from sessionkit.keyring.keyring import Keyring
from sessionkit.session import Session
from sessionkit.testing import FixedClock
from sessionkit.wire import base64url, token
from sessionkit.wire.token import SUITES, TokenCipher, TokenRejected, named_key
from tests.middleware.apps import key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionkit.keyring.key import Key


class Second:
    """The suite of version 2: another cipher, another key, another size of nonce (behind it, twelve octets of rest)."""

    def __init__(self, key: Key) -> None:
        self._cipher = ChaCha20Poly1305(key.derive("second"))

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """Return what stands behind version and kid."""
        nonce = os.urandom(12)
        return nonce + bytes(12) + self.encrypt(nonce, plaintext, aad)

    def encrypt(self, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """Return the ciphertext and its tag."""
        return self._cipher.encrypt(nonce, plaintext, aad)

    def open(self, sealed: bytes, start: int, aad: bytes) -> bytes:
        """Return the plaintext."""
        if any(sealed[start + 12 : start + 24]):
            raise InvalidTag
        return self._cipher.decrypt(sealed[start : start + 12], sealed[start + 24 :], aad)


@contextmanager
def newer() -> Iterator[None]:
    """Be the newer release: it knows two versions and writes the second by itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token, "SUITES", MappingProxyType({**SUITES, 2: Second}))
        patch.setattr(token, "VERSION", 2)
        yield


RING = Keyring([key(1)], generation=1)


class Node:
    """A backend of one release; the browser is shared."""

    def __init__(self, jar: dict[bytes, bytes], *, new: bool, ring: Keyring = RING) -> None:
        self._new = new
        self._jar = jar
        self._clock = FixedClock()
        with self._release():
            self._backend = SessionBackend(SessionConfig(), ring, clock=self._clock)

    @contextmanager
    def _release(self) -> Iterator[None]:
        if self._new:
            with newer():
                yield
        else:
            yield

    def reload(self, ring: Keyring) -> None:
        """Put another ring in force."""
        with self._release():
            self._backend.handle(Reload(ring))

    def load(self) -> Received:
        """Open what the browser has."""
        fields = (b"; ".join(b"%b=%b" % pair for pair in self._jar.items()),)
        received = self._backend.handle(Load(fields))[0]
        assert isinstance(received, Loaded | Rejected)
        return received

    def count(self) -> int:
        """Visit: count one more in the session, and send the browser its cookies."""
        received = self.load() if self._jar else None
        loaded = received if isinstance(received, Loaded) else None
        data, record = ({}, None) if loaded is None else (loaded.data, loaded.record)
        session = Session(data, record=record, clock=self._clock)
        session["n"] = session.get("n", 0) + 1
        session["text"] = "x" * 5_000
        message = Save(session, session) if received is None else Save(session, session, received)
        saved = self._backend.handle(message)[0]
        assert isinstance(saved, Saved)
        for cookie in saved.cookies:
            name, _, value = cookie.partition(b";")[0].partition(b"=")
            self._jar[name] = value
        count: int = session["n"]
        return count


def version(jar: dict[bytes, bytes]) -> int:
    """Return the version of the token that the browser has."""
    raw = base64url.decode(jar[b"session-0"][:8])
    assert raw is not None
    return raw[0]


def test_readers_before_writers() -> None:
    """With the pin in place, old and new nodes share every session, in whatever order requests reach them.

    When every node is new, the pin goes and the second version is written; back in place, it leads back to the first.
    """
    jar: dict[bytes, bytes] = {}
    pinned = RING.changed(write_format=1, generation=2)
    nodes = [Node(jar, new=False, ring=pinned), Node(jar, new=True, ring=pinned)]
    random = Random(1)
    for expected in range(1, 40):
        assert random.choice(nodes).count() == expected
        assert version(jar) == 1
    nodes[0] = Node(jar, new=True, ring=pinned)
    for node in nodes:
        node.reload(RING.changed(generation=3))
    for expected in range(40, 60):
        assert random.choice(nodes).count() == expected
        assert version(jar) == 2
    for node in nodes:
        node.reload(pinned.changed(generation=4))
    assert nodes[0].count() == 60
    assert version(jar) == 1
    assert Node(jar, new=False, ring=pinned).count() == 61


def test_writers_before_readers() -> None:
    """Without the pin an old node refuses what a new one wrote, and leaves the cookie alone for it."""
    jar: dict[bytes, bytes] = {}
    old, new = Node(jar, new=False), Node(jar, new=True)
    assert [new.count(), new.count(), version(jar)] == [1, 2, 2]
    refused = old.load()
    assert isinstance(refused, Rejected)
    assert (refused.reason, refused.key) == (RejectReason.UNSUPPORTED_VERSION, None)
    assert refused.reason.keeps_cookie
    assert new.count() == 3


@pytest.mark.parametrize("new", [False, True])
def test_a_format_that_a_release_cannot_write(new: bool) -> None:
    """A ring that asks for one is refused, with what can be written, and the ring in force serves on."""
    asked = RING.changed(write_format=3 if new else 2, generation=2)
    known = "1, 2" if new else "1"
    jar: dict[bytes, bytes] = {}
    node = Node(jar, new=new)
    with pytest.raises(
        KeyringError, match=f"is {asked.write_format}, and this release of sessionkit writes {known} al"
    ):
        node.reload(asked)
    assert [node.count(), node.count()] == [1, 2]


def test_every_version_is_bound_to_its_suite() -> None:
    """A token whose version octet is exchanged opens under neither suite; both kinds of refusal are told apart."""
    with newer():
        cipher = TokenCipher(RING, "session")
        tokens = {1: TokenCipher(RING.changed(write_format=1), "session"), 2: cipher}
        for written, sealer in tokens.items():
            raw = base64url.decode(sealer.seal(RING.keys[0], b"plain"))
            assert raw is not None
            assert raw[0] == written
            assert cipher.open(base64url.encode(raw)) == (RING.keys[0], b"plain")
            for octet, reason in ((3 - written, RejectReason.BAD_TAG), (9, RejectReason.UNSUPPORTED_VERSION)):
                with pytest.raises(TokenRejected) as caught:
                    cipher.open(base64url.encode(bytes([octet]) + raw[1:]))
                assert caught.value.reason is reason
            with pytest.raises(TokenRejected) as caught:
                cipher.open(base64url.encode(raw[:1] + bytes(4) + raw[5:]))
            assert caught.value.reason is RejectReason.UNKNOWN_KEY
        assert repr(cipher) == "<TokenCipher: 1 of 1 keys open>"


def test_beginnings() -> None:
    """How tokens of the known versions begin, as text: a whole token is told from another's chunk by that."""
    assert TokenCipher(RING, "session").beginnings == {b"A" + bytes([letter]) for letter in b"QRSTUVWXYZabcdef"}
    with newer():
        cipher = TokenCipher(RING, "session")
        assert cipher.seal(RING.keys[0], b"")[:2] in cipher.beginnings
        assert len(cipher.beginnings) == 32


def test_the_table_is_closed() -> None:
    """There is one version, and the table cannot be added to."""
    assert list(SUITES) == [token.VERSION] == [1]
    with pytest.raises(TypeError):
        SUITES[2] = Second  # type: ignore[index]  # that is the mistake


def test_the_key_that_a_token_names() -> None:
    """It is read without opening the token, also of one that is cut off behind it."""
    sealed = TokenCipher(RING, "session").seal(RING.keys[0], b"plain")
    assert named_key(sealed) == named_key(sealed[:8]) == RING.keys[0].id
    assert named_key(b"not base64url!") == b""
