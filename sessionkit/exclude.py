"""Which paths a middleware leaves alone.

A pattern is a regular expression that must match from the start of the path and end at a segment's end:
``/health`` means ``/health`` and ``/health/live``, neither ``/healthy`` nor ``/un/health``. A pattern that ends in a slash means all
that is below it. ``/`` is the root alone. Paths are taken decoded (``scope["path"]``) and without ``root_path``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["compile_exclude", "route_path"]

_BELOW = r"(?:/.*|(?<=[^/]/).*)?"


def compile_exclude(patterns: str | Sequence[str]) -> Callable[[Mapping[str, Any]], bool]:
    """Return a test of ASGI scopes against one or more patterns.

    Raises:
        re.error: if a pattern is no regular expression; its attribute ``pattern`` holds it.
    """
    listed = [patterns] if isinstance(patterns, str) else patterns
    for pattern in listed:
        re.compile(pattern)
    matches = re.compile("|".join(f"(?:{pattern}){_BELOW}" for pattern in listed), re.DOTALL).fullmatch

    def excluded(scope: Mapping[str, Any]) -> bool:
        return matches(route_path(scope)) is not None

    return excluded


def route_path(scope: Mapping[str, Any]) -> str:
    """Return the path within the application: some servers put ``root_path`` in front of ``path``, some do not."""
    path: str = scope.get("path", "")
    root: str = scope.get("root_path", "").rstrip("/")
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in {"", "/"}:
        return path[len(root) :] or "/"
    return path
