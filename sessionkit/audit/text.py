"""Text that may stand in a log and on a terminal, whoever wrote it."""

from __future__ import annotations

import re

__all__ = ["MAX_TEXT", "clean"]

MAX_TEXT = 128
"""Characters of a free string that are kept."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Console, key-value and logfmt renderers pass newlines and escapes on: a forged line, or a terminal taken over.

Marks of writing direction are among them: they show a line in another order than it is written in. Lone surrogates
cannot be encoded.
"""


def clean(text: str, limit: int | None = MAX_TEXT) -> str:
    """Return text without control characters, cut to a number of characters."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text[:limit])
