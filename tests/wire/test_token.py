"""The token: its layout to the byte, its one spelling, and nothing but ``TokenRejected`` for foreign bytes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionkit.exceptions import RejectReason
from sessionkit.keyring.key import Key, KeyState
from sessionkit.keyring.keyring import Keyring
from sessionkit.wire import base64url
from sessionkit.wire.token import OVERHEAD, TokenCipher, TokenRejected
from sessionkit.wire.xaes import Xaes256Gcm

SECRET = bytes(range(32))
NONCE = bytes(range(0x40, 0x58))
NAME = "__Host-session"
PLAIN = b'{"uid":42}'

RING = Keyring.from_secret(SECRET)
KEY = RING.keys[0]
CIPHER = TokenCipher(RING, NAME)
TOKEN = CIPHER.seal(KEY, PLAIN, nonce=NONCE)


def refusal(cipher: TokenCipher, token: bytes) -> TokenRejected:
    """Open what must not open."""
    with pytest.raises(TokenRejected) as caught:
        cipher.open(token)
    return caught.value


def test_the_worked_example_to_the_byte() -> None:
    """The example of the format's page comes out as printed there, and opens."""
    assert KEY.kid == "b35e5601"
    assert KEY.derive("session").hex() == "4d1864d047eeda0428080cfa4708bf6638895265fa33a616f1dfa614a32b0832"
    assert TOKEN == b"AbNeVgFAQUJDREVGR0hJSktMTU5PUFFSU1RVVld0QXSEsE2tyyTSTKAsq_OOfkyZLok2skoSGQ"
    assert CIPHER.open(TOKEN) == (KEY, PLAIN)


@given(st.binary(max_size=600))
def test_any_plaintext_comes_back_with_its_key(plaintext: bytes) -> None:
    """What was sealed opens to the same octets, names its key, and is 45 octets longer before base64."""
    token = CIPHER.seal(KEY, plaintext)
    assert CIPHER.open(token) == (KEY, plaintext)
    assert len(base64url.decode(token) or b"") == len(plaintext) + OVERHEAD


def test_nonces_are_random() -> None:
    """Sealing the same a hundred times gives a hundred nonces; version and kid are the same."""
    raws = [base64url.decode(CIPHER.seal(KEY, PLAIN)) or b"" for _ in range(100)]
    assert {raw[:5] for raw in raws} == {b"\x01" + KEY.id}
    assert len({raw[17:29] for raw in raws}) == len({raw[29:] for raw in raws}) == 100


@pytest.mark.parametrize("size", [0, 12, 23, 25])
def test_a_nonce_of_another_length_is_refused(size: int) -> None:
    """A nonce that is not 24 octets long raises instead of making a token no other reader opens."""
    with pytest.raises(ValueError, match="24 octets"):
        CIPHER.seal(KEY, PLAIN, nonce=bytes(size))


@given(st.binary(max_size=200), st.integers(0, 2**31))
def test_every_flipped_bit_is_refused(plaintext: bytes, seed: int) -> None:
    """Case 182: a token with one bit flipped anywhere is refused, for the reason that belongs to the place."""
    raw = base64url.decode(CIPHER.seal(KEY, plaintext)) or b""
    bit = seed % (len(raw) * 8)
    altered = (int.from_bytes(raw) ^ 1 << (len(raw) * 8 - 1 - bit)).to_bytes(len(raw))
    reason = refusal(CIPHER, base64url.encode(altered)).reason
    if bit < 8:
        assert reason is RejectReason.UNSUPPORTED_VERSION
    elif bit < 40:
        assert reason is RejectReason.UNKNOWN_KEY
    else:
        assert reason is RejectReason.BAD_TAG


@given(st.data())
def test_mutated_tokens_are_refused_or_the_same(data: st.DataObject) -> None:
    """Tokens cut, joined, swapped in part or written over raise ``TokenRejected``, or are the token itself."""
    other = CIPHER.seal(KEY, b"another", nonce=NONCE[::-1])
    token = bytearray(data.draw(st.sampled_from([TOKEN, other])))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(token)))
        end = data.draw(st.integers(start, min(len(token), start + 30)))
        token[start:end] = data.draw(
            st.binary(max_size=8) | st.just(b"") | st.sampled_from([TOKEN[start:end], other[start:end], TOKEN])
        )
    try:
        key, plaintext = CIPHER.open(bytes(token))
    except TokenRejected as rejected:
        assert rejected.reason in RejectReason  # noqa: PT017 - both outcomes are right; which one depends on the draw
    else:
        assert key == KEY
        assert (bytes(token), plaintext) in {(TOKEN, PLAIN), (other, b"another")}


@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_random_octets_are_refused(token: bytes) -> None:
    """Cases 30, 36: random octets, text and control characters raise nothing but ``TokenRejected``."""
    assert refusal(CIPHER, token).reason in {RejectReason.MALFORMED, RejectReason.UNSUPPORTED_VERSION}


@pytest.mark.parametrize(
    "value", [b"", b'""', b"null", b"deleted", b"%3D", b"a=b", b"\x00", b"\x7f" * 100, b"\xff" * 100]
)
def test_what_clients_send_in_place_of_a_token(value: bytes) -> None:
    """Cases 31 to 36: empty, quoted, clearing, percent-encoded and control values are malformed, and not unquoted."""
    rejected = refusal(CIPHER, value)
    assert rejected.reason is RejectReason.MALFORMED
    assert rejected.key is None


def test_one_token_has_one_spelling() -> None:
    """Padding, the other alphabet, white space, JSON escapes and leftover bits are malformed, not another spelling."""
    assert len(TOKEN) % 4 == 2
    assert b"_" in TOKEN
    for spelling in (
        TOKEN + b"==",
        TOKEN + b"=",
        TOKEN.replace(b"_", b"/"),
        TOKEN + b" ",
        b" " + TOKEN,
        TOKEN + b"\n",
        TOKEN[:9] + b"\n" + TOKEN[9:],
        b'"' + TOKEN + b'"',
        rb"\u0041" + TOKEN[1:],
        TOKEN[:-1] + bytes([TOKEN[-1] + 1]),
    ):
        assert refusal(CIPHER, spelling).reason is RejectReason.MALFORMED


@pytest.mark.parametrize("size", [0, 1, 5, 29, OVERHEAD - 1])
def test_too_short_is_malformed(size: int) -> None:
    """What is shorter than an empty token is malformed, whatever version it claims."""
    for version in (b"\x01", b"\x02"):
        assert refusal(CIPHER, base64url.encode((version + bytes(60))[:size])).reason is RejectReason.MALFORMED


@pytest.mark.parametrize("version", [0, 2, 3, 127, 255])
def test_another_version_is_unsupported(version: int) -> None:
    """Case 184: any other version octet is ``unsupported_version``; nothing else is tried, and the cookie is kept."""
    raw = base64url.decode(TOKEN) or b""
    rejected = refusal(CIPHER, base64url.encode(bytes([version]) + raw[1:]))
    assert rejected.reason is RejectReason.UNSUPPORTED_VERSION
    assert rejected.reason.keeps_cookie


def test_unknown_key() -> None:
    """Case 181: a token of a key that is not in the ring is ``unknown_key``, which keeps the cookie."""
    rejected = refusal(TokenCipher(Keyring.from_secret(bytes(32)), NAME), TOKEN)
    assert rejected.reason is RejectReason.UNKNOWN_KEY
    assert rejected.reason.keeps_cookie
    assert rejected.key is None


def test_bad_tag_names_the_key() -> None:
    """Case 182: altered octets under a known key are ``bad_tag``, tell which key, and do not keep the cookie."""
    rejected = refusal(CIPHER, TOKEN[:-4] + b"AAAA")
    assert (rejected.reason, rejected.key) == (RejectReason.BAD_TAG, KEY)
    assert not rejected.reason.keeps_cookie


def test_bound_to_its_cookie_and_context() -> None:
    """Case 183: a token opens neither under another name nor under another context, however the two are divided."""
    pairs = [("ab", "c"), ("a", "bc"), ("abc", ""), ("ab", ""), ("ab", "cc"), ("ab", "ç"), ("c", "ab")]
    for made in pairs:
        token = TokenCipher(RING, *made).seal(KEY, PLAIN)
        for read in pairs:
            cipher = TokenCipher(RING, *read)
            if made == read:
                assert cipher.open(token) == (KEY, PLAIN)
            else:
                assert refusal(cipher, token).reason is RejectReason.BAD_TAG


@pytest.mark.parametrize("state", [KeyState.ACTIVE, KeyState.RETIRED, KeyState.STAGED])
def test_every_key_but_a_revoked_one_opens(state: KeyState) -> None:
    """Cases 179, 180: retired keys open what they sealed, staged keys what others seal with them already."""
    others = [] if state is KeyState.ACTIVE else [Key.from_secret(bytes(32), label="other")]
    ring = Keyring([Key.from_secret(SECRET, label="mine", state=state), *others])
    key, plaintext = TokenCipher(ring, NAME).open(TOKEN)
    assert (key.label, plaintext) == ("mine", PLAIN)


@pytest.mark.parametrize(
    "revoked",
    [Key.from_secret(SECRET, label="gone", state=KeyState.REVOKED), Key.tombstone(KEY.id, label="gone")],
    ids=["with its secret", "tombstone"],
)
def test_a_revoked_key_neither_opens_nor_seals(revoked: Key) -> None:
    """What a revoked key sealed is ``revoked`` whether or not its secret is still there, and it seals nothing more."""
    cipher = TokenCipher(Keyring([Key.from_secret(bytes(32)), revoked]), NAME)
    rejected = refusal(cipher, TOKEN)
    assert (rejected.reason, rejected.key) == (RejectReason.REVOKED, revoked)
    with pytest.raises(ValueError, match="seals nothing"):
        cipher.seal(revoked, PLAIN)


def test_a_key_of_another_ring_seals_nothing() -> None:
    """Sealing under a key that this ring does not hold raises: nobody here could open the result."""
    with pytest.raises(ValueError, match="not of this ring"):
        CIPHER.seal(Key.from_secret(bytes(32)), PLAIN)


def test_exactly_one_key_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 50 keys in the ring one decryption is attempted, whether the token opens or not; none for an unknown kid."""
    keys = [Key.from_secret(bytes([number]) * 32, label=str(number), state=KeyState.RETIRED) for number in range(50)]
    cipher = TokenCipher(Keyring([KEY, *keys]), NAME)
    derived: list[bytes] = []
    original = Xaes256Gcm.derive

    def derive(self: Xaes256Gcm, nonce: bytes) -> bytes:
        derived.append(nonce)
        return original(self, nonce)

    monkeypatch.setattr(Xaes256Gcm, "derive", derive)
    assert cipher.open(TOKEN) == (KEY, PLAIN)
    assert len(derived) == 1
    refusal(cipher, TOKEN[:-4] + b"AAAA")
    assert len(derived) == 2
    refusal(cipher, b"AbNe" + b"A" * 80)
    refusal(cipher, TOKEN + b"=")
    assert len(derived) == 2


def test_long_junk_is_refused() -> None:
    """Case 37: 200 kB of anything is refused by decoding and lookup alone."""
    rng = random.Random(37)
    assert refusal(CIPHER, b"A" * 200_001).reason is RejectReason.MALFORMED
    assert refusal(CIPHER, b"AQAA" * 50_000).reason is RejectReason.UNKNOWN_KEY
    assert refusal(CIPHER, rng.randbytes(200_000)).reason is RejectReason.MALFORMED


def test_refusals_tell_nothing_of_the_token() -> None:
    """Case 187: text, arguments and context of a refusal hold the reason and no octet of what came."""
    for token in (b"planted-cookie-value!", b"planted-cookie-value" * 4, TOKEN[:-4] + b"AAAA", b""):
        rejected = refusal(CIPHER, token)
        assert rejected.args == (rejected.reason.value,)
        assert str(rejected) == rejected.reason.value
        assert rejected.__cause__ is None
        assert "planted" not in repr(rejected.__context__)


def test_repr_holds_no_secret() -> None:
    """The cipher shows how many keys open."""
    ring = Keyring([KEY, Key.from_secret(bytes(32), label="gone", state=KeyState.REVOKED)])
    assert repr(TokenCipher(ring, NAME)) == "<TokenCipher: 1 of 2 keys open>"


@pytest.mark.parametrize(("name", "context"), [("sessión", ""), ("a" * 65_536, ""), ("a", "b" * 65_536)])
def test_names_that_cannot_be_bound_are_refused(name: str, context: str) -> None:
    """A name beyond ASCII, or a length that 16 bits do not hold, raises when the cipher is made."""
    with pytest.raises(ValueError, match=r"ascii|65535"):
        TokenCipher(RING, name, context)


def test_the_longest_bound_texts_work() -> None:
    """65,535 octets of name and of context are bound in full."""
    cipher = TokenCipher(RING, "a" * 65_535, "b" * 65_535)
    token = cipher.seal(KEY, PLAIN)
    assert cipher.open(token) == (KEY, PLAIN)
    assert refusal(TokenCipher(RING, "a" * 65_535, "b" * 65_534 + "c"), token).reason is RejectReason.BAD_TAG
