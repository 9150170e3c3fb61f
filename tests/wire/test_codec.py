"""Cookies to a session and back, without ASGI."""

from __future__ import annotations

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from random import Random
from typing import Any

import pytest

from sessionkit.config import SessionConfig
from sessionkit.exceptions import RejectReason, SessionTooLargeError
from sessionkit.keyring.key import Key, KeyState
from sessionkit.keyring.keyring import Keyring, Policy
from sessionkit.session import Record
from sessionkit.wire.codec import ABSENT, HEADER, Absent, Codec, Loaded, Rejected
from sessionkit.wire.serializer import Serializer
from sessionkit.wire.token import TokenCipher

NOW = 1_800_000_000.0
KEY = Key.from_secret(bytes(32))
OTHER = Key.from_secret(bytes(31) + b"\x01", label="other", state=KeyState.RETIRED)
RING = Keyring([KEY, OTHER])
RECORD = Record(bytes(range(16)), NOW - 100, NOW - 50, NOW, remember=True)


@pytest.fixture(autouse=True)
def _same_nonces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the same tokens on every run: one chunk in 256 looks like another session's cookie and is left alone."""
    monkeypatch.setattr(os, "urandom", Random(1).randbytes)


def _codec(ring: Keyring = RING, **settings: Any) -> Codec:
    return Codec(SessionConfig(**settings), ring, Serializer())


def _pairs(codec: Codec, values: list[bytes]) -> list[bytes]:
    names = codec.writer.names(len(values))
    return [name.encode() + b"=" + value for name, value in zip(names, values, strict=True)]


def _cookies(codec: Codec, payload: bytes = b'{"a":1}', record: Record = RECORD, key: Key = KEY) -> list[bytes]:
    return _pairs(codec, codec.seal(record, payload, typed=False, key=key).values)


def _long(codec: Codec, octets: int) -> list[bytes]:
    return _cookies(codec, b'{"a":"%b"}' % (b"x" * octets))


def _sealed(plain: bytes, key: Key = KEY, ring: Keyring = RING) -> list[bytes]:
    return [b"session=" + TokenCipher(ring, "session").seal(key, plain)]


def _refused(received: object) -> Rejected:
    assert isinstance(received, Rejected)
    return received


def _loaded(received: object) -> Loaded:
    assert isinstance(received, Loaded)
    return received


@pytest.mark.parametrize("part", [0.0004, 0.0005, 0.0006, 0.0009, 0.1236])
def test_what_one_clock_sealed_it_opens_at_once(part: float) -> None:
    """Where no skew is granted, half a millisecond of rounding does not make a cookie one of the future."""
    codec = _codec(Keyring([KEY], policy=Policy(skew=0)))
    record = Record(bytes(range(16)), NOW + part, 0, NOW + part, remember=True)
    cookies = _cookies(codec, record=record)
    assert isinstance(codec.load(cookies, NOW + part), Loaded)
    refused = _refused(codec.load(cookies, NOW + part - 0.0021))
    assert refused.reason is RejectReason.NOT_YET_VALID


def test_a_round_trip() -> None:
    """What was sealed comes back: values, id, times to the millisecond, flags, and which key it came under."""
    codec = _codec()
    record = Record(bytes(range(16)), NOW - 100.0004, NOW - 50.125, NOW + 0.0006, remember=True)
    payload, typed = Serializer().dump({"when": (1, 2)})
    sealed = codec.seal(record, payload, typed=typed, key=OTHER)

    loaded = _loaded(codec.load(_pairs(codec, sealed.values), NOW + 1))

    assert loaded.data == {"when": (1, 2)}
    assert loaded.record == Record(record.id, NOW - 100, NOW - 50.125, NOW + 0.001, remember=True)
    assert (loaded.key, loaded.typed, loaded.payload) == (OTHER, True, payload)
    assert loaded.names == ("session",)
    assert loaded.stale == ()
    assert (loaded.size, loaded.candidates) == (sealed.size, 1)
    assert loaded.header_size == sealed.size + len("session=")
    assert loaded.deadline == loaded.record.issued + 1_209_600
    assert codec.load_token(sealed.values[0], NOW) == {"when": (1, 2)}


def test_a_time_before_1970_is_1970() -> None:
    """A clock that was never set makes no error."""
    codec = _codec()
    record = Record(bytes(16), -5.0, 0.0, -5.0)

    assert _loaded(codec.load(_cookies(codec, record=record), 0.0)).record == Record(bytes(16), 0.0, 0.0, 0.0)


@pytest.mark.parametrize("fields", [[], [b""], [b"other=1"], [b"session"], [b"sessions=1; session.=2; session-x=3"]])
def test_nothing_came(fields: list[bytes]) -> None:
    """A request without a cookie of ours has no session."""
    codec = _codec()

    assert codec.load(fields, NOW) is ABSENT
    assert codec.names(fields) == ()


@pytest.mark.parametrize("value", [b"", b'""', b"null", b"deleted"])
def test_a_cleared_cookie_is_no_session(value: bytes) -> None:
    """Cases 32 and 33: an empty cookie, or one with a value that clears, is no session and no attack."""
    assert _codec().load([b"session=" + value], NOW) == Absent(("session",))
    assert _codec().names([b"session=" + value]) == ("session",)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"A", RejectReason.MALFORMED),
        (b"AAAA", RejectReason.MALFORMED),
        (b"A" * 5_000, RejectReason.TOO_LARGE),
        (urlsafe_b64encode(b"\x02" + bytes(59)), RejectReason.UNSUPPORTED_VERSION),
        (urlsafe_b64encode(b"\x01" + bytes(59)), RejectReason.UNKNOWN_KEY),
        (urlsafe_b64encode(b"\x01" + KEY.id + bytes(55)), RejectReason.BAD_TAG),
    ],
)
def test_refused_by_its_token(value: bytes, reason: RejectReason) -> None:
    """Case 200: what does not open is refused for one reason, with what came and no more."""
    rejected = _refused(_codec().load([b"session=" + value], NOW))

    assert rejected.reason is reason
    assert rejected.names == ("session",)
    assert rejected.size == len(value)
    assert rejected.key == (KEY if reason is RejectReason.BAD_TAG else None)
    assert value.decode() not in repr(rejected)
    if reason is not RejectReason.TOO_LARGE:
        assert _codec().load_token(value, NOW) is reason


def test_refused_by_its_key() -> None:
    """What a revoked key sealed is refused with the key, though its secret is gone."""
    codec = _codec()
    revoked = _codec(Keyring([OTHER_ACTIVE, Key.tombstone(KEY.id, label="leaked")]))

    rejected = _refused(revoked.load(_cookies(codec), NOW))

    assert rejected.reason is RejectReason.REVOKED
    assert rejected.key is not None
    assert rejected.key.kid == KEY.kid


OTHER_ACTIVE = Key.from_secret(bytes(31) + b"\x01", label="other")


@pytest.mark.parametrize(
    ("plain", "reason"),
    [
        (b"", RejectReason.BAD_PAYLOAD),
        (bytes(HEADER.size - 1), RejectReason.BAD_PAYLOAD),
        (HEADER.pack(0, bytes(16), 0, 0, int(NOW * 1000)), RejectReason.BAD_PAYLOAD),
        (HEADER.pack(0, bytes(16), 0, 0, int(NOW * 1000)) + b"[]", RejectReason.BAD_PAYLOAD),
        (HEADER.pack(0, bytes(16), 0, 0, int(NOW * 1000)) + b"\xff", RejectReason.BAD_PAYLOAD),
        (HEADER.pack(4, bytes(16), 0, 0, int(NOW * 1000)) + b"{}", RejectReason.UNSUPPORTED_VERSION),
        (HEADER.pack(0, bytes(16), 0, 0, 2**64 - 1) + b"{}", RejectReason.NOT_YET_VALID),
        (HEADER.pack(0, bytes(16), 0, 0, 0) + b"{}", RejectReason.EXPIRED),
    ],
)
def test_refused_by_what_is_inside(plain: bytes, reason: RejectReason) -> None:
    """Case 156: authentic octets that are no session of this release are refused, not raised."""
    codec = _codec()

    rejected = _refused(codec.load(_sealed(plain), NOW))

    assert rejected.reason is reason
    assert rejected.key is KEY
    assert rejected.names == ("session",)
    assert codec.load_token(_sealed(plain)[0].partition(b"=")[2], NOW) is reason


def test_the_future() -> None:
    """Cases 168 and 169: how far in the future a session was made is told; how far it may be is the ring's policy."""
    codec = _codec(Keyring([KEY], policy=Policy(skew=10)))
    cookies = _cookies(codec)

    assert _refused(codec.load(cookies, NOW - 10.25)).delta == 10.25
    assert _loaded(codec.load(cookies, NOW - 10)).record.issued == NOW


@pytest.mark.parametrize(
    ("settings", "end", "absolute"),
    [
        ({}, NOW + 1_209_600, False),
        ({"max_age": 50}, NOW + 50, False),
        ({"max_age": 50, "idle_timeout": 20}, NOW + 20, False),
        ({"max_age": 50, "absolute_max_age": 120}, NOW + 20, True),
        ({"max_age": 50, "absolute_max_age": 150}, NOW + 50, True),
        ({"max_age": 50, "absolute_max_age": 151}, NOW + 50, False),
    ],
)
def test_limits(settings: dict[str, Any], end: float, absolute: bool) -> None:
    """Cases 170 and 173: the earlier of two limits ends a session, exactly then, and it is told which."""
    codec = _codec(**settings)
    cookies = _cookies(codec)

    assert _loaded(codec.load(cookies, end - 0.001)).deadline == end == codec.deadline(RECORD)
    rejected = _refused(codec.load(cookies, end))
    assert (rejected.reason, rejected.deadline, rejected.absolute) == (RejectReason.EXPIRED, end, absolute)
    assert rejected.record == RECORD


@pytest.mark.parametrize(
    ("settings", "remember", "age"),
    [
        ({}, False, 1_209_600),
        ({"persistent": False}, False, None),
        ({"persistent": False}, True, 1_209_600),
        ({"absolute_max_age": 300}, False, 200),
        ({"absolute_max_age": 100}, False, 0),
        ({"absolute_max_age": 50}, False, 0),
    ],
)
def test_ages(settings: dict[str, Any], remember: bool, age: int | None) -> None:
    """Cases 56 to 59: Max-Age is the configured age, the rest of the absolute limit, none, and never negative."""
    codec = _codec(**settings)
    record = Record(bytes(16), NOW - 100, 0.0, NOW, remember)

    assert codec.seal(record, b"{}", typed=False, key=KEY).max_age == age


def test_too_large() -> None:
    """Case 161: a token that does not fit is a typed error."""
    codec = _codec(max_chunks=2)

    with pytest.raises(SessionTooLargeError) as caught:
        codec.seal(RECORD, bytes(9_000), typed=False, key=KEY)
    assert caught.value.limit == codec.writer.limit


def test_an_unreadable_newest_does_not_hide_a_readable_one() -> None:
    """Of two authentic cookies, a newer one of which this release can make nothing leaves the session to the other."""
    codec = _codec()
    (good,) = _cookies(codec)
    (broken,) = _cookies(codec, b"[]", RECORD._replace(issued=RECORD.issued + 1))
    for fields in ([good, broken], [broken, good]):
        loaded = _loaded(codec.load(fields, NOW + 1))
        assert (loaded.data, loaded.candidates) == ({"a": 1}, 2)
    assert _refused(codec.load([broken], NOW + 1)).reason is RejectReason.BAD_PAYLOAD


def test_the_newest_wins() -> None:
    """Cases 5 and 29: of all authentic candidates the newest is used, whole or in parts, and the rest is left over."""
    codec = _codec()
    single = _cookies(codec, b'{"a":"single"}', Record(bytes(16), NOW, 0.0, NOW + 1))
    older = _cookies(codec, b'{"a":"older"}', Record(bytes(16), NOW, 0.0, NOW))
    chunks = _long(codec, 5_000)
    assert len(chunks) == 2

    for fields in ([*single, *older, *chunks], [*chunks, *older, *single]):
        loaded = _loaded(codec.load(fields, NOW + 1))
        assert loaded.data == {"a": "single"}
        assert loaded.candidates == 3
        assert loaded.names == ("session",)
        assert loaded.stale == ("session-0", "session-1")


def test_leftovers_are_not_joined_on() -> None:
    """Cases 4 and 6: parts beyond the end of a set are left over."""
    codec = _codec()
    chunks = _long(codec, 5_000)

    loaded = _loaded(codec.load([*chunks, b"session-2=ZZZZ", b"session-7=ZZZZ", b"session-8=ZZZZ"], NOW))

    assert loaded.names == ("session-0", "session-1")
    assert loaded.stale == ("session-2", "session-7")


def test_a_part_is_missing() -> None:
    """Cases 7 and 8: a set with a hole is ``chunk_missing``, with what came of it."""
    codec = _codec()
    chunks = _long(codec, 8_000)
    assert len(chunks) == 3

    for left in (chunks[1:], chunks[:1], [chunks[0], b"session-3=ZZZZ"]):
        rejected = _refused(codec.load(left, NOW))
        assert rejected.reason is RejectReason.CHUNK_MISSING
        assert rejected.chunks == len(left)
        assert len(rejected.names) == len(left)


def test_another_sessions_cookie_is_not_ours() -> None:
    """Case 18: a whole token under a name like a part's is neither loaded nor told nor to be cleared."""
    codec = _codec()
    with pytest.warns(UserWarning, match="session-1"):
        other = _codec(key="session-1")
    theirs = [b"session-1=" + other.seal(RECORD, b'{"b":2}', typed=False, key=KEY).values[0]]

    assert codec.load(theirs, NOW) == ABSENT
    assert codec.names(theirs) == ()
    loaded = _loaded(codec.load([*_cookies(codec), *theirs], NOW))
    assert (loaded.data, loaded.names, loaded.stale) == ({"a": 1}, ("session",), ())
    rejected = _refused(codec.load([b"session=ZZZZ", *theirs], NOW))
    assert rejected.names == ("session",)
    assert codec.names([b"session=null", *theirs]) == ("session",)


def test_the_telling_reason() -> None:
    """Case 55: of several refusals that reason is told which leaves the cookies alone."""
    codec = _codec()
    unknown = urlsafe_b64encode(b"\x01" + bytes(59)).rstrip(b"=")
    expired = _cookies(codec, record=Record(bytes(16), 0.0, 0.0, 0.0))

    for fields in ([b"session=Z", *expired, b"session=" + unknown], [b"session=" + unknown, *expired, b"session=Z"]):
        assert _refused(codec.load(fields, NOW)).reason is RejectReason.UNKNOWN_KEY
    for fields in ([b"session=Z", *expired], [*expired, b"session=Z"]):
        assert _refused(codec.load(fields, NOW)).reason is RejectReason.EXPIRED


def test_nothing_of_a_session_is_shown() -> None:
    """Case 194: no repr shows a value, a cookie or an id."""
    codec = _codec()
    sealed = codec.seal(RECORD, b'{"a":"planted"}', typed=False, key=KEY)
    shown = repr([sealed, codec.load(_pairs(codec, sealed.values), NOW), codec.load([b"session=AQplanted"], NOW)])

    assert "planted" not in shown
    assert sealed.values[0].decode() not in shown
    assert urlsafe_b64decode(sealed.values[0] + b"==").hex() not in shown


def test_nothing_on_the_way_shows_a_session() -> None:
    """Case 194: whatever a session passes through says what it is, and nothing of what it holds."""
    codec = _codec()
    token = codec.seal(RECORD, b'{"a":"planted"}', typed=False, key=KEY)
    opened = codec._open((b"".join(token.values),), NOW, 0)
    refused = codec._open((b"planted",), NOW, 0)
    assert "planted" not in repr((token, opened, refused))
