"""Base64 without padding: one spelling for every sequence of octets, and nothing but ``None`` for the rest."""

from __future__ import annotations

import base64
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sessionkit.wire.base64url import decode, encode

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(st.binary(max_size=200))
def test_agrees_with_the_standard_library(data: bytes) -> None:
    """The text is the standard library's without its padding, and comes back as the octets."""
    text = encode(data)
    assert text == base64.urlsafe_b64encode(data).rstrip(b"=")
    assert decode(text) == data


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
    data = decode(text)
    assert data is None or encode(data) == text


def test_every_octet_outside_the_alphabet_is_refused() -> None:
    """Of all 256 octets, at every place of a group, the 64 of the alphabet alone decode."""
    for octet, place in product(range(256), range(4)):
        text = bytearray(b"AAAAAAAAAAAA")
        text[4 + place] = octet
        assert (decode(bytes(text)) is not None) == (octet in ALPHABET)


def test_leftover_bits_are_refused() -> None:
    """Where the last character holds bits of no octet, only zeros are taken: one spelling in 16, one in 4."""
    assert sum(decode(b"AA%c" % octet) is not None for octet in ALPHABET) == 16
    assert sum(decode(b"A%c" % octet) is not None for octet in ALPHABET) == 4


@pytest.mark.parametrize("size", [1, 5, 9, 4097])
def test_lengths_that_no_octets_have_are_refused(size: int) -> None:
    """A length of 4n + 1 characters is refused."""
    assert decode(b"A" * size) is None
