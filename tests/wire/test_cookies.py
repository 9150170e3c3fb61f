"""The Cookie and Set-Cookie headers: nothing a client sends raises, nothing we send is too long for a browser."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionkit.config import MAX_AGE_LIMIT, MAX_CHUNKS_LIMIT, SessionConfig
from sessionkit.exceptions import SessionTooLargeError
from sessionkit.wire.chunking import candidates
from sessionkit.wire.cookies import (
    CHUNK_SIZE,
    MAX_COOKIE,
    MAX_DUPLICATES,
    MAX_FIELD,
    MAX_PARTITION,
    CookieJarView,
    CookieReader,
    CookieWriter,
)

CHUNKS = 12


def read(*fields: bytes, name: str = "session", max_chunks: int = CHUNKS) -> CookieJarView | None:
    """Return what these Cookie fields hold."""
    return CookieReader(name, max_chunks).read(fields)


def seen(*fields: bytes, name: str = "session") -> tuple[tuple[str, ...], tuple[bytes, ...], dict[int, list[bytes]]]:
    """Return names, values of the unnumbered cookie and of the numbered ones."""
    view = read(*fields, name=name)
    assert view is not None
    return view.names, view.singles, view.chunks


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([], id="case 40: no field"),
        pytest.param([b""], id="case 40: an empty field"),
        pytest.param([b"; ;;"], id="case 25: empty pairs"),
        pytest.param([b"session"], id="case 34: no equals sign"),
        pytest.param([b"session; session-0"], id="case 34: no equals sign in several"),
        pytest.param([b"=session"], id="case 34: no name"),
        pytest.param([b"Session=a; SESSION=b"], id="another case"),
        pytest.param([b"sessions=a; xsession=b; sessio=c"], id="case 19: names that begin or end alike"),
        pytest.param([b"$Version=1; $Path=/session; other=session=a"], id="case 39: legacy fields and foreign values"),
    ],
)
def test_nothing_of_ours(fields: list[bytes]) -> None:
    """Cases 19, 25, 34, 39, 40: what is not our cookie is no session, and no reason to clear anything."""
    assert read(*fields) is None


@pytest.mark.parametrize(
    "number",
    ["00", "01", "-1", "+1", "1_0", "٣", "999999999999", "12", "", " ", "0 1", "1.0", "0x1", "１", "a", "1\x00", "²"],  # noqa: RUF001 - digits of other scripts are the point
)
def test_numbers_that_are_none(number: str) -> None:
    """Case 14: only canonical decimal ASCII below ``max_chunks`` numbers a chunk."""
    assert read(f"session-{number}=x".encode()) is None


@pytest.mark.parametrize("number", range(CHUNKS))
def test_numbers_that_are(number: int) -> None:
    """Case 14: every number below ``max_chunks`` is a chunk's, with one digit or two."""
    assert seen(b"session-%d=x" % number) == ((f"session-{number}",), (), {number: [b"x"]})


def test_numbers_are_ordered_as_numbers() -> None:
    """Case 1: of eleven chunks in any order the eleventh comes last, not after the second."""
    pairs = [b"session-%d=%d" % (number, number) for number in range(11)]
    names, singles, chunks = seen(b"; ".join(sorted(pairs, reverse=True)))
    assert names == tuple(f"session-{number}" for number in range(11))
    assert singles == ()
    assert chunks == {number: [b"%d" % number] for number in range(11)}


def test_crumbs_are_one_list() -> None:
    """Case 24: HTTP/2 may send each pair in a field of its own."""
    assert seen(b"session-1=b", b"a=x; session-0=a;", b"session-0=c") == (
        ("session-0", "session-1"),
        (),
        {0: [b"a", b"c"], 1: [b"b"]},
    )


def test_fields_may_be_any_iterable() -> None:
    """Case 27: fields are gone through once."""
    assert CookieReader("session", 1).read(iter([b"session=a"])) == CookieJarView(("session",), (b"a",), {}, 0, 9)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        pytest.param(b"session=a;", (b"a",), id="case 25: a semicolon at the end"),
        pytest.param(b"; ;;session=a;;", (b"a",), id="case 25: empty pairs around"),
        pytest.param(b"\t session \t=\t a \t;x=y", (b"a",), id="case 35: white space"),
        pytest.param(b"session=a=b==", (b"a=b==",), id="case 35: equals signs in the value"),
        pytest.param(b'session="abc"', (b"abc",), id="case 16: quotes"),
        pytest.param(b'session=""abc""', (b'"abc"',), id="case 16: one pair of quotes alone"),
        pytest.param(b'session="abc', (b'"abc',), id="case 16: no pair of quotes"),
        pytest.param(b'session="', (b'"',), id="case 16: one quote"),
        pytest.param(b"session=a%3Db", (b"a%3Db",), id="case 31: not unquoted"),
        pytest.param(b"session=\xff\x80", (b"\xff\x80",), id="case 30: no UTF-8"),
        pytest.param(b"session=a\x00\x1b[2J\r\n", (b"a\x00\x1b[2J\r\n",), id="case 36: control characters"),
        pytest.param(b"session=a; session=b", (b"a", b"b"), id="case 28: twice"),
        pytest.param(b"session=b; session=a", (b"b", b"a"), id="case 28: twice, the other way round"),
        pytest.param(b"session=a; session=a", (b"a",), id="case 28: the same twice"),
        pytest.param(b"\xff\xfe=\xff; session=a", (b"a",), id="case 30: a foreign cookie that is no UTF-8"),
    ],
)
def test_a_value_is_handed_on_as_it_came(field: bytes, values: tuple[bytes, ...]) -> None:
    """Cases 16, 25, 28, 30, 31, 35, 36: trimmed, unquoted once, and no more; what it means is for the token to say."""
    assert seen(field) == (("session",), values, {})


@pytest.mark.parametrize("value", [b"", b'""', b"null", b'"null"', b"deleted", b" "])
def test_values_that_mean_no_session(value: bytes) -> None:
    """Cases 32, 33: an empty value and the clearing values of others are no session; the cookie may be cleared."""
    assert seen(b"session=" + value) == (("session",), (), {})
    assert seen(b"session-0=%b; session-1=%b" % (value, value)) == (("session-0", "session-1"), (), {})


def test_a_last_part_may_spell_a_word() -> None:
    """Case 17: a chunk may hold any base64url, so also ``null``; only the first is too long for that."""
    assert seen(b"session-0=abcdef; session-1=null")[2] == {0: [b"abcdef"], 1: [b"null"]}
    assert seen(b"session-0=abcdef; session-1=")[2] == {0: [b"abcdef"]}


@pytest.mark.parametrize("name", ["a.b", "a+b", "^x$", "a|b", "!#$%&'*+-.^_`|~"])
def test_a_name_is_no_pattern(name: str) -> None:
    """Case 41: characters that mean something in regular expressions are matched as they are."""
    assert seen(f"axb=1; {name}=2; {name}-0=3; aab=4".encode(), name=name) == (
        (name, f"{name}-0"),
        (b"2",),
        {0: [b"3"]},
    )


def test_a_numbered_and_an_unnumbered_cookie() -> None:
    """Case 5: both candidates are handed on, whatever their order."""
    expected = (("session", "session-0", "session-1"), (b"s",), {0: [b"aa"], 1: [b"b"]})
    assert seen(b"session=s; session-0=aa; session-1=b") == seen(b"session-1=b; session-0=aa; session=s") == expected


def test_another_session_named_like_a_chunk() -> None:
    """Case 18: a reader named ``sess-1`` sees its own cookies, not those of ``sess``."""
    field = b"sess=a; sess-0=b; sess-1=c; sess-1-0=d"
    assert seen(field, name="sess-1") == (("sess-1", "sess-1-0"), (b"c",), {0: [b"d"]})
    assert seen(field, name="sess") == (("sess", "sess-0", "sess-1"), (b"a",), {0: [b"b"], 1: [b"c"]})


@pytest.mark.parametrize(
    ("length", "oversized"), [(MAX_COOKIE, 0), (MAX_COOKIE + 1, MAX_COOKIE + 1), (200_000, 200_000)]
)
def test_a_value_that_none_of_ours_can_be(length: int, oversized: int) -> None:
    """Case 37: a value too long for a cookie of ours is left out before it is looked into, and its length told."""
    for pair in (b"session=", b"session-3="):
        view = read(pair + b"A" * length, pair + b"B" * (MAX_COOKIE + 1) if oversized else b"")
        assert view is not None
        assert view.oversized == oversized
        assert bool(view.singles or view.chunks) is not bool(oversized)
        assert view.names == (pair[:-1].decode(),)


def test_ten_thousand_numbers() -> None:
    """Case 15: however many numbered cookies come, no more than ``max_chunks`` of them are kept."""
    view = read(b"; ".join(b"session-%d=x" % number for number in range(10_000)))
    assert view is not None
    assert sorted(view.chunks) == list(range(CHUNKS))
    assert len(view.names) == CHUNKS


@pytest.mark.parametrize("pair", [b"session=%d", b"session-0=%d"])
def test_ten_thousand_values(pair: bytes) -> None:
    """Case 15: of one name the last few different values are kept, in order: browsers send those of longer paths first.

    A neighbour that sets a cookie for every path it can think of would crowd the session out otherwise.
    """
    _, singles, chunks = seen(b"; ".join(pair % value for value in range(10_000)))
    assert [*singles, *chunks.get(0, ())] == [b"%d" % value for value in range(10_000)][-MAX_DUPLICATES:]


def test_a_thousand_foreign_cookies() -> None:
    """Case 38: ours is found among them, and their octets are counted."""
    field = b"; ".join([b"other-%d=x" % number for number in range(1000)] + [b"session=a"])
    assert read(field, b"more=1") == CookieJarView(("session",), (b"a",), {}, 0, len(field) + 6)


NAMES = st.sampled_from(["s", "s-0", "s-1", "s-2", "s-3", "s-00", "s-1x", "ss", "S", "", " s ", "\ts-0", "s\x00"])
VALUES = st.sampled_from(["", "null", "deleted", '"', '""', '"a"', " a ", "a=b", "null ", "\x7f\u00ff", "A" * 4097]) | (
    st.text('ab"= \t\u00e9', max_size=5)
)
PAIRS = st.tuples(NAMES, VALUES).map("=".join) | NAMES
FIELDS = st.lists(st.lists(PAIRS, max_size=8).map(";".join).map(str.encode), max_size=3)


@given(FIELDS)
def test_it_reads_what_a_simple_reader_reads(fields: list[bytes]) -> None:
    """Cases 14, 16, 24, 25, 28, 32 to 36: the one pass agrees with a reader that goes through everything per name."""
    assert read(*fields, name="s", max_chunks=3) == simple(fields, "s", 3)


@given(st.lists(st.binary(max_size=60) | st.binary(max_size=20).map(lambda junk: b"s-1=" + junk), max_size=4))
def test_nothing_raises(fields: list[bytes]) -> None:
    """Case 30: whatever octets come, there is an answer, bounded by what is configured."""
    view = read(*fields, name="s", max_chunks=2)
    assert view == simple(fields, "s", 2)
    if view is not None:
        assert set(view.names) <= {"s", "s-0", "s-1"}
        assert all(len(values) <= MAX_DUPLICATES for values in (view.singles, *view.chunks.values()))


def simple(fields: list[bytes], name: str, max_chunks: int) -> CookieJarView | None:
    """Read cookies name by name, as one would write it down first."""
    pairs: list[tuple[bytes, bytes]] = []
    for field in fields:
        for pair in field.split(b";"):
            if b"=" in pair:
                key, value = (part.strip(b" \t") for part in pair.split(b"=", 1))
                quoted = len(value) >= 2 and value.startswith(b'"') and value.endswith(b'"')
                pairs.append((key, value[1:-1] if quoted else value))
    names = [name, *(f"{name}-{number}" for number in range(max_chunks))]
    ours = {wanted: [value for key, value in pairs if key == wanted.encode()] for wanted in names}
    lengths = [len(value) for values in ours.values() for value in values]

    def kept(wanted: str, *absent: bytes) -> list[bytes]:
        values: list[bytes] = []
        for value in ours[wanted]:
            if len(value) <= MAX_COOKIE and value not in (*absent, *values):
                values = [*values, value][-MAX_DUPLICATES:]
        return values

    words = (b"", b"null", b"deleted")
    first = kept(f"{name}-0", *words)
    chunks = {0: first} | {
        number: [value for value in kept(f"{name}-{number}", b"") if first or value not in words]
        for number in range(1, max_chunks)
    }
    came = tuple(wanted for wanted in names if ours[wanted])
    return (
        CookieJarView(
            came,
            tuple(kept(name, *words)),
            {number: values for number, values in chunks.items() if values},
            max((length for length in lengths if length > MAX_COOKIE), default=0),
            sum(map(len, fields)),
        )
        if came
        else None
    )


# --- writing ----------------------------------------------------------------------------------------------------------


@st.composite
def configurations(draw: st.DrawFn) -> SessionConfig:
    """Draw settings of cookies up to the longest that are allowed."""
    secure = draw(st.booleans())
    return SessionConfig(
        key="k" * draw(st.sampled_from([1, 7, 64, 256])),
        path="/" + "p" * draw(st.sampled_from([0, 10, 1023])),
        domain=draw(st.sampled_from([None, "example.org", "d" * 200 + ".example.org"])),
        max_age=draw(st.sampled_from([1, 3600, MAX_AGE_LIMIT])),
        secure=secure,
        httponly=draw(st.booleans()),
        samesite=draw(st.sampled_from(["lax", "strict"])),
        partitioned=secure and draw(st.booleans()),
        max_chunks=draw(st.integers(1, MAX_CHUNKS_LIMIT)),
        persistent=draw(st.booleans()),
    )


def attributes(field: bytes) -> dict[str, str]:
    """Return the attributes of one ``Set-Cookie`` value, names in lower case."""
    pairs = (part.partition("=") for part in field.decode("ascii").split("; ")[1:])
    listed = [(name.lower(), value) for name, _, value in pairs]
    assert len(dict(listed)) == len(listed)
    return dict(listed)


def pair(field: bytes) -> bytes:
    """Return name and value of one ``Set-Cookie`` value, as a browser sends it back."""
    return field.split(b"; ")[0]


@given(configurations(), st.data())
def test_what_is_written_is_read(config: SessionConfig, data: st.DataObject) -> None:
    """Case 11: a token that fits comes back whole, and no field, name or value is longer than browsers allow."""
    writer = CookieWriter(config)
    token = (b"AQIDBAUG" * (writer.limit // 8 + 1))[: data.draw(st.integers(1, writer.limit))]
    fields = writer.set(writer.split(token), data.draw(st.sampled_from([None, 1, config.max_age])))
    assert len(fields) <= config.max_chunks
    for field in fields:
        assert len(field) <= MAX_FIELD
        assert len(pair(field)) <= MAX_COOKIE
        assert len(pair(field).split(b"=", 1)[1]) <= CHUNK_SIZE
    if config.partitioned:
        assert sum(len(pair(field)) for field in fields) <= MAX_PARTITION

    view = CookieReader(config.key, config.max_chunks).read([b"; ".join(map(pair, fields))])
    assert view is not None
    assert view.names == writer.names(len(fields))
    sets = [(value,) for value in view.singles] or candidates(view.chunks)
    assert [b"".join(parts) for parts in sets] == [token]


@given(configurations())
def test_every_configuration_has_room(config: SessionConfig) -> None:
    """Cases 12, 13: with the longest names and attributes there is room left, for the widest number too."""
    writer = CookieWriter(config)
    assert config.max_chunks < writer.size <= writer.single <= CHUNK_SIZE
    widest = writer.set([b"A" * writer.size] * config.max_chunks, config.max_age)
    assert max(map(len, widest)) <= MAX_FIELD
    assert len(writer.set([b"A" * writer.single], config.max_age)[0]) <= MAX_FIELD


@given(configurations())
def test_one_octet_too_many(config: SessionConfig) -> None:
    """Case 161: at the limit it is written, one octet beyond it is refused with all the sizes."""
    writer = CookieWriter(config)
    assert b"".join(writer.split(b"A" * writer.limit)) == b"A" * writer.limit
    with pytest.raises(SessionTooLargeError) as caught:
        writer.split(b"A" * (writer.limit + 1))
    error = caught.value
    assert (error.size, error.limit, error.max_chunks) == (writer.limit + 1, writer.limit, config.max_chunks)
    assert error.chunks > (1 if config.partitioned else config.max_chunks)
    assert error.largest == ()


def test_the_reference_size() -> None:
    """With the reference's settings each cookie holds what the reference's do: 4,032 octets."""
    writer = CookieWriter(SessionConfig())
    assert (writer.single, writer.size) == (CHUNK_SIZE, CHUNK_SIZE) == (4032, 4032)
    assert writer.limit == 8 * CHUNK_SIZE - 1


def test_partitions_are_smaller() -> None:
    """Case 164: partitioned cookies stay below what Chrome keeps in one partition, names included."""
    writer = CookieWriter(SessionConfig(partitioned=True, secure=True))
    fields = writer.set(writer.split(b"A" * writer.limit), None)
    assert MAX_PARTITION - 100 < sum(len(pair(field)) for field in fields) <= MAX_PARTITION


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"path": "/", "max-age": "60", "httponly": "", "samesite": "Lax"}),
        ({"httponly": False, "samesite": "strict"}, {"path": "/", "max-age": "60", "samesite": "Strict"}),
        (
            {"domain": "example.org", "path": "/app", "secure": True, "samesite": "none", "partitioned": True},
            {
                "path": "/app",
                "max-age": "60",
                "domain": "example.org",
                "httponly": "",
                "secure": "",
                "samesite": "None",
                "partitioned": "",
            },
        ),
    ],
)
def test_attributes(settings: dict[str, Any], expected: dict[str, str]) -> None:
    """Case 20: every cookie carries what is configured; a clearing one the same, or browsers would not find it."""
    writer = CookieWriter(SessionConfig(**settings))
    one, two = writer.set([b"aa", b"b"], 60)
    assert (pair(one), pair(two)) == (b"session-0=aa", b"session-1=b")
    assert attributes(one) == attributes(two) == expected
    without = {name: value for name, value in expected.items() if name != "max-age"}
    assert [attributes(field) for field in writer.set([b"a"], None)] == [without]
    (cleared,) = writer.clear(["session-1"])
    assert pair(cleared) == b"session-1=null"
    assert attributes(cleared) == without | {"max-age": "0", "expires": "Thu, 01 Jan 1970 00:00:00 GMT"}


def test_a_cleared_cookie_is_no_session() -> None:
    """Case 54: should a client keep what clears, it reads as absent."""
    cleared = CookieWriter(SessionConfig()).clear(["session", "session-0", "session-1"])
    assert seen(b"; ".join(map(pair, cleared))) == (("session", "session-0", "session-1"), (), {})


@pytest.mark.parametrize(("count", "names"), [(1, ("session",)), (2, ("session-0", "session-1"))])
def test_names(count: int, names: tuple[str, ...]) -> None:
    """Cases 2, 3: one value goes into the unnumbered cookie, several into numbered ones."""
    assert CookieWriter(SessionConfig()).names(count) == names


@pytest.mark.parametrize("prefix", ["__Host-", "__Secure-"])
def test_prefixes_stay(prefix: str) -> None:
    """Case 44: a numbered cookie keeps the prefix and all its rules."""
    writer = CookieWriter(SessionConfig(key=f"{prefix}x", secure=True))
    for field in writer.set([b"aa", b"b"], None):
        assert field.startswith(prefix.encode() + b"x-")
        assert attributes(field).keys() >= {"secure", "path"}
        assert "domain" not in attributes(field)


class Overtaken(CookieWriter):
    """Stands for a writer that another thread uses at every turn, each time with another Max-Age."""

    __slots__ = ("kept",)
    kept: tuple[int | None, bytes]

    @property
    def _rendered(self) -> tuple[int | None, bytes]:
        return self.kept

    @_rendered.setter
    def _rendered(self, rendered: tuple[int | None, bytes]) -> None:  # noqa: ARG002 - overtaken at once
        self.kept = 99, b"; Max-Age=99"


@pytest.mark.parametrize("values", [[b"A"], [b"A", b"B"]])
def test_threads_do_not_mix_up_their_ages(values: list[bytes]) -> None:
    """What another thread renders meanwhile does not get into a cookie: each has the Max-Age it was asked for."""
    for cookie in Overtaken(SessionConfig()).set(values, 7):
        assert b"; Max-Age=7;" in cookie


def test_no_value_is_left_out() -> None:
    """More values than there are names for are an error, not a session that lacks its end."""
    with pytest.raises(ValueError, match="zip"):
        CookieWriter(SessionConfig(max_chunks=2)).set([b"A", b"B", b"C"], None)
