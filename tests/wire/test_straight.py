"""The ordinary request's way, held against the codec's: the same, or none."""

from __future__ import annotations

import os
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sessionkit.config import SessionConfig
from sessionkit.keyring.key import Key, KeyState
from sessionkit.keyring.keyring import Keyring, Policy
from sessionkit.session import Record
from sessionkit.wire import base64url
from sessionkit.wire.codec import HEADER, Codec, Loaded, Rejected
from sessionkit.wire.cookies import MAX_COOKIE
from sessionkit.wire.serializer import Serializer
from sessionkit.wire.straight import Straight
from sessionkit.wire.token import TokenCipher

NOW = 1_800_000_000.0
KEY = Key.from_secret(bytes(32))
RETIRED = Key.from_secret(bytes(31) + b"\x01", label="retired", state=KeyState.RETIRED)
REVOKED = Key.from_secret(bytes(31) + b"\x02", label="revoked", state=KeyState.REVOKED)
STRANGE = Key.from_secret(bytes(31) + b"\x03", label="strange")
RING = Keyring([KEY, RETIRED, REVOKED], policy=Policy(skew=10))
RECORD = Record(bytes(range(16)), NOW - 100, NOW - 50, NOW)


@pytest.fixture(autouse=True)
def _same_nonces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the same tokens on every run."""
    monkeypatch.setattr(os, "urandom", Random(1).randbytes)


def _both(ring: Keyring = RING, **settings: Any) -> tuple[Straight, Codec]:
    config = SessionConfig(**settings)
    codec = Codec(config, ring, Serializer())
    return Straight(config, codec), codec


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def _token(
    key: Key = KEY,
    payload: bytes = b'{"a":1}',
    *,
    flags: int = 0,
    issued: float = NOW,
    created: float = NOW - 100,
    name: str = "session",
    version: int = 1,
) -> bytes:
    """Return a token of the codec's shape, made by its parts."""
    header = HEADER.pack(flags, RECORD.id, _milliseconds(created), _milliseconds(NOW - 50), _milliseconds(issued))
    token = TokenCipher(Keyring([replace(key, state=KeyState.ACTIVE)]), name).seal(key, header + payload)
    return base64url.encode(bytes([version]) + (base64url.decode(token) or b"")[1:])


TOKEN = _token()


@pytest.mark.parametrize(
    "field",
    [
        pytest.param(b"session=" + TOKEN, id="alone"),
        pytest.param(b"a=b; session=" + TOKEN, id="last"),
        pytest.param(b"session=" + TOKEN + b"; c=d", id="first"),
        pytest.param(b"a=b; session=" + TOKEN + b";c=d", id="before one without a space"),
        pytest.param(b"session=" + _token(RETIRED), id="under a retired key"),
        pytest.param(b"session=" + _token(payload=b"{}"), id="empty"),
        pytest.param(b"session=" + _token(payload=b'{"a":{"$tuple":[1]}}', flags=1), id="typed"),
        pytest.param(b"session=" + _token(payload=b'{"a":{"$tuple":[1]}}'), id="that looks typed and is not"),
        pytest.param(b"session=" + _token(flags=2), id="to be remembered"),
        pytest.param(b"session=" + _token(payload=b'{"a":{"$tuple":[1]}}', flags=3), id="typed and to be remembered"),
        pytest.param(b"session=" + _token(issued=NOW + 10), id="ahead by what clocks may differ"),
    ],
)
def test_the_ordinary_is_opened_as_the_codec_does(field: bytes) -> None:
    """What browsers send of a session in one cookie comes out the same, in every part."""
    straight, codec = _both()

    loaded = straight.open(field, NOW)

    assert type(loaded) is Loaded
    assert loaded == codec.load((field,), NOW)
    assert type(loaded.record) is Record


@pytest.mark.parametrize("settings", [{}, {"absolute_max_age": 110}, {"max_age": 10_000, "absolute_max_age": 9000}])
def test_limits_are_the_codecs(settings: dict[str, Any]) -> None:
    """Until the moment that a session ends it is opened, with the codec's deadline; from then on it is not."""
    straight, codec = _both(**settings)
    field = b"session=" + TOKEN
    end = codec.deadline(RECORD)

    for now in (end - 0.001, end):
        assert straight.open(field, now) == codec.load((field,), now)
    assert type(straight.open(field, end)) is Rejected


@pytest.mark.parametrize(
    "field",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"other=1", id="a stranger's"),
        pytest.param(b"xsession=" + TOKEN, id="a longer name"),
        pytest.param(b"xsession=1; session=" + TOKEN, id="a longer name beside it"),
        pytest.param(b"session=" + TOKEN + b"; session-0=x", id="a chunk beside it"),
        pytest.param(b"session=x; session=" + TOKEN, id="twice"),
        pytest.param(b"a;session=" + TOKEN, id="no space before it"),
        pytest.param(b" session=" + TOKEN, id="one octet before it"),
        pytest.param(b'session="' + TOKEN + b'"', id="quoted"),
        pytest.param(b"session= " + TOKEN, id="white space before the value"),
        pytest.param(b"session=" + TOKEN + b" ; a=b", id="white space behind it"),
        pytest.param(b"session=", id="empty"),
        pytest.param(b"session=null", id="cleared"),
        pytest.param(b"session=AQIDBAUG", id="too short for anything"),
        pytest.param(b"session=" + TOKEN[:40], id="cut off within the nonce"),
        pytest.param(b"session=" + TOKEN[:-1] + b"!", id="no token"),
        pytest.param(b"session=" + b"A" * (MAX_COOKIE + 1), id="longer than a cookie"),
        pytest.param(b"session=" + _token(payload=b'{"a":"%b"}' % (b"x" * 3100)), id="authentic, and longer"),
    ],
)
def test_what_is_out_of_the_ordinary_is_left_to_the_codec(field: bytes) -> None:
    """Whatever needs a parse of the whole field is not looked into; nothing raises."""
    straight, _ = _both()
    assert straight.open(field, NOW) is None


@pytest.mark.parametrize(
    "field",
    [
        pytest.param(b"session=" + TOKEN[:-4], id="cut off"),
        pytest.param(b"session=" + _token(STRANGE), id="under an unknown key"),
        pytest.param(b"session=" + _token(REVOKED), id="under a revoked key"),
        pytest.param(b"session=" + _token(name="admin"), id="another cookie's"),
        pytest.param(b"session=" + TokenCipher(Keyring([KEY]), "session").seal(KEY, b"{}"), id="without a header"),
        pytest.param(b"session=" + _token(flags=4), id="a newer release's"),
        pytest.param(b"session=" + _token(flags=7), id="a newer release's, typed and to be remembered"),
        pytest.param(b"session=" + _token(payload=b'{"a":{"$nothing":1}}', flags=1), id="typed, of no type we know"),
        pytest.param(b"session=" + _token(issued=NOW + 10.001), id="of the future"),
        pytest.param(b"session=" + _token(payload=b"[]"), id="no session inside"),
        pytest.param(b"session=" + _token(payload=b"\xff"), id="no JSON inside"),
        pytest.param(b"session=" + _token(version=2), id="of another version"),
        pytest.param(b"session=" + TOKEN[:-8] + b"AAAAAAAA", id="altered at its end"),
        pytest.param(b"session=" + TOKEN[:64] + b"AAAA" + TOKEN[68:], id="altered within"),
        pytest.param(b"session=" + _token(issued=NOW - 1_209_600), id="expired"),
    ],
)
def test_what_is_refused_is_refused_as_by_the_codec(field: bytes) -> None:
    """What may be a token and is none that opens is refused at once, with the codec's reason and all it knows."""
    straight, codec = _both()

    rejected = straight.open(field, NOW)

    assert type(rejected) is Rejected
    assert rejected == codec.load((field,), NOW)


def test_what_the_ring_has_ended_is_left_to_the_codec() -> None:
    """A session that began before the ring's ``not_before`` is neither opened nor sealed again."""
    field, ring = b"session=" + TOKEN, Keyring([KEY], not_before=NOW - 99)
    straight, codec = _both(ring)

    assert straight.open(field, NOW) == codec.load((field,), NOW)
    assert type(straight.open(field, NOW)) is Rejected
    assert straight.seal(RECORD, b"{}", KEY, NOW) is None

    straight, codec = _both(ring.changed(not_before=NOW - 100))
    assert straight.open(field, NOW) == codec.load((field,), NOW)
    assert straight.seal(RECORD, b"{}", KEY, NOW) is not None


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"persistent": False},
        {"absolute_max_age": 300},
        {"absolute_max_age": 90},
        {"absolute_max_age": 300, "persistent": False},
        {"secure": True, "samesite": "strict", "path": "/shop"},
    ],
)
@pytest.mark.parametrize("now", [NOW + 7.25, NOW + 0.0004, NOW + 0.0006])
def test_the_ordinary_is_sealed_as_the_codec_does(settings: dict[str, Any], now: float) -> None:
    """A session that goes on as it came is sent as the codec would: attributes, and what is in the token."""
    straight, codec = _both(**settings)
    sealed = codec.seal(RECORD._replace(issued=now), b'{"a":2}', typed=False, key=KEY)
    [expected] = codec.writer.set(sealed.values, sealed.max_age)

    cookie = straight.seal(RECORD, b'{"a":2}', KEY, now)

    assert cookie is not None
    pairs = [one.partition(b";") for one in (cookie, expected)]
    assert pairs[0][2] == pairs[1][2]
    mine, codecs = (codec.cipher.open(pair.partition(b"=")[2]) for pair, _, _ in pairs)
    assert mine == codecs


def test_what_is_not_sealed() -> None:
    """Sessions to be remembered, what needs more than one cookie, and clocks from before 1970 are the codec's."""
    straight, codec = _both()
    longest = codec.room * 3 // 4 - 86

    assert straight.seal(RECORD._replace(remember=True), b"{}", KEY, NOW) is None
    assert straight.seal(RECORD, b"x" * longest, KEY, NOW) is not None
    assert straight.seal(RECORD, b"x" * (longest + 1), KEY, NOW) is None
    assert straight.seal(RECORD, b"{}", KEY, 0.0) is None


_PIECES = st.sampled_from(
    [
        *(
            b"session",
            b"session-0",
            b"xsession",
            b"other",
            b"=",
            b"; ",
            b";",
            b" ",
            b'"',
            b"null",
            b"\t",
            b"A",
            b"AQID",
        ),
        *(b"session=" + TOKEN, TOKEN, _token(RETIRED), TOKEN[:50], TOKEN[50:]),
    ]
)


@given(st.lists(_PIECES, max_size=9).map(b"".join), st.floats(NOW - 60, NOW + 2_000_000))
@example(b"a=b; session=" + TOKEN + b"; c=d", NOW)
def test_what_is_opened_at_all_is_what_the_codec_finds(field: bytes, now: float) -> None:
    """Whatever comes, at any time: the same as from the codec, or nothing."""
    straight, codec = _both()
    loaded = straight.open(field, now)
    assert loaded is None or loaded == codec.load((field,), now)
