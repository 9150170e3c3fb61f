"""Equality as a user of a session means it: type and value, all the way down."""

from __future__ import annotations

from datetime import datetime, time
from decimal import Decimal
from typing import Any

__all__ = ["identical"]


def identical(one: Any, other: Any) -> bool:
    """Return whether two values agree in type and value, fold and offset, order of keys, NaN and sign of zero."""
    return type(one) is type(other) and bool(_equal(one, other))


def _equal(one: Any, other: Any) -> object:
    match one:
        case dict():
            return len(one) == len(other) and all(
                identical(key, other_key) and identical(value, other_value)
                for (key, value), (other_key, other_value) in zip(one.items(), other.items(), strict=True)
            )
        case list() | tuple():
            return len(one) == len(other) and all(map(identical, one, other))
        case set() | frozenset():
            return len(one) == len(other) and all(any(identical(member, twin) for twin in other) for member in one)
        case datetime() | time():
            return one == other and one.fold == other.fold and one.utcoffset() == other.utcoffset()
        case float() | complex() | Decimal():
            return repr(one) == repr(other)
        case _:
            return one == other
