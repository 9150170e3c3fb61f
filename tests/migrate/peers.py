"""The real peers, each asked for the cookies of a session as it would set them on a response.

Rules of this file:

* The format comes from the peer's own code alone: its backend, signer, serializer or storage, with its own defaults.
* Time is the caller's: the peers' clocks are set for the moment of writing.
"""

from __future__ import annotations

import json
import os
import time
from base64 import b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch
from uuid import UUID

import flask
import quart
from aiohttp_session import Session as AiohttpSession
from aiohttp_session.cookie_storage import EncryptedCookieStorage
from django.conf import settings
from django.contrib.sessions.backends import signed_cookies
from django.contrib.sessions.serializers import JSONSerializer as DjangoJSON
from fastapi.middleware import Middleware as FastAPIMiddleware
from flask.sessions import SecureCookieSessionInterface as FlaskSessions
from litestar.middleware.session.client_side import ClientSideSessionBackend, CookieBackendConfig
from quart.sessions import SecureCookieSessionInterface as QuartSessions
from starlette.middleware.sessions import SessionMiddleware as StarletteSessions
from starsessions import CookieStore, JsonSerializer
from starsessions.session import SessionHandler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

__all__ = ["PEERS", "Cookies", "Peer", "session"]

Cookies = tuple[tuple[str, bytes], ...]

SECRET = "Altes-Geheimnis/mit+Zeichen=%ü"
AES_SECRET = bytes(range(32))


def _litestar(values: dict[str, Any], secret: bytes, name: str) -> Cookies:
    backend = ClientSideSessionBackend(CookieBackendConfig(secret=secret, key=name))
    chunks = backend.dump_data(values)
    return tuple((cookie.key, (cookie.value or "").encode()) for cookie in backend._create_session_cookies(chunks))


def _starlette(values: dict[str, Any], secret: bytes, name: str) -> Cookies:
    # What `send_wrapper` of the middleware writes, by its own signer.
    made = StarletteSessions(_no_app, secret_key=secret.decode())
    return ((name, made.signer.sign(b64encode(json.dumps(values).encode("utf-8")))),)


async def _no_app(*_: Any) -> None:
    """Stand where an application would."""


def _fastapi(values: dict[str, Any], secret: bytes, name: str) -> Cookies:
    entry = FastAPIMiddleware(StarletteSessions, secret_key=secret.decode())
    made: Any = entry.cls(_no_app, *entry.args, **entry.kwargs)
    return ((name, made.signer.sign(b64encode(json.dumps(values).encode("utf-8")))),)


def _flask(values: dict[str, Any], secret: bytes, name: str) -> Cookies:
    app = _FLASK
    app.secret_key = secret.decode()
    signer = FlaskSessions().get_signing_serializer(app)
    assert signer is not None
    return ((name, _bytes(signer.dumps(values))),)


def _quart(values: dict[str, Any], secret: bytes, name: str) -> Cookies:
    app = _QUART
    app.secret_key = secret.decode()
    signer = QuartSessions().get_signing_serializer(app)
    assert signer is not None
    return ((name, _bytes(signer.dumps(values))),)


def _django(values: dict[str, Any], secret: bytes, name: str) -> Cookies:
    settings.SECRET_KEY = secret.decode()
    store = signed_cookies.SessionStore()
    store.serializer = DjangoJSON
    store._session_cache = values
    return ((name, store._get_session_key().encode()),)


def _aiohttp(values: dict[str, Any], secret: bytes, name: str) -> Cookies:
    storage = EncryptedCookieStorage(secret, cookie_name=name)
    made = AiohttpSession(None, data=None, new=True)
    made.update(values)
    text = storage._encoder(storage._get_session_data(made)).encode()
    return ((name, storage._fernet.encrypt(text)),)


def _starsessions(values: dict[str, Any], secret: bytes, name: str) -> Cookies:
    connection: Any = _Connection(values)
    handler = SessionHandler(connection, None, CookieStore(secret.decode()), JsonSerializer(), 0)
    handler.metadata = {"created": time.time(), "last_access": time.time(), "lifetime": 0}
    return ((name, _run(handler.save(0)).encode()),)


class _Connection:
    def __init__(self, values: dict[str, Any]) -> None:
        self.session = values
        self.scope: dict[str, Any] = {}


def _run(coroutine: Any) -> Any:
    """Return what a coroutine returns that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


_FLASK = flask.Flask("old")
_QUART = quart.Quart("old")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.apps.django_settings")


class Peer(NamedTuple):
    """A library whose sessions are taken over.

    Attributes:
        write: makes the cookies of a session.
        secret: what it signs or encrypts with.
        cookie: name of its cookie.
        max_age: seconds for which it accepts one.
        typed: whether it has Flask's types beside JSON's.
    """

    write: Callable[[dict[str, Any], bytes, str], Cookies]
    secret: bytes
    cookie: str
    max_age: int
    typed: bool = False

    def at(self, when: float, values: Mapping[str, Any], *, secret: bytes | None = None, name: str = "") -> Cookies:
        """Return the cookies that it sets at a time, as a browser sends them back."""
        with patch("time.time", lambda: when):
            return self.write(dict(values), secret or self.secret, name or self.cookie)


DAY = 86_400

PEERS = {
    "litestar": Peer(_litestar, AES_SECRET, "session", 14 * DAY),
    "starlette": Peer(_starlette, SECRET.encode(), "session", 14 * DAY),
    "fastapi": Peer(_fastapi, SECRET.encode(), "session", 14 * DAY),
    "flask": Peer(_flask, SECRET.encode(), "session", 31 * DAY, typed=True),
    "quart": Peer(_quart, SECRET.encode(), "session", 31 * DAY, typed=True),
    "django": Peer(_django, SECRET.encode(), "sessionid", 14 * DAY),
    "aiohttp": Peer(_aiohttp, AES_SECRET, "AIOHTTP_SESSION", 14 * DAY),
    "starsessions": Peer(_starsessions, SECRET.encode(), "session", 14 * DAY),
}


def session(random: Random, *, typed: bool) -> dict[str, Any]:
    """Return a random session, never empty, of up to some 600 octets."""
    return {f"k{number}": _value(random, 3, typed=typed) for number in range(random.randint(1, 5))} | {
        random.choice(("user", "ü", "")): random.getrandbits(53)
    }


def _value(random: Random, depth: int, *, typed: bool) -> Any:
    plain: list[Callable[[], Any]] = [
        lambda: None,
        lambda: random.random() < 0.5,
        lambda: random.randint(-(2**53), 2**53),
        lambda: random.uniform(-1e9, 1e9),
        lambda: "".join(random.choices("abcXYZ 09.:;\"'\\/=+-_é€😀\n", k=random.randint(0, 20))),
    ]
    nested: list[Callable[[], Any]] = [
        lambda: [_value(random, depth - 1, typed=typed) for _ in range(random.randint(0, 3))],
        lambda: {
            random.choice(("a", "ß", " t", "$tuple", " x")): _value(random, depth - 1, typed=typed)
            for _ in range(random.randint(0, 3))
        },
    ]
    own: list[Callable[[], Any]] = [
        lambda: tuple(_value(random, depth - 1, typed=typed) for _ in range(random.randint(0, 3))),
        lambda: random.randbytes(random.randint(0, 12)),
        lambda: UUID(int=random.getrandbits(128)),
        lambda: datetime.fromtimestamp(random.randint(0, 2**31), UTC),
    ]
    choices = plain + (nested if depth else []) + (own if typed and depth else [])
    return random.choice(choices)()
