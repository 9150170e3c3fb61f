"""What a client can send: thousands of bad cookies, one answer; the authentic one is always found."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64decode
from itertools import permutations
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.middleware.apps import Site, noise, ring
from tests.middleware.apps import key as numbered

if TYPE_CHECKING:
    from collections.abc import Iterator

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def _altered(random: Random, token: bytes) -> Iterator[bytes]:
    """Yield Cookie fields with a good token each that was cut, altered, swapped within or grown."""
    size = len(token)
    for cut in range(size):
        yield b"session=" + token[:cut]
        yield b"session=" + token[cut + 1 :]
    for place in range(size):
        for _ in range(4):
            other = random.choice([letter for letter in ALPHABET if letter != token[place]])
            yield b"session=" + token[:place] + bytes([other]) + token[place + 1 :]
    for place in range(size):
        yield b"session=" + token[:place] + random.randbytes(1).replace(b";", b"!") + token[place:]
    for _ in range(300):
        one, other = sorted(random.sample(range(size), 2))
        letters = bytearray(token)
        letters[one], letters[other] = letters[other], letters[one]
        if bytes(letters) != token:
            yield b"session=" + bytes(letters)


def _made_up(random: Random) -> Iterator[bytes]:
    """Yield Cookie fields with forged, random or far too long cookies."""
    for _ in range(1_000):
        yield b"session=" + bytes(random.choices(ALPHABET, k=random.randrange(1, 400)))
    for _ in range(1_000):
        yield b"session=" + random.randbytes(random.randrange(1, 400)).replace(b";", b"!")
    for _ in range(500):
        forged = b"\x01" + numbered(1).id + random.randbytes(random.randrange(200))
        yield b"session=" + b64encode(forged, altchars=b"-_").rstrip(b"=")
    for _ in range(300):
        yield random.randbytes(random.randrange(1, 200)) + b"session"
        yield b"session" + random.randbytes(random.randrange(1, 200))
    for octets in (4_096, 4_097, 50_000, 200_000):
        yield b"session=" + b"A" * octets


def _chunked(random: Random, parts: list[bytes]) -> Iterator[bytes]:
    """Yield Cookie fields with bad sets of chunks, made of a good set."""
    numbers = range(len(parts))

    def field(listed: list[tuple[object, bytes]]) -> bytes:
        return b"; ".join(f"session-{number}=".encode() + value for number, value in listed)

    whole: list[tuple[object, bytes]] = list(zip(numbers, parts, strict=True))
    for order in permutations(numbers):
        if list(order) != list(numbers):
            yield field([(number, parts[place]) for number, place in zip(numbers, order, strict=True)])
    for missing in numbers:
        yield field(whole[:missing] + whole[missing + 1 :])
    for _ in range(600):
        number = random.randrange(len(parts))
        value = bytearray(parts[number])
        place = random.randrange(len(value))
        value[place] = random.choice([letter for letter in ALPHABET if letter != value[place]])
        yield field([*whole[:number], (number, bytes(value)), *whole[number + 1 :]])
    for _ in range(300):
        number = random.randrange(len(parts))
        cut = random.randrange(len(parts[number]))
        yield field([*whole[:number], (number, parts[number][:cut]), *whole[number + 1 :]])
    for spelling in ("00", "-0", "+0", "0_0", "٣", "999999999999", " 0"):
        yield field([(spelling, parts[0]), *whole[1:]])
    yield field([(number, b"A" * 4_000) for number in range(10_000)])


@pytest.mark.unmeasured
async def test_bad_cookies_are_answered_by_the_applications_own_page() -> None:
    """Cases 30, 36, 37, 187: over 5,000 bad cookies each get the page and an empty session, none an error."""
    random = Random(1)
    site = Site()
    await site.write(user="ann")
    fields = [*_altered(random, site.cookies()["session"]), *_made_up(random)]
    await site.write(user=noise(11_000))
    parts = [site.cookies()[f"session-{number}"] for number in range(4)]
    fields.extend(_chunked(random, parts))
    assert len(fields) >= 5_000
    site.jar.clear()

    for field in fields:
        assert await site.read(cookies=[field]) == {}, field
    reasons = {line["reason"] for line in site.log.named("session.rejected")}
    assert {"malformed", "bad_tag", "unknown_key", "unsupported_version", "chunk_missing", "too_large"} <= reasons


@pytest.mark.unmeasured
@pytest.mark.parametrize("octets", [10, 9_000])
@pytest.mark.parametrize("authentic_first", [True, False])
async def test_the_authentic_one_of_two_wins(octets: int, authentic_first: bool) -> None:
    """Case 28: of two cookies of one name the authentic one wins, in both orders, whole or in parts."""
    random = Random(2)
    site = Site()
    await site.write(text=noise(octets))
    good = [f"{name}={value.decode()}".encode() for name, value in site.cookies().items()]
    for _ in range(100):
        bad = [pair.partition(b"=")[0] + b"=" + bytes(random.choices(ALPHABET, k=len(pair) - 9)) for pair in good]
        crumbs = [*good, *bad] if authentic_first else [*bad, *good]
        assert await site.read(cookies=[b"; ".join(crumbs)]) == {"text": noise(octets)}
        assert await site.read(cookies=crumbs) == {"text": noise(octets)}


@pytest.mark.parametrize("newest_first", [True, False])
async def test_the_newest_of_two_wins(newest_first: bool) -> None:
    """Case 29: of two authentic cookies of one name the newer one wins, in both orders."""
    site = Site()
    await site.write(user="old")
    old = site.cookies()["session"]
    site.clock.advance(0.001)
    await site.write(user="new")
    pairs = [b"session=" + site.cookies()["session"], b"session=" + old]

    assert await site.read(cookies=pairs if newest_first else pairs[::-1]) == {"user": "new"}


async def test_one_token_has_one_spelling() -> None:
    """Case 31: what clients and proxies make of a token opens if its octets are the same, and never if they differ."""
    site = Site(ring(numbered(1)))
    token = b""
    while not (b"-" in token and b"_" in token and len(token) % 4 == 3):
        await site.write(text=noise(30 + len(site.log.lines) % 5, seed=len(site.log.lines)))
        token = site.cookies()["session"]
    expected = await site.read()
    text = token.decode()
    octets = urlsafe_b64decode(token + b"=")
    last = ALPHABET.index(token[-1])

    for field in (
        b"session=" + token,
        b'session="' + token + b'"',
        b" session = " + token + b" ",
        b"\tsession\t=\t" + token + b"\t;",
        b";;a=b;session=" + token,
        b"session; session=" + token,
    ):
        assert await site.read(cookies=[field]) == expected, field
    assert await site.read(scope={"headers": ((b"Cookie", b"session=" + token),)}) == expected

    for value in (
        token + b"=",
        token + b"==",
        b64encode(octets).rstrip(b"="),
        b64encode(octets),
        token.replace(b"-", b"+"),
        token.replace(b"_", b"/"),
        quote(text + "=").encode(),
        text.replace("-", "%2D").encode(),
        text.replace("_", "\\137").encode(),
        b'""' + token + b'""',
        b"'" + token + b"'",
        b'"' + token,
        token + b'"',
        token[:10] + b" " + token[10:],
        token[:10] + b"\n" + token[10:],
        token[:10] + b"\x00" + token[10:],
        b"\xef\xbb\xbf" + token,
        token.lower(),
        token.upper(),
        token[:-1] + bytes([ALPHABET[last ^ 1]]),
        token[:-1] + bytes([ALPHABET[last ^ 2]]),
        octets.replace(b";", b"!"),
        octets.hex().encode(),
        token + b"A",
        token + b".",
        token + token,
    ):
        assert await site.read(cookies=[b"session=" + value]) == {}, value
    for name in (b"Session", b"SESSION", b"session.", b"__Host-session", b"sessions", b"$session"):
        assert await site.read(cookies=[name + b"=" + token]) == {}, name
