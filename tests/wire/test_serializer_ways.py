"""The quick way through the serializer against its definition, value by value: for anything at all the same.

Plain, by definition, is a session of exactly JSON's types; it is written as it is. All else is for the walk.
"""

from __future__ import annotations

import array
import collections
import contextlib
import enum
import itertools
import json
import math
import random
import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessionkit.exceptions import SerializationError
from sessionkit.wire import serializer
from sessionkit.wire.json_msgspec import MSGSPEC
from sessionkit.wire.json_pydantic import PYDANTIC
from sessionkit.wire.serializer import MAX_DEPTH, Serializer
from tests.wire.test_serializer_property import plain_sessions, sessions

WAYS = [pytest.param(way, id=way.name) for way in (PYDANTIC, MSGSPEC)]


class Role(enum.StrEnum):
    """An enum of texts."""

    ADMIN = "admin"


class Text(str):
    """A text with a mind of its own."""

    __slots__ = ()

    def __str__(self) -> str:
        return "overridden"


class Items(list[Any]):
    """A list likewise."""

    def __len__(self) -> int:
        return 0


class Owner:
    """An object whose own dict may be stored."""


OWNERS: list[Owner] = []
"""Kept: the dict of an object that is gone is like any other."""


def own(**values: Any) -> dict[str, Any]:
    """Return the own dict of an object that lives on."""
    owner = Owner()
    for name, value in values.items():
        setattr(owner, name, value)
    OWNERS.append(owner)
    return vars(owner)


def dumped(one: Serializer, value: Any) -> tuple[object, object]:
    """Return what becomes of a value: payload and whether it is typed, or where it was refused and why."""
    try:
        return one.dump(value)
    except SerializationError as error:
        return error.path, error.problem


def is_plain(value: Any, levels: int = MAX_DEPTH) -> bool:
    """Return whether a value is of exactly JSON's types, in so many levels at most."""
    if type(value) is list:
        return levels > 0 and all(is_plain(one, levels - 1) for one in value)
    if type(value) is dict:
        return levels > 0 and all(type(key) is str and is_plain(one, levels - 1) for key, one in value.items())
    return type(value) in {str, int, bool, type(None)} or (type(value) is float and math.isfinite(value))


def by_definition(value: Any, encoders: Any) -> tuple[object, object]:
    """Return what becomes of a value where nothing is quick."""
    if type(value) is dict and is_plain(value):
        with contextlib.suppress(ValueError):  # lone surrogates
            payload = PYDANTIC.write(value)
            if not re.search(rb"\d{4001}", payload):
                return payload, False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serializer, "_plain_writer", lambda *_: None)
        return dumped(Serializer(encoders), value)


def held_against_the_definition(value: Any, encoders: Any = None) -> None:
    """Store a value by either library."""
    expected = by_definition(value, encoders)
    for way in (PYDANTIC, MSGSPEC):
        assert dumped(Serializer(encoders, way), value) == expected


def around(levels: int) -> Any:
    """Nest a value in lists and dicts by turns."""
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def emptied(size: int) -> dict[Any, Any]:
    """Return a dict of text that had another key, and more of them."""
    table: dict[Any, Any] = {1: 1, **{f"key {number}": number for number in range(size)}}
    for number in range(size - 2):
        del table[f"key {number}"]
    del table[1]
    return table


def itself() -> dict[str, Any]:
    """Return a session that contains itself."""
    session: dict[str, Any] = {"a": [1]}
    session["a"].append(session)
    return session


SHARED: list[Any] = [1, {"a": [2]}]

VALUES: dict[str, Any] = {
    "numbers that are equal": [True, 1, 1.0, 0, 0.0, -0.0, False],
    "integers": [2**63, 2**64, -(2**64), 10**3999, 10**4000 - 1],
    "an integer too large": [10**4000],
    "one among many": ["x" * 5000, -(10**4000), 1],
    "digits that are a text": "7" * 9000,
    "digits in a row": list(range(10**17, 10**17 + 600)),
    "floats": [0.1, 1e-7, 1e15, 1e16, 1.5e300, 5e-324, 123456789012345680.0, 1e-5, 1e22],
    "not finite": [1.0, math.nan],
    "infinite": {"a": -math.inf},
    "a lone surrogate": "a\udc00",
    "a lone surrogate as a key": {"\ud800": 1},
    "escapes": '"\\\x00\x1f\x7f\u2028\U0001f36a</script>',
    "tuple": [(), (1,)],
    "set": {"a": {1}},
    "octets": [b"a", bytearray(b"a"), memoryview(b"a")],
    "octets alone": b"text",
    "array": array.array("i", [1, 2]),
    "array of octets": array.array("B", b"12"),
    "ellipsis": ...,
    "code": (lambda: 1).__code__,
    "iterator": iter([1]),
    "complex": 1 + 0j,
    "datetime": datetime(2026, 1, 1, tzinfo=UTC),
    "enum": [Role.ADMIN],
    "enum as a key": {Role.ADMIN: 1, "b": 2},
    "text of a subclass": Text("a"),
    "key of a subclass": {Text("a"): 1},
    "list of a subclass": Items([1]),
    "dicts of subclasses": [
        collections.OrderedDict(a=1),
        collections.defaultdict(list, b=[1]),
        collections.Counter("a"),
    ],
    "numpy": [np.float64(0.5), np.int64(1), np.str_("a"), np.bool_(0), np.array([1])],
    "numpy, not finite": np.float64("nan"),
    "numpy's octets": np.bytes_(b"a"),
    "integers as keys": {1: "a"},
    "integers and text as keys": {1: "a", "1": "b"},
    "other keys": {None: 1, True: 2, 1.5: 3},
    "a key that is gone": emptied(3),
    "many keys that are gone": emptied(40),
    "an object's own dict": own(a=1, b=[2]),
    "of which one is empty": [own(), own(a=1)],
    "an object's and a dict of integers": [own(a=1), {1: 2}],
    "an object's and a dict of an enum": [own(admin=datetime(2026, 1, 1, tzinfo=UTC)), {Role.ADMIN: 1}],
    "an object's of tuples and a dict of integers": [{"a": own(a=(), b=1)}, {"a": {1: 2, 2: 3}}],
    "one list in many places": [SHARED, SHARED, {"a": SHARED}],
    "look-alikes": [{"$set": [1]}, {"$": {}}],
    "look-alikes beside a key that is gone": [{"$set": [1]}, emptied(3)],
    "look-alikes in dicts with a past": [{"$set": emptied(40)}, emptied(40)],
    "look-alikes in an object's own dict": [{"$set": own(a=1)}, own(a={"$": 1})],
    "as deep as may be": around(MAX_DEPTH - 2),
    "deep": around(MAX_DEPTH - 1),
    "too deep": around(MAX_DEPTH),
    "far too deep": around(5000),
    "itself": itself(),
    "more than there is room for": [[None] * 400] * 300,
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_anything_is_stored_as_by_definition(value: Any) -> None:
    """Octets, mark and error are those by definition, at the top, inside, and beside other values."""
    for whole in (value, {"x": value}, {"y": [1.5, {"z": value}], "last": None}, {"x": [value, ()]}):
        held_against_the_definition(whole)


@pytest.mark.parametrize("kind", [np.float64, np.str_, Role, Text, Items, bytearray, array.array])
def test_encoders_are_asked_as_the_walk_asks_them(kind: type) -> None:
    """An encoder for a type that JSON writers take for one of JSON's own is asked all the same."""
    for value in VALUES.values():
        held_against_the_definition({"x": [value]}, {kind: lambda _: "encoded"})


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(sessions | plain_sessions)
def test_any_session_is_stored_as_by_definition(session: dict[Any, Any]) -> None:
    """Octets, mark and error are those by definition."""
    held_against_the_definition(session)


def test_large_sessions_are_stored_as_by_definition() -> None:
    """Sessions as large as cookies hold, with one odd value somewhere among plain ones."""
    rng = random.Random(16)
    for odd in VALUES.values():
        rows: list[Any] = [
            {"id": rng.randrange(10**6), "name": "x" * rng.randrange(20), "price": rng.random(), "tags": ["a", None]}
            for _ in range(80)
        ]
        rng.choice(rows)["tags"].append(odd)
        held_against_the_definition({"rows": rows})


@pytest.mark.parametrize("error", [TypeError, ValueError, RecursionError, RuntimeError, msgspec.EncodeError])
def test_where_writing_fails_the_walk_decides(error: type[Exception]) -> None:
    """A writer that fails, as where a thread writes to the session meanwhile, costs no session."""

    def fails(_: Any) -> bytes:
        raise error

    assert Serializer(text=PYDANTIC._replace(write=fails)).dump({"a": [1]}) == (b'{"a":[1]}', False)


@pytest.mark.parametrize("way", WAYS)
def test_what_holds_itself_many_times_ends(way: Any) -> None:
    """A list that is inside itself ten times, which has ten times as many values in each level, is refused at once."""
    many: list[Any] = []
    many.extend([many] * 10)
    with pytest.raises(SerializationError, match="contains itself"):
        Serializer(text=way).dump({"x": many})


@pytest.mark.parametrize("way", WAYS)
def test_what_one_way_stores_is_no_change_to_the_other(way: Any) -> None:
    """A node with the extra and one without it do not take each other's sessions for changed."""
    for value in VALUES.values():
        try:
            payload, typed = Serializer(text=way).dump({"x": value})
        except SerializationError:
            continue
        for other in (PYDANTIC, MSGSPEC):
            there = Serializer(text=other)
            assert there.dump(there.load(payload, typed=typed)) == (payload, typed)


# --- comparing --------------------------------------------------------------------------------------------------------


def exactly(one: bytes, other: bytes) -> bool:
    """Return whether two payloads are equal but for the order of keys, as JSON without an order of keys has it."""
    return json.dumps(json.loads(one), sort_keys=True) == json.dumps(json.loads(other), sort_keys=True)


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 99) | st.lists(st.integers(0, 9), max_size=3)),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 99) | st.lists(st.integers(0, 9), max_size=3)),
    st.randoms(use_true_random=False),
)
def test_same_is_exact(one: dict[str, Any], other: dict[str, Any], rng: Any) -> None:
    """Two payloads are the same if they are so by the definition, and other ones if not, however alike."""
    names = list(one)
    rng.shuffle(names)
    shuffled = {name: one[name] for name in names}
    turned = {name: value[::-1] if isinstance(value, list) else int(str(value)[::-1]) for name, value in one.items()}
    payloads = [Serializer().dump(value)[0] for value in (one, other, shuffled, turned)]
    for left in payloads:
        for right in payloads:
            assert Serializer().same(left, right) is exactly(left, right)


def test_a_counter_that_counts_is_a_change() -> None:
    """Of two payloads of one length that differ in digits alone each step is seen, digits that change places too."""
    payloads = [Serializer().dump({"n": number, "m": "x"})[0] for number in range(100, 1000)]
    assert not any(Serializer().same(one, other) for one, other in itertools.pairwise(payloads))
    assert not Serializer().same(b'{"n":12}', b'{"n":21}')
