"""The serializer against values and payloads nobody thought of."""

from __future__ import annotations

import json
from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessionkit.exceptions import SerializationError
from sessionkit.wire.serializer import _READERS, BadPayload, Serializer
from tests.wire.same_value import identical

SERIALIZER = Serializer()

pytestmark = pytest.mark.usefixtures("ways")

texts = st.text(max_size=12) | st.sampled_from(["$", "$$", "$set", "$dict", "$datetime", "$x"])
plain_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
offsets = st.builds(
    timezone, st.timedeltas(min_value=timedelta(hours=-23, minutes=-59), max_value=timedelta(hours=23, minutes=59))
)
zones = st.none() | offsets


def folded(moments: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Add the second of two equal hours."""
    return st.builds(lambda moment, fold: moment.replace(fold=fold), moments, st.integers(0, 1))


# Hashable whatever is inside, so they may be keys and members.
typed_scalars = (
    plain_scalars
    | st.floats()
    | st.complex_numbers()
    | st.binary(max_size=20)
    | folded(st.datetimes(timezones=zones))
    | folded(st.times(timezones=zones))
    | st.dates()
    | st.timedeltas()
    | st.uuids()
    | st.fractions()
    | st.decimals(allow_nan=False)
    | st.ip_addresses()
)
hashables = st.recursive(
    typed_scalars,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Nest values."""
    return (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(texts, inner, max_size=4)
        | st.dictionaries(hashables, inner, max_size=3)
        | st.sets(hashables, max_size=3)
    )


plain_sessions = st.dictionaries(
    texts,
    st.recursive(
        plain_scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=12,
    ),
    max_size=5,
)
sessions = st.dictionaries(texts, st.recursive(hashables, containers, max_leaves=10), max_size=5)
payloads = st.dictionaries(
    texts,
    st.recursive(
        plain_scalars,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(texts, inner, max_size=3)
            | st.builds(
                lambda tag, content: {tag: content},
                st.sampled_from([*_READERS, "$unknown"]),
                inner | st.lists(inner, max_size=3),
            )
        ),
        max_leaves=15,
    ),
    max_size=3,
)


@given(plain_sessions)
def test_plain_sessions_are_plain_json(session: dict[str, Any]) -> None:
    """Case 145: what JSON has types for is JSON that any reader reads, and comes back with type and value."""
    payload, typed = SERIALIZER.dump(session)
    assert not typed
    assert identical(json.loads(payload), session)
    assert identical(SERIALIZER.load(payload, typed=False), session)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(sessions)
def test_typed_sessions_come_back(session: dict[str, Any]) -> None:
    """Cases 146 to 149: any nesting of the types that are kept comes back with type, value and order of keys."""
    payload, typed = SERIALIZER.dump(session)
    back = SERIALIZER.load(payload, typed=typed)
    assert identical(back, session)
    assert SERIALIZER.dump(back) == (payload, typed)


@given(sessions, st.randoms(use_true_random=False))
def test_order_of_keys_is_no_change(session: dict[str, Any], random: Any) -> None:
    """Case 158: the same entries in another order are the same, and another value is not."""
    names = list(session)
    random.shuffle(names)
    payload, typed = SERIALIZER.dump(session)
    shuffled, typed_too = SERIALIZER.dump({name: session[name] for name in names})
    assert typed == typed_too
    assert SERIALIZER.same(payload, shuffled)
    other, _ = SERIALIZER.dump({**session, "one more": 1, "and": 1})
    assert SERIALIZER.same(payload, other) == (payload == other)


def loads_or_is_refused(payload: bytes, *, typed: bool) -> None:
    """Load a payload, which ends in a dict or in ``BadPayload``."""
    try:
        data = SERIALIZER.load(payload, typed=typed)
    except BadPayload:
        return
    assert type(data) is dict


@given(st.binary(max_size=100), st.booleans())
def test_random_octets_raise_one_error(payload: bytes, typed: bool) -> None:
    """Case 156: random octets load to a dict or raise ``BadPayload``."""
    loads_or_is_refused(payload, typed=typed)


@given(payloads)
def test_hostile_payloads_raise_one_error(payload: dict[str, Any]) -> None:
    """Cases 156, 160: payloads with tags in the wrong places load or raise ``BadPayload``.

    If they load, what they load to comes back when stored, or is refused by a typed error.
    """
    try:
        data = SERIALIZER.load(json.dumps(payload).encode(), typed=True)
    except BadPayload:
        return
    try:
        written, typed = SERIALIZER.dump(data)
    except SerializationError:
        return
    assert identical(SERIALIZER.load(written, typed=typed), data)


@given(sessions, st.data())
def test_mutated_payloads_raise_one_error(session: dict[str, Any], data: st.DataObject) -> None:
    """Case 156: payloads cut or written over load to a dict or raise ``BadPayload``."""
    payload = bytearray(SERIALIZER.dump(session)[0])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(payload)))
        payload[place : place + data.draw(st.integers(0, 4))] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b"[", b"]", b"{", b"}", b'"', b"null", b"1e999", b"$"])
        )
    loads_or_is_refused(bytes(payload), typed=True)


@pytest.mark.parametrize("bracket", [b"[", b'{"a":', b'{"$tuple":[', b'{"$":{"a":', b'{"$dict":[['], ids=bytes.decode)
@pytest.mark.parametrize("levels", [50, 199, 200, 201, 1000, 100_000])
def test_deep_payloads_raise_one_error(bracket: bytes, levels: int) -> None:
    """Case 153: a payload nested without end, open or closed, loads or raises ``BadPayload``."""
    closing = bracket[::-1].translate(bytes.maketrans(b"[{", b"]}"), b'":$adictuple')
    for payload in (bracket * levels, b'{"x":' + bracket * levels + b"1" + closing * levels + b"}"):
        loads_or_is_refused(payload, typed=True)
