"""Keys: ids and derived keys of a secret, states, and that nothing shows the secret."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import pprint

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticSerializationError, to_json

from sessionkit.exceptions import KeyringError
from sessionkit.keyring.key import ID_SIZE, SECRET_SIZES, Key, KeyState

SECRET = bytes(range(32))
PLANTED = b"planted-secret-of-exactly-32-oct"
KEY = Key.from_secret(PLANTED, label="2026-11", created=5.0)


def _hkdf(secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, b"sessionkit/v1", info).derive(secret)


def _shows(text: str) -> bool:
    return PLANTED.decode() in text or PLANTED.hex() in text


def test_the_worked_example() -> None:
    """The id and the key of the format's published example come out of its secret."""
    key = Key.from_secret(SECRET)
    assert key.kid == "b35e5601"
    assert key.id == bytes.fromhex("b35e5601")
    assert key.derive().hex() == "4d1864d047eeda0428080cfa4708bf6638895265fa33a616f1dfa614a32b0832"
    assert key.derive() == key.derive("session")


@given(st.sampled_from(SECRET_SIZES).flatmap(lambda size: st.binary(min_size=size, max_size=size)))
def test_ids_and_keys_are_derived(secret: bytes) -> None:
    """Id and key are HKDF-SHA256 of the secret by the format's formula, whatever its length."""
    key = Key.from_secret(secret)
    assert key.id == _hkdf(secret, b"kid", ID_SIZE)
    assert key.derive() == _hkdf(secret, b"seal\x00session", 32)
    assert key.derive("other") == _hkdf(secret, b"seal\x00other", 32)


@pytest.mark.parametrize("size", [0, 1, 15, 17, 23, 25, 31, 33, 64])
def test_other_lengths_are_refused(size: int) -> None:
    """A secret of another length than 16, 24 or 32 octets is an error that tells the length and the key."""
    with pytest.raises(KeyringError, match=f"^key 'x': secret: is {size} octets long") as caught:
        Key.from_secret(b"s" * size, label="x")
    assert (caught.value.field, caught.value.label) == ("secret", "x")


@pytest.mark.parametrize("secret", ["s" * 32, bytearray(32), None])
def test_only_octets_are_a_secret(secret: bytes) -> None:
    """Text, mutable octets and nothing are refused by their type: text has no one encoding."""
    with pytest.raises(KeyringError, match=rf"secret: is of type {type(secret).__name__}, not bytes\. Give 16, 24"):
        Key.from_secret(secret)


def test_what_a_key_is_made_of() -> None:
    """Label, state and dates are as given; by default it is the one active key."""
    dates = {"created": 1.0, "activates": 2.0, "retired": 3.0, "revoked": 4.0, "prune_after": 5.0}
    key = Key.from_secret(SECRET, label="x", state=KeyState.RETIRED, **dates)
    assert {name: getattr(key, name) for name in dates} == dates
    assert (key.label, key.state) == ("x", KeyState.RETIRED)
    plain = Key.from_secret(SECRET)
    assert (plain.label, plain.state, plain.created) == ("default", KeyState.ACTIVE, None)


@pytest.mark.parametrize(
    ("state", "opens"),
    [(KeyState.STAGED, True), (KeyState.ACTIVE, True), (KeyState.RETIRED, True), (KeyState.REVOKED, False)],
)
def test_all_but_revoked_keys_open(state: KeyState, opens: bool) -> None:
    """Every state opens cookies, whatever the time, but ``revoked``."""
    assert Key.from_secret(SECRET, state=state, activates=9e9).decrypts is opens


def test_a_tombstone_has_an_id_alone() -> None:
    """A revoked key without its secret opens nothing and derives nothing, and says so."""
    key = Key.tombstone(b"\x1f\x0a\x9c\x3e", label="2026-09", revoked=7.0)
    assert (key.kid, key.state, key.revoked, key.decrypts) == ("1f0a9c3e", KeyState.REVOKED, 7.0, False)
    with pytest.raises(KeyringError, match="key '2026-09': secret: is gone"):
        key.derive()
    staged = dataclasses.replace(key, state=KeyState.STAGED)
    assert not staged.decrypts


def test_repr_tells_label_id_and_state() -> None:
    """What people see of a key."""
    assert repr(KEY) == str(KEY) == f"<Key '2026-11' {KEY.kid} active>"


def test_nothing_that_walks_a_key_meets_the_secret() -> None:
    """Not its repr, fields, state, printed forms or errors; a serialiser fails rather than tell."""
    shown = [repr(KEY), pprint.pformat(KEY), repr(dataclasses.asdict(KEY)), repr(dataclasses.astuple(KEY))]
    shown += [repr(getattr(KEY, name)) for name in dir(KEY)]
    shown += [json.dumps(KEY, default=repr), f"{KEY}", f"{KEY!r}"]
    assert not any(_shows(text) for text in shown)
    with pytest.raises(PydanticSerializationError) as caught:
        to_json(KEY)
    assert not _shows(repr(caught.value))


def test_a_key_is_neither_copied_nor_pickled() -> None:
    """The secret would go along; the error says so and does not show it."""
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="a key cannot be copied or pickled") as caught:
            attempt(KEY)
        assert not _shows(repr(caught.value))


def test_keys_are_values() -> None:
    """Equal by what is told of them, the id standing for the secret; hashable, and frozen."""
    again = Key.from_secret(PLANTED, label="2026-11", created=5.0)
    assert (again == KEY, hash(again) == hash(KEY)) == (True, True)
    other = Key.from_secret(SECRET, label="2026-11", created=5.0)
    assert len({KEY, again, other, dataclasses.replace(KEY, state=KeyState.RETIRED)}) == 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        KEY.label = "other"  # type: ignore[misc]  # that is what is tested
