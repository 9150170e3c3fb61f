"""References link the lines of one session and tell nothing else."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import pickle
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionkit.audit.pseudonyms import Pseudonyms

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = b"k" * 32


def test_a_reference_is_a_keyed_hash() -> None:
    """Case 200: base32 of the first 80 bits of HMAC-SHA256 over the kind and the value."""
    digest = hmac.new(KEY, b"session" + b"id", hashlib.sha256).digest()
    assert Pseudonyms(KEY).session(b"id") == base64.b32encode(digest).decode()[:16]


@given(st.binary(max_size=100))
def test_references_are_short_and_of_one_alphabet(value: bytes) -> None:
    """Sixteen characters that need no escaping anywhere, for any value."""
    references = Pseudonyms(KEY)
    for reference in (references.session(value), references.cookie(value)):
        assert re.fullmatch("[A-Z2-7]{16}", reference)


def test_references_link_and_separate() -> None:
    """One value has one reference under one key; another kind, value or key has another."""
    references = Pseudonyms(KEY)
    assert references.session(b"a") == Pseudonyms(KEY).session(b"a")
    others = {
        references.session(b"b"),
        references.cookie(b"a"),
        references.client("a"),
        Pseudonyms(b"x" * 32).session(b"a"),
    }
    assert references.session(b"a") not in others
    assert len(others) == 4


def test_without_a_key_every_process_has_its_own() -> None:
    """References of two random keys do not match, so nothing can be searched for."""
    assert Pseudonyms().session(b"a") != Pseudonyms().session(b"a")


def test_any_host_has_a_reference() -> None:
    """Case 205: an address that is none, even no encodable text, does not raise."""
    references = Pseudonyms(KEY)
    assert {len(references.client(host)) for host in ("", "::1", "hôte", "\ud800")} == {16}


def test_repr_shows_no_key() -> None:
    """The key of the references is not shown."""
    assert repr(Pseudonyms(KEY)) == "<Pseudonyms>"


@pytest.mark.parametrize("leave", [pickle.dumps, copy.copy, copy.deepcopy])
def test_the_key_does_not_leave(leave: Callable[[object], object]) -> None:
    """Neither a pickle nor a copy is made of what holds a key; the error does not hold it."""
    with pytest.raises(TypeError, match="would go along") as caught:
        leave(Pseudonyms(KEY))
    assert KEY.decode() not in str(caught.value)
