"""Browsers of demonstration and drill: they know what became of each session, and whose key sealed each cookie."""

from __future__ import annotations

import io
import time
from random import Random
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest

from rotation_shop.app import settings, shop
from rotation_shop.browser import Browser, kid_of
from rotation_shop.server import hypercorn, uvicorn
from rotation_shop.tally import End, Notice, Span, Tally
from sessionkit import Key, Keyring, KeyState

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionkit import SessionMiddleware

URL = "http://127.0.0.1:8000"

OLD = Key.from_secret(bytes(32), label="old", created=1.0)
NEW = Key.from_secret(bytes(range(32)), label="new", created=2.0)
REVOKED = Key.from_secret(bytes(32), label="old", state=KeyState.REVOKED, created=1.0)


def open_shop(*keys: Key, clock: Callable[[], float] = time.time) -> SessionMiddleware:
    """Return a shop in process, where sessions live for an hour."""
    return shop(Keyring(keys), io.StringIO(), settings(3600), clock=clock)


def visitor(app: SessionMiddleware, tally: Tally, seed: int = 7) -> Browser:
    """Return a browser in front of a shop."""
    return Browser("visitor", httpx.ASGITransport(app), [URL], tally, Random(seed))


async def shopping(tally: Tally, *apps: SessionMiddleware, actions: int = 40) -> Browser:
    """Let one browser do so much in each of these shops, and go home from the last one."""
    browser = visitor(apps[0], tally)
    for app in apps:
        browser._transport = httpx.ASGITransport(app)
        for _ in range(actions):
            await browser.act()
    closing = anyio.Event()
    closing.set()
    await browser.visit(closing)
    return browser


async def test_every_session_is_accounted_for_in_peace() -> None:
    """Each session that a browser began was logged out of, or is alive when it goes home."""
    tally = Tally()
    await shopping(tally, open_shop(OLD), actions=400)
    assert tally.errors == []
    assert set(tally.ends) == {End.LOGOUT}
    assert tally.ends[End.LOGOUT] > 1
    assert tally.sessions == tally.ends[End.LOGOUT] + tally.alive
    assert tally.unaccounted == 0


async def test_a_session_on_a_revoked_key_is_no_loss() -> None:
    """Where the browser was told that the key of its cookie is revoked, the end of its session is counted apart."""
    tally = Tally(Notice(revoked={OLD.kid}))
    await shopping(tally, open_shop(OLD), open_shop(NEW, REVOKED))
    assert tally.ends[End.REVOKED] == 1
    assert tally.lost == []
    assert tally.errors == []
    assert tally.unaccounted == 0


async def test_a_session_on_another_key_is_a_loss_all_the_same() -> None:
    """A revocation explains the end of the sessions on that key, and of no others."""
    tally = Tally(Notice(revoked={NEW.kid}))
    await shopping(tally, open_shop(OLD), open_shop(NEW, REVOKED))
    assert tally.ends[End.REVOKED] == 0
    assert len(tally.lost) == tally.ends[End.LOST] == 1
    assert f"under key {OLD.kid}" in tally.lost[0]
    assert tally.unaccounted == 0


async def test_a_session_that_has_expired_is_no_loss() -> None:
    """What its Max-Age and the clocks' skew allow to end, ends without a complaint; a moment earlier it is a loss."""
    tally = Tally(Notice(skew=5.0))
    ahead = [0.0]
    app = open_shop(OLD, clock=lambda: time.time() + ahead[0])
    browser = visitor(app, tally)
    await browser._write("/cart", {"item": "tea"}, lambda _: {"cart": ["tea"]})
    ahead[0] = 3601.0
    assert browser._deadline is not None
    browser._deadline = time.time() + 4.0
    await browser._do(lambda books: books, ("GET", "/"))
    assert tally.ends == {End.EXPIRED: 1}

    ahead[0] = 0.0
    await browser._write("/cart", {"item": "tea"}, lambda _: {"cart": ["tea"]})
    ahead[0] = 3601.0
    await browser._do(lambda books: books, ("GET", "/"))
    assert tally.ends == {End.EXPIRED: 1, End.LOST: 1}
    assert tally.unaccounted == 0


async def test_a_session_out_of_nowhere_is_an_error() -> None:
    """A session that comes back after it was found empty was not ours to begin with, or should not have been empty."""
    tally = Tally()
    browser = visitor(open_shop(OLD), tally)
    await browser._write("/cart", {"item": "tea"}, lambda _: {"cart": ["tea"]})
    browser._transport = httpx.ASGITransport(open_shop(NEW))  # which does not know the key, and leaves the cookie
    await browser._do(lambda books: books, ("GET", "/"))
    browser._transport = httpx.ASGITransport(open_shop(OLD))
    await browser._do(lambda books: books, ("GET", "/"))
    assert len(tally.lost) == 1
    assert ["a session out of nowhere" in error for error in tally.errors] == [True]


async def test_a_key_out_of_its_time_is_an_error() -> None:
    """Where the browsers know when each key may seal, a cookie under any other is an error."""
    tally = Tally(Notice(sealing={NEW.kid: Span()}))
    await shopping(tally, open_shop(OLD), actions=10)
    assert tally.errors
    assert all(f"a cookie sealed by key {OLD.kid}" in error for error in tally.errors)


async def test_a_key_that_opens_after_its_revocation_is_an_error() -> None:
    """Once every worker has a revocation, no answer comes from a session under that key."""
    tally = Tally(Notice(revoked={OLD.kid}, refused={OLD.kid: time.time()}))
    await shopping(tally, open_shop(OLD), actions=10)
    assert tally.errors
    assert all(f"key {OLD.kid} opened a session after its revocation" in error for error in tally.errors)


@pytest.mark.parametrize(
    ("sent", "answered", "may"), [(5, 9, False), (5, 10, True), (12, 13, True), (20, 25, True), (21, 25, False)]
)
def test_what_was_under_way_may_have_met_either_side(sent: float, answered: float, *, may: bool) -> None:
    """A request that was under way when a key's time began or ended may have been answered before or after that."""
    assert Notice(sealing={"aa": Span(10, 20)}).may_seal("aa", sent, answered) is may
    assert not Notice(sealing={"aa": Span(10, 20)}).may_seal("bb", sent, answered)
    assert Notice().may_seal("aa", sent, answered)


async def test_the_shop_closes_on_those_who_rest() -> None:
    """A visitor who rests for an hour is called when the shop closes, and looks once more before going home."""
    tally = Tally()
    browser = Browser("visitor", httpx.ASGITransport(open_shop(OLD)), [URL], tally, Random(7), thinking=3600)
    closing = anyio.Event()
    began = anyio.current_time()
    async with anyio.create_task_group() as group:
        group.start_soon(browser.visit, closing)
        await anyio.sleep(60)
        closing.set()
    assert anyio.current_time() - began < 61
    assert tally.requests == 1


async def test_a_reader_writes_once() -> None:
    """Who only looks keeps a session that nobody writes, under the key that it began with."""
    tally = Tally()
    browser = Browser("visitor", httpx.ASGITransport(open_shop(OLD)), [URL], tally, Random(7), reader=True)
    staged = Key.from_secret(bytes(range(32)), label="new", state=KeyState.STAGED, created=2.0)
    retired = Key.from_secret(bytes(32), label="old", state=KeyState.RETIRED, created=1.0)
    for app in (open_shop(OLD, staged), open_shop(NEW, retired)):
        browser._transport = httpx.ASGITransport(app)
        for _ in range(20):
            await browser.act()
    assert browser._books.writes == 1
    assert set(tally.by_key()) == {OLD.kid}
    assert tally.lost == tally.errors == []


async def test_the_key_of_a_cookie_can_be_read_by_anybody() -> None:
    """The id of the key that sealed a token stands in its first characters; other values have none."""
    tally = Tally()
    browser = await shopping(tally, open_shop(NEW), actions=3)
    token = browser._jar.get("session")
    assert token is not None
    assert kid_of(token) == NEW.kid
    assert kid_of(b"") is None
    assert kid_of(b"not base64url!") is None
    assert kid_of(b"Agggggggg") is None


def test_both_servers_know_their_own_worker() -> None:
    """Each command names the module, the port and the number of workers; hypercorn's runs on trio."""
    assert {"some.module:create_app", "8001", "2"} <= set(uvicorn("some.module", 8001, 2))
    assert {"asgi:some.module:create_app()", "127.0.0.1:8001", "2", "trio"} <= set(hypercorn("some.module", 8001, 2))
