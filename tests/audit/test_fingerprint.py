"""The format of chains: keys that cannot go back, and one spelling for whatever a renderer makes of a line."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections import OrderedDict, UserDict
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionkit.audit.fingerprint import (
    FIRST,
    MAX_LINES,
    Ratchet,
    canonical,
    checkpoint_mac,
    fingerprint,
    forks_seed,
    lines_seed,
    plain,
    root_secret,
    secret_of,
)

ROOT = bytes(range(32))
UID = "ABCDEFGHIJKLMNOP"


def mac(key: bytes, message: bytes, size: int = 32) -> bytes:
    """Return HMAC-SHA256, as the format's description has it, by another way than the code's."""
    return hmac.new(key, message, hashlib.sha256).digest()[:size]


def leaf(seed: bytes, index: int, height: int = 40) -> bytes:
    """Return a ratchet's key by walking down from its seed."""
    for bit in reversed(range(height)):
        pair = hmac.new(seed, b"ratchet", hashlib.sha512).digest()
        seed = pair[32:] if index >> bit & 1 else pair[:32]
    return seed


def test_the_format_of_a_line() -> None:
    """Fingerprints are those of the description, and of every release of version 1."""
    secret = mac(ROOT, b"sessionkit chain 1\0" + UID.encode())
    child = leaf(mac(secret, b"forks"), 5)
    assert root_secret(ROOT, UID) == secret
    assert secret_of(ROOT, UID) == secret
    assert secret_of(ROOT, f"{UID}.5") == child
    assert secret_of(ROOT, f"{UID}.5.0") == leaf(mac(child, b"forks"), 0)
    key = leaf(mac(secret, b"lines"), 3)
    assert Ratchet(lines_seed(secret), 3).key == key
    text = rb'{"a":1,"event":"\u00e9\ud83d\ude00\n\u007f\"","z":{"b":[0.5,1e-07,true,null]}}'
    said = {"z": {"b": [0.5, 1e-7, True, None]}, "event": 'é😀\n\x7f"', "a": 1.0}
    assert canonical(said) == text
    expected = mac(key, b"line\0" + UID.encode() + b"\0" + b"3\0" + FIRST.encode() + b"\0" + text, 16).hex()
    assert fingerprint(key, UID, 3, FIRST, canonical(said)) == expected == "5d24107f83ef261d2d56ec60d223ba05"
    record = {"checkpoint": 1, "lines": 3}
    assert checkpoint_mac(key, record) == mac(key, b'checkpoint\0{"checkpoint":1,"lines":3}', 16).hex()
    assert forks_seed(secret) == mac(secret, b"forks")


@pytest.mark.parametrize("start", [0, 1, 5, 63, 64, 1023, (1 << 20) - 2, MAX_LINES - 20])
def test_a_ratchet_leads_to_the_same_keys_from_anywhere(start: int) -> None:
    """Going on line by line and jumping to a line give the same key, which is the leaf of the tree."""
    ratchet = Ratchet(ROOT, start)
    for index in range(start, start + 20):
        assert (ratchet.index, ratchet.key) == (index, Ratchet(ROOT, index).key)
        if index + 1 < MAX_LINES:
            ratchet.advance()
    assert Ratchet(ROOT, start).key == leaf(ROOT, start)


@pytest.mark.parametrize("index", [1, 2, 7, 64, 100])
def test_a_ratchet_forgets(index: int) -> None:
    """Of the nodes of the tree that lead to an earlier key, it holds none."""
    ratchet = Ratchet(ROOT)
    while ratchet.index < index:
        ratchet.advance()
    held = {ratchet.key, *(node for node, _ in ratchet._ahead)}
    above = {(number >> (40 - height), height) for number in range(index) for height in range(41)}
    earlier = {leaf(ROOT, place, height) for place, height in above}
    assert ROOT in earlier
    assert leaf(ROOT, index - 1) in earlier
    assert not held & earlier
    assert len(held) <= 41


def test_keys_differ() -> None:
    """Lines, descendants and chains share no key."""
    secrets = [secret_of(ROOT, uid) for uid in (UID, UID[::-1], f"{UID}.0", f"{UID}.1", f"{UID}.0.0", f"{UID}.0.1")]
    keys = [Ratchet(seed(secret)).key for secret in secrets if secret for seed in (lines_seed, forks_seed)]
    assert len(set(keys)) == 12


@pytest.mark.parametrize(
    "uid",
    ["", "A", UID.lower(), UID + ".", f"{UID}.-1", f"{UID}.01", f"{UID}.{MAX_LINES}", UID + ".0" * 17, UID + "\n"],
)
def test_no_chain_has_such_a_name(uid: str) -> None:
    """A name that no chain can have leads to no key, however it looks."""
    assert secret_of(ROOT, uid) is None


def test_the_last_names_there_are() -> None:
    """The highest number and the deepest descent are still names."""
    assert secret_of(ROOT, f"{UID}.{MAX_LINES - 1}") is not None
    assert secret_of(ROOT, UID + ".0" * 16) is not None


# --- values -----------------------------------------------------------------------------------------------------------

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.characters(categories=["Cs"])
    | st.binary()
    | st.datetimes()
    | st.decimals()
    | st.uuids(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.frozensets(st.integers())
        | st.dictionaries(st.text() | st.integers() | st.booleans() | st.none() | st.tuples(st.integers()), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(), values, max_size=3))
def test_whoever_renders_it(line: dict[str, Any]) -> None:
    """A line of any values has one canonical spelling, also after json or orjson has written it in any order."""
    made = {name: plain(value) for name, value in line.items()}
    text = canonical(made)
    shuffled = dict(reversed(made.items()))
    for rendered in (
        json.dumps(shuffled),
        json.dumps(shuffled, ensure_ascii=False, indent=1),
        json.dumps(shuffled, sort_keys=True, allow_nan=False),
        orjson.dumps(shuffled),
        orjson.dumps(shuffled, option=orjson.OPT_SORT_KEYS),
    ):
        assert canonical(json.loads(rendered)) == text
        assert canonical(orjson.loads(rendered)) == text


@settings(max_examples=40)
@given(values)
def test_plain_values_stay(value: object) -> None:
    """What was made plain once is left alone."""
    assert repr(plain(plain(value))) == repr(plain(value))


class Colour(Enum):
    """An enum of no plain type."""

    RED = (1, 2)


class Word(StrEnum):
    """An enum that is text."""

    A = "a"


class Number(IntEnum):
    """An enum that is a number."""

    ONE = 1


class Text(str):
    """Text of a class of its own, which says something else of itself."""

    __slots__ = ()

    def __str__(self) -> str:
        return "another"


class Spoken:
    """Has its say on how it is logged."""

    def __structlog__(self) -> object:
        return {"spoken": (1,)}


class Endless:
    """Always has more to say."""

    def __structlog__(self) -> object:
        return self


class Shown:
    """Has only its repr."""

    def __repr__(self) -> str:
        return "<Shown é>"


endless: list[Any] = []
endless.append(endless)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2027, 1, 15, 8, tzinfo=UTC), "2027-01-15T08:00:00+00:00"),
        (date(2027, 1, 15), "2027-01-15"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("a/b"), "a/b"),
        (Decimal("1.50"), "1.50"),
        (Colour.RED, [1, 2]),
        (Word.A, "a"),
        (Number.ONE, 1),
        (Text("own"), "own"),
        (Spoken(), {"spoken": [1]}),
        (Endless(), "…"),
        (Shown(), "<Shown é>"),
        (Spoken, repr(Spoken)),
        (b"\xff", "b'\\xff'"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (1 << 63, "0x8000000000000000"),
        (-(1 << 63), -(1 << 63)),
        (1 << 100_000, hex(1 << 100_000)),
        ("\ud800é", "?é"),
        (OrderedDict(a=1), {"a": 1}),
        (UserDict(a=1), {"a": 1}),
        ({True: 1, None: 2, 3: 3, 1.5: 4}, {"true": 1, "null": 2, "3": 3, "1.5": 4}),
        ({(1,): 5, Word.A: 6}, {"[1]": 5, "a": 6}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_json_does_not_know(value: object, expected: object) -> None:
    """Each becomes the one thing that is documented, of the plain type itself."""
    made = plain(value)
    assert made == expected
    assert type(made) is type(expected)


def test_a_value_that_holds_itself() -> None:
    """Nesting without end is cut, where json raises and orjson gives up."""
    made = plain(endless)
    assert json.dumps(made).count("[") == 65
    assert orjson.dumps(made)


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, True), (0, False), ("1", 1), (None, "null"), ([], {}), ([1], 1), (0.1, 0.10000000000000002), ("é", "e\u0301")],
)
def test_values_that_differ_have_different_spellings(one: object, other: object) -> None:
    """What readers tell apart is told apart, also where Python calls it equal."""
    assert canonical({"a": one}) != canonical({"a": other})


@pytest.mark.parametrize("number", [math.inf, math.nan])
def test_what_is_no_number(number: float) -> None:
    """JSON has no such number; whoever wrote one into a line gets no fingerprint for it."""
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical({"a": number})
