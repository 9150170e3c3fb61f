"""Base64 for URLs without padding (RFC 4648, 5), with exactly one spelling for every sequence of octets.

By pybase64 where it is installed (the extra ``speed``), else by pydantic_core: text and refusals are the same.
"""

from __future__ import annotations

from sessionkit.wire.base64_pydantic import PYDANTIC, Base64

__all__ = ["FASTEST", "decode", "encode", "fastest"]

_PROBE = bytes(range(256)) + b"\xff"  # all octets, and padding to leave out


def fastest() -> Base64:
    """Return the fastest way that is installed and writes and reads a probe as pydantic_core does."""
    try:
        from sessionkit.wire.base64_pybase64 import PYBASE64  # noqa: PLC0415 - where it is installed
    except ImportError:
        return PYDANTIC
    text = PYDANTIC.encode(_PROBE)
    try:
        agrees = PYBASE64.encode(_PROBE) == text and PYBASE64.decode(text) == _PROBE
    except Exception:  # noqa: BLE001 - a release that fails here is one we do not know
        agrees = False
    return PYBASE64 if agrees else PYDANTIC


FASTEST = fastest()

encode = FASTEST.encode
decode = FASTEST.decode
