"""Group Q: clocks that differ, limits, and when a session is renewed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit.config import SessionConfig
from sessionkit.keyring.keyring import Keyring, Policy
from sessionkit.middleware import SessionMiddleware
from sessionkit.testing import AsgiClient
from tests.middleware.apps import Log, Site, key, page

if TYPE_CHECKING:
    from sessionkit.session import Session

IDLE = 600


async def _made(site: Site) -> float:
    """Write a session and return when."""
    await site.write(user="ann")
    return site.clock.now


@pytest.mark.parametrize("ahead", [1.0, 60.0, 300.0])
async def test_a_session_from_a_clock_that_is_ahead(ahead: float) -> None:
    """Case 168: a session issued in the future by no more than clocks may differ is accepted."""
    site = Site()
    await _made(site)
    site.clock.advance(-ahead)

    assert await site.read() == {"user": "ann"}


async def test_a_session_from_too_far_in_the_future() -> None:
    """Case 169: beyond that it is ``not_yet_valid``, the event tells by how much, and the cookie outlives the mistake.

    Nobody but a node of ours can have made it, so a clock of ours is wrong, and nobody is logged out for that.
    """
    site = Site()
    await _made(site)
    site.clock.advance(-300.5)

    assert await site.read() == {}
    site.clock.advance(300.5)
    assert await site.read() == {"user": "ann"}

    (line,) = site.log.named("session.rejected")
    assert (line["reason"], line["delta"]) == ("not_yet_valid", 300.5)


async def test_the_allowed_difference_is_the_rings() -> None:
    """Case 168: by how much clocks may differ is the ring's policy, as it is for rotating keys."""
    site = Site(Keyring([key(1)], policy=Policy(skew=10)))
    await _made(site)
    site.clock.advance(-10.5)

    assert await site.read() == {}


@pytest.mark.parametrize(("before", "valid"), [(1.0, True), (0.001, True), (0.0, False), (-0.001, False)])
@pytest.mark.parametrize("fraction", [0.0, 0.0004, 0.5, 0.9996])
async def test_the_end_is_exact(before: float, fraction: float, valid: bool) -> None:
    """Case 170: a session is refused from its deadline on, to the millisecond."""
    site = Site(idle_timeout=IDLE)
    site.clock.advance(fraction)
    made = round(await _made(site), 3)
    site.clock.now = made + IDLE - before

    assert bool(await site.read()) is valid


async def test_a_clock_that_jumps_back() -> None:
    """Case 171: a clock set back makes no negative age and no error."""
    site = Site(absolute_max_age=3_600)
    await _made(site)
    site.clock.advance(-200)

    (field,) = (await site.write(user="bob")).set_cookies

    assert b"; Max-Age=3600;" in field or b"; Max-Age=3800;" in field
    assert await site.read() == {"user": "bob"}


async def test_renewal_at_half_life() -> None:
    """Case 172: a session that is looked at is renewed once half of its idle time is over, and then idles anew."""
    site = Site(idle_timeout=IDLE)
    made = await _made(site)

    site.clock.now = made + IDLE / 2 - 0.001
    assert (await site.visit(len)).set_cookies == []
    site.clock.now = made + IDLE / 2
    assert len((await site.visit(len)).set_cookies) == 1
    assert (await site.visit(len)).set_cookies == []

    site.clock.now = made + IDLE + 1
    assert await site.read() == {"user": "ann"}
    lines = site.log.named("session.renewed")
    assert lines[0]["automatic"] is True
    assert lines[0]["previous_expires_at"] < lines[0]["expires_at"]


async def test_renewal_on_request() -> None:
    """Case 172: an application may renew a session earlier."""
    site = Site(idle_timeout=IDLE)
    made = await _made(site)
    site.clock.advance(1)

    assert len((await site.visit(lambda session: session.renew())).set_cookies) == 1

    site.clock.now = made + IDLE
    assert await site.read() == {"user": "ann"}
    assert site.log.named("session.renewed")[0]["automatic"] is False


async def test_a_change_is_a_renewal() -> None:
    """Case 172: a change renews as well, whenever it comes."""
    site = Site(idle_timeout=IDLE)
    made = await _made(site)
    site.clock.advance(1)
    await site.write(user="bob")

    site.clock.now = made + IDLE
    assert await site.read() == {"user": "bob"}


async def test_the_absolute_limit() -> None:
    """Case 173: a session ends at its absolute limit however busy it is, and the event says so."""
    site = Site(idle_timeout=IDLE, absolute_max_age=2 * IDLE)
    made = await _made(site)
    for count in range(1, 4):
        site.clock.now = made + count * IDLE / 2
        await site.write(count=count)
    cookies = [b"session=" + site.cookies()["session"]]
    site.clock.now = made + 2 * IDLE - 0.001
    assert await site.read(cookies=cookies) == {"user": "ann", "count": 3}

    site.clock.now = made + 2 * IDLE
    assert await site.read(cookies=cookies) == {}
    assert site.log.named("session.expired")[0]["reason"] == "absolute"


async def test_renewal_stops_at_the_absolute_limit() -> None:
    """Case 173: a session that cannot live longer is not renewed for nothing."""
    site = Site(idle_timeout=IDLE, absolute_max_age=IDLE)
    made = await _made(site)
    site.clock.now = made + IDLE - 1

    assert (await site.visit(len)).set_cookies == []


async def test_long_after_the_end() -> None:
    """Case 173: a cookie presented long after its end is told as a use after expiry."""
    site = Site(idle_timeout=IDLE)
    await _made(site)
    value = site.cookies()["session"]
    site.clock.advance(IDLE + 301)

    assert await site.read(cookies=[b"session=" + value]) == {}
    (line,) = site.log.named("session.use_after_expire")
    assert line["expired_for"] == 301.0


@pytest.mark.parametrize("limit", ["idle_timeout", "absolute_max_age", "max_age"])
async def test_limits_that_were_lowered(limit: str) -> None:
    """Case 174: a lowered limit holds for sessions made before."""
    before = Site()
    made = await _made(before)
    value = before.cookies()["session"]
    lowered: dict[str, Any] = {limit: 100}
    after = Site(site=before, **lowered)

    before.clock.now = made + 99.9
    assert await after.read(cookies=[b"session=" + value]) == {"user": "ann"}
    before.clock.now = made + 100
    assert await after.read(cookies=[b"session=" + value]) == {}


@pytest.mark.parametrize("limit", ["idle_timeout", "absolute_max_age"])
async def test_limits_that_were_raised(limit: str) -> None:
    """Case 175: a raised limit holds for sessions made before, from when they were made."""
    low: dict[str, Any] = {limit: 100}
    high: dict[str, Any] = {limit: 1_000}
    before = Site(**low)
    made = await _made(before)
    value = before.cookies()["session"]
    after = Site(site=before, **high)

    before.clock.now = made + 999
    assert await after.read(cookies=[b"session=" + value]) == {"user": "ann"}
    before.clock.now = made + 1_000
    assert await after.read(cookies=[b"session=" + value]) == {}


async def test_a_recent_login() -> None:
    """Case 176: how long ago the user logged in is kept, and presenting or renewing the cookie never counts."""
    site = Site(idle_timeout=IDLE)
    recent: list[bool] = []

    def look(session: Session) -> None:
        recent.append(session.require_recent_auth(900))

    await site.visit(look)
    await site.write(cart=[1])
    await site.visit(look)
    await site.visit(lambda session: session.regenerate(authenticated=True))
    await site.visit(look)
    for _ in range(2):
        site.clock.advance(449.5)
        await site.visit(lambda session: session.renew())
    await site.visit(look)
    site.clock.advance(1)
    await site.visit(look)

    assert recent == [False, False, True, True, False]


async def test_a_login_begins_a_new_absolute_window() -> None:
    """Case 176: a login is a new start for the absolute limit, a new id alone is not."""
    site = Site(absolute_max_age=1_000)
    await _made(site)
    site.clock.advance(600)
    await site.visit(lambda session: session.regenerate())
    site.clock.advance(300)
    await site.visit(lambda session: session.regenerate(authenticated=True))
    site.clock.advance(900)

    assert await site.read() == {"user": "ann"}
    site.clock.advance(100)
    assert await site.read() == {}


async def test_the_clock_is_looked_up_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 177: without a clock of its own the middleware asks ``time.time``, also one put there later."""
    seen: list[dict[str, object]] = []

    def act(session: Session) -> None:
        seen.append(dict(session))
        session["user"] = "ann"

    middleware = SessionMiddleware(
        page(lambda scope: act(scope["session"])), bytes(32), SessionConfig(max_age=100), logger=Log()
    )
    client = AsgiClient(middleware, clock=lambda: 0.0)
    for now in (1e9, 1e9 + 99, 1e9 + 99 + 50, 1e9 + 250):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        await client.get()

    assert seen == [{}, {"user": "ann"}, {"user": "ann"}, {}]


async def test_after_2038() -> None:
    """Case 178: nothing ends with 32 bits of seconds, nor in 2106."""
    for now in (2.0**31 - 1, 2.0**31, 2.0**32 + 1, 7e9):
        site = Site()
        site.clock.now = now
        await site.write(user="ann")
        site.clock.advance(1)
        assert await site.read() == {"user": "ann"}
        cleared = await site.visit(lambda session: session.clear())
        assert b"Expires=Thu, 01 Jan 1970 00:00:00 GMT" in cleared.set_cookies[0]
