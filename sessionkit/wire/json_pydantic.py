"""JSON by pydantic_core: the way that is always there, and by which every other one is judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PYDANTIC", "Json", "read"]


class Json(NamedTuple):
    """A way to write and read JSON.

    Attributes:
        name: of the library that does the work.
        write: returns compact JSON in UTF-8. The value is made of exactly JSON's types, its numbers are finite and its
            keys text. Raises whatever it likes where it cannot, as with a lone surrogate.
        read: returns what a text stands for; of equal keys the last counts. Raises ``ValueError`` where it is not JSON.
    """

    name: str
    write: Callable[[Any], bytes]
    read: Callable[[bytes], Any]


def read(payload: bytes) -> Any:
    """Return what a text stands for."""
    return from_json(payload, allow_inf_nan=False)


PYDANTIC = Json("pydantic_core", to_json, read)
