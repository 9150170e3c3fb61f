"""What tests of sessions need.

A session in a client's cookies (``Sessions``), what the audit log was told (``captured_events``), keys with the same
secrets on every run (``keyring``), a clock that stands still (``FixedClock``), a cookie jar as strict as browsers
(``CookieJar``; ``strict_cookies`` gives it to a client of httpx), and an ASGI client in process (``AsgiClient``).
"""

from __future__ import annotations

from sessionkit.testing.client import AsgiClient as AsgiClient
from sessionkit.testing.client import LifespanFailed as LifespanFailed
from sessionkit.testing.client import Response as Response
from sessionkit.testing.client import WebSocket as WebSocket
from sessionkit.testing.clock import FixedClock as FixedClock
from sessionkit.testing.cookie import Cookie as Cookie
from sessionkit.testing.events import CapturedEvents as CapturedEvents
from sessionkit.testing.events import captured_events as captured_events
from sessionkit.testing.jar import CookieJar as CookieJar
from sessionkit.testing.jar import Refusal as Refusal
from sessionkit.testing.keys import keyring as keyring
from sessionkit.testing.keys import secret as secret
from sessionkit.testing.sessions import Sessions as Sessions
from sessionkit.testing.strict import strict_cookies as strict_cookies

__all__ = [
    "AsgiClient",
    "CapturedEvents",
    "Cookie",
    "CookieJar",
    "FixedClock",
    "LifespanFailed",
    "Refusal",
    "Response",
    "Sessions",
    "WebSocket",
    "captured_events",
    "keyring",
    "secret",
    "strict_cookies",
]
