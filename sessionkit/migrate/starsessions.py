"""Sessions of starsessions' ``CookieStore``.

From starsessions 2.2 (``stores/cookie.py``, ``session.py``): Starlette's format. Beside the application's values stands
``__metadata__`` with ``created``, ``last_access`` and ``lifetime``; it is left behind, and ``created`` is kept.
"""

from __future__ import annotations

from typing import Any

from sessionkit.migrate.old import Old, number
from sessionkit.migrate.starlette import StarletteFormat

__all__ = ["StarsessionsFormat"]

_METADATA = "__metadata__"


class StarsessionsFormat(StarletteFormat):
    """Opens starsessions' cookies.

    Args:
        secrets: ``secret_key`` of the store, in UTF-8.
    """

    __slots__ = ()

    def _session(self, data: dict[str, Any], issued: float) -> Old:
        told = data.pop(_METADATA, None)
        created = number(told.get("created")) if isinstance(told, dict) else None
        return Old(data, issued, issued if created is None else min(created, issued))
