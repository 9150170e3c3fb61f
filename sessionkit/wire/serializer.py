"""A session's values to JSON and back, keeping the types that JSON lacks.

A session of JSON's own types (``str``, ``int``, ``float``, ``bool``, ``None``, ``list``, ``dict`` with ``str`` keys) is
plain JSON, without any mark. Otherwise the payload is *typed*, which the token's header notes: a value of another type
is an object of one member whose name begins with ``$``, and a dict that happens to look so is wrapped in ``{"$": …}``.

Kept, type and value: ``datetime`` (offset and fold; the name of a zone becomes its offset), ``date``, ``time``,
``timedelta``, ``UUID``, ``Decimal``, ``Fraction``, ``complex``, ``bytes``, ``tuple``, ``set``, ``frozenset``, NaN and
infinities, IPv4 and IPv6 addresses, and dicts with keys of these types.

Stored as plain data, by rule: an enum as its value; dataclasses, pydantic models, attrs classes, msgspec Structs and
mappings as dict (a pydantic root model as its root); ``bytearray`` and ``memoryview`` as ``bytes``; numpy scalars and
arrays as ``tolist`` has them; every subclass of the types above, named tuples among them, as its base.

Whatever is neither raises ``SerializationError`` with the place where it stands.

Rules of this file:

* What ``dump`` accepts, ``load`` accepts.
* Decoding makes objects of the types in one closed table, and raises nothing but ``BadPayload``.
* No value gets into an error. Names of keys and attributes do: they say where.
* numpy, attrs, msgspec and pydantic models are known by their marks; this module imports none of them.
* With the extra ``speed`` plain sessions are written and read by another library, octet for octet alike (``jsontext``).
"""

from __future__ import annotations

import dataclasses
import json
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from gc import get_referents
from ipaddress import IPv4Address, IPv6Address
from math import inf, isfinite, nan
from types import NoneType
from typing import Any, Final, TypeVar
from uuid import UUID

from pydantic_core import from_json, to_json

from sessionkit.exceptions import SerializationError
from sessionkit.wire import base64url, jsontext
from sessionkit.wire.json_pydantic import PYDANTIC, Json

__all__ = ["MAX_DEPTH", "BadPayload", "Serializer"]

MAX_DEPTH: Final = 128
"""Levels of brackets in a payload at most; pydantic_core reads 200. A tag takes one, or two, more than its value."""

_SIMPLE: Final = frozenset({str, int, bool, NoneType})
_NESTED: Final = frozenset({dict, list})
_JSON: Final = _SIMPLE | _NESTED | {float}

_MOST_VALUES: Final = 100_000
"""Values of one level, beyond which they are walked one by one: no cookies hold so many, and what holds itself has ever
more."""

_COPIED: Final = sys.version_info >= (3, 13)
"""From 3.13 on the collector is not told the values of an object's own dict (``vars``), whose number would make up for
that of odd keys elsewhere; of a copy it is."""

_HUGE: Final = 4000
_SAMPLE: Final = 500
_DIGITS_ALIKE: Final = bytes(ord("0") if 48 <= octet <= 57 else octet for octet in range(256))  # noqa: PLR2004 - 0 to 9
_MAX_INT: Final = 10**_HUGE
_MIN_INT: Final = -_MAX_INT
"""From here on integers are refused: Python turns 4300 digits into text, and pydantic_core reads about as many."""

_MARK: Final = "$"

_SHOWN: Final = 40
"""Characters shown of a key, and steps shown of a path, in an error."""

_SMALL: Final = 10**9
"""Integers below are shown as keys; there is a limit to those Python turns into text."""

_EQUAL: Final = "two of its keys or members would be one when stored"

_T = TypeVar("_T")
_Moment = TypeVar("_Moment", datetime, time)

Encoder = Callable[[Any], Any]

_Write = Callable[[Any], bytes]


class BadPayload(Exception):  # noqa: N818 - a reply in the shape of an exception; it never leaves the package
    """An authentic payload that is not a session this release can read. Tells nothing of it."""


class Serializer:
    """Turns values to payloads and back. Holds no state but its encoders.

    Args:
        encoders: for each further type, what turns a value of it (or of a subclass) into one that can be stored.
            They come before the rules above, but are never asked about plain JSON types. Kept by reference: what
            is added to it later counts from then on.
        text: what writes and reads JSON.
    """

    __slots__ = ("_encoders", "_read", "_write")

    def __init__(self, encoders: Mapping[type, Encoder] | None = None, text: Json = jsontext.FASTEST) -> None:
        self._encoders = {} if encoders is None else encoders
        self._write = text.write
        self._read = text.read

    def dump(self, value: object) -> tuple[bytes, bool]:
        """Return the payload, and whether it is typed.

        Args:
            value: a dict, or anything that is stored as one. A dict subclass is read as the dict it is, past its
                own methods, so that reading a session here does not count as access.

        Raises:
            SerializationError: if something in it cannot be stored.
        """
        data: Any = value
        if type(data) is not dict and issubclass(type(data), dict):
            # Not by dict.copy: for a subclass with an __iter__ of its own that calls its methods.
            data = dict(dict.items(data))
        try:
            if type(data) is dict and (write := _plain_writer(data, self._write)) is not None:
                payload = write(data)
                if not _may_hold_a_huge_integer(payload):
                    return payload, False
        except Exception:  # noqa: BLE001, S110 - a lone surrogate, a thread that writes meanwhile, no stack left, and
            pass  # whatever a library says to that: the walk copes, or finds where.
        walk = _Walk(self._encoders)
        try:
            encoded = walk.root(data)
        except _Unstorable as unstorable:
            problem = unstorable.problem
        except Exception as error:  # noqa: BLE001 - encoders, properties and time zones are the application's code
            problem = f"reading it raised {type(error).__name__}"
        else:
            return to_json(encoded), walk.typed
        # Raised here, not above, so that no context holds an error with a value in its text.
        raise SerializationError(walk.path(), problem)

    def load(self, payload: bytes, *, typed: bool) -> dict[Any, Any]:
        """Return the values of a payload.

        Args:
            payload: authentic, and yet nothing is taken for granted.
            typed: whether ``dump`` said so.

        Raises:
            BadPayload: if it is not what ``dump`` writes. Nothing else.
        """
        try:
            data = self._read(payload)
            if typed:
                data = _restore(data)
        except _BROKEN:
            data = None
        if type(data) is not dict:
            raise BadPayload
        return data

    def same(self, one: bytes, other: bytes) -> bool:
        """Return whether two payloads are equal but for the order of keys; one may be neither and ``False`` results.

        Args:
            one: a payload.
            other: another, equally typed.
        """
        # The order of keys changes neither the length nor the sum of all octets, which is the lower half of Adler's
        # checksum (RFC 1950, 9; plus 1, modulo 65521): 0.3 µs at 200 octets, 10 at 16,000, that spare nearly every
        # changed session what is below.
        if len(one) != len(other) or (zlib.adler32(one) ^ zlib.adler32(other)) & 0xFFFF:
            return False
        try:
            left, right = from_json(one), from_json(other)
        except ValueError:
            return False
        # Python takes 1, 1.0 and True for equal, a session does not. Few get past the first comparison.
        return bool(left == right) and json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


# --- writing ----------------------------------------------------------------------------------------------------------


def _plain_writer(data: dict[Any, Any], write: _Write) -> _Write | None:
    """Return what writes a dict as it is, or ``None`` unless JSON has all types in there.

    Nothing is written before that is known. Reading a payload back and comparing finds most, but takes as long, and
    finds it late: ``to_json`` exhausts any iterator it meets, an endless one without end, and warns of pydantic models
    whose fields hold another type with the value in the text.

    The collector's own view of dicts and lists, ``get_referents``, gives all values of a level in one call. It leaves
    out the keys of a dict that never had any but text, and nothing else: where it gives as many as there are entries,
    keys are text. Where it gives more, they may be, in a dict with a past, and are looked at one by one.
    With a set of types for each level, that takes 2 µs at 200 octets, 8.5 at 2,000, 49 at 16,000, against 4.7, 18 and
    99 by ``chain`` over ``values``. ``marshal.dumps``, which refuses all but built-in types and buffers, takes 0.7, 4
    and 26, but leaves tuples, sets, octets and keys to be found by reading back, which takes longer than all of this.

    Args:
        data: the session.
        write: what is to write it, if there is no float that others write otherwise.

    Huge integers are not looked for.
    """
    containers: list[Any] = [data]
    for _ in range(MAX_DEPTH):
        count = sum(map(len, containers))
        if count > _MOST_VALUES:
            return None
        values = get_referents(*containers)
        if len(values) != count:
            if not all(type(key) is str for table in containers if type(table) is dict for key in table):
                return None
            values = [value for one in containers for value in (one.values() if type(one) is dict else one)]
        kinds = set(map(type, values))
        if kinds <= _SIMPLE:
            return write
        if not kinds <= _JSON:
            return None
        if float in kinds:
            sizes = [abs(value) for value in values if type(value) is float]
            if not jsontext.agreed(sizes):
                if not all(map(isfinite, sizes)):
                    return None
                write = PYDANTIC.write
        containers = [value.copy() if _COPIED else value for value in values if type(value) in _NESTED]
    return None


def _may_hold_a_huge_integer(payload: bytes) -> bool:
    """Tell whether there are as many digits in a row as the smallest integer that is refused has; also in a text."""
    if len(payload) <= _HUGE:
        return False
    # So many digits are at least eight in a row of every 500th octet: 0.3 µs that spare nearly all the 20 below.
    sample = payload[::_SAMPLE].translate(_DIGITS_ALIKE)
    return b"0" * (_HUGE // _SAMPLE) in sample and b"0" * _HUGE in payload.translate(_DIGITS_ALIKE)


class _Unstorable(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(problem)


class _Verbatim(str):
    """A step of a path that is written as it is, such as ``.owner``."""

    __slots__ = ()


_HERE: Final = _Verbatim()
_KEY: Final = _Verbatim("[<key>]")
_MEMBER: Final = _Verbatim("[<member>]")

_Entries = Iterable[tuple[object, object]]
"""For each value inside another, the step that leads to it, and the value."""


class _Walk:
    """One pass over a value. Keeps where it is, so that an error can tell."""

    __slots__ = ("_encoders", "_levels", "_trail", "typed")

    def __init__(self, encoders: Mapping[type, Encoder]) -> None:
        self._encoders = encoders
        self._levels = 0
        self._trail: list[tuple[object, object]] = []
        self.typed = False

    def path(self) -> str:
        """Return where the walk stands: ``session["cart"][3].owner``."""
        steps = [_step(step) for _, step in self._trail[:_SHOWN]]
        return f"session{''.join(steps)}{'…' if len(self._trail) > _SHOWN else ''}"

    def root(self, value: object) -> dict[str, Any]:
        """Return what stands for the whole session."""
        encoded = self.encode(value)
        if type(encoded) is not dict or (len(encoded) == 1 and not _NOT_MAPPINGS.isdisjoint(encoded)):
            raise _Unstorable(f"a session is a mapping, or an object with fields; this is of type {_type_of(value)}")
        return encoded

    def encode(self, value: object) -> Any:
        """Return what stands for a value: made of exactly JSON's types."""
        kind = type(value)
        if value is None or kind is bool:
            return value
        if self._encoders and kind not in _PLAIN:
            for base in kind.__mro__[:-1]:
                encoder = self._encoders.get(base)
                if encoder is not None:
                    return self.nested(value, 1, [(_HERE, encoder(value))])[0]
        writer = _WRITERS.get(kind) or _writer_for(value)
        if writer is None:
            raise _Unstorable(
                f"values of type {_type_of(value)} cannot be stored; "
                "store plain data, or register an encoder (type_encoders)"
            )
        return writer(self, value)

    def nested(self, owner: object, levels: int, entries: _Entries) -> list[Any]:
        """Return what stands for the values inside another.

        Args:
            owner: the value they are inside of.
            levels: of brackets that it adds to the payload.
            entries: the values.
        """
        if any(owner is ancestor for ancestor, _ in self._trail):
            raise _Unstorable("it contains itself")
        self._levels += levels
        if self._levels > MAX_DEPTH:
            raise _Unstorable(f"it is nested over {MAX_DEPTH} levels deep")
        encoded = []
        for step, value in entries:
            self._trail.append((owner, step))
            encoded.append(self.encode(value))
            self._trail.pop()
        self._levels -= levels
        return encoded

    def mapping(self, owner: object, names: Sequence[str], entries: _Entries) -> dict[str, Any]:
        """Return what stands for a value with named entries."""
        looks_tagged = len(names) == 1 and names[0].startswith(_MARK)
        encoded = dict(zip(names, self.nested(owner, 2 if looks_tagged else 1, entries), strict=True))
        return self.tagged("$", encoded) if looks_tagged else encoded

    def tagged(self, tag: str, content: object) -> dict[str, Any]:
        """Return what stands for a value that JSON lacks."""
        self.typed = True
        return {tag: content}


_Writer = Callable[[_Walk, Any], Any]


def _step(step: object) -> str:
    if isinstance(step, _Verbatim):
        return step
    if isinstance(step, str):
        return f"[{json.dumps(str.__str__(step)[:_SHOWN])}]"
    if type(step) is int and abs(step) < _SMALL:
        return f"[{step}]"
    return f"[<{type(step).__qualname__}>]"


def _type_of(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _str(_: _Walk, value: str) -> str:
    text = str.__str__(value)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _Unstorable("it holds a lone surrogate, or a key of it does; UTF-8 has none") from None
    return text


def _int(_: _Walk, value: int) -> int:
    number = int.__int__(value)
    if not _MIN_INT < number < _MAX_INT:
        raise _Unstorable("it is an integer of more than 4000 digits")
    return number


def _float(walk: _Walk, value: float) -> object:
    number = float.__float__(value)
    return number if isfinite(number) else walk.tagged("$float", float.__repr__(number))


def _dict(walk: _Walk, value: dict[Any, Any]) -> dict[str, Any]:
    return _items(walk, value, list(dict.items(value)))


def _mapping(walk: _Walk, value: Mapping[Any, Any]) -> dict[str, Any]:
    return _items(walk, value, list(value.items()))


def _items(walk: _Walk, owner: object, items: list[tuple[Any, Any]]) -> dict[str, Any]:
    if all(issubclass(type(key), str) for key, _ in items):
        names = [_str(walk, key) for key, _ in items]
        if len(set(names)) != len(names):
            raise _Unstorable(_EQUAL)
        return walk.mapping(owner, names, items)
    flat = walk.nested(owner, 3, (entry for key, value in items for entry in ((_KEY, key), (key, value))))
    keys, values = flat[::2], flat[1::2]
    _check_distinct(keys)
    return walk.tagged("$dict", [list(pair) for pair in zip(keys, values, strict=True)])


def _list(walk: _Walk, value: list[Any]) -> list[Any]:
    return walk.nested(value, 1, enumerate(list.copy(value)))


def _tuple(walk: _Walk, value: tuple[Any, ...]) -> dict[str, Any]:
    return walk.tagged("$tuple", walk.nested(value, 2, enumerate(tuple.__iter__(value))))


def _set(walk: _Walk, value: set[Any]) -> dict[str, Any]:
    return walk.tagged("$set", _members(walk, value, list(set.__iter__(value))))


def _frozenset(walk: _Walk, value: frozenset[Any]) -> dict[str, Any]:
    return walk.tagged("$frozenset", _members(walk, value, list(frozenset.__iter__(value))))


def _members(walk: _Walk, owner: object, members: list[Any]) -> list[Any]:
    """Return the members in an order that does not depend on how this process hashes them."""
    encoded = walk.nested(owner, 2, [(_MEMBER, member) for member in members])
    _check_distinct(encoded)
    return sorted(encoded, key=to_json)


def _check_distinct(encoded: list[Any]) -> None:
    """Check that keys or members come back as many as they are."""
    try:
        restored = set(map(_restore, encoded))
    except TypeError:
        raise _Unstorable(
            "one of its keys or members would come back as a dict or list, which neither can be"
        ) from None
    if len(restored) != len(encoded):
        raise _Unstorable(_EQUAL)


def _bytes(walk: _Walk, value: bytes | bytearray | memoryview) -> dict[str, Any]:
    return walk.tagged("$bytes", base64url.encode(memoryview(value).tobytes()).decode())


def _datetime(walk: _Walk, value: datetime) -> dict[str, Any]:
    text = datetime.isoformat(value)
    return walk.tagged("$datetime", [text, 1] if value.fold else text)


def _date(walk: _Walk, value: date) -> dict[str, Any]:
    return walk.tagged("$date", date.isoformat(value))


def _time(walk: _Walk, value: time) -> dict[str, Any]:
    text = time.isoformat(value)
    return walk.tagged("$time", [text, 1] if value.fold else text)


def _timedelta(walk: _Walk, value: timedelta) -> dict[str, Any]:
    return walk.tagged("$timedelta", [value.days, value.seconds, value.microseconds])


def _fraction(walk: _Walk, value: Fraction) -> dict[str, Any]:
    return walk.tagged("$fraction", [_int(walk, value.numerator), _int(walk, value.denominator)])


def _complex(walk: _Walk, value: complex) -> dict[str, Any]:
    number = complex.__complex__(value)
    return walk.tagged("$complex", [float.__repr__(number.real), float.__repr__(number.imag)])


def _as_text(tag: str, text: Callable[[Any], str]) -> _Writer:
    """Return the writer of a type whose text, read by its constructor, is the value again."""
    return lambda walk, value: walk.tagged(tag, text(value))


def _enum(walk: _Walk, value: Enum) -> object:
    return walk.encode(value.value)


def _fields(walk: _Walk, value: object, names: Sequence[str]) -> dict[str, Any]:
    return walk.mapping(value, names, [(_Verbatim(f".{name}"), getattr(value, name)) for name in names])


def _dataclass(walk: _Walk, value: Any) -> dict[str, Any]:
    return _fields(walk, value, [field.name for field in dataclasses.fields(value)])


def _attrs(walk: _Walk, value: Any) -> dict[str, Any]:
    return _fields(walk, value, [attribute.name for attribute in type(value).__attrs_attrs__])


def _struct(walk: _Walk, value: Any) -> dict[str, Any]:
    return _fields(walk, value, type(value).__struct_fields__)


def _model(walk: _Walk, value: Any) -> object:
    # Warnings would tell the values of fields that hold another type.
    dumped = value.model_dump(warnings=False)
    if type(dumped) is not dict:
        return walk.encode(dumped)
    return walk.mapping(value, list(dumped), [(_Verbatim(f".{name}"), entry) for name, entry in dumped.items()])


def _numpy(walk: _Walk, value: Any) -> object:
    if value.dtype.kind in "mM" and any(type(moment) is int for moment in value.ravel().tolist()):
        raise _Unstorable("it is a time that Python's own types cannot hold; convert it first")
    plain = value.tolist()
    if type(plain) is type(value):
        raise _Unstorable(f"{_type_of(value)} is wider than Python's own numbers; convert it first")
    return walk.encode(plain)


_WRITERS: Final[dict[type, _Writer]] = {
    str: _str,
    int: _int,
    float: _float,
    dict: _dict,
    list: _list,
    tuple: _tuple,
    set: _set,
    frozenset: _frozenset,
    bytes: _bytes,
    bytearray: _bytes,
    memoryview: _bytes,
    datetime: _datetime,  # before date, of which it is a subclass
    date: _date,
    time: _time,
    timedelta: _timedelta,
    UUID: _as_text("$uuid", UUID.__str__),
    Decimal: _as_text("$decimal", Decimal.__str__),
    Fraction: _fraction,
    complex: _complex,
    IPv4Address: _as_text("$ipv4", IPv4Address.__str__),
    IPv6Address: _as_text("$ipv6", IPv6Address.__str__),
}

_PLAIN: Final = frozenset({str, int, float, dict, list})
"""JSON's own types, which encoders are not asked about (with ``bool`` and ``None``)."""

_MARKED: Final[tuple[tuple[str, _Writer], ...]] = (
    ("__dataclass_fields__", _dataclass),
    ("__attrs_attrs__", _attrs),
    ("__struct_fields__", _struct),
    ("__pydantic_root_model__", _model),
)
"""What a class is known by whose library is not imported here."""


def _writer_for(value: object) -> _Writer | None:
    """Return the writer for a value that is not of exactly one of the types in the table."""
    kind = type(value)
    if issubclass(kind, Enum):
        return _enum
    for base, writer in _WRITERS.items():
        if issubclass(kind, base):
            return writer
    for mark, writer in _MARKED:
        if hasattr(kind, mark):
            return writer
    numpy = sys.modules.get("numpy")
    if numpy is not None and issubclass(kind, (numpy.generic, numpy.ndarray)):
        return _numpy
    return _mapping if issubclass(kind, Mapping) else None


# --- reading ----------------------------------------------------------------------------------------------------------


def _restore(node: Any) -> Any:
    """Return the value that a node of a typed payload stands for.

    Raises:
        One of ``_BROKEN``: if ``dump`` would not have written it.
    """
    if type(node) is dict:
        if len(node) == 1:
            ((tag, content),) = node.items()
            if tag.startswith(_MARK):
                return _READERS[tag](content)
        return {key: _restore(value) for key, value in node.items()}
    if type(node) is list:
        return [_restore(value) for value in node]
    return node


def _of(kind: type[_T], node: object) -> _T:
    if type(node) is not kind:
        raise TypeError
    return node


def _unwrap(node: object) -> dict[str, Any]:
    return {key: _restore(value) for key, value in _of(dict, node).items()}


def _pair(node: object) -> tuple[Any, Any]:
    key, value = _of(list, node)
    return _restore(key), _restore(value)


def _values(node: object) -> list[Any]:
    return [_restore(value) for value in _of(list, node)]


def _folded(kind: type[_Moment]) -> Callable[[Any], _Moment]:
    def read(node: Any) -> _Moment:
        if type(node) is list:
            text, fold = node
            return kind.fromisoformat(text).replace(fold=fold)
        return kind.fromisoformat(node)

    return read


def _from_text(kind: Callable[[str], object]) -> Callable[[object], object]:
    return lambda node: kind(_of(str, node))


def _decode(text: str) -> bytes:
    data = base64url.decode(text.encode())
    if data is None:
        raise ValueError
    return data


_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "$": _unwrap,
    "$dict": lambda node: dict(map(_pair, _of(list, node))),
    "$tuple": lambda node: tuple(_values(node)),
    "$set": lambda node: set(_values(node)),
    "$frozenset": lambda node: frozenset(_values(node)),
    "$float": lambda node: {"nan": nan, "inf": inf, "-inf": -inf}[node],
    "$bytes": _from_text(_decode),
    "$datetime": _folded(datetime),
    "$date": _from_text(date.fromisoformat),
    "$time": _folded(time),
    "$timedelta": lambda node: timedelta(*_of(list, node)),
    "$uuid": _from_text(UUID),
    "$decimal": _from_text(Decimal),
    # Of two integers: a text such as 1e999999999 would be worked out.
    "$fraction": lambda node: Fraction(*(_of(int, part) for part in _of(list, node))),
    "$complex": lambda node: complex(*(float(_of(str, part)) for part in _of(list, node))),
    "$ipv4": _from_text(IPv4Address),
    "$ipv6": _from_text(IPv6Address),
}
"""All types that decoding makes. A type added here needs a flag in the token's header: older releases must know."""

_NOT_MAPPINGS: Final = _READERS.keys() - {"$", "$dict"}

_BROKEN: Final = (ArithmeticError, LookupError, RecursionError, TypeError, ValueError)
"""What reading anything but ``dump``'s output raises."""
