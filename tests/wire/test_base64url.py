"""Base64 without padding: one spelling for every sequence of octets, and nothing but ``None`` for the rest."""

from __future__ import annotations

import base64
import random
import sys
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sessionkit.wire import base64_pybase64, base64url
from sessionkit.wire.base64_pybase64 import PYBASE64
from sessionkit.wire.base64_pydantic import PYDANTIC, Base64

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

pytestmark = pytest.mark.usefixtures("ways")


@given(st.binary(max_size=200))
def test_agrees_with_the_standard_library(data: bytes) -> None:
    """The text is the standard library's without its padding, and comes back as the octets."""
    text = base64url.encode(data)
    assert text == base64.urlsafe_b64encode(data).rstrip(b"=")
    assert base64url.decode(text) == data


@given(st.binary(max_size=40) | st.text(ALPHABET.decode() + '+/=\\ \n"u0041', max_size=12).map(str.encode))
@example(b"")
@example(b"AB")
@example(b"AA==")
@example(b"AA=")
@example(b"AAA+")
@example(b"AAA/")
@example(rb"A\/AA")
@example(rb"AAA\u0041AAAA")
@example(b"AAAA\n")
@example(b" AAAA")
@example(b'AAAA"')
@example(b'AAAA" ')
@example(b'"')
@example(b"AAA\xc3\x84")
@example(b"AAA\xff")
def test_whatever_decodes_is_the_one_spelling(text: bytes) -> None:
    """Any input is either refused, or it is exactly what encoding gives."""
    data = base64url.decode(text)
    assert data is None or base64url.encode(data) == text


def test_every_octet_outside_the_alphabet_is_refused() -> None:
    """Of all 256 octets, at every place of a group, the 64 of the alphabet alone decode."""
    for octet, place in product(range(256), range(4)):
        text = bytearray(b"AAAAAAAAAAAA")
        text[4 + place] = octet
        assert (base64url.decode(bytes(text)) is not None) == (octet in ALPHABET)


def test_leftover_bits_are_refused() -> None:
    """Where the last character holds bits of no octet, only zeros are taken: one spelling in 16, one in 4."""
    assert sum(base64url.decode(b"AA%c" % octet) is not None for octet in ALPHABET) == 16
    assert sum(base64url.decode(b"A%c" % octet) is not None for octet in ALPHABET) == 4


@pytest.mark.parametrize("size", [1, 5, 9, 4097])
def test_lengths_that_no_octets_have_are_refused(size: int) -> None:
    """A length of 4n + 1 characters is refused."""
    assert base64url.decode(b"A" * size) is None


# --- the choice -------------------------------------------------------------------------------------------------------


def test_lengths_of_vectors_and_ends() -> None:
    """Of every length around those that vector instructions work in, and of a large token, octets come back."""
    rng = random.Random(64)
    for size in (*range(130), *range(4090, 4100), 16_384, 30_001):
        data = rng.randbytes(size)
        text = base64url.encode(data)
        assert text == base64.urlsafe_b64encode(data).rstrip(b"=")
        assert base64url.decode(text) == data
        if size:
            at = rng.randrange(len(text))
            assert base64url.decode(text[:at] + b"\n" + text[at + 1 :]) is None


@given(st.binary(max_size=40) | st.text(ALPHABET.decode() + "+/= ", max_size=70).map(str.encode))
def test_both_ways_read_the_same(text: bytes) -> None:
    """With the extra and without it the same is read, and the same refused."""
    assert PYBASE64.decode(text) == PYDANTIC.decode(text)


def test_pybase64_is_used_where_it_is_installed() -> None:
    """The extra is used by itself."""
    assert base64url.fastest() is PYBASE64


def test_without_pybase64_pydantic_core_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra is not installed, nothing is missing."""
    monkeypatch.setitem(sys.modules, "pybase64", None)
    monkeypatch.delitem(sys.modules, "sessionkit.wire.base64_pybase64")
    assert base64url.fastest() is PYDANTIC


def test_pybase64_without_its_compiled_part_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pybase64 has only Python to work with, pydantic_core is faster."""
    monkeypatch.setattr("pybase64.b64decode", lambda *_: b"")
    monkeypatch.delitem(sys.modules, "sessionkit.wire.base64_pybase64")
    assert base64url.fastest() is PYDANTIC


def _raises(_: bytes) -> bytes:
    raise TypeError


@pytest.mark.parametrize(
    "way",
    [
        PYBASE64._replace(encode=base64.urlsafe_b64encode),
        PYBASE64._replace(decode=lambda _: b"other"),
        PYBASE64._replace(encode=_raises),
    ],
    ids=["writes otherwise", "reads otherwise", "raises"],
)
def test_a_library_that_differs_is_not_used(way: Base64, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release of pybase64 that does not do as pydantic_core does is left alone."""
    monkeypatch.setattr(base64_pybase64, "PYBASE64", way)
    assert base64url.fastest() is PYDANTIC
