"""The questions that every server is asked, each of which fills some places of its row.

Rules of this file:

* A question that has a wrong answer adds to ``troubles``; whatever else is found is told as it is.
* A session counts as kept if the application shows the text that was stored, and the jar holds the cookies of that
  session and no others.
"""

from __future__ import annotations

import time
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

import anyio

from rotation_shop.command import run, text
from server_survey.application import MAX_COOKIES, NAME
from server_survey.browser import Browser

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from server_survey.answer import Answer
    from server_survey.row import Row
    from server_survey.servers import Server

__all__ = ["PROBES", "Probe", "Target", "filling", "most"]

SMALL, LARGE = 1, 3
"""Cookies of the sessions that are kept, grow and shrink."""

BOUND = 1 << 18
"""Octets of the longest Cookie header that is tried: four times what the longest session takes."""

START = 1 << 12
"""Octets that any server accepts."""

PAUSE = 0.03
"""Seconds between two rounds of visits while keys change: the command line wants a core as well."""

FILLING = 4_000
"""Octets of the cookies that make it long: as browsers keep them."""

ROTATION = 30.0
"""Seconds after a publish when every worker must have the new ring."""


class Target:
    """One server that runs.

    Args:
        server: which.
        port: where it listens.
        keyring: its keyring file.
        log: its output.
        row: where findings go.

    Attributes:
        large: cookies of the larger of the sessions it is asked with; fewer than ``LARGE`` if it does not take so many.
    """

    def __init__(self, server: Server, port: int, keyring: Path, log: Path, row: Row) -> None:
        self.server = server
        self.port = port
        self.keyring = keyring
        self.log = log
        self.row = row
        self.large = LARGE

    def browser(self) -> Browser:
        """Return a new visitor."""
        return Browser(self.server, self.port)

    def expect(self, holds: object, what: str) -> bool:
        """Note a trouble if something does not hold; return whether it does."""
        if not holds:
            self.row.troubles.append(what)
        return bool(holds)


class Probe(Protocol):
    """A question."""

    __name__: str

    async def __call__(self, target: Target) -> None:
        """Ask it."""


def text_of(cookies: int, letter: str = "x") -> str:
    """Return a text whose session takes so many cookies: each holds about 3,060 octets of JSON."""
    return letter * (3_000 * cookies - 1_000)


def names_of(cookies: int) -> set[str]:
    """Return the names of a session's cookies."""
    return {NAME} if cookies == 1 else {f"{NAME}-{number}" for number in range(cookies)}


async def basics(target: Target) -> None:
    """Which HTTP, which loop, and whether there is a lifespan."""
    answer = await target.browser().read()
    if not target.expect(answer.told, f"the first request: {answer.said}"):
        return
    row, told = target.row, answer.told
    row.http, row.loop, row.hosted = told["http"], told["loop"], told["hosted"]
    http = "2" if target.server.http2 else "1.1"
    target.expect(told["http"] == http, f"HTTP/{told['http']} instead of HTTP/{http}")
    target.expect(told["loop"] == target.server.loop, f"{told['loop']} instead of {target.server.loop}")
    for cookies in range(LARGE, SMALL, -1):
        browser = target.browser()
        await browser.write(text_of(cookies))
        if (await browser.bare()).status == HTTPStatus.OK:
            target.large = cookies
            break
    row.large = target.large


async def walk(target: Target) -> None:
    """A session is made, kept, grows, shrinks and is cleared, without a leftover."""
    browser = target.browser()
    steps: list[tuple[str, Callable[[], Awaitable[Answer]], int]] = [
        ("one cookie", partial(browser.write, text_of(SMALL)), SMALL),
        ("growth", partial(browser.write, text_of(target.large)), target.large),
        ("shrinking", partial(browser.write, text_of(SMALL, "y")), SMALL),
        ("growth again", partial(browser.write, text_of(target.large, "y")), target.large),
        ("clearing", browser.clear, 0),
    ]
    held = True
    for what, act, cookies in steps:
        written = await act()
        read = await browser.read()
        names = names_of(cookies) if cookies else set()
        held &= target.expect(
            browser.holds(written) and browser.holds(read), f"{what}: {written.said}, then {read.said}, another session"
        )
        held &= target.expect(browser.names == names, f"{what}: cookies {sorted(browser.names)}")
        held &= target.expect(not browser.jar.refusals, f"{what}: {browser.jar.refusals}")
    target.row.walked = held


async def crumbs(target: Target) -> None:
    """A Cookie field for each cookie, as HTTP/2 has it and proxies may pass on over HTTP/1.1."""
    browser = target.browser()
    await browser.write(text_of(target.large))
    answer = await browser.crumbs()
    target.expect(browser.holds(answer), f"a Cookie field for each cookie: {answer.said}, another session")
    target.row.fields = answer.told.get("fields")


async def sockets(target: Target) -> None:
    """The session at a handshake, and whether cookies arrive with its answer."""
    row = target.row
    for path in ("/socket", "/refuse"):
        browser = target.browser()
        await browser.write(text_of(SMALL))
        answer = await browser.socket(path)
        if answer is None:
            return
        counted = (await browser.read()).told.get("sockets")
        target.expect(counted == answer.sets_cookies, f"{path}: {counted} websockets counted after {answer.said}")
        if path == "/socket":
            row.socket = target.expect(browser.holds(answer), f"a websocket: {answer.said}, another session")
            row.accept_cookies = answer.sets_cookies
        else:
            row.refusal_cookies = answer.sets_cookies


async def rotation(target: Target) -> None:
    """The keyring is promoted by the command line while sessions are read and written; none is lost."""
    row = target.row
    small, large, busy = target.browser(), target.browser(), target.browser()
    before = (await small.write(text_of(SMALL))).told
    await large.write(text_of(target.large))
    await busy.write(text_of(SMALL))
    first = (await small.read()).told
    row.reads = 0
    lost: list[str] = []
    there: dict[int, float] = {}
    promoted: list[float] = []

    async def promote() -> None:
        done = await run("keyring", "promote", str(target.keyring))
        target.expect(done.returncode == 0, f"promote: {text(done)}")
        promoted.append(time.monotonic())

    def look(browser: Browser, answer: Answer) -> None:
        row.reads = (row.reads or 0) + 1
        if not browser.holds(answer):
            lost.append(answer.said)
        if answer.told.get("generation", 0) > before["generation"]:
            there.setdefault(answer.told["pid"], time.monotonic())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(promote)
        turn = 0
        while not promoted or (len(there) < target.server.workers and time.monotonic() < promoted[0] + ROTATION):
            turn += 1
            look(busy, await busy.write(f"turn {turn}"))
            for browser in (small, large, busy):
                look(browser, await browser.read())
            await anyio.sleep(PAUSE)
    taken = target.expect(
        len(there) >= target.server.workers, f"{len(there)} of {target.server.workers} workers took the new ring"
    )
    if taken:
        row.lag = round(max(0.0, max(there.values()) - promoted[0]), 2)
    kids = set()
    for browser, cookies in ((small, SMALL), (large, target.large)):
        opened = await browser.read()
        look(browser, opened)
        target.expect(opened.told.get("kid") == first["kid"], "a session moved to the new key without a write")
        await browser.write(text_of(cookies, "z"))
        moved = await browser.read()
        look(browser, moved)
        kids.add(moved.told.get("kid"))
    target.expect(len(kids) == 1 and kids.isdisjoint({first["kid"], None}), f"written under {kids}, not the new key")
    target.expect(not lost, f"rotation: {len(lost)} of {row.reads} answers show another session: {lost[:3]}")
    row.rotated = taken and not lost


async def calm(target: Target) -> None:
    """Whether the server raised up to here; what is too much for it comes only now."""
    target.expect("Traceback" not in target.log.read_text("utf-8", "replace"), f"it raised, see {target.log}")


async def header(target: Target) -> None:
    """The longest Cookie header that is accepted, and what a longer one comes to."""
    row = target.row
    browser = target.browser()
    await browser.write(text_of(SMALL))
    own = len(browser.cookies(crumbs=False)[0][1])
    refused: Answer | None = None

    async def accepted(octets: int) -> bool:
        nonlocal refused
        answer = await browser.bare(filling(octets - own))
        if browser.holds(answer):
            return True
        refused = answer
        return False

    row.largest = await most(START, BOUND, accepted)
    row.refused = refused.said if refused else None


def filling(octets: int) -> list[bytes]:
    """Return cookies that make a header longer by so many octets, separators included."""
    cookies: list[bytes] = []
    while octets > 0:
        # A cookie takes its separator along, and none is too short for its name.
        size = octets if octets < 2 * FILLING else FILLING
        name = b"f%d=" % len(cookies)
        cookies.append(name + b"x" * (size - len(name) - 2))
        octets -= size
    return cookies


async def longest(target: Target) -> None:
    """How many cookies of a session come back, by request and by websocket."""
    row = target.row
    refused: Answer | None = None

    async def comes_back(cookies: int) -> bool:
        browser = await holding(cookies)
        return browser.holds(await browser.bare())

    async def gets_through(cookies: int) -> bool:
        nonlocal refused
        browser = await holding(cookies)
        answer = await browser.socket("/socket")
        if answer is not None and browser.holds(answer):
            return True
        refused = answer
        return False

    async def holding(cookies: int) -> Browser:
        browser = target.browser()
        await browser.write(text_of(cookies))
        target.expect(browser.names == names_of(cookies), f"{cookies} cookies: {sorted(browser.names)}")
        return browser

    row.cookies = await most(SMALL, MAX_COOKIES, comes_back)
    if row.socket:
        row.socket_cookies = await most(SMALL, MAX_COOKIES, gets_through)
        row.socket_refused = refused.said if refused else None


async def most(start: int, bound: int, accepted: Callable[[int], Awaitable[bool]]) -> int:
    """Return the largest number up to a bound that is accepted, given one that is.

    By doubling, then by halving: servers may take long to refuse, and the largest that they accept costs most.

    Args:
        start: is accepted; a power of two below the bound.
        bound: so much and no more is tried; a power of two.
        accepted: tells whether a number is.
    """
    low = start
    while low < bound and await accepted(2 * low):
        low *= 2
    high = 2 * low
    while low < bound and high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if await accepted(middle) else (low, middle)
    return low


PROBES: tuple[Probe, ...] = (basics, walk, crumbs, sockets, rotation, calm, header, longest)
"""In the order in which they are asked."""
