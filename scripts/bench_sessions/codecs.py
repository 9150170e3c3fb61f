"""The work alone, without ASGI: cookie values to a session and back, by direct calls.

Rules of this file:

* Each piece of work opens what a client would send and seals the session again, one count higher: a session in, the
  next session out, as a request does. Before it is timed, what it sealed is opened and compared.
* The *floor* is the cheapest that this package's core dependencies allow: nothing but JSON, cipher and base64 under a
  random nonce. No header, no key id, no lifetime, no check of one spelling.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic_core import CoreConfig, SchemaValidator, core_schema, from_json, to_json

from bench_sessions.contenders import ours
from bench_sessions.shop import LIFETIME, bare, values
from bench_sessions.timing import Work
from bench_sessions.traffic import SECRET
from sessionkit import Key, Keyring, KeyState, SessionBackend, SessionConfig
from sessionkit.backend.messages import Load, Loaded, Save, Saved
from sessionkit.session import Session
from sessionkit.wire import base64url, jsontext

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

__all__ = ["USED", "actor_alone", "fernet", "floor", "litestar_direct", "opening", "ours_direct", "ring_of"]

USED = {"JSON": jsontext.FASTEST.name, "base64": base64url.FASTEST.name}
"""Libraries that this package writes sessions with here: those of the extra ``speed`` where they are installed."""

_from_base64 = SchemaValidator(core_schema.bytes_schema(), config=CoreConfig(val_json_bytes="base64")).validate_json


def _turning(row: str, size: int, make: Callable[[], tuple[Callable[[Any], Any], Callable[[Any], Any]]]) -> Work:
    """Return work that opens a session and seals the next.

    Args:
        row: what it is.
        size: of the session as JSON, in octets.
        make: returns what seals a session, and what opens what was sealed.
    """

    @asynccontextmanager
    async def prepare() -> AsyncIterator[Callable[[int], Awaitable[None]]]:
        seal, open_ = make()
        begun = values(size)
        first = seal(begun)
        _expect(open_(first), begun)

        async def repeat(times: int) -> None:
            for _ in range(times):
                session = open_(first)
                session["n"] += 1
                seal(session)

        yield repeat

    return Work(row, prepare)


def _expect(found: Any, stored: Any) -> None:
    """See that a session came back as it was stored.

    Raises:
        RuntimeError: if not.
    """
    if dict(found) != stored:
        msg = "the session did not come back as it was stored"
        raise RuntimeError(msg)


def floor(size: int = 200) -> Work:
    """Return the least that encrypting costs."""

    def make() -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
        cipher = AESGCM(SECRET)

        def seal(session: Any) -> bytes:
            nonce = os.urandom(12)
            return to_json(nonce + cipher.encrypt(nonce, to_json(session), None), bytes_mode="base64")[1:-1]

        def open_(value: bytes) -> Any:
            raw = _from_base64(b'"%b"' % value)
            return from_json(cipher.decrypt(raw[:12], raw[12:], None))

        return seal, open_

    return _turning("floor", size, make)


def fernet(size: int = 200) -> Work:
    """Return Fernet over the standard library's JSON."""

    def make() -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
        cipher = Fernet(Fernet.generate_key())
        return (
            lambda session: cipher.encrypt(json.dumps(session, separators=(",", ":")).encode()),
            lambda value: json.loads(cipher.decrypt(value, LIFETIME)),
        )

    return _turning("Fernet and json, called directly", size, make)


def litestar_direct(size: int = 200) -> Work:
    """Return Litestar's ``dump_data`` and ``load_data``."""

    def make() -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        from litestar.middleware.session.client_side import (  # noqa: PLC0415 - a peer, where it is used
            ClientSideSessionBackend,
            CookieBackendConfig,
        )

        backend = ClientSideSessionBackend(CookieBackendConfig(SECRET, max_age=LIFETIME))
        return backend.dump_data, backend.load_data

    return _turning("Litestar's dump_data and load_data", size, make)


def ours_direct(size: int = 200) -> Work:
    """Return this package's ``dump_data`` and ``load_data``."""

    def make() -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        backend = SessionBackend(SessionConfig(), Keyring.from_secret(SECRET))
        return backend.dump_data, backend.load_data

    return _turning("our dump_data and load_data", size, make)


def actor_alone(size: int = 200) -> Work:
    """Return Load and Save through the running actor, with the session object that an application sees between them."""

    @asynccontextmanager
    async def prepare() -> AsyncIterator[Callable[[int], Awaitable[None]]]:
        service = ours(bare()).service
        begun = values(size)
        async with service.host():
            new = Session(clock=time.time)
            new.update(begun)
            sealed: Any = service.answer_now(Save(new, new))
            load = Load((b"session=" + sealed.cookies[0].partition(b"=")[2].partition(b";")[0],))
            loaded: Any = service.answer_now(load)
            _expect(loaded.data, begun)

            async def repeat(times: int) -> None:
                for _ in range(times):
                    received: Any = service.answer_now(load)
                    session = Session(received.data, record=received.record, clock=time.time)
                    session["n"] += 1
                    if type(service.answer_now(Save(session, session, received))) is not Saved:
                        raise RuntimeError("not saved")

            yield repeat

    return Work("Load and Save through the actor alone", prepare)


# --- many keys --------------------------------------------------------------------------------------------------------


def ring_of(retired: int) -> Keyring:
    """Return a ring of one active key and so many retired ones."""
    oldest = (
        Key.from_secret(number.to_bytes(32, "big"), label=f"r{number}", state=KeyState.RETIRED)
        for number in range(1, retired + 1)
    )
    return Keyring((Key.from_secret(SECRET), *oldest))


def opening(row: str, *, keys: int, junk: bool = False) -> Work:
    """Return the work of opening a token of 200 octets, by a ring with so many retired keys.

    Args:
        row: what it is.
        keys: retired ones.
        junk: open a token under a key that is not in the ring instead. Otherwise it is under the oldest of them.

    Cookie fields to a session, or to the reason why not; what the audit log has to say of it comes on top of both.
    """

    @asynccontextmanager
    async def prepare() -> AsyncIterator[Callable[[int], Awaitable[None]]]:
        ring = ring_of(keys)
        backend = SessionBackend(SessionConfig(), ring)
        key = Key.from_secret(b"?" * 32) if junk else replace(ring.keys[-1], state=KeyState.ACTIVE)
        [value] = SessionBackend(SessionConfig(), Keyring([key])).dump_data(values(200))
        fields = (b"session=" + value,)
        if isinstance(backend.describe(fields), Loaded) is junk:
            msg = f"{row}: the token was not taken for what it is"
            raise RuntimeError(msg)

        async def repeat(times: int) -> None:
            for _ in range(times):
                backend.describe(fields)

        yield repeat

    return Work(row, prepare)
