"""JSON by either library: the same octets written, the same read, the same refused."""

from __future__ import annotations

import json
import math
import random
import struct
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sessionkit.wire import json_msgspec, jsontext
from sessionkit.wire.json_msgspec import MSGSPEC
from sessionkit.wire.json_pydantic import PYDANTIC, Json
from sessionkit.wire.jsontext import agreed
from tests.wire.same_value import identical

floats = st.floats(allow_nan=False, allow_infinity=False).filter(lambda value: agreed([abs(value)]))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | floats | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)

# --- writing ----------------------------------------------------------------------------------------------------------


@given(values)
def test_the_same_octets_are_written(value: Any) -> None:
    """Whatever is made of JSON's own types is written alike, and read alike."""
    payload = PYDANTIC.write(value)
    assert MSGSPEC.write(value) == payload
    assert identical(MSGSPEC.read(payload), value)
    assert identical(PYDANTIC.read(payload), value)


def test_every_character_is_written_alike() -> None:
    """Escapes are the same for all characters there are, in texts and in keys."""
    text = "".join(chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000)
    for value in (text, {text: None}, {character: character for character in text[:300]}):
        assert MSGSPEC.write(value) == PYDANTIC.write(value)


def test_integers_of_every_length_are_written_alike() -> None:
    """Integers are the same on both sides of every limit: 32, 64 bits, as many as Python turns into text."""
    edges = [sign * (base + step) for base in (2**31, 2**63, 2**64) for step in (-1, 0, 1) for sign in (1, -1)]
    edges += [sign * 10**digits for digits in (*range(40), 4000) for sign in (1, -1)]
    payload = PYDANTIC.write(edges)
    assert MSGSPEC.write(edges) == payload
    assert MSGSPEC.read(payload) == PYDANTIC.read(payload) == edges


def _doubles(rng: random.Random) -> list[float]:
    """Return floats of all magnitudes, and of as many digits as people have."""
    found = [struct.unpack("<d", rng.randbytes(8))[0] for _ in range(4000)]
    found += [rng.uniform(-1, 1) * 10 ** rng.randint(-4, 15) for _ in range(8000)]
    found += [round(rng.uniform(-1e6, 1e6), rng.randint(0, 6)) for _ in range(4000)]
    return [value for value in found if math.isfinite(value)]


def test_floats_that_are_agreed_on_are_written_alike() -> None:
    """A float that both are said to write alike is; all of the sizes that people use are among them."""
    rng = random.Random(754)
    edges = [1e-4, math.nextafter(1e15, 0), -0.0, 0.0, 1 / 3, 0.1, 1e14 + 1 / 64, 1764098640.123456]
    alike = [value for value in [*edges, *_doubles(rng)] if agreed([abs(value)])]
    assert len(alike) > 10_000
    assert set(edges) <= set(alike)
    assert MSGSPEC.write(alike) == PYDANTIC.write(alike)


@pytest.mark.parametrize(
    "sizes", [[1e15], [1.0, 1e16], [9.9e-5], [0.0, 5e-324], [1e308, 1.0], [1.0, math.nan], [math.nan, 1.0], [math.inf]]
)
def test_floats_of_other_sizes_are_not_agreed_on(sizes: list[float]) -> None:
    """Floats that have, or might have, an exponent are told, also among others, and those that are not finite."""
    assert not agreed(sizes)


@pytest.mark.parametrize("sizes", [[], [0.0], [0.0, 1.0], [1e-4, 9e14]])
def test_floats_of_common_sizes_are_agreed_on(sizes: list[float]) -> None:
    """Zero has no exponent either."""
    assert agreed(sizes)


# --- reading ----------------------------------------------------------------------------------------------------------


def read(way: Json, payload: bytes) -> tuple[Any, ...]:
    """Return what a way makes of a payload: the value, or nothing."""
    try:
        return (way.read(payload),)
    except ValueError:
        return ()


ODD = [
    b"",
    b"NaN",
    b"[Infinity]",
    b"-",
    b"-0",
    b"-0.0",
    b"01",
    b"1.",
    b".5",
    b"1e",
    b"1E5",
    b"1e999",
    b"1e-999",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"1" * 4300,
    b"1" * 4301,
    b"123456789012345678901234567890.5",
    b'{"a":1,"b":2,"a":3}',
    b"{1:2}",
    b"[1,]",
    b"[1]//",
    b"1 1",
    b" 1 ",
    b"\x0c1",
    b"1\x00",
    b"\xef\xbb\xbf1",
    b"nul",
    b"true1",
    b'"\x01"',
    b'"\n"',
    b'"\x7f"',
    b'"\xff"',
    b'"\xed\xa0\x80"',
    rb'"\ud800"',
    rb'"\ud83c\udf6a"',
    rb'"\u00g0"',
    rb'"\x"',
    rb'"\/"',
]


@pytest.mark.parametrize("payload", ODD, ids=lambda payload: repr(payload)[2:22])
def test_what_no_session_holds_is_read_alike(payload: bytes) -> None:
    """Numbers, texts and ends that readers differ on elsewhere are read alike, or refused alike."""
    assert identical(read(MSGSPEC, payload), read(PYDANTIC, payload))
    assert identical(read(MSGSPEC, b'{"a":[%b]}' % payload), read(PYDANTIC, b'{"a":[%b]}' % payload))


@given(values, st.data())
@example([1.5, {"a": None}], None)
def test_broken_payloads_are_read_alike(value: Any, data: st.DataObject | None) -> None:
    """Payloads that were cut or written over are read alike, or refused alike."""
    payload = bytearray(json.dumps(value).encode())
    for _ in range(0 if data is None else data.draw(st.integers(1, 3))):
        assert data is not None
        at = data.draw(st.integers(0, len(payload)))
        payload[at : at + data.draw(st.integers(0, 4))] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b"[", b"]", b"{", b"}", b'"', b"null", b"1e9", b"-", b",", b":"])
        )
    assert identical(read(MSGSPEC, bytes(payload)), read(PYDANTIC, bytes(payload)))


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[0,{"a":', b"},0]")])
@pytest.mark.parametrize("levels", [64, 100, 128, 199, 200, 201, 202, 300, 900, 2000, 100_000])
def test_depth_is_limited_alike(opening: bytes, closing: bytes, levels: int) -> None:
    """Brackets within brackets are read as deep, and refused from the same level on, open or closed."""
    for payload in (opening * levels + b"1" + closing * levels, opening * levels):
        assert bool(read(MSGSPEC, payload)) == bool(read(PYDANTIC, payload))


def test_many_brackets_side_by_side_are_read() -> None:
    """A session of many small values is not deep."""
    value = {"rows": [[number, {"a": []}] for number in range(500)]}
    assert MSGSPEC.read(PYDANTIC.write(value)) == value


def test_no_stack_left_is_no_reason_to_refuse() -> None:
    """Near the end of the caller's stack a session is written and read as anywhere else."""
    payload = b"[" * 120 + b"]" * 120

    def near_the_end(frames: int) -> tuple[bytes, Any]:
        if frames:
            return near_the_end(frames - 1)
        value = MSGSPEC.read(payload)
        return MSGSPEC.write(value), value

    room = 1
    while _has_room(room):
        room += 1
    assert near_the_end(room - 20) == (payload, PYDANTIC.read(payload))


def _has_room(frames: int) -> bool:
    """Tell whether so many calls fit onto the stack."""
    try:
        return frames == 0 or _has_room(frames - 1)
    except RecursionError:
        return False


# --- the choice -------------------------------------------------------------------------------------------------------


def test_msgspec_is_used_where_it_is_installed() -> None:
    """The extra is used by itself."""
    assert jsontext.fastest() is MSGSPEC


def test_without_msgspec_pydantic_core_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra is not installed, nothing is missing."""
    monkeypatch.setitem(sys.modules, "msgspec", None)
    monkeypatch.delitem(sys.modules, "sessionkit.wire.json_msgspec")
    assert jsontext.fastest() is PYDANTIC


def _raises(_: object) -> bytes:
    raise TypeError


@pytest.mark.parametrize(
    "way",
    [
        MSGSPEC._replace(write=lambda value: json.dumps(value).encode()),
        MSGSPEC._replace(read=lambda payload: {**PYDANTIC.read(payload), "floats": [0]}),
        MSGSPEC._replace(write=_raises),
    ],
    ids=["writes otherwise", "reads otherwise", "raises"],
)
def test_a_library_that_differs_is_not_used(way: Json, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release of msgspec that does not do as pydantic_core does is left alone."""
    monkeypatch.setattr(json_msgspec, "MSGSPEC", way)
    assert jsontext.fastest() is PYDANTIC
