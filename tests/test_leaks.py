"""The watch over leaks can fail, and finds each kind of leak; tracebacks of a request hold nothing to hide."""

from __future__ import annotations

import logging
import traceback
from typing import Any

import pytest

from sessionkit.audit.chain import HashChain
from sessionkit.exceptions import SerializationError, SessionKitError, SessionTooLargeError
from sessionkit.keyring.keyring import Keyring
from sessionkit.middleware import SessionMiddleware
from sessionkit.testing import AsgiClient
from sessionkit.wire.serializer import Serializer
from sessionkit.wire.token import TokenCipher
from tests.leaks import Watch

SECRET = b"pl4nted-secret-of-32-octets-here"
VALUE = "pl4nted-value-of-a-session"


@pytest.fixture
def watch() -> Watch:
    """Return a watch of this test's own."""
    return Watch()


@pytest.mark.parametrize("spelling", [SECRET.decode(), SECRET.hex(), "cGw0bnRlZC1zZWNyZXQtb2YtMzItb2N0ZXRzLWhlcmU"])
def test_a_secret_is_found(watch: Watch, spelling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret in a log line is found in each of its spellings."""
    with monkeypatch.context() as patch:
        watch.install(patch)
        Keyring.from_secret(SECRET)
        watch.said.append(f"loaded {spelling}")
        assert watch.found()


@pytest.mark.leaks_on_purpose
def test_the_root_key_of_a_chain_is_found(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key that a log is chained with is watched, too."""
    with monkeypatch.context() as patch:
        watch.install(patch)
        HashChain(SECRET)
        watch.said.append(f"loaded {SECRET.hex()}")
        assert watch.found()


@pytest.mark.leaks_on_purpose
def test_tokens_payloads_and_errors_are_found(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token in a line of logging, and a payload in an error, are found."""
    with monkeypatch.context() as patch:
        watch.install(patch)
        ring = Keyring.from_secret(SECRET)
        token = TokenCipher(ring, "session").seal(ring.active(0), b"plain")
        watch.handle(logging.LogRecord("test", logging.INFO, "", 0, "got %s", (token.decode(),), None))
        assert len(watch.found()) == 2
        payload, _ = Serializer().dump({"value": VALUE})
        SessionKitError(payload.decode())
        assert len(watch.found()) == 3


async def counting(scope: Any, receive: Any, send: Any) -> None:
    """Count visits."""
    scope["session"]["visits"] = scope["session"].get("visits", 0) + 1
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


async def test_tokens_of_ordinary_requests_are_found(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that goes on as it came is sealed another way than one that begins; the tokens of both are watched."""
    with monkeypatch.context() as patch:
        watch.install(patch)
        client = AsgiClient(SessionMiddleware(counting, SECRET))
        for _ in range(2):
            await client.get("/")
            token = client.jar.get("session")
            assert token is not None
            assert {token, token[-64:]} <= watch.needles
        watch.found()


async def failing(scope: Any, receive: Any, send: Any) -> None:
    """Put something into the session that cannot be stored, or too much of it."""
    session = scope["session"]
    session["value"] = VALUE
    session["bad" if scope["path"] == "/bad" else "big"] = object() if scope["path"] == "/bad" else VALUE * 2000
    await send({"type": "http.response.start", "status": 200, "headers": []})


@pytest.mark.parametrize(("path", "kind"), [("/bad", SerializationError), ("/big", SessionTooLargeError)])
async def test_tracebacks_with_locals(path: str, kind: type[Exception]) -> None:
    """An error of ours, rendered with the locals of every frame of this package, shows neither key nor value."""
    client = AsgiClient(SessionMiddleware(failing, SECRET))
    with pytest.raises(kind) as raised:
        await client.get(path)
    ours = [
        frame for frame, _ in traceback.walk_tb(raised.value.__traceback__) if "sessionkit" in frame.f_code.co_filename
    ]
    told = "".join(repr(value) for frame in ours for value in frame.f_locals.values())
    assert ours
    assert VALUE not in told
    assert repr(SECRET) not in told
    assert raised.value.__context__ is None or raised.value.__suppress_context__
