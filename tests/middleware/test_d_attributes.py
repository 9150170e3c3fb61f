"""Group D: which Set-Cookie fields leave, and what stands in them."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import pytest

from tests.middleware.apps import Site, noise, page

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any

    from sessionkit.asgi import Receive, Scope, Send
    from sessionkit.testing import Response


def _attributes(response: Response, name: bytes = b"session") -> dict[bytes, bytes]:
    """Return the attributes of the one Set-Cookie of a name."""
    (field,) = [value for value in response.set_cookies if value.startswith(name + b"=")]
    parts = [part.strip().partition(b"=") for part in field.split(b";")[1:]]
    return {attribute: value for attribute, _, value in parts}


async def test_the_applications_own_cookies_stay() -> None:
    """Case 50: Set-Cookie fields of the application stay as they are and in order; ours come after them."""
    site = Site()
    theirs = ((b"set-cookie", b"a=1"), (b"x-other", b"x"), (b"Set-Cookie", b"a=2; Path=/x"), (b"set-cookie", b"b=3"))

    response = await site.visit(lambda session: session.update(user="ann"), headers=theirs)

    assert response.headers[:4] == list(theirs)
    assert [value.partition(b"=")[0] for value in response.set_cookies] == [b"a", b"a", b"b", b"session"]


@pytest.mark.parametrize("name", [b"set-cookie", b"Set-Cookie"])
async def test_the_application_sets_a_cookie_of_our_name(name: bytes) -> None:
    """Case 51: of two cookies with the session's name in one response ours alone leaves, and it is said."""
    site = Site()
    theirs = ((name, b" session =theirs; Path=/"), (b"set-cookie", b"sessions=theirs"), (b"set-cookie", b"session"))

    response = await site.visit(lambda session: session.update(user="ann"), headers=theirs)

    assert [value.partition(b"=")[0] for value in response.set_cookies] == [b"sessions", b"session"]
    assert site.jar.duplicates == []
    assert len(site.log.named("session.cookie_conflict")) == 1
    assert await site.read() == {"user": "ann"}


async def test_the_application_sets_a_cookie_of_a_chunks_name() -> None:
    """Case 51: the same goes for the names of the parts that this response clears or sets."""
    site = Site()
    await site.write(text=noise(5_000))

    response = await site.visit(
        lambda session: session.update(text="short"), headers=((b"set-cookie", b"session-1=theirs"),)
    )

    assert len([value for value in response.set_cookies if value.startswith(b"session-1=")]) == 1
    assert site.jar.duplicates == []


async def test_an_unchanged_session_sends_nothing() -> None:
    """Case 52: a session that was read, written with what it holds, and is not due for renewal sends no cookie."""
    site = Site()
    await site.write(user="ann", cart=[1])

    assert (await site.visit()).set_cookies == []
    assert (await site.visit(lambda session: session["user"])).set_cookies == []
    assert (await site.write(user="ann")).set_cookies == []
    assert (await site.visit(lambda session: session["cart"].append(2) or session["cart"].pop())).set_cookies == []


async def test_a_visitor_without_a_session() -> None:
    """Case 53: nothing that came, nothing kept: no cookie, not even one that clears."""
    site = Site()

    assert (await site.visit()).set_cookies == []
    assert (await site.visit(lambda session: session.get("user"))).set_cookies == []
    assert (await site.visit(lambda session: session.clear())).set_cookies == []
    assert (await site.visit(lambda session: session.destroy())).set_cookies == []
    assert site.log.names() == []


@pytest.mark.parametrize("end", ["clear", "destroy"])
async def test_ending_a_session_expires_its_cookie(end: str) -> None:
    """Case 54: an ended session's cookie is set to ``null``, in the past by both clocks, with all its attributes."""
    site = Site(
        key="__Secure-s",
        domain="example.org",
        path="/app",
        secure=True,
        samesite="none",
        partitioned=True,
        base_url="https://www.example.org",
    )
    await site.write("/app/", user="ann")

    response = await site.visit(lambda session: getattr(session, end)(), "/app/")

    assert response.set_cookies == [
        (
            b"__Secure-s=null; Path=/app; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Domain=example.org; "
            b"HttpOnly; Secure; SameSite=None; Partitioned"
        )
    ]
    assert site.cookies() == {}


async def test_a_cookie_that_cannot_be_read_is_expired() -> None:
    """Case 55: a refused cookie is cleared even if nobody touches the session."""
    site = Site()
    site.put(("session", b"rubbish"))

    response = await site.visit()

    assert _attributes(response)[b"Max-Age"] == b"0"
    assert site.cookies() == {}


async def test_a_browser_session() -> None:
    """Case 56: without ``persistent`` the cookie has no age, and the server's limits hold all the same."""
    site = Site(persistent=False, max_age=100)

    response = await site.write(user="ann")

    assert set(_attributes(response)) == {b"Path", b"HttpOnly", b"SameSite"}
    site.clock.advance(99)
    assert await site.visit() is not None
    assert await site.read(cookies=[b"session=" + site.cookies()["session"]]) == {"user": "ann"}
    site.clock.advance(1 + 99)
    assert await site.read() == {}
    assert site.log.named("session.expired")[0]["reason"] == "idle"


async def test_remember_this_one() -> None:
    """Case 57: ``remember`` gives this session a Max-Age, now and whenever it is written again, until taken back."""
    site = Site(persistent=False)

    def remember(scope: Scope) -> None:
        scope["session"].update(user="ann")
        scope["session"].remember = True

    assert _attributes(await site.run(page(remember)))[b"Max-Age"] == b"1209600"
    assert _attributes(await site.write(more=1))[b"Max-Age"] == b"1209600"

    def forget(scope: Scope) -> None:
        assert scope["session"].remember
        scope["session"].remember = False
        scope["session"].mark_accessed()

    assert b"Max-Age" not in _attributes(await site.run(page(forget)))
    assert b"Max-Age" not in _attributes(await site.write(more=2))


async def test_the_absolute_limit_is_near() -> None:
    """Case 58: a cookie does not outlive its session's absolute limit."""
    site = Site(absolute_max_age=3_600, idle_timeout=3_600)
    await site.write(user="ann")
    site.clock.advance(3_500)

    assert _attributes(await site.write(more=1))[b"Max-Age"] == b"100"


async def test_ages_are_whole_seconds() -> None:
    """Case 59: Max-Age is a whole number of seconds, rounded down, and never negative."""
    site = Site(absolute_max_age=3_600)
    await site.write(user="ann")

    site.clock.advance(3_599.25)
    assert _attributes(await site.write(more=1))[b"Max-Age"] == b"0"
    site.clock.advance(-200)
    assert _attributes(await site.visit(lambda session: session.update(more=2)))[b"Max-Age"] == b"3600"


async def test_the_path_is_the_configurations() -> None:
    """Case 60: Path is what the configuration says, whatever path or root_path the request has."""
    site = Site(path="/app")

    for url, root in (("/elsewhere", ""), ("/app/x", "/app"), ("/x", "/mounted")):
        response = await site.visit(lambda session: session.update(user="ann"), url, scope={"root_path": root})
        assert _attributes(response)[b"Path"] == b"/app"
        site.jar.clear()


async def test_a_changed_domain_leaves_a_duplicate() -> None:
    """Case 61: after a change of ``domain`` browsers send both cookies, and the newer one is used."""
    before = Site(base_url="https://www.example.org")
    await before.write(user="old")
    before.clock.advance(1)
    after = Site(site=before, domain="example.org", base_url="https://www.example.org")
    await after.write(user="new")

    assert len(after.jar) == 2
    assert await after.read() == {"user": "new"}
    await after.write(user="newer")
    assert await after.read() == {"user": "newer"}


async def test_fields_are_lower_case_ascii() -> None:
    """Case 62: the names of our fields are octets in lower case, the values ASCII."""
    site = Site(context="Käse")

    response = await site.visit(lambda session: session.update(user="Zoë"))

    assert {name for name, _ in response.headers} == {b"set-cookie", b"vary", b"cache-control"}
    assert all(type(name) is bytes and type(value) is bytes for name, value in response.headers)
    assert all(value.isascii() for _, value in response.headers)


@pytest.mark.parametrize("headers", [None, (), ((b"a", b"b"),), [(b"a", b"b")], [[b"a", b"b"]]])
async def test_headers_of_any_shape(headers: Any) -> None:
    """Case 63: headers may be missing, a tuple or a list; the application's own object is never changed."""
    site = Site()
    start: MutableMapping[str, Any] = {"type": "http.response.start", "status": 200}
    if headers is not None:
        start["headers"] = headers
    before = deepcopy(start)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["visits"] = scope["session"].get("visits", 0) + 1
        await send(start)
        await send({"type": "http.response.body", "body": b""})

    for visits in (1, 2, 3):
        response = await site.run(app)
        assert len(response.set_cookies) == 1
        assert await site.read() == {"visits": visits}
    assert start == before


async def test_insecure_transport_is_said_once() -> None:
    """Case 49: a Secure cookie over plain HTTP is dropped by browsers; that is said once, and not of this machine."""
    local = Site(secure=True, base_url="http://localhost:8000")
    await local.write(user="ann")
    assert local.log.named("session.insecure_transport") == []

    secure = Site(secure=True)
    await secure.write(user="ann")
    assert secure.log.named("session.insecure_transport") == []

    plain = Site(secure=True, base_url="http://example.org")
    await plain.write(user="ann")
    await plain.write(user="ann")
    assert len(plain.log.named("session.insecure_transport")) == 1
    assert plain.jar.refusals


async def test_a_request_without_a_host_is_not_of_this_machine() -> None:
    """Case 49: without a Host field nothing says that the connection is local."""
    site = Site(secure=True, base_url="http://localhost")

    await site.visit(lambda session: session.update(user="ann"), scope={"headers": [(b"accept", b"*/*")]})

    assert len(site.log.named("session.insecure_transport")) == 1
