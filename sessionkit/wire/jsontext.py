"""The choice of a library for JSON: msgspec where it is installed (the extra ``speed``), else pydantic_core.

Nodes with and without it serve the same sessions, and decide by comparing payloads whether one has changed. So both
write the same octets. Floats which they would write otherwise (not ``agreed``), pydantic_core writes in either case:
msgspec has ``1e16`` where pydantic_core 2.50 has ``1e+16``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sessionkit.wire.json_pydantic import PYDANTIC, Json

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FASTEST", "agreed", "fastest"]

_SMALLEST: Final = 1e-4
_LARGEST: Final = 1e15
"""Between them everybody writes the shortest digits that read back as the number, without an exponent."""

_PROBE: Final[dict[str, Any]] = {
    "text": "".join(map(chr, (*range(0x100), 0x2028, 0xD7FF, 0xFFFF, 0x1F36A))),
    "\n\x1b\x7fé": [None, True, False, 0, -1, 2**63, 2**64, -(2**63) - 1, 10**100],
    "floats": [0.0, -0.0, 0.1, -1.5, 1 / 3, 2 / 3e3, 5e-4, 1e14, 999999999999999.9],
    "empty": [[], {}, ""],
}
"""What libraries might write in more than one way."""


def fastest() -> Json:
    """Return the fastest way that is installed and writes and reads a probe as pydantic_core does."""
    try:
        from sessionkit.wire.json_msgspec import MSGSPEC  # noqa: PLC0415 - where it is installed
    except ImportError:
        return PYDANTIC
    payload = PYDANTIC.write(_PROBE)
    try:
        agrees = MSGSPEC.write(_PROBE) == payload and repr(MSGSPEC.read(payload)) == repr(PYDANTIC.read(payload))
    except Exception:  # noqa: BLE001 - a release that fails here is one we do not know
        agrees = False
    return MSGSPEC if agrees else PYDANTIC


def agreed(sizes: Sequence[float]) -> bool:
    """Tell whether all libraries write these floats alike.

    Args:
        sizes: without sign. Those that are not finite nobody writes.
    """
    return all(map(_LARGEST.__gt__, sizes)) and all(map(_SMALLEST.__le__, filter(None, sizes)))


FASTEST = fastest()
