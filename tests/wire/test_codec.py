"""Cookies to a session and back: whatever a browser, a proxy or an attacker makes of them in between."""

from __future__ import annotations

import os
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionkit.config import SessionConfig
from sessionkit.exceptions import RejectReason, SessionKitWarning, SessionTooLargeError
from sessionkit.keyring.key import Key, KeyState
from sessionkit.keyring.keyring import Keyring
from sessionkit.session import Record
from sessionkit.wire.codec import ABSENT, HEADER, Absent, Codec, Loaded, Received, Rejected
from sessionkit.wire.serializer import Serializer
from sessionkit.wire.token import TokenCipher

NOW = 1_700_000_000.0
DAY = 86_400
ID = bytes(range(16))
KEY = Key.from_secret(b"a" * 32, label="new", created=NOW - DAY)
OLD = Key.from_secret(b"o" * 32, label="old", state=KeyState.RETIRED, created=NOW - 9 * DAY)
STRANGER = Key.from_secret(b"s" * 32, label="stranger")
RING = Keyring([KEY, OLD])


def codec(ring: Keyring = RING, **settings: Any) -> Codec:
    """Return a codec with the reference's settings, but for those given."""
    return Codec(SessionConfig(**settings), ring, Serializer())


def record(issued: float = NOW, *, created: float | None = None, remember: bool = False) -> Record:
    """Return a record; the session was created when it was issued unless told."""
    return Record(ID, issued if created is None else created, 0.0, issued, remember)


def payload(size: int, word: str = "x") -> bytes:
    """Return a JSON object of exactly so many octets."""
    return b'{"k":"%b"}' % (word.encode() * size)[: size - 8]


CODEC = codec()


@pytest.fixture(autouse=True)
def nonces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same nonces on every run: one chunk in 256 happens to begin like a whole token, and is then left alone."""
    monkeypatch.setattr(os, "urandom", Random(1).randbytes)
    monkeypatch.setattr(CODEC, "_cipher", TokenCipher(RING, "session"))  # which keeps a part of its nonces


def values(size: int = 20, issued: float = NOW, *, key: Key = KEY, by: Codec = CODEC, word: str = "x") -> list[bytes]:
    """Return the cookie values of a session whose payload has so many octets."""
    return by.seal(record(issued), payload(size, word), typed=False, key=key).values


def pairs(values: list[bytes], name: str = "session") -> list[bytes]:
    """Return cookies as a browser sends them."""
    if len(values) == 1:
        return [name.encode() + b"=" + values[0]]
    return [b"%b-%d=%b" % (name.encode(), number, value) for number, value in enumerate(values)]


def load(*cookies: bytes, now: float = NOW, by: Codec = CODEC) -> Received:
    """Return what these cookies hold, as one Cookie field."""
    return by.load([b"; ".join(cookies)], now)


def loaded(*cookies: bytes, now: float = NOW, by: Codec = CODEC) -> Loaded:
    """Return the session these cookies hold."""
    received = load(*cookies, now=now, by=by)
    assert isinstance(received, Loaded), received
    return received


def rejected(*cookies: bytes, now: float = NOW, by: Codec = CODEC) -> Rejected:
    """Return why these cookies hold none."""
    received = load(*cookies, now=now, by=by)
    assert isinstance(received, Rejected), received
    return received


# --- there and back ---------------------------------------------------------------------------------------------------


@given(
    st.integers(10, 20_000),
    st.booleans(),
    st.booleans(),
    st.tuples(*[st.integers(0, int(NOW * 1000))] * 2).map(sorted),
    st.randoms(),
)
def test_what_is_sealed_is_loaded(size: int, typed: bool, remember: bool, times: list[int], random: Random) -> None:
    """Case 1: data, id, times to the millisecond and flags come back, in whatever order the cookies come."""
    created, authenticated = (milliseconds / 1000 for milliseconds in times)
    stored = Record(ID, created, authenticated, NOW, remember)
    sealed = CODEC.seal(stored, payload(size), typed=typed, key=KEY)
    assert sealed.size == sum(map(len, sealed.values))
    cookies = pairs(sealed.values)
    random.shuffle(cookies)
    received = loaded(*cookies)
    assert (received.data, received.payload) == ({"k": "x" * (size - 8)}, payload(size))
    assert (received.record, received.typed, received.key) == (stored, typed, KEY)
    assert (received.deadline, received.size) == (sealed.deadline, sealed.size)
    assert (received.names, received.stale) == (CODEC.writer.names(len(cookies)), ())
    assert (received.candidates, received.header_size) == (1, len(b"; ".join(cookies)))


def test_the_header_before_the_payload() -> None:
    """Flags, id and three times in milliseconds, big-endian, stand in 41 octets before the payload."""
    stored = Record(ID, NOW - 1, NOW - 0.5, NOW, remember=True)
    (token,) = CODEC.seal(stored, b"{}", typed=True, key=KEY).values
    key, plain = TokenCipher(RING, "session").open(token)
    assert key is KEY
    expected = [NOW - 1, NOW - 0.5, NOW]
    assert plain == b"\x03" + ID + b"".join(int(when * 1000).to_bytes(8) for when in expected) + b"{}"


def test_times_before_1970_do_not_raise() -> None:
    """Case 171: a clock that is wrong by decades makes no error."""
    (token,) = CODEC.seal(record(-5.0), b"{}", typed=False, key=KEY).values
    assert loaded(b"session=" + token, now=0).record.issued == 0


def test_too_much_is_refused() -> None:
    """Case 161: what does not fit raises before anything is sent."""
    with pytest.raises(SessionTooLargeError):
        values(40_000)


@pytest.mark.parametrize("cookies", [[], [b""], [b"other=1"], [b"sessions=1"]])
def test_no_cookie_of_ours(cookies: list[bytes]) -> None:
    """Case 40: without a cookie of ours there is nothing to clear and nothing to tell."""
    assert load(*cookies) is ABSENT
    assert CODEC.names(cookies) == ()


@pytest.mark.parametrize("value", [b"", b'""', b"null", b"deleted"])
def test_cleared_cookies_are_absent(value: bytes) -> None:
    """Cases 32, 33: empty values and clearing words are no rejection; the cookies may be cleared."""
    assert load(b"session=" + value) == Absent(("session",))
    assert load(b"session-0=" + value, b"session-1=" + value) == Absent(("session-0", "session-1"))


# --- chunks -----------------------------------------------------------------------------------------------------------


def test_leftovers_do_not_disturb() -> None:
    """Cases 2, 4, 6: what a longer session left behind is not joined on, and told as stale."""
    long, two, short = values(14_000), values(4_000), values()
    assert (len(long), len(two), len(short)) == (5, 2, 1)
    received = loaded(*pairs(two), *pairs(long)[2:])
    assert (received.names, received.stale) == (("session-0", "session-1"), ("session-2", "session-3", "session-4"))
    received = loaded(*pairs(short), *pairs(long)[1:])
    assert received.names == ("session",)
    assert received.stale == ("session-1", "session-2", "session-3", "session-4")


def test_the_newest_of_single_and_chunks() -> None:
    """Cases 3, 5: of an unnumbered cookie and a set of chunks the newer one counts, and the other is stale."""
    for ages in ((0, 10), (10, 0)):
        single, chunks = values(20, NOW - ages[0]), values(4_000, NOW - ages[1])
        received = loaded(*pairs(single), *pairs(chunks))
        names = [("session",), ("session-0", "session-1")]
        assert (received.names, received.stale) == tuple(names if ages[0] == 0 else names[::-1])
        assert (received.record.issued, received.candidates) == (NOW, 2)


@pytest.mark.parametrize("missing", [0, 1, 2, 3, 4])
def test_a_missing_chunk(missing: int) -> None:
    """Cases 7, 8, 22: without any one chunk the session is gone, the reason told, all that came may be cleared."""
    cookies = pairs(values(14_000))
    received = rejected(*cookies[:missing], *cookies[missing + 1 :])
    assert (received.reason, received.chunks) == (RejectReason.CHUNK_MISSING, 4)
    assert received.names == tuple(f"session-{number}" for number in range(5) if number != missing)
    assert received.size == sum(len(cookie.partition(b"=")[2]) for cookie in cookies) - len(cookies[missing]) + 10


def test_a_numbered_cookie_alone() -> None:
    """Case 8: a whole token under a number is never read as a session; ``-0`` is a chunk without the rest."""
    (token,) = values()
    assert rejected(b"session-0=" + token).reason is RejectReason.CHUNK_MISSING
    assert load(b"session-1=" + token) == Absent()


def test_chunks_of_two_writes() -> None:
    """Case 9: a mixture is not authentic: an empty session, and everything may be cleared."""
    one, two = values(4_000), values(4_000)
    received = rejected(*pairs([one[0], two[1]]))
    assert (received.reason, received.names) == (RejectReason.BAD_TAG, ("session-0", "session-1"))


def test_an_older_set_is_found_beside_a_broken_one() -> None:
    """Case 28: chunks of two paths, of which one set is damaged, still open, in both orders."""
    good, bad = values(14_000, word="g"), values(14_000, word="b")
    bad[2] = bad[2][:-2] + b"AA"
    for cookies in (pairs(good) + pairs(bad), pairs(bad) + pairs(good)):
        assert loaded(*cookies).data["k"][0] == "g"


def test_quoted_chunks() -> None:
    """Case 16: clients that put values in quotes lose nothing."""
    cookies = [
        name + b'="' + value + b'"' for name, _, value in (pair.partition(b"=") for pair in pairs(values(9_000)))
    ]
    assert len(cookies) > 2
    assert loaded(*cookies).size == sum(map(len, values(9_000)))


def test_another_session_named_like_a_chunk() -> None:
    """Case 18: a session ``sess-1`` beside ``sess`` is read by its own name alone, and never cleared for the other."""
    sess = codec(key="sess")
    with pytest.warns(SessionKitWarning, match="'sess-1' is what a part of a split session named 'sess' is called"):
        other = codec(key="sess-1")
    mine, theirs = values(by=sess), values(by=other)
    cookies = [*pairs(mine, "sess"), *pairs(theirs, "sess-1")]
    received = loaded(*cookies, by=sess)
    assert (received.names, received.stale) == (("sess",), ())
    assert loaded(*cookies, by=other).names == ("sess-1",)
    split = values(4_000, by=sess)
    cookies = [*pairs(split, "sess"), *pairs(theirs, "sess-1")]
    assert loaded(*cookies, by=sess).data == {"k": "x" * 3_992}
    assert rejected(b"sess=junk", *pairs(theirs, "sess-1"), by=sess).names == ("sess",)
    assert sess.names([*pairs(mine, "sess"), *pairs(theirs, "sess-1")]) == ("sess",)


# --- duplicates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("junk", [b"junk", b"A" * 4000, b"\xff\x00", b"%3D"])
def test_the_authentic_one_wins(junk: bytes) -> None:
    """Case 28: of two cookies of one name the authentic one counts, whichever comes first."""
    good, bad = pairs(values())[0], b"session=" + junk
    for cookies in ((good, bad), (bad, good)):
        received = loaded(*cookies)
        assert (received.candidates, received.stale) == (1, ())


def test_the_newest_authentic_one_wins() -> None:
    """Case 29: of a cookie for a path and one for its parent the newer counts, whichever comes first."""
    new, older = pairs(values(issued=NOW))[0], pairs(values(issued=NOW - 60, key=OLD))[0]
    for cookies in ((new, older), (older, new)):
        received = loaded(*cookies)
        assert (received.record.issued, received.key, received.candidates) == (NOW, KEY, 2)


def test_the_most_telling_reason_is_told() -> None:
    """Case 55: of several refusals the one that keeps the cookie comes first: another node may open it."""
    stranger = codec(Keyring([STRANGER]))
    unknown = pairs(values(key=STRANGER, by=stranger))[0]
    expired = pairs(values(issued=NOW - 30 * DAY))[0]
    for cookies, reason in (
        ([b"session=junk", expired], RejectReason.EXPIRED),
        ([expired, b"session=junk"], RejectReason.EXPIRED),
        ([expired, unknown, b"session=junk"], RejectReason.UNKNOWN_KEY),
    ):
        assert rejected(*cookies).reason is reason


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [b"x", b"A" * 100, b"\xff" * 200, b"A" * 4096, b"a%3Db" * 50, b"\x00" * 120, b'"' * 9]
)
def test_what_is_no_token(value: bytes) -> None:
    """Cases 30, 31, 36: octets that no token consists of are refused, told by their number, and raise nothing."""
    received = rejected(b"session=" + value)
    assert received.reason in {RejectReason.MALFORMED, RejectReason.UNSUPPORTED_VERSION}
    assert received.names == ("session",)
    assert received.size == len(received.value)
    assert (received.key, received.record) == (None, None)


def test_what_is_too_long() -> None:
    """Case 37: a value longer than any of ours is refused by its length, without being decoded or kept."""
    received = rejected(b"session=" + b"A" * 200_000)
    assert (received.reason, received.size, received.value) == (RejectReason.TOO_LARGE, 200_000, b"")


@given(st.integers(0, 200), st.integers(1, 255))
def test_any_altered_octet_is_seen(where: int, flip: int) -> None:
    """Case 182: a token with one octet altered does not open, and is refused by one of a few reasons."""
    (token,) = values(60)
    at = where % len(token)
    altered = token[:at] + bytes([token[at] ^ flip]) + token[at + 1 :]
    received = CODEC.load([b"session=" + altered], NOW)
    assert isinstance(received, Rejected)
    assert received.reason in {
        RejectReason.MALFORMED,
        RejectReason.UNSUPPORTED_VERSION,
        RejectReason.UNKNOWN_KEY,
        RejectReason.BAD_TAG,
    }


@given(st.lists(st.binary(max_size=80) | st.binary(max_size=80).map(lambda junk: b"session-1=" + junk), max_size=5))
def test_no_octets_raise(fields: list[bytes]) -> None:
    """Case 30: whatever a client sends there is an answer."""
    assert isinstance(CODEC.load(fields, NOW), Rejected | Absent)


def test_keys_decide() -> None:
    """Cases 179, 181, 182: a retired key opens, an unknown one is told without a name, a revoked one with its own."""
    cookie = pairs(values(key=OLD))[0]
    assert loaded(cookie).key is OLD
    unknown = rejected(cookie, by=codec(Keyring([KEY])))
    assert (unknown.reason, unknown.key) == (RejectReason.UNKNOWN_KEY, None)
    tombstone = Key.tombstone(OLD.id, label="old")
    revoked = rejected(cookie, by=codec(Keyring([KEY, tombstone])))
    assert (revoked.reason, revoked.key) == (RejectReason.REVOKED, tombstone)


@pytest.mark.parametrize("settings", [{"key": "admin"}, {"context": "shop"}])
def test_another_name_or_audience(settings: dict[str, Any]) -> None:
    """Case 183: a token for another cookie or audience under the same ring is refused."""
    (token,) = values(by=codec(**settings))
    received = rejected(b"session=" + token)
    assert (received.reason, received.key) == (RejectReason.BAD_TAG, KEY)


def test_another_release() -> None:
    """Case 184: another version of the token or a flag not known here keeps the cookie."""
    cipher = TokenCipher(RING, "session")
    header = HEADER.pack(4, ID, 0, 0, int(NOW * 1000))
    received = rejected(b"session=" + cipher.seal(KEY, header + b"{}"))
    assert received.reason is RejectReason.UNSUPPORTED_VERSION
    (token,) = values()
    assert rejected(b"session=Ag" + token[2:]).reason is RejectReason.UNSUPPORTED_VERSION


@pytest.mark.parametrize("plain", [b"", b"x" * (HEADER.size - 1)])
def test_too_short_to_be_a_session(plain: bytes) -> None:
    """Case 156: an authentic token that holds no session is told as such, with its key."""
    received = rejected(b"session=" + TokenCipher(RING, "session").seal(KEY, plain))
    assert (received.reason, received.key, received.record) == (RejectReason.BAD_PAYLOAD, KEY, None)


@pytest.mark.parametrize("stored", [b"", b"[]", b"1", b'"text"', b"{", b"\xff", b"null"])
def test_an_authentic_payload_that_is_no_session(stored: bytes) -> None:
    """Case 156: what decodes to no mapping is an empty session with a reason, and no error."""
    (token,) = CODEC.seal(record(), stored, typed=False, key=KEY).values
    received = rejected(b"session=" + token)
    assert (received.reason, received.key, received.record) == (RejectReason.BAD_PAYLOAD, KEY, record())
    assert CODEC.load_token(token, NOW) is RejectReason.BAD_PAYLOAD


def test_one_whole_token() -> None:
    """A token by itself gives its values, or the reason for which it is refused."""
    (token,) = values()
    assert CODEC.load_token(token, NOW) == {"k": "x" * 12}
    assert CODEC.load_token(token, NOW + 15 * DAY) is RejectReason.EXPIRED
    assert CODEC.load_token(b"junk", NOW) is RejectReason.MALFORMED


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "issued", "created", "deadline", "absolute"),
    [
        ({"max_age": 100}, NOW, NOW - 1000, NOW + 100, False),
        ({"max_age": 100, "idle_timeout": 10}, NOW, NOW - 1000, NOW + 10, False),
        ({"max_age": 100, "absolute_max_age": 150}, NOW, NOW - 49, NOW + 100, False),
        ({"max_age": 100, "absolute_max_age": 150}, NOW, NOW - 50, NOW + 100, True),
        ({"max_age": 100, "absolute_max_age": 150}, NOW, NOW - 140, NOW + 10, True),
    ],
)
def test_deadlines(settings: dict[str, Any], issued: float, created: float, deadline: float, absolute: bool) -> None:
    """Cases 170, 173: the nearer of the two limits ends a session, at its very moment; the event can tell which."""
    by = codec(**settings)
    stored = record(issued, created=created)
    sealed = by.seal(stored, b"{}", typed=False, key=KEY)
    assert sealed.deadline == by.deadline(stored) == deadline
    cookie = pairs(sealed.values)[0]
    assert loaded(cookie, now=deadline - 0.001, by=by).deadline == deadline
    received = rejected(cookie, now=deadline, by=by)
    assert (received.reason, received.deadline, received.absolute) == (RejectReason.EXPIRED, deadline, absolute)
    assert (received.key, received.record) == (KEY, stored)


def test_limits_are_those_of_now() -> None:
    """Cases 174, 175: a limit that was lowered or raised since holds for tokens that are already out."""
    cookie = pairs(values(issued=NOW - 500, by=codec(max_age=1000)))[0]
    assert rejected(cookie, by=codec(max_age=400)).deadline == NOW - 100
    assert loaded(cookie, now=NOW + 1000, by=codec(max_age=2000)).deadline == NOW + 1500


def test_clocks_may_differ() -> None:
    """Cases 168, 169: a token from the future is accepted within the ring's skew; beyond, the difference is told."""
    skew = RING.policy.skew
    assert loaded(pairs(values(issued=NOW + skew))[0]).record.issued == NOW + skew
    received = rejected(pairs(values(issued=NOW + skew + 1))[0])
    assert (received.reason, received.delta) == (RejectReason.NOT_YET_VALID, skew + 1)
    assert received.record is not None


@pytest.mark.parametrize(
    ("settings", "remember", "created", "max_age"),
    [
        ({}, False, NOW, 1_209_600),
        ({"max_age": 60, "idle_timeout": 10}, False, NOW, 60),
        ({"persistent": False}, False, NOW, None),
        ({"persistent": False, "max_age": 60}, True, NOW, 60),
        ({"max_age": 3600, "absolute_max_age": 7200}, False, NOW - 7100, 100),
        ({"max_age": 3600, "absolute_max_age": 7200}, False, NOW - 7100.5, 99),
        ({"max_age": 3600, "absolute_max_age": 7200}, False, NOW, 3600),
        ({"max_age": 3600, "absolute_max_age": 7200}, False, NOW - 9000, 0),
    ],
)
def test_max_age_of_the_cookie(settings: dict[str, Any], remember: bool, created: float, max_age: int | None) -> None:
    """Cases 56 to 59: whole seconds, never negative, not past the absolute limit; none in browser-session mode."""
    by = codec(**settings)
    assert by.seal(record(created=created, remember=remember), b"{}", typed=False, key=KEY).max_age == max_age


# --- silence ----------------------------------------------------------------------------------------------------------


def test_nothing_shows_what_it_carries() -> None:
    """Case 200: the repr of no result holds a cookie, a payload or an id."""
    cookies = pairs(values(word="hunter2"))
    shown = [
        repr(loaded(*cookies)),
        repr(rejected(*cookies, now=NOW + 30 * DAY)),
        repr(CODEC.seal(record(), payload(20, "hunter2"), typed=False, key=KEY)),
        repr(CODEC),
    ]
    for text in shown:
        assert "hunter2" not in text
        assert cookies[0].decode()[8:40] not in text
        assert ID.hex() not in text
        assert repr(ID) not in text
