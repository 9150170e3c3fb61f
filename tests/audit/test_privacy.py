"""Nothing in the log is personal data by default, and destroying the audit key erases what its references linked."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import pytest

from sessionkit.audit.events import CATALOGUE, Event
from sessionkit.audit.pseudonyms import Pseudonyms
from sessionkit.config import AuditConfig, SessionConfig
from sessionkit.exceptions import SessionTooLargeError
from sessionkit.middleware import SessionMiddleware
from sessionkit.testing import AsgiClient, FixedClock
from tests.middleware.apps import Log, answer, ring
from tests.middleware.hosting import BOTH_WAYS

if TYPE_CHECKING:
    from sessionkit.asgi import Receive, Scope, Send

TEXTS: dict[str, set[str]] = {
    "references under the audit key": {"client_ref", "cookie_ref", "previous_session_ref", "session_ref"},
    "ids and states of keys and rings": {
        *("active_kid", "digest", "key_state", "kid", "previous_digest", "previous_key_state", "previous_kid", "state"),
    },
    "words of a closed list, and names of classes": {
        *("condition", "error_type", "message_type", "policy", "scope_type", "summarised", "trigger", "what", "where"),
    },
    "times": {
        *("activates_at", "expires_at", "first_seen", "last_opened_at", "last_sealed_at", "last_seen"),
        *("previous_expires_at", "prune_after", "until"),
    },
    "names that operators give to keys, files and cookies": {"cookie", "label", "location", "problem", "source"},
    "words of ours, or that the application's code gives": {"largest_key", "reason"},
}
"""What each text in the catalogue is. None of it is of a person, unless somebody names an entry or a key after one."""


def texts_of(kind: type[Event]) -> set[str]:
    """Return the fields of an event that hold text."""
    hints = get_type_hints(kind)
    return {field.name for field in fields(kind) if str in {hints[field.name], *get_args(hints[field.name])}}


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_text_in_the_catalogue_is_accounted_for(name: str) -> None:
    """Each field that could hold a name or an address is known to hold something else; numbers cannot hold one."""
    assert texts_of(CATALOGUE[name]) <= set().union(*TEXTS.values())


def test_nothing_is_accounted_for_that_is_not_there() -> None:
    """The account is no wider than the catalogue."""
    assert set().union(*TEXTS.values()) <= set().union(*map(texts_of, CATALOGUE.values()))


PERSONAL = {
    "address": "203.0.113.77",
    "user agent": "Mozilla-of-Ada/1.0",
    "path": "/users/ada@example.org",
    "query": "token=ada-query",
    "forwarded": "198.51.100.9",
    "name": "Ada Lovelace",
    "mail": "ada@example.org",
}


async def account(scope: Scope, receive: Receive, send: Send) -> None:
    """Do to the session what the last part of the path says, with somebody's data."""
    session, deed = scope["session"], scope["path"].rpartition("/")[2]
    if deed == "regenerate":
        session.regenerate(authenticated=True)
    elif deed == "renew":
        session.renew()
    elif deed == "destroy":
        session.destroy()
    elif deed == "huge":
        session["notes"] = PERSONAL["name"] * 10_000
    elif deed != "read":
        session["user"] = {"name": PERSONAL["name"], "mail": PERSONAL["mail"]}
        session["visits"] = session.get("visits", 0) + 1
    await answer(send)


class Visitor:
    """A browser of a person, an application, and what was logged of the two."""

    def __init__(self, *, in_place: bool = True, **audit: Any) -> None:
        self.clock = FixedClock()
        self.log = Log()
        config = SessionConfig(audit=AuditConfig(level="debug", **audit))
        app = SessionMiddleware(account, ring(), config, clock=self.clock, logger=self.log, in_place=in_place)
        self.client = AsgiClient(app, clock=self.clock, client=(PERSONAL["address"], 4711))

    async def visit(self, deed: str, cookies: list[bytes] | None = None) -> None:
        """Send a request that is full of personal data."""
        headers = [
            (b"user-agent", PERSONAL["user agent"].encode()),
            (b"x-forwarded-for", PERSONAL["forwarded"].encode()),
            (b"referer", PERSONAL["path"].encode()),
        ]
        url = f"{PERSONAL['path']}/{deed}?{PERSONAL['query']}"
        await self.client.get(url, headers=headers, cookies=cookies)

    @property
    def cookies(self) -> list[bytes]:
        """What the browser sends."""
        return [*self.client.jar.header("https://testserver/", self.clock())]

    async def live(self) -> None:
        """Begin, use, renew, regenerate and end a session, and abuse its cookie afterwards."""
        for deed in ("begin", "read", "write", "renew", "regenerate"):
            await self.visit(deed)
        old = self.cookies
        with pytest.raises(SessionTooLargeError):
            await self.visit("huge")
        await self.visit("destroy")
        await self.visit("read", [old[0][:60] + b"AAAA" + old[0][64:]])
        self.clock.advance(2_000_000)
        await self.visit("read", old)


@BOTH_WAYS
async def test_nothing_of_the_person_is_logged(in_place: bool) -> None:
    """By default neither address, user agent, path, query nor session shows in any line, at whatever level."""
    visitor = Visitor(in_place=in_place)
    async with visitor.client.lifespan():
        await visitor.live()
    assert set(visitor.log.names()) >= {
        *("session.created", "session.loaded", "session.updated", "session.renewed", "session.regenerated"),
        *("session.rejected", "session.oversized", "session.destroyed", "session.use_after_expire"),
    }
    everything = repr(visitor.log.lines)
    assert [name for name, value in PERSONAL.items() if value in everything] == []
    assert "client_ref" not in everything


async def test_the_clients_address_by_opt_in() -> None:
    """With ``client_ref``, a keyed hash of the address stands in rejections, and the address nowhere."""
    visitor = Visitor(client_ref=True, key=b"k" * 32)
    await visitor.live()
    [line] = visitor.log.named("session.rejected")
    assert line["client_ref"] == Pseudonyms(b"k" * 32).client(PERSONAL["address"])
    assert PERSONAL["address"] not in repr(visitor.log.lines)


async def test_destroying_the_key_erases_the_link() -> None:
    """With another audit key the same session, cookie and address have other references, and none leads to the old."""
    before = Visitor(key=b"of november 2026", client_ref=True)
    await before.visit("begin")
    cookies = before.cookies
    forged = [cookies[0][:60] + b"AAAA" + cookies[0][64:]]
    same, after = Visitor(key=b"of november 2026", client_ref=True), Visitor(key=b"of december 2026", client_ref=True)
    for visitor in (before, same, after):
        await visitor.visit("read", cookies)
        await visitor.visit("read", forged)

    def references(visitor: Visitor) -> dict[str, str]:
        [loaded], [rejected] = visitor.log.named("session.loaded"), visitor.log.named("session.rejected")
        return {name: (loaded | rejected)[name] for name in ("session_ref", "cookie_ref", "client_ref")}

    assert references(same) == references(before)  # as long as the key is there, a cookie leads to its lines
    assert not set(references(after).values()) & set(references(before).values())
    said = repr(after.log.lines)
    assert [value for value in references(before).values() if value in said] == []
