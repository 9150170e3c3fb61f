"""Which paths a middleware leaves alone.

A pattern is a regular expression that must match from the start of the path and end at a segment's end: ``/health``
means ``/health`` and ``/health/live``, neither ``/healthy`` nor ``/un/health``. A pattern that ends in a slash means
all that is below it. ``/`` is the root alone. Paths are taken decoded (``scope["path"]``) and without ``root_path``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["compile_exclude", "route_path"]

_BELOW = r"(?:(?<=[^/])/.*|(?<=[^/]/).*)?"
_FLAGS = re.compile(r"(?:\(\?[aimsux]+\))*")


def compile_exclude(patterns: str | Sequence[str]) -> Callable[[Mapping[str, Any]], bool]:
    """Return a test of ASGI scopes against one or more patterns.

    Raises:
        re.error: if a pattern is no regular expression; its attribute ``pattern`` holds it.
    """
    # One expression each: joined into one they would share the numbers and names of their groups.
    matchers = [_matcher(pattern) for pattern in ([patterns] if isinstance(patterns, str) else patterns)]

    def excluded(scope: Mapping[str, Any]) -> bool:
        path = route_path(scope)
        return any(matches(path) for matches in matchers)

    return excluded


def _matcher(pattern: str) -> Callable[[str], object]:
    flags = re.compile(pattern).flags
    body = _FLAGS.sub("", pattern, count=1)  # (?i) and the like may stand only where an expression begins
    end = "\n" if flags & re.VERBOSE else ""  # of a comment
    return re.compile(f"(?:{body}{end}){_BELOW}", flags | re.DOTALL).fullmatch


def route_path(scope: Mapping[str, Any]) -> str:
    """Return the path within the application: some servers put ``root_path`` in front of ``path``, some do not."""
    path: str = scope.get("path", "")
    root: str = scope.get("root_path", "").rstrip("/")
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in {"", "/"}:
        return path[len(root) :] or "/"
    return path
