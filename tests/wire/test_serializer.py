"""The serializer: types that come back, values stored as plain data, and errors that tell where and not what."""

from __future__ import annotations

import collections
import dataclasses
import enum
import itertools
import json
import sys
import traceback
import types
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Interface, IPv6Address
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from uuid import UUID
from zoneinfo import ZoneInfo

import anyio
import anyio.lowlevel
import attrs
import msgspec
import numpy as np
import pydantic
import pytest

from sessionkit.exceptions import SerializationError
from sessionkit.session import Session
from sessionkit.wire.serializer import MAX_DEPTH, BadPayload, Serializer
from tests.wire.same_value import identical

SERIALIZER = Serializer()

pytestmark = pytest.mark.usefixtures("ways")


def through(value: Any, serializer: Serializer = SERIALIZER) -> Any:
    """Store a value in a session and read it back."""
    payload, typed = serializer.dump({"x": value})
    return serializer.load(payload, typed=typed)["x"]


def refusal(value: Any, serializer: Serializer = SERIALIZER) -> SerializationError:
    """Dump what cannot be stored."""
    with pytest.raises(SerializationError) as caught:
        serializer.dump(value)
    return caught.value


# --- JSON's own types -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "",
        'é\U0001f36a\x00\n"\\',
        0,
        -1,
        2**63,
        -(2**64),
        10**4000 - 1,
        1 - 10**4000,
        0.1,
        -0.0,
        1e308,
        5e-324,
        True,
        False,
        None,
        [],
    ],
    ids=lambda value: repr(value)[:20],
)
def test_plain_values(value: Any) -> None:
    """Case 145: JSON's own types come back with type and value, untyped and unmarked."""
    payload, typed = SERIALIZER.dump({"x": value, "nested": [{"y": [value]}]})
    assert not typed
    assert identical(SERIALIZER.load(payload, typed=False), {"x": value, "nested": [{"y": [value]}]})


def test_plain_payload_is_compact_json() -> None:
    """Case 145: a session of plain values is JSON without spaces, in the order the application gave."""
    assert SERIALIZER.dump({"b": 1, "a": [True, None, {"c": "é"}]}) == (
        '{"b":1,"a":[true,null,{"c":"é"}]}'.encode(),
        False,
    )


# --- types that come back ---------------------------------------------------------------------------------------------

KEPT = [
    datetime(2026, 11, 23, 9, 5),  # noqa: DTZ001 - naive on purpose
    datetime(2026, 11, 23, 9, 5, 0, 1, tzinfo=UTC),
    datetime(2026, 11, 23, 9, 5, tzinfo=timezone(timedelta(hours=-5, minutes=-30))),
    datetime(2026, 11, 23, 9, 5, tzinfo=timezone(timedelta(seconds=1, microseconds=1))),
    datetime(2026, 10, 25, 2, 30, fold=1),  # noqa: DTZ001 - naive on purpose
    datetime(2026, 10, 25, 2, 30, tzinfo=UTC, fold=1),
    datetime.min,  # noqa: DTZ901 - naive on purpose
    datetime.max,  # noqa: DTZ901 - naive on purpose
    date(1, 1, 1),
    date.max,
    time(23, 59, 59, 999999),
    time(2, 30, fold=1),
    time(2, 30, tzinfo=UTC),
    timedelta(0),
    timedelta.min,
    timedelta.max,
    timedelta(microseconds=-1),
    UUID(int=0),
    UUID("00112233-4455-6677-8899-aabbccddeeff"),
    Decimal("1.10"),
    Decimal("-0"),
    Decimal("NaN"),
    Decimal("sNaN123"),
    Decimal("-Infinity"),
    Decimal("1E+999999"),
    Fraction(-1, 3),
    complex(-0.0, float("inf")),
    b"",
    bytes(range(256)),
    (),
    (1, [2, (3,)], {"a": ()}),
    set(),
    {1, "1", None, (1, 2), 2.5, frozenset({1})},
    frozenset({b"a", UUID(int=1), date.max}),
    float("nan"),
    float("inf"),
    float("-inf"),
    IPv4Address("192.0.2.1"),
    IPv6Address("fe80::1%eth0"),
    {1: "a", "1": "b", None: "c", (1, (2,)): "d", 2.5: "e", b"k": "f", float("inf"): "g"},
    {True: 1, "True": 2},
    {},
]


def _name(value: object) -> str:
    """Name a case alike in every process, which the repr of a set is not."""
    return type(value).__name__ if isinstance(value, set | frozenset) else repr(value)


@pytest.mark.parametrize("value", KEPT, ids=_name)
def test_types_that_json_lacks_come_back(value: Any) -> None:
    """Cases 146, 148, 149: type and value come back, alone, inside containers and as part of a typed payload."""
    assert identical(through(value), value)
    assert identical(through([{"y": (value, "text")}]), [{"y": (value, "text")}])


def test_typed_is_told() -> None:
    """Case 146: whether a payload holds tagged values is told beside it."""
    assert SERIALIZER.dump({"x": 1})[1] is False
    assert SERIALIZER.dump({"x": (1,)})[1] is True


def test_zone_names_become_offsets() -> None:
    """Case 146: a datetime of a named zone keeps its instant and its offset; the name is the documented loss."""
    summer = datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    back = through(summer)
    assert back == summer
    assert back.tzinfo == timezone(timedelta(hours=2))


LOOK_ALIKES: list[Any] = [
    {"$set": [1]},
    {"$": {"$set": [1]}},
    {"$": 1},
    {"$uuid": "00112233-4455-6677-8899-aabbccddeeff"},
    {"$nonsense": None},
    {"$set": [1], "more": 1},
    {"$$": {"$": {"$": {}}}},
]


@pytest.mark.parametrize("value", LOOK_ALIKES, ids=json.dumps)
def test_what_looks_like_a_tag_stays_a_dict(value: Any) -> None:
    """Cases 147, 157: a dict that looks like a tag comes back as it was, in plain and typed payloads, at any depth."""
    for whole in (value, {"x": value}, {"x": [value, ()]}, {"x": {1: value}}, {"x": (value,)}):
        payload, typed = SERIALIZER.dump(whole)
        assert identical(SERIALIZER.load(payload, typed=typed), whole)
    assert SERIALIZER.dump(value)[1] is False


def test_keys_that_json_would_merge_stay_apart() -> None:
    """Case 149: ``1`` and ``"1"`` as keys of one dict are two entries, in their order."""
    back = through({1: "number", "1": "text", None: "none", "null": "word"})
    assert list(back.items()) == [(1, "number"), ("1", "text"), (None, "none"), ("null", "word")]


def test_sets_are_written_in_one_order() -> None:
    """Case 158: the same set gives the same octets whatever order it was filled in, so it does not look changed."""
    names = [f"member {number}" for number in range(50)]
    assert SERIALIZER.dump({"x": set(names)}) == SERIALIZER.dump({"x": set(names[25:] + names[:25])})
    assert SERIALIZER.dump({"x": frozenset([3, 20, 1])})[0] == b'{"x":{"$frozenset":[1,20,3]}}'


# --- values stored as plain data --------------------------------------------------------------------------------------


class Colour(enum.Enum):
    """A plain enum."""

    RED = 1
    WHEN = date(2026, 1, 1)


class Role(enum.StrEnum):
    """An enum of texts."""

    ADMIN = "admin"


class Flags(enum.IntFlag):
    """An enum of bits."""

    A = 1
    B = 2


class Text(str):
    """A text with a mind of its own."""

    __slots__ = ()

    def __str__(self) -> str:
        return "overridden"


class Number(int):
    """An integer likewise."""

    def __int__(self) -> int:
        return -1

    def __repr__(self) -> str:
        return "overridden"


class Octets(bytes):
    """Octets likewise."""

    def __bytes__(self) -> bytes:
        return b"overridden"


class Items(list[Any]):
    """A list likewise."""

    def __iter__(self) -> NoReturn:
        raise AssertionError


class Point(NamedTuple):
    """A named tuple."""

    x: int
    y: date


class FrozenDatetime(datetime):
    """What tools that stop the clock put in place of datetime."""


ROWS: list[tuple[Any, Any]] = [
    (Colour.RED, 1),
    (Colour.WHEN, date(2026, 1, 1)),
    (Role.ADMIN, "admin"),
    (Flags.A | Flags.B, 3),
    ({Role.ADMIN: 1}, {"admin": 1}),
    ({Colour.RED: 1}, {1: 1}),
    (Text("t"), "t"),
    ({Text("t"): 1}, {"t": 1}),
    (Number(5), 5),
    (Octets(b"o"), b"o"),
    (Items([1, (2,)]), [1, (2,)]),
    (Point(1, date(2026, 1, 1)), (1, date(2026, 1, 1))),
    (FrozenDatetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
    (IPv4Interface("192.0.2.1/24"), IPv4Address("192.0.2.1")),
    (collections.defaultdict(list, a=[1]), {"a": [1]}),
    (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    (collections.Counter("aab"), {"a": 2, "b": 1}),
    (types.MappingProxyType({"a": 1}), {"a": 1}),
    (collections.UserDict({"a": (1,)}), {"a": (1,)}),
    (collections.ChainMap({"a": 1}, {"b": 2}), {"b": 2, "a": 1}),
    (bytearray(b"ab"), b"ab"),
    (memoryview(b"abcd")[::2], b"ac"),
]


@pytest.mark.parametrize(("value", "stored"), ROWS, ids=lambda value: type(value).__qualname__)
def test_subclasses_and_enums_are_stored_as_their_base(value: Any, stored: Any) -> None:
    """Cases 146, 154: an enum is its value, every subclass its base, whatever methods it overrides."""
    assert identical(through(value), stored)


@dataclasses.dataclass
class Item:
    """A dataclass with a value that JSON lacks, and one that does not belong into ``init``."""

    price: Decimal
    owner: Any = None
    seen: list[str] = dataclasses.field(default_factory=list, init=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    """A dataclass that may be a key or a member of a set."""

    a: int


@pydantic.dataclasses.dataclass
class Checked:
    """A dataclass of pydantic's."""

    day: date


class Address(pydantic.BaseModel):
    """A nested model."""

    city: str
    since: date


def unchecked(**fields: Any) -> Address:
    """Make an address past its validation."""
    return Address.model_construct(**fields)


class User(pydantic.BaseModel):
    """A model."""

    model_config = pydantic.ConfigDict(extra="allow", arbitrary_types_allowed=True)

    id: UUID
    home: Address | None = None
    anything: Any = None


class Names(pydantic.RootModel[list[str]]):
    """A model that is a list."""


class Table(pydantic.RootModel[dict[str, date]]):
    """A model that is a dict."""


@attrs.define
class Attrs:
    """A class of attrs."""

    day: date
    _hidden: int = 1


class Struct(msgspec.Struct):
    """A Struct of msgspec."""

    day: date
    tags: set[str]


DAY = date(2026, 11, 23)
ID = UUID(int=7)

OBJECTS: list[tuple[Any, Any]] = [
    (Item(Decimal("1.10")), {"price": Decimal("1.10"), "owner": None, "seen": []}),
    (Frozen(1), {"a": 1}),
    (Checked(DAY), {"day": DAY}),
    (Address(city="Köln", since=DAY), {"city": "Köln", "since": DAY}),
    (
        User.model_validate({"id": ID, "home": {"city": "Köln", "since": DAY}, "more": (1,)}),
        {"id": ID, "home": {"city": "Köln", "since": DAY}, "anything": None, "more": (1,)},
    ),
    (Names(["a"]), ["a"]),
    (Table({"a": DAY}), {"a": DAY}),
    (Attrs(DAY), {"day": DAY, "_hidden": 1}),
    (Struct(DAY, {"a"}), {"day": DAY, "tags": {"a"}}),
]


@pytest.mark.parametrize(("value", "stored"), OBJECTS, ids=lambda value: type(value).__qualname__)
def test_objects_with_fields_are_stored_as_dicts(value: Any, stored: Any) -> None:
    """Case 150: dataclasses, pydantic models, attrs classes and Structs become dicts whose values keep their types."""
    assert identical(through(value), stored)
    assert identical(through([value]), [stored])
    if type(stored) is dict:
        payload, typed = SERIALIZER.dump(value)
        assert identical(SERIALIZER.load(payload, typed=typed), stored)


def test_plain_objects_give_untyped_payloads() -> None:
    """Case 150: a model of plain values is plain JSON, the same octets as the dict it is stored as."""
    assert SERIALIZER.dump({"x": Frozen(1), "y": Role.ADMIN}) == SERIALIZER.dump({"x": {"a": 1}, "y": "admin"})


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (np.int64(-5), -5),
        (np.uint8(255), 255),
        (np.float64(0.1), 0.1),
        (np.float32(0.5), 0.5),
        (np.float64("nan"), float("nan")),
        (np.bool_(1), True),
        (np.str_("é"), "é"),
        (np.bytes_(b"a"), b"a"),
        (np.complex128(1j), 1j),
        (np.complex64(1j), 1j),
        (np.datetime64("2026-11-23"), DAY),
        (np.datetime64("2026-11-23T09:05:00", "us"), datetime(2026, 11, 23, 9, 5)),  # noqa: DTZ001 - numpy's are naive
        (np.datetime64("NaT", "s"), None),
        (np.timedelta64(5, "s"), timedelta(seconds=5)),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array([1.5, np.inf]), [1.5, float("inf")]),
        (np.array(["2026-11-23"], dtype="datetime64[D]"), [DAY]),
        (np.array(7), 7),
        (np.array([]), []),
        (np.array([DAY, "a"], dtype=object), [DAY, "a"]),
        ({np.int64(1): 2}, {1: 2}),
        ({np.int64(1)}, {1}),
    ],
    ids=repr,
)
def test_numpy_becomes_python(value: Any, stored: Any) -> None:
    """Case 150: scalars become Python's numbers, texts and times, arrays become lists, at any place."""
    assert identical(through(value), stored)


@pytest.mark.parametrize(
    "value",
    [
        np.longdouble(1),
        np.array([1], dtype=np.longdouble),
        np.datetime64("2026-11-23T00:00:00.000000001", "ns"),
        np.array(["2026-11-23T00:00:00"], dtype="datetime64[ns]"),
        np.datetime64("20000-01-01"),
        np.timedelta64(1, "M"),
    ],
    ids=repr,
)
def test_numpy_that_python_cannot_hold_is_refused(value: Any) -> None:
    """Case 150: what ``tolist`` would leave as it is, or turn from a time into a bare number, is an error."""
    assert "convert it first" in refusal({"x": value}).problem


def test_numpy_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 150: without numpy in the process nothing is looked for in it, and unknown types are told as ever."""
    monkeypatch.delitem(sys.modules, "numpy")
    assert through(types.MappingProxyType({"a": 1})) == {"a": 1}
    assert "numpy.int64" in refusal({"x": np.int64(1)}).problem


def test_importing_the_serializer_imports_none_of_them() -> None:
    """Case 150: numpy, attrs, msgspec and pydantic's models are known by their marks, not imported."""
    source = Path(sys.modules["sessionkit.wire.serializer"].__file__ or "").read_text(encoding="utf-8")
    for library in ("numpy", "attrs", "attr", "msgspec", "pydantic"):
        assert f"import {library}\n" not in source
        assert f"from {library} import" not in source


def test_pydantic_warnings_do_not_tell_values(recwarn: pytest.WarningsRecorder) -> None:
    """Case 150: a model whose field holds another type is stored without pydantic's warning, which quotes the value."""
    odd = unchecked(city=Frozen(1), since="planted-value")
    assert through(odd) == {"city": {"a": 1}, "since": "planted-value"}
    assert not recwarn.list


# --- encoders ---------------------------------------------------------------------------------------------------------


class Money:
    """A type only the application knows."""

    def __init__(self, amount: Any) -> None:
        self.amount = amount


class Tip(Money):
    """A subclass of it."""


def test_encoders_teach_further_types() -> None:
    """Case 150: an encoder is asked about its type and subclasses; what it returns is stored by the rules."""
    serializer = Serializer({Money: lambda money: (money.amount, "EUR")})
    assert through(Money(Decimal(1)), serializer) == (Decimal(1), "EUR")
    assert through([Tip(2)], serializer) == [(2, "EUR")]


def test_encoders_come_before_the_rules() -> None:
    """Case 150: an encoder for a type that would come back makes it come back otherwise."""
    serializer = Serializer({datetime: datetime.timestamp, Role: lambda role: role.name, Path: str})
    assert through(datetime.fromtimestamp(5, UTC), serializer) == 5.0
    assert through(Role.ADMIN, serializer) == "ADMIN"
    assert through(Path("a"), serializer) == str(Path("a"))
    assert through({DAY}, serializer) == {DAY}


def test_encoders_are_not_asked_about_plain_types() -> None:
    """Case 150: JSON's own types are stored as they are, so that a session reads as it was written."""

    def never(_: Any) -> NoReturn:
        raise AssertionError

    serializer = Serializer(dict.fromkeys([str, int, float, dict, list, bool, type(None), object], never))
    value = {"a": [1, 2.5, "t", True, None, (DAY,)]}
    assert through(value, serializer) == value


def test_the_most_special_encoder_is_asked() -> None:
    """Case 150: with encoders for a class and its base, that of the class is asked."""
    serializer = Serializer({Money: lambda _: "money", Tip: lambda _: "tip"})
    assert through([Tip(1), Money(1)], serializer) == ["tip", "money"]


def test_encoders_that_go_round_are_stopped() -> None:
    """Cases 150, 153: encoders that return the value, or ever new values of the type, end in an error."""
    assert "contains itself" in refusal({"x": Money(1)}, Serializer({Money: lambda money: money})).problem
    assert "levels" in refusal({"x": Money(1)}, Serializer({Money: lambda money: Money(money.amount)})).problem


# --- what cannot be stored --------------------------------------------------------------------------------------------


async def _coroutine() -> None:
    """Only its coroutine is looked at."""


def _generator() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (object, "object"),
        (lambda: refusal, "function"),
        (lambda: Path(__file__).open("rb"), "_io.BufferedReader"),  # noqa: SIM115 - the test closes it
        (_generator, "generator"),
        (_coroutine, "coroutine"),
        (itertools.count, "itertools.count"),
        (lambda: int, "type"),
        (lambda: Frozen, "type"),
        (lambda: Address, "pydantic._internal._model_construction.ModelMetaclass"),
        (lambda: sys, "module"),
        (lambda: range(3), "range"),
        (lambda: collections.deque([1]), "collections.deque"),
        (lambda: pydantic.SecretStr("planted-value"), "pydantic.types.SecretStr"),
        (lambda: Path("planted-value"), type(Path()).__module__),
        (lambda: NotImplementedError("planted-value"), "NotImplementedError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_that_cannot_be_stored(make: Any, named: str) -> None:
    """Case 151: an error names the place and the type, and neither consumes nor quotes the value."""
    value = make()
    error = refusal({"cart": [0, 1, 2, Item(Decimal(1), owner=value)]})
    assert error.path == 'session["cart"][3].owner'
    assert named in error.problem
    assert "register an encoder" in error.problem
    assert "planted" not in str(error)
    if hasattr(value, "close"):
        value.close()


def test_iterators_are_not_consumed() -> None:
    """Case 151: an iterator that cannot be stored is left as it was, an endless one does not hang the process."""
    numbers = iter([1, 2, 3])
    assert "list_iterator" in refusal({"x": numbers}).problem
    assert list(numbers) == [1, 2, 3]
    assert refusal({"x": {"y": itertools.count()}}).path == 'session["x"]["y"]'


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": {"b": [{"c": object()}]}}, 'session["a"]["b"][0]["c"]'),
        ({"a": (1, object())}, 'session["a"][1]'),
        ({"a": {object()}}, 'session["a"][<member>]'),
        ({"a": {object(): 1}}, 'session["a"][<key>]'),
        ({"a": {7: object()}}, 'session["a"][7]'),
        ({"a": {None: object()}}, 'session["a"][<NoneType>]'),
        ({"a": {10**10: object()}}, 'session["a"][<int>]'),
        ({"a": {10**3999: object()}}, 'session["a"][<int>]'),
        ({"a": {(1, "planted"): object()}}, 'session["a"][<tuple>]'),
        ({'a"b\n\x1b]': object()}, r'session["a\"b\n\u001b]"]'),
        ({"é" * 100: object()}, 'session["' + r"\u00e9" * 40 + '"]'),
        ({Role.ADMIN: object()}, 'session["admin"]'),
        ({"a": unchecked(city="x", since={"y": object()})}, 'session["a"].since["y"]'),
        ({"a": Struct(object(), set())}, 'session["a"].day'),  # type: ignore[arg-type]  # on purpose
        ({"a": Attrs(object())}, 'session["a"].day'),  # type: ignore[arg-type]  # on purpose
        ({"a": Colour}, 'session["a"]'),
        ({"a": np.array([1, object()], dtype=object)}, 'session["a"][1]'),
        (Item(Decimal(1), owner=object()), "session.owner"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_paths(value: Any, path: str) -> None:
    """Case 85: the path leads to the value as the application would write it; keys are cut short and escaped."""
    assert refusal(value).path == path


@pytest.mark.parametrize(
    "value", [None, 1, "text", [], (), b"", {1}, Names(["a"]), Colour.RED, np.array([1]), UUID(int=1)]
)
def test_a_session_is_a_mapping(value: Any) -> None:
    """Case 189: what is not stored as a dict is no session."""
    error = refusal(value)
    assert error.path == "session"
    assert "mapping" in error.problem


def test_what_may_be_a_session() -> None:
    """Case 189: mappings, dataclasses, models, and dicts with keys of any kind may."""
    for value in (types.MappingProxyType({"a": 1}), Frozen(1), {"$set": (1,)}, {}, {1: 2}, Table({"a": DAY})):
        payload, typed = SERIALIZER.dump(value)
        assert type(SERIALIZER.load(payload, typed=typed)) is dict


@pytest.mark.parametrize("text", [chr(0xD800), f"a{chr(0xDFFF)}b"], ids=["alone", "inside"])
def test_lone_surrogates(text: str) -> None:
    """Case 152: a lone surrogate is a typed error with its place, in a value, a key, plain and typed payloads."""
    for value in (text, [text], (text,), {text: 1}, {text: ()}, {1: text}, Text(text)):
        error = refusal({"a": {"x": value}})
        assert error.path.startswith('session["a"]["x"]')
        assert "surrogate" in error.problem


def test_whatever_contains_itself() -> None:
    """Case 153: a list, dict, tuple or object inside itself is told as such, with a short path."""
    items: list[Any] = []
    items.append(items)
    table: dict[Any, Any] = {"rows": {}}
    table["rows"]["back"] = table
    item = Item(Decimal(1))
    item.owner = (item,)
    for value in (items, table, item, {"x": {1: items}}):
        error = refusal({"x": value})
        assert "contains itself" in error.problem
        assert len(error.path) < 60
    whole: dict[str, Any] = {}
    whole["x"] = whole
    assert "contains itself" in refusal(whole).problem


def deep(levels: int, wrap: Any) -> Any:
    """Nest an empty list."""
    value: Any = []
    for _ in range(levels):
        value = wrap(value)
    return value


@pytest.mark.parametrize(
    ("wrap", "cost"),
    [
        (lambda value: [value], 1),
        (lambda value: {"a": value}, 1),
        (lambda value: (value,), 2),
        (lambda value: {1: value}, 3),
        (lambda value: {"$a": value}, 1),
        (Item, 1),
    ],
    ids=["list", "dict", "tuple", "keyed", "look-alike", "dataclass"],
)
def test_depth_is_bounded_alike_in_both_directions(wrap: Any, cost: int) -> None:
    """Case 153: the deepest session that can be written can be read; one level more is a typed error."""
    most = (MAX_DEPTH - 2) // cost
    payload, typed = SERIALIZER.dump({"x": deep(most, wrap)})
    assert type(SERIALIZER.load(payload, typed=typed)) is dict
    for levels in (most + 1, 20_000):
        error = refusal({"x": deep(levels, wrap)})
        assert "128 levels" in error.problem
        assert len(error.path) < 400


def test_look_alikes_in_typed_payloads_count_twice() -> None:
    """Case 153: the wrapping of a look-alike counts as a level too, so that what was written can be read."""
    value = {"x": deep((MAX_DEPTH - 4) // 2, lambda value: {"$a": value}), "y": ()}
    payload, typed = SERIALIZER.dump(value)
    assert SERIALIZER.load(payload, typed=typed) == value
    assert "128 levels" in refusal({"x": deep(100, lambda value: {"$a": value}), "y": ()}).problem


def test_no_stack_left_is_a_typed_error() -> None:
    """Case 153: an application that calls at the end of its stack gets a typed error, not a RecursionError."""

    def at_the_end(depth: int) -> SerializationError | None:
        try:
            return at_the_end(depth + 1)
        except RecursionError:
            try:
                SERIALIZER.dump({"x": deep(100, lambda value: (value,))})
            except SerializationError as error:
                return error
            raise

    error = at_the_end(0)
    assert error is not None
    assert "RecursionError" in error.problem


def test_many_digits_that_are_no_huge_integer() -> None:
    """Case 155: a text of thousands of digits, or of an integer just small enough, is stored like any other."""
    for value in ("7" * 9000, 10**4000 - 1, ["1" * 4000, 1]):
        payload, typed = SERIALIZER.dump({"x": value})
        assert not typed
        assert SERIALIZER.load(payload, typed=False) == {"x": value}


def test_more_values_than_cookies_hold() -> None:
    """What is far too large to be stored is written all the same: how large it is, is for the cookies to say."""
    value = {"x": [None] * 100_001}
    payload, typed = SERIALIZER.dump(value)
    assert not typed
    assert SERIALIZER.load(payload, typed=False) == value


@pytest.mark.parametrize(
    "number", [10**4000, -(10**4000), 10**5000, 1 << 20_000], ids=lambda number: str(number.bit_length())
)
def test_huge_integers(number: int) -> None:
    """Case 155: an integer of over 4000 digits is a typed error, as value, subclass, key and part of a fraction."""
    for value in (number, [number], (number,), Number(number), {number: 1}, Fraction(1, abs(number)), Fraction(number)):
        assert "4000 digits" in refusal({"x": value}).problem


@pytest.mark.parametrize("value", [{Frozen(1)}, {(Frozen(1),)}, {Frozen(1): 1}, frozenset({frozenset({Frozen(1)})})])
def test_members_and_keys_that_could_not_come_back(value: Any) -> None:
    """Case 149: a member of a set or a key that is stored as a dict could not be one again, so it is refused."""
    assert "come back" in refusal({"x": value}).problem


class Odd(str):
    """A text that equals itself alone."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__


@pytest.mark.parametrize(
    "value", [{Colour.RED, 1}, {Colour.RED: 1, 1: 2}, {Odd("a"): 1, Odd("a"): 2}, {Odd("a"), Odd("a")}]
)
def test_members_and_keys_that_would_merge(value: Any) -> None:
    """Case 149: two keys or members that are one when stored are refused rather than merged silently."""
    assert "would be one" in refusal({"x": value}).problem


class _Unzoned(tzinfo):
    def utcoffset(self, _: datetime | None) -> NoReturn:
        raise OSError("planted-value")

    dst = utcoffset
    tzname = utcoffset


class _Trap:
    def __getattr__(self, _: str) -> NoReturn:
        raise RuntimeError("planted-value")


def _raise(_: Any) -> NoReturn:
    raise ValueError("planted-value")


@dataclasses.dataclass
class _Partly:
    a: int
    b: int = dataclasses.field(init=False)


class _Refusing(collections.UserDict[str, Any]):
    def items(self) -> NoReturn:
        raise KeyError("planted-value")


@pytest.mark.parametrize(
    ("value", "raised"),
    [
        (datetime(2026, 1, 1, tzinfo=_Unzoned()), "OSError"),
        (Money(1), "ValueError"),
        (_Partly(1), "AttributeError"),
        (_Refusing(), "KeyError"),
    ],
    ids=["time zone", "encoder", "field not set", "mapping"],
)
def test_code_of_the_application_that_raises(value: Any, raised: str) -> None:
    """Case 151: what the application's own code raises while it is read is told by its class, with no text of it."""
    error = refusal({"x": [value]}, Serializer({Money: _raise}))
    assert error.path == 'session["x"][0]'
    assert raised in error.problem
    shown = "".join(traceback.format_exception(error))
    assert "planted" not in shown
    assert error.__context__ is None
    assert error.__cause__ is None


def test_objects_that_answer_to_every_name_are_refused() -> None:
    """Case 151: an object whose attributes all raise, or a mock, is refused by its class alone."""
    assert "_Trap" in refusal({"x": _Trap()}).problem


class _Proxy:
    """Claims to be a text, as the proxies of some frameworks do."""

    @property
    def __class__(self) -> type:
        return str

    @__class__.setter
    def __class__(self, _: type) -> None:
        raise TypeError


def test_proxies_are_not_taken_for_what_they_claim() -> None:
    """Case 154: an object that claims to be of another class is refused by its real one."""
    assert "_Proxy" in refusal({"x": _Proxy()}).problem
    assert "_Proxy" in refusal({"x": {_Proxy(): 1}}).problem


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b"[]", b"1", b"null", b'"text"', b"", b"{", b"{}}", b"\xff", b'{"a":NaN}'])
def test_authentic_octets_that_are_no_session(payload: bytes) -> None:
    """Case 156: authentic octets that are no mapping are ``BadPayload``, whose text and context tell nothing."""
    for typed in (False, True):
        with pytest.raises(BadPayload) as caught:
            SERIALIZER.load(payload, typed=typed)
        assert str(caught.value) == ""
        assert caught.value.__context__ is None


def test_unknown_tags_make_nothing() -> None:
    """Case 160: a payload that names a class makes nothing and imports nothing."""
    before = set(sys.modules)
    for tag in ("$antigravity.Class", "$builtins.eval", "$__class__", "$pickle", "$object"):
        payload = json.dumps({"x": {tag: ["this"]}}).encode()
        with pytest.raises(BadPayload):
            SERIALIZER.load(payload, typed=True)
        assert SERIALIZER.load(payload, typed=False) == {"x": {tag: ["this"]}}
    assert set(sys.modules) == before


# --- comparing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b'{"a":1,"b":2}', b'{"a":1,"b":2}', True),
        (b'{"a":1,"b":2}', b'{"b":2,"a":1}', True),
        (b'{"x":[{"a":1,"b":2}]}', b'{"x":[{"b":2,"a":1}]}', True),
        (b'{"x":[1,2]}', b'{"x":[2,1]}', False),
        (b'{"a":1,"b":2}', b'{"a":2,"b":1}', False),
        (b'{"a":1}', b'{"a":10}', False),
        (b'{"a":1.0,"b":1}', b'{"a":1,"b":1.0}', False),
        (b'{"a":true,"b":1}', b'{"a":1,"b":true}', False),
        (b'{"a":-0.0,"b":0.0}', b'{"a":0.0,"b":-0.0}', False),
        (b'{"a":"1","b":2}', b'{"a":2,"b":"1"}', False),
        (b'{"a":1}', b'{"a":1', False),
        (b"garbage", b"rubbish", False),
        (b"garbage", b"egabrag", False),  # the same octets
    ],
)
def test_same_but_for_order(one: bytes, other: bytes, *, same: bool) -> None:
    """Case 158: payloads that differ in the order of keys alone are the same; one that differs in a type is not."""
    assert SERIALIZER.same(one, other) is same
    assert SERIALIZER.same(other, one) is same


def test_order_is_kept_and_does_not_count() -> None:
    """Case 158: a session filled in another order reads in that order and counts as unchanged."""
    first, second = {"a": 1, "b": {"c": (1,), "d": 2}}, {"b": {"d": 2, "c": (1,)}, "a": 1}
    one, other = SERIALIZER.dump(first)[0], SERIALIZER.dump(second)[0]
    assert one != other
    assert SERIALIZER.same(one, other)
    assert list(SERIALIZER.load(other, typed=True)) == ["b", "a"]


def test_a_change_inside_is_seen() -> None:
    """Case 159: what was read and mutated in place, without an assignment, gives another payload."""
    payload, typed = SERIALIZER.dump({"cart": [{"sku": 1, "tags": {"a"}}]})
    data = SERIALIZER.load(payload, typed=typed)
    assert SERIALIZER.dump(data) == (payload, typed)
    data["cart"][0]["tags"].add("b")
    changed, _ = SERIALIZER.dump(data)
    assert not SERIALIZER.same(payload, changed)


# --- the session ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [{"a": [1]}, {"a": (1,)}, {"a": object()}], ids=["plain", "typed", "refused"])
def test_dumping_a_session_is_not_access(data: dict[str, Any]) -> None:
    """Case 93: the session is read past its own methods: saving does not look like the application's access."""
    session = Session(data, clock=lambda: 0.0)
    try:
        assert SERIALIZER.dump(session) == SERIALIZER.dump(data)
    except SerializationError as error:
        assert error.path == 'session["a"]'  # noqa: PT017 - one of three givens ends here
    assert not session.accessed
    assert not session.modified


async def test_dumping_works_on_a_snapshot() -> None:
    """Case 126: two tasks that dump and write the same session in turns each get a whole payload."""
    session = {"n": 0, "twice": [0]}

    async def work() -> None:
        for _ in range(20):
            session["n"] += 1  # type: ignore[operator]  # a number by construction
            session["twice"] = [session["n"]]
            payload, typed = SERIALIZER.dump(session)
            data = SERIALIZER.load(payload, typed=typed)
            assert data["twice"] == [data["n"]]
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        tasks.start_soon(work)


def test_the_payload_is_the_value_at_that_moment() -> None:
    """Case 126: what is written to the session afterwards does not reach a payload already made."""
    session: dict[str, Any] = {"a": [1]}
    payload, _ = SERIALIZER.dump(session)
    session["a"].append(2)
    assert payload == b'{"a":[1]}'
