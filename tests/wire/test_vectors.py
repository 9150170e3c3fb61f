"""Today's code against every released vector in ``tests/vectors``, and the files against the script that makes them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sessionkit.config import SessionConfig
from sessionkit.keyring.key import Key, KeyState
from sessionkit.keyring.keyring import Keyring
from sessionkit.wire.codec import Codec, Loaded, Received, Rejected
from sessionkit.wire.serializer import BadPayload, Serializer
from sessionkit.wire.token import TokenCipher, TokenRejected
from sessionkit.wire.xaes import Xaes256Gcm

ROOT = Path(__file__).parent.parent.parent
VECTORS = ROOT / "tests" / "vectors"

Vector = dict[str, Any]

pytestmark = pytest.mark.usefixtures("ways")


def vectors(file: str, kind: str) -> pytest.MarkDecorator:
    """Parametrise a test by the vectors of a file."""
    entries: list[Vector] = json.loads((VECTORS / file).read_text(encoding="ascii"))[kind]
    return pytest.mark.parametrize("vector", entries, ids=[entry["name"] for entry in entries])


def key_of(entry: Vector, number: int) -> Key:
    """Make a key of a vector's ring."""
    label, state = f"key {number}", KeyState(entry["state"])
    if "secret" not in entry:
        return Key.tombstone(bytes.fromhex(entry["kid"]), label=label)
    return Key.from_secret(bytes.fromhex(entry["secret"]), label=label, state=state)


def ring_of(entries: list[Vector]) -> Keyring:
    """Make a vector's ring, with an active key beside its own if it has none."""
    keys = [key_of(entry, number) for number, entry in enumerate(entries)]
    if not any(key.state is KeyState.ACTIVE for key in keys):
        keys.append(Key.from_secret(b"\xaa" * 32, label="active"))
    return Keyring(keys)


@vectors("token-v1.json", "positive")
def test_released_tokens_open(vector: Vector) -> None:
    """Every released token opens, seals again to the same octets, and all values on the way are as released."""
    ring = ring_of([vector])
    key, nonce, plaintext = ring.keys[0], bytes.fromhex(vector["nonce"]), bytes.fromhex(vector["plaintext"])
    assert key.kid == vector["kid"]
    assert key.derive("session").hex() == vector["key"]
    assert Xaes256Gcm(key.derive("session")).derive(nonce).hex() == vector["message_key"]
    cipher = TokenCipher(ring, vector["cookie"], vector["context"])
    assert cipher.open(vector["token"].encode()) == (key, plaintext)
    assert cipher.seal(key, plaintext, nonce=nonce).decode() == vector["token"]


@vectors("token-v1.json", "negative")
def test_released_refusals_hold(vector: Vector) -> None:
    """Every released negative token is refused for the released reason."""
    cipher = TokenCipher(ring_of(vector["ring"]), vector["cookie"], vector["context"])
    with pytest.raises(TokenRejected) as caught:
        cipher.open(vector["token"].encode())
    assert caught.value.reason == vector["reason"]


@vectors("payload-v1.json", "positive")
def test_released_payloads_load(vector: Vector) -> None:
    """Every released payload loads to the released value, and is what is written for that value today."""
    serializer, payload = Serializer(), bytes.fromhex(vector["payload"])
    value = serializer.load(payload, typed=vector["typed"])
    assert repr(value) == vector["value"]
    assert serializer.dump(value) == (payload, vector["typed"])


@vectors("payload-v1.json", "negative")
def test_released_broken_payloads_are_refused(vector: Vector) -> None:
    """Every released broken payload is refused as ``bad_payload``."""
    assert vector["reason"] == "bad_payload"
    with pytest.raises(BadPayload):
        Serializer().load(bytes.fromhex(vector["payload"]), typed=vector["typed"])


def test_the_script_writes_these_files() -> None:
    """The files are what the script computes from the formulas, with none of the product's code."""
    script = ROOT / "scripts" / "make-vectors"
    assert "import sessionkit" not in script.read_text(encoding="utf-8")
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def received(vector: Vector) -> Received:
    """Return what the codec makes of a vector's request."""
    ring = Keyring.from_secret(bytes.fromhex(vector["secret"]))
    field = "; ".join(f"{name}={value}" for name, value in vector["cookies"].items())
    return Codec(SessionConfig(), ring, Serializer()).load([field.encode()], vector["now"] / 1000)


@vectors("session-v1.json", "positive")
def test_released_sessions_load(vector: Vector) -> None:
    """Every released request gives its session: header, payload and parts as released."""
    loaded = received(vector)
    assert isinstance(loaded, Loaded)
    assert loaded.record.id.hex() == vector["session_id"]
    assert json.loads(json.dumps(loaded.data)) == json.loads(vector["value"])


@vectors("session-v1.json", "negative")
def test_released_refusals_of_sessions(vector: Vector) -> None:
    """Every released request that gives none is refused for the reason released."""
    refused = received(vector)
    assert isinstance(refused, Rejected)
    assert refused.reason.value == vector["reason"]
