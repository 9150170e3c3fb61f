"""Our tokens against Google's Tink, which shares no code with us: each opens what the other seals.

With a fixed kid a token is Tink's ``XAES_256_GCM_192_BIT_NONCE`` output: prefix 0x01, the key's id as four octets,
nonce, ciphertext and tag.
"""

from __future__ import annotations

import base64
import random
from typing import Any

import pytest
from tink import BinaryKeysetReader, TinkError, aead, cleartext_keyset_handle
from tink.proto import tink_pb2, x_aes_gcm_pb2

from sessionkit.exceptions import RejectReason
from sessionkit.keyring.keyring import Keyring
from sessionkit.wire.token import TokenCipher, TokenRejected

ROUNDS = 60
NAME = "session"


@pytest.fixture(scope="module", autouse=True)
def _tink() -> None:
    aead.register()


def tink_for(key: bytes, kid: bytes) -> Any:
    """Return Tink's AEAD under this key, with the kid as the key id of its prefix."""
    xaes = x_aes_gcm_pb2.XAesGcmKey(key_value=key, params=x_aes_gcm_pb2.XAesGcmParams(salt_size=12))
    number = int.from_bytes(kid)
    keyset = tink_pb2.Keyset(primary_key_id=number)
    keyset.key.add(
        key_data=tink_pb2.KeyData(
            type_url="type.googleapis.com/google.crypto.tink.XAesGcmKey",
            value=xaes.SerializeToString(),
            key_material_type=tink_pb2.KeyData.SYMMETRIC,
        ),
        status=tink_pb2.ENABLED,
        key_id=number,
        output_prefix_type=tink_pb2.TINK,
    )
    handle = cleartext_keyset_handle.read(BinaryKeysetReader(keyset.SerializeToString()))
    return handle.primitive(aead.Aead)


def aad_of(kid: bytes, name: str, context: str) -> bytes:
    """The associated data, written out once more."""
    bound = context.encode()
    return b"sessionkit\x01" + kid + len(name).to_bytes(2) + name.encode() + len(bound).to_bytes(2) + bound


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_both_open_what_the_other_seals(seed: int) -> None:
    """Random secret, context and plaintext: Tink opens our token, we open Tink's, and both refuse another context."""
    rng = random.Random(seed)
    ring = Keyring.from_secret(rng.randbytes(rng.choice([16, 24, 32])))
    key = ring.keys[0]
    context = "".join(rng.choices("abc.é東/", k=rng.randrange(12)))
    plaintext = rng.randbytes(rng.choice([0, 1, 15, 16, 17, 200, 5000]))
    ours, theirs = TokenCipher(ring, NAME, context), tink_for(key.derive("session"), key.id)
    aad = aad_of(key.id, NAME, context)

    token = ours.seal(key, plaintext)
    raw = base64.urlsafe_b64decode(token + b"=" * (-len(token) % 4))
    assert theirs.decrypt(raw, aad) == plaintext
    with pytest.raises(TinkError):
        theirs.decrypt(raw, aad + b"x")

    sealed = base64.urlsafe_b64encode(theirs.encrypt(plaintext, aad)).rstrip(b"=")
    assert ours.open(sealed) == (key, plaintext)
    with pytest.raises(TokenRejected) as caught:
        TokenCipher(ring, NAME, f"{context}x").open(sealed)
    assert caught.value.reason is RejectReason.BAD_TAG
