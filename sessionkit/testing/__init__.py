"""What tests of sessions need: a strict cookie jar, an ASGI client in process, a clock that stands still."""

from __future__ import annotations

from sessionkit.testing.client import AsgiClient as AsgiClient
from sessionkit.testing.client import LifespanFailed as LifespanFailed
from sessionkit.testing.client import Response as Response
from sessionkit.testing.client import WebSocket as WebSocket
from sessionkit.testing.clock import FixedClock as FixedClock
from sessionkit.testing.cookie import Cookie as Cookie
from sessionkit.testing.jar import CookieJar as CookieJar
from sessionkit.testing.jar import Refusal as Refusal

__all__ = [
    "AsgiClient",
    "Cookie",
    "CookieJar",
    "FixedClock",
    "LifespanFailed",
    "Refusal",
    "Response",
    "WebSocket",
]
