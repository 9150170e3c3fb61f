"""Encrypted cookie sessions for ASGI applications, with keys that rotate without losing a session.

The public names are those below; everything else may change between minor releases.

A name brings its module along when it is first asked for (PEP 562), and not before: the command line and tools that
want one module of the package do not wait for all of it and its libraries.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sessionkit.backend.backend import SessionBackend as SessionBackend
    from sessionkit.config import SessionConfig as SessionConfig
    from sessionkit.exceptions import ActorError as ActorError
    from sessionkit.exceptions import AskTimeout as AskTimeout
    from sessionkit.exceptions import ConfigurationError as ConfigurationError
    from sessionkit.exceptions import KeyringError as KeyringError
    from sessionkit.exceptions import MessageFailed as MessageFailed
    from sessionkit.exceptions import NotRunning as NotRunning
    from sessionkit.exceptions import Overloaded as Overloaded
    from sessionkit.exceptions import RejectReason as RejectReason
    from sessionkit.exceptions import RotationRefused as RotationRefused
    from sessionkit.exceptions import SerializationError as SerializationError
    from sessionkit.exceptions import SessionClosedError as SessionClosedError
    from sessionkit.exceptions import SessionKitError as SessionKitError
    from sessionkit.exceptions import SessionKitWarning as SessionKitWarning
    from sessionkit.exceptions import SessionTooLargeError as SessionTooLargeError
    from sessionkit.keyring.key import Key as Key
    from sessionkit.keyring.key import KeyState as KeyState
    from sessionkit.keyring.keyring import Keyring as Keyring
    from sessionkit.middleware import SessionMiddleware as SessionMiddleware
    from sessionkit.session import Session as Session
    from sessionkit.wire.cookies import CHUNK_SIZE as CHUNK_SIZE

__all__ = [
    "CHUNK_SIZE",
    "ActorError",
    "AskTimeout",
    "ConfigurationError",
    "Key",
    "KeyState",
    "Keyring",
    "KeyringError",
    "MessageFailed",
    "NotRunning",
    "Overloaded",
    "RejectReason",
    "RotationRefused",
    "SerializationError",
    "Session",
    "SessionBackend",
    "SessionClosedError",
    "SessionConfig",
    "SessionKitError",
    "SessionKitWarning",
    "SessionMiddleware",
    "SessionTooLargeError",
]

_HOMES = {
    "CHUNK_SIZE": "sessionkit.wire.cookies",
    "ActorError": "sessionkit.exceptions",
    "AskTimeout": "sessionkit.exceptions",
    "ConfigurationError": "sessionkit.exceptions",
    "Key": "sessionkit.keyring.key",
    "KeyState": "sessionkit.keyring.key",
    "Keyring": "sessionkit.keyring.keyring",
    "KeyringError": "sessionkit.exceptions",
    "MessageFailed": "sessionkit.exceptions",
    "NotRunning": "sessionkit.exceptions",
    "Overloaded": "sessionkit.exceptions",
    "RejectReason": "sessionkit.exceptions",
    "RotationRefused": "sessionkit.exceptions",
    "SerializationError": "sessionkit.exceptions",
    "Session": "sessionkit.session",
    "SessionBackend": "sessionkit.backend.backend",
    "SessionClosedError": "sessionkit.exceptions",
    "SessionConfig": "sessionkit.config",
    "SessionKitError": "sessionkit.exceptions",
    "SessionKitWarning": "sessionkit.exceptions",
    "SessionMiddleware": "sessionkit.middleware",
    "SessionTooLargeError": "sessionkit.exceptions",
}
"""Where each name lives: once more what type checkers read above (tests/test_facade.py holds one against the other)."""

if not TYPE_CHECKING:  # to a type checker it would say that there is every name

    def __getattr__(name: str) -> object:
        """Load a public name.

        Raises:
            AttributeError: if there is none of this name.
        """
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value  # the next time without us
        return value


def __dir__() -> list[str]:
    return sorted(globals().keys() | _HOMES)
