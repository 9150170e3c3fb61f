"""Simulated browsers: each keeps a strict cookie jar and its own books, and compares them with every answer.

What a session holds is known only to its cookie. So a browser that knows what it did, and finds the server in another
state, has seen a session lost or altered, whatever the cause.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from zlib import crc32

import anyio
import httpx

from rotation_demo.app import CART_LIMIT
from sessionkit.testing import CookieJar

if TYPE_CHECKING:
    from random import Random

__all__ = ["Books", "Browser", "Tally"]

GOODS = ("apples", "bread", "coffee", "figs", "honey", "olives", "rice", "salt", "tea", "walnuts")

NOTES = (0, 0, 200, 2_500, 5_000, 7_500)
"""Octets of the notes that are kept: sessions of one cookie, of two and of three, growing and shrinking."""

THINKING = 0.25
"""Seconds between two actions of one browser, on average: with sixty of them, two cores have room to breathe."""


PARTING = 0.2
"""Share of the requests after which a browser gives up its connection; the next may reach the other worker."""

TIMEOUT = httpx.Timeout(10.0).as_dict()
"""Seconds until a request without an answer is an error."""


@dataclass(slots=True)
class Tally:
    """What all browsers saw together.

    Attributes:
        started: ``time.monotonic()`` when the traffic began.
        requests: answered requests.
        sessions: sessions begun.
        lost: one line for each session found empty or altered.
        errors: one line for each request that failed, and each cookie that the browser refused.
        seconds: how long each request took.
        keys: requests by the key that had sealed their cookie, for each second since the start.
        chunks: requests by the number of their session cookies.
        workers: processes that answered.
    """

    started: float = field(default_factory=time.monotonic)
    requests: int = 0
    sessions: int = 0
    lost: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    keys: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    chunks: Counter[int] = field(default_factory=Counter)
    workers: set[int] = field(default_factory=set)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def by_key(self) -> Counter[str]:
        """Return the requests by key."""
        total: Counter[str] = Counter()
        for second in self.keys.values():
            total += second
        return total

    def count(self, answer: dict[str, Any], seconds: float) -> None:
        """Count one answered request."""
        self.requests += 1
        self.seconds.append(seconds)
        self.workers.add(answer["pid"])
        if answer["kid"] is not None:
            self.keys[int(self.elapsed)][answer["kid"]] += 1
            self.chunks[answer["chunks"]] += 1


@dataclass(slots=True)
class Books:
    """What a session must hold."""

    user: str | None = None
    cart: list[str] = field(default_factory=list)
    writes: int = 0
    note: int = 0

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Books:
        """Return what a session does hold."""
        return cls(answer["user"], answer["cart"], answer["writes"], answer["note"])


class Browser:
    """One visitor of the shop.

    Args:
        name: for the user's name and for complaints.
        transport: its connections.
        url: of the shop, without a slash at the end.
        tally: counts for all.
        random: decides what to do next.
    """

    def __init__(self, name: str, transport: httpx.AsyncBaseTransport, url: str, tally: Tally, random: Random) -> None:
        self._name = name
        self._transport = transport
        self._url = url
        self._tally = tally
        self._random = random
        self._jar = CookieJar()
        self._books = Books()

    async def visit(self, until: float) -> None:
        """Shop until a time of ``time.monotonic()``."""
        await anyio.sleep(self._random.uniform(0, THINKING))
        while time.monotonic() < until:
            await self.act()
            await anyio.sleep(self._random.uniform(0, 2 * THINKING))

    async def act(self) -> None:
        """Do one thing a visitor does."""
        random, books = self._random, self._books
        match random.choices(
            ("look", "open", "add", "remove", "write", "login", "logout"),
            (30, 8, 30, 10, 12, 6, 1 if books.user else 0),
        ):
            case ["look"]:
                await self._ask("GET", "/", books)
            case ["open"]:  # a page and what it loads: at once, and from one state
                async with anyio.create_task_group() as group:
                    for _ in range(3):
                        group.start_soon(self._ask, "GET", "/", books)
            case ["add"]:
                item = random.choice(GOODS)
                cart = [*books.cart, item][-CART_LIMIT:]
                await self._write("/cart", {"item": item}, Books(books.user, cart, books.writes + 1, books.note))
            case ["remove"]:
                after = Books(books.user, books.cart[1:], books.writes + 1, books.note)
                await self._write("/cart/remove", {}, after)
            case ["write"]:
                note = random.randbytes(random.choice(NOTES) // 2).hex()
                after = Books(books.user, books.cart, books.writes + 1, crc32(note.encode()))
                await self._write("/note", {"note": note}, after)
            case ["login"]:
                after = Books(self._name, books.cart, books.writes + 1, books.note)
                await self._write("/login", {"name": self._name}, after)
            case _:
                await self._write("/logout", {}, Books())

    async def _write(self, path: str, fields: dict[str, str], after: Books) -> None:
        if self._books == Books() != after:
            self._tally.sessions += 1
        await self._ask("POST", path, after, urlencode(fields).encode())

    async def _ask(self, method: str, path: str, after: Books, body: bytes = b"") -> None:
        """Make a request, and hold the answer against the books."""
        url = self._url + path
        headers = [(b"accept", b"application/json"), (b"content-type", b"application/x-www-form-urlencoded")]
        if self._random.random() < PARTING:
            headers.append((b"connection", b"close"))
        headers += [(b"cookie", cookie) for cookie in self._jar.header(url, time.time(), method=method)]
        request = httpx.Request(method, url, headers=headers, content=body, extensions={"timeout": TIMEOUT})
        began = time.perf_counter()
        try:
            response = await self._transport.handle_async_request(request)
            content = await response.aread()
        except httpx.HTTPError as error:
            self._complain(f"{method} {path}: {type(error).__name__}")
            return
        seconds = time.perf_counter() - began
        self._store(response.headers.raw, url)
        if response.status_code != httpx.codes.OK:
            self._complain(f"{method} {path}: status {response.status_code}")
            return
        answer = json.loads(content)
        self._tally.count(answer, seconds)
        found = Books.of(answer)
        if found != after:
            self._tally.lost.append(f"{self._tally.elapsed:6.2f} s  {self._name}: another state after {method} {path}")
        self._books = found

    def _store(self, headers: list[tuple[bytes, bytes]], url: str) -> None:
        self._jar.store(headers, url, time.time())
        for refusal in self._jar.refusals:
            self._complain(f"cookie {refusal.name!r} refused: {refusal.reason}")
        for name in self._jar.duplicates:
            self._complain(f"cookie {name!r} set twice in one response")
        for name in self._jar.evicted:
            self._complain(f"cookie {name!r} had to make room")
        for troubles in (self._jar.refusals, self._jar.duplicates, self._jar.evicted):
            troubles.clear()

    def _complain(self, what: str) -> None:
        self._tally.errors.append(f"{self._tally.elapsed:6.2f} s  {self._name}: {what}")
