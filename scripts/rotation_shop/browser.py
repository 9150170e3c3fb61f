"""Simulated browsers: each keeps a strict cookie jar and its own books, and compares them with every answer.

What a session holds is known only to its cookie. So a browser that knows what it did, and finds the server in another
state, has seen a session lost or altered, whatever the cause. Of each cookie it knows what anybody can read of it: the
id of the key that sealed it, and when it expires.
"""

from __future__ import annotations

import base64
import binascii
import json
import ssl
import time
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode
from zlib import crc32

import anyio
import httpx

from rotation_shop.app import CART_LIMIT
from rotation_shop.tally import End
from sessionkit.testing import CookieJar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from rotation_shop.tally import Tally

__all__ = ["Books", "Browser", "connections", "kid_of"]

GOODS = ("apples", "bread", "coffee", "figs", "honey", "olives", "rice", "salt", "tea", "walnuts")

NOTES = (0, 0, 200, 2_500, 5_000, 7_500)
"""Octets of the notes that are kept: sessions of one cookie, of two and of three, growing and shrinking."""

THINKING = 0.25
"""Seconds between two actions of one browser, on average: with sixty of them, two cores have room to breathe."""

PARTING = 0.2
"""Share of the requests after which a browser gives up its connection; the next may reach the other worker."""

TIMEOUT = httpx.Timeout(10.0).as_dict()
"""Seconds until a request without an answer is an error."""

_PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Never used, since the shop speaks plain http; without it, each browser would load all certificates there are."""

_PREFIX = 8
"""Characters of a token that hold its version and the id of its key: six octets, of which the last is noise."""


def connections(*, http2: bool = False) -> httpx.AsyncHTTPTransport:
    """Return connections for one browser: a pool for all takes longer to choose one than the server to answer."""
    return httpx.AsyncHTTPTransport(verify=_PLAIN, http1=not http2, http2=http2)


def kid_of(token: bytes) -> str | None:
    """Return the id of the key that sealed a token, in hexadecimal; ``None`` if it is no token.

    It stands in clear: ``base64url(01 ‖ key id ‖ …)``.
    """
    try:
        raw = base64.b64decode(token[:_PREFIX], b"-_", validate=True)
    except binascii.Error:
        return None
    return raw[1:5].hex() if raw[:1] == b"\x01" else None


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


class _Sent(NamedTuple):
    """What a browser knew when it sent a request.

    Attributes:
        at: Unix seconds.
        kid: the key that had sealed the cookie which went along, if one did.
        over: whether the session may have come to its end by time.
    """

    at: float
    kid: str | None
    over: bool


_EMPTY = Books()


def _as_it_is(books: Books) -> Books:
    return books


class Browser:
    """One visitor of the shop.

    Args:
        name: for the user's name and for complaints.
        transport: its connections.
        urls: of the shop, without a slash at the end; each request goes to one of them.
        tally: counts for all.
        random: decides what to do next.
        thinking: seconds between two actions, on average.
        reader: only look, once there is something in the cart: such a session is written when half of its life is over.
    """

    def __init__(
        self,
        name: str,
        transport: httpx.AsyncBaseTransport,
        urls: Sequence[str],
        tally: Tally,
        random: Random,
        *,
        thinking: float = THINKING,
        reader: bool = False,
    ) -> None:
        self._name = name
        self._transport = transport
        self._urls = urls
        self._tally = tally
        self._random = random
        self._thinking = thinking
        self._reader = reader
        self._jar = CookieJar()
        self._books = _EMPTY
        self._deadline: float | None = None

    async def visit(self, closing: anyio.Event) -> None:
        """Shop until the shop closes, then have a last look and go home."""
        await self._rest(self._random.uniform(0, self._thinking), closing)
        while not closing.is_set():
            await self.act()
            await self._rest(self._random.uniform(0, 2 * self._thinking), closing)
        await self._do(_as_it_is, ("GET", "/"))
        self._tally.alive += self._books != _EMPTY

    @staticmethod
    async def _rest(seconds: float, closing: anyio.Event) -> None:
        with anyio.move_on_after(seconds):
            await closing.wait()

    async def act(self) -> None:
        """Do one thing a visitor does."""
        random, books = self._random, self._books
        actions = ("look", "open", "add", "remove", "write", "login", "logout")
        often = (30, 8, 30, 10, 12, 6, 1 if books.user else 0)
        if self._reader:
            often = (30, 8, 0, 0, 0, 0, 0) if books.cart else (0, 0, 1, 0, 0, 0, 0)
        match random.choices(actions, often):
            case ["look"]:
                await self._do(_as_it_is, ("GET", "/"))
            case ["open"]:  # a page and what it loads: at once, and from one state
                await self._do(_as_it_is, *[("GET", "/")] * 3)
            case ["add"]:
                item = random.choice(GOODS)
                await self._write("/cart", {"item": item}, lambda old: {"cart": [*old.cart, item][-CART_LIMIT:]})
            case ["remove"]:
                await self._write("/cart/remove", {}, lambda old: {"cart": old.cart[1:]})
            case ["write"]:
                note = random.randbytes(random.choice(NOTES) // 2).hex()
                await self._write("/note", {"note": note}, lambda _: {"note": crc32(note.encode())})
            case ["login"]:
                await self._write("/login", {"name": self._name}, lambda _: {"user": self._name})
            case _:
                await self._do(lambda _: Books(), ("POST", "/logout"), how=End.LOGOUT)

    async def _write(self, path: str, fields: dict[str, str], changes: Callable[[Books], dict[str, Any]]) -> None:
        """Change the session; the server counts one write more than we have made."""

        def effect(old: Books) -> Books:
            return replace(old, writes=old.writes + 1, **changes(old))

        await self._do(effect, ("POST", path), body=urlencode(fields).encode())

    # --- asking, and holding the answers against the books ------------------------------------------------------------

    async def _do(
        self, effect: Callable[[Books], Books], *requests: tuple[str, str], body: bytes = b"", how: End | None = None
    ) -> None:
        """Make requests at once, and hold what comes against the books.

        Args:
            effect: returns what a session holds afterwards.
            requests: methods and paths.
            body: of each.
            how: the way a session ends by this, if it does.
        """
        sent = self._look()
        found: list[Books] = []

        async def ask(method: str, path: str) -> None:
            answer = await self._ask(method, path, body, sent)
            if answer is not None:
                found.append(Books.of(answer))

        if len(requests) == 1:
            await ask(*requests[0])
        else:
            async with anyio.create_task_group() as group:
                for method, path in requests:
                    group.start_soon(ask, method, path)
        # Without an answer there is no new cookie: the session is what it was.
        if found:
            self._settle(effect, found, sent, " ".join(requests[0]), how)

    def _settle(
        self, effect: Callable[[Books], Books], found: list[Books], sent: _Sent, what: str, how: End | None
    ) -> None:
        before, expected, anew = self._books, effect(self._books), effect(Books())
        after = next((books for books in found if books != expected), expected)
        self._books = after
        ended = how
        if after != expected:
            ended = End.LOST
            if after == anew and sent.kid in self._tally.notice.revoked:
                ended = End.REVOKED
            elif after == anew and sent.over:
                ended = End.EXPIRED
        if before == _EMPTY:
            if after != expected:
                self._tally.error(self._name, f"a session out of nowhere after {what}")
            self._tally.sessions += after != _EMPTY
        elif ended is not None:
            self._tally.end(ended, self._name, f"another state after {what}, under key {sent.kid}")
            self._tally.sessions += after != _EMPTY

    def _look(self) -> _Sent:
        """Note what is known before a request."""
        now = time.time()
        over = self._deadline is not None and now >= self._deadline - self._tally.notice.skew
        return _Sent(now, self._held(), over)

    def _held(self) -> str | None:
        """Return the key that sealed the session's cookie."""
        token = self._jar.get("session") or self._jar.get("session-0")
        return None if token is None else kid_of(token)

    async def _ask(self, method: str, path: str, body: bytes, sent: _Sent) -> dict[str, Any] | None:
        """Make a request; return the answer, if there is one."""
        url = self._random.choice(self._urls) + path
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
            return None
        seconds = time.perf_counter() - began
        self._store(response.headers.raw, url, sent)
        if response.status_code != httpx.codes.OK:
            self._complain(f"{method} {path}: status {response.status_code}")
            return None
        answer: dict[str, Any] = json.loads(content)
        self._tally.count(answer, seconds)
        if sent.at >= self._tally.notice.refused.get(answer["kid"], inf):
            self._complain(f"{method} {path}: key {answer['kid']} opened a session after its revocation")
        return answer

    def _store(self, headers: list[tuple[bytes, bytes]], url: str, sent: _Sent) -> None:
        now = time.time()
        self._jar.store(headers, url, now)
        for refusal in self._jar.refusals:
            self._complain(f"cookie {refusal.name!r} refused: {refusal.reason}")
        for name in self._jar.duplicates:
            self._complain(f"cookie {name!r} set twice in one response")
        for name in self._jar.evicted:
            self._complain(f"cookie {name!r} had to make room")
        for troubles in (self._jar.refusals, self._jar.duplicates, self._jar.evicted):
            troubles.clear()
        if any(name.lower() == b"set-cookie" for name, _ in headers):
            self._deadline = min((cookie.expires for cookie in self._jar), default=None)
            kid = self._held()
            if kid is not None and not self._tally.notice.may_seal(kid, sent.at, now):
                self._complain(f"a cookie sealed by key {kid}, whose time was over or had not come")

    def _complain(self, what: str) -> None:
        self._tally.error(self._name, what)
