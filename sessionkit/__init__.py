"""Encrypted cookie sessions for ASGI applications, with keys that rotate without losing a session.

The public names are those below; everything else may change between minor releases.
"""

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
