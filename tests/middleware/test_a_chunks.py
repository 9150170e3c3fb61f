"""Group A through the whole middleware: sessions of several cookies, and what browsers make of them."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from sessionkit.exceptions import SessionKitWarning, SessionTooLargeError
from tests.middleware.apps import Site, noise

FITS_ONE = 1_000
FITS_TWO = 5_000
FITS_THREE = 8_000


def _names(site: Site) -> set[str]:
    return set(site.cookies())


async def test_a_session_shrinks_to_one_cookie() -> None:
    """Case 2: what shrinks from three cookies to one sets the one and clears the three in the same response."""
    site = Site()
    await site.write(text=noise(FITS_THREE))
    assert _names(site) == {"session-0", "session-1", "session-2"}

    response = await site.write(text="short")

    assert [value.partition(b"=")[0] for value in response.set_cookies] == [
        b"session",
        b"session-0",
        b"session-1",
        b"session-2",
    ]
    assert all(b"=null; " in value and b"; Max-Age=0; " in value for value in response.set_cookies[1:])
    assert _names(site) == {"session"}
    assert await site.read() == {"text": "short"}


async def test_a_session_grows_to_two_cookies() -> None:
    """Case 3: what grows from one cookie to two sets the two and clears the one."""
    site = Site()
    await site.write(text="short")

    response = await site.write(text=noise(FITS_TWO))

    assert [value.partition(b"=")[0] for value in response.set_cookies] == [b"session-0", b"session-1", b"session"]
    assert _names(site) == {"session-0", "session-1"}
    assert await site.read() == {"text": noise(FITS_TWO)}


async def test_a_tab_leaves_a_higher_chunk_behind() -> None:
    """Case 4: a chunk written by a tab that this request never saw is ignored by the next one, and cleared."""
    site = Site()
    await site.write(text=noise(FITS_TWO))
    slow = site.client.jar.header(site.client.base_url, site.clock.now)
    await site.write(text=noise(FITS_THREE, seed=2))  # the other tab

    await site.visit(lambda session: session.update(text=noise(FITS_TWO, seed=3)), cookies=slow)

    assert _names(site) == {"session-0", "session-1", "session-2"}
    response = await site.visit(lambda session: session.get("text"))
    assert await site.read() == {"text": noise(FITS_TWO, seed=3)}
    assert [value.partition(b"=")[0] for value in response.set_cookies] == [b"session-2"]
    assert _names(site) == {"session-0", "session-1"}


@pytest.mark.parametrize("newest", ["single", "chunks"])
async def test_the_single_cookie_and_chunks_came_together(newest: str) -> None:
    """Case 5: of a single cookie and a set of chunks the newest authentic one is used, the other cleared."""
    site, other = Site(), Site()
    (other if newest == "single" else site).clock.advance(-60)
    await site.write(text="one")
    await other.write(text=noise(FITS_TWO))
    single, chunks = site.cookies(), other.cookies()
    site.put(*single.items(), *chunks.items())

    expected = {"text": "one"} if newest == "single" else {"text": noise(FITS_TWO)}
    assert await site.read() == expected
    assert _names(site) == (set(single) if newest == "single" else set(chunks))
    assert site.log.named("session.duplicate")[0]["candidates"] == 2


async def test_leftovers_of_a_longer_session() -> None:
    """Case 6: a leftover chunk after a whole set is neither joined on nor kept."""
    site = Site()
    await site.write(text=noise(FITS_THREE))
    leftover = site.cookies()["session-2"]
    await site.write(text=noise(FITS_TWO, seed=2))
    site.put(*site.cookies().items(), ("session-2", leftover), ("session-5", b"AAAA"))

    response = await site.visit()

    assert [value.partition(b"=")[0] for value in response.set_cookies] == [b"session-2", b"session-5"]
    assert await site.read() == {"text": noise(FITS_TWO, seed=2)}


@pytest.mark.parametrize("missing", [0, 1, 2])
async def test_a_chunk_is_missing(missing: int) -> None:
    """Case 7: a set with a hole is an empty session, ``chunk_missing``, and every part of it is cleared."""
    site = Site()
    await site.write(text=noise(FITS_THREE))
    parts = site.cookies()
    del parts[f"session-{missing}"]
    site.put(*parts.items())

    assert await site.read() == {}

    line = site.log.named("session.rejected")[0]
    assert line["reason"] == "chunk_missing"
    assert _names(site) == set()


async def test_only_a_later_chunk_is_left() -> None:
    """Case 8: a chunk without the first one is never taken for a whole cookie."""
    site = Site()
    await site.write(text=noise(FITS_TWO))
    site.put(("session-1", site.cookies()["session-1"]))

    assert await site.read() == {}
    assert site.log.named("session.rejected")[0]["reason"] == "chunk_missing"
    assert _names(site) == set()


async def test_chunks_of_two_writes_of_one_length() -> None:
    """Case 9: parts of two writes do not open; if their lengths agree, that is all there is to tell it by."""
    site = Site()
    await site.write(text=noise(FITS_TWO))
    first = site.cookies()
    await site.write(text=noise(FITS_TWO, seed=2))
    site.put(("session-0", first["session-0"]), ("session-1", site.cookies()["session-1"]))

    assert await site.read() == {}
    assert site.log.named("session.rejected")[0]["reason"] == "bad_tag"
    assert _names(site) == set()


async def test_chunks_of_two_writes_of_two_lengths() -> None:
    """Case 9: parts of a longer and a shorter write lack a part of either: ``chunk_missing``."""
    site = Site()
    await site.write(text=noise(FITS_TWO))
    first = site.cookies()
    await site.write(text=noise(FITS_THREE))
    site.put(("session-0", site.cookies()["session-0"]), ("session-2", first["session-1"]))

    assert await site.read() == {}
    assert site.log.named("session.rejected")[0]["reason"] == "chunk_missing"


async def test_values_about_the_limit() -> None:
    """Cases 10 and 11: octet by octet past the limit one cookie becomes two, and no field ever exceeds 4,093 octets."""
    site = Site(domain="a" * 60 + ".testserver", path="/" + "p" * 500, max_chunks=2)
    counts = []
    for octets in range(2_440, 2_560):
        site.jar.clear()
        response = await site.write(text=noise(octets))
        assert all(len(value) <= 4_093 for value in response.set_cookies)
        counts.append(len(response.set_cookies))

    assert [pair for pair in pairwise(counts) if pair[0] != pair[1]] == [(1, 2)]


async def test_a_name_that_looks_like_a_chunk() -> None:
    """Case 18: the whole cookie of an application named ``sess-1`` is neither read nor cleared by ``sess``."""
    sess = Site(key="sess")
    with pytest.warns(SessionKitWarning, match="'sess-1'"):
        numbered = Site(site=sess, key="sess-1")
    await numbered.write(who="numbered")
    theirs = numbered.cookies()["sess-1"]

    assert await sess.read() == {}
    await sess.write(who="sess")
    await sess.visit(lambda session: session.destroy())
    await sess.visit(lambda session: session.destroy())
    await sess.write(who="sess")

    assert sess.cookies()["sess-1"] == theirs
    assert await numbered.read() == {"who": "numbered"}
    assert await sess.read() == {"who": "sess"}
    assert sess.log.named("session.rejected") == []


async def test_clearing_takes_every_part() -> None:
    """Case 20: a cleared session clears every cookie that came, each with the attributes it was set with."""
    site = Site(domain="testserver.example", path="/", secure=True, base_url="https://testserver.example")
    written = await site.write(text=noise(FITS_THREE))
    kept = [value.partition(b"; ")[2].replace(b"Max-Age=1209600; ", b"") for value in written.set_cookies]

    response = await site.visit(lambda session: session.clear())

    cleared = [value.partition(b"; ")[2] for value in response.set_cookies]
    gone = b"Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; "
    assert [value.replace(gone, b"") for value in cleared] == kept
    assert _names(site) == set()


async def test_unchanged_chunks_are_left_alone() -> None:
    """Case 21: a session of several cookies that did not change sends none."""
    site = Site()
    await site.write(text=noise(FITS_THREE))

    response = await site.visit(lambda session: session["text"])

    assert response.set_cookies == []


async def test_the_browser_dropped_a_part() -> None:
    """Case 22: a part that the browser dropped is told with the octets and cookies that did come."""
    site = Site()
    site.jar.max_per_domain = 2
    await site.write(text=noise(FITS_THREE))
    came = site.cookies()

    assert await site.read() == {}

    line = site.log.named("session.rejected")[0]
    assert line["reason"] == "chunk_missing"
    assert line["chunks"] == len(came) == 2
    assert line["size"] == sum(map(len, came.values()))


@pytest.mark.parametrize("kept", [0, -1])
async def test_a_proxy_keeps_one_field(kept: int) -> None:
    """Case 23: behind a proxy that passes on one Set-Cookie alone, the session is empty, told, and starts anew."""
    site = Site()
    response = await site.visit(lambda session: session.update(text=noise(FITS_THREE)), cookies=[])
    field = response.set_cookies[kept]
    site.jar.clear()
    site.jar.store([(b"set-cookie", field)], site.client.base_url, site.clock.now)

    assert await site.read() == {}
    assert site.log.named("session.rejected")[0]["reason"] == "chunk_missing"
    await site.write(text="short")
    assert await site.read() == {"text": "short"}


async def test_one_to_twelve_cookies_in_any_order() -> None:
    """Case 1: sessions of 1 to 12 cookies open in any order, split over several fields, with leftovers around."""
    random = Random(1)
    site = Site(max_chunks=12)
    longest = {f"session-{number}": noise(3_900, seed=number).encode() for number in range(12)}
    counts = set()
    for cookies in range(1, 13):
        text = noise(1_000 + 3_000 * (cookies - 1), seed=cookies)
        site.jar.clear()
        response = await site.write(text=text)
        assert all(len(value) <= 4_093 for value in response.set_cookies)
        parts = site.cookies()
        counts.add(len(parts))
        leftovers = {name: value for name, value in longest.items() if name not in parts}
        pairs = [f"{name}={value.decode()}".encode() for name, value in parts.items()]
        more = [f"{name}={value.decode()}".encode() for name, value in leftovers.items() if name != "session-0"]
        for mess in (pairs, pairs + more):
            for _ in range(5):
                random.shuffle(mess)
                cut = random.randrange(len(mess) + 1)
                fields = [b"; ".join(mess[:cut]) + b";", b"foreign=1; ;" + b";".join(mess[cut:])]
                assert await site.read(cookies=fields) == {"text": text}, cookies
                assert await site.read(cookies=mess) == {"text": text}, cookies
    assert counts == set(range(1, 13))


async def test_past_the_last_cookie() -> None:
    """Case 161: a session over the limit is an error before anything is sent, and the browser keeps the old one."""
    site = Site(max_chunks=12)
    await site.write(text="old")

    with pytest.raises(SessionTooLargeError) as caught:
        await site.write(text=noise(40_000), short="x")

    assert site.client.messages == []
    assert caught.value.max_chunks == 12
    assert caught.value.size > caught.value.limit
    assert caught.value.largest[0][0] == "text"
    assert await site.read() == {"text": "old"}
