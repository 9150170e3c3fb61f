"""Group H: HEAD, empty responses, Vary and Cache-Control."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.middleware.apps import Site, page

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionkit.asgi import Receive, Scope, Send
    from sessionkit.session import Session

HALF = 1_209_600 / 2


def _vary(values: list[bytes]) -> list[bytes]:
    return [token.strip().lower() for value in values for token in value.split(b",")]


async def test_head() -> None:
    """Case 90: a HEAD request that writes sets the cookie, and its empty body stays empty."""
    site = Site()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["user"] = "ann"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"999")]})
        await send({"type": "http.response.body", "body": b""})

    response = await site.run(app, method="HEAD")

    assert response.body == b""
    assert response.values(b"content-length") == [b"999"]
    assert await site.read() == {"user": "ann"}


@pytest.mark.parametrize("status", [204, 304])
async def test_responses_without_a_body(status: int) -> None:
    """Case 91: on 204 and 304 the session is written if it changed, and nothing else is."""
    site = Site()

    changed = await site.visit(lambda session: session.update(user="ann"), status=status)
    unchanged = await site.visit(lambda session: session["user"], status=status)

    assert len(changed.set_cookies) == 1
    assert unchanged.headers == [(b"vary", b"Cookie")]


ACCESSES: dict[str, Callable[[Session], object]] = {
    "[]": lambda session: session["user"],
    "get": lambda session: session.get("nothing"),
    "in": lambda session: "nothing" in session,
    "len": len,
    "bool": bool,
    "iter": list,
    "keys": lambda session: session.keys(),
    "values": lambda session: session.values(),
    "items": lambda session: session.items(),
    "==": lambda session: session == {},
    "|": lambda session: session | {},
    "copy": lambda session: session.copy(),
    "dict": dict,
    "write": lambda session: session.update(user="ann"),
    "mark_accessed": lambda session: session.mark_accessed(),
}


@pytest.mark.parametrize("access", ACCESSES.values(), ids=ACCESSES)
@pytest.mark.parametrize("stored", [True, False])
async def test_access_varies_the_response(access: Callable[[Session], object], stored: bool) -> None:
    """Case 92: whatever looks into the session makes the response depend on the cookie."""
    site = Site()
    if stored:
        await site.write(user="ann")

    def act(session: Session) -> None:
        try:
            access(session)
        except KeyError:
            assert not stored

    response = await site.visit(act)

    assert response.values(b"vary") == [b"Cookie"]


async def test_json_is_access() -> None:
    """Case 92: so does turning it into JSON (but of an empty session, where CPython asks nothing of the dict)."""
    site = Site()
    await site.write(user="ann")

    assert (await site.visit(json.dumps)).values(b"vary") == [b"Cookie"]


async def test_loading_is_no_access() -> None:
    """Case 93: a response whose application left the session alone does not vary, though it was loaded."""
    site = Site()
    await site.write(user="ann")

    untouched = await site.visit()
    shown = await site.visit(repr)

    assert untouched.headers == shown.headers == []


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        ([b"Accept-Encoding"], [b"accept-encoding", b"cookie"]),
        ([b"cookie"], [b"cookie"]),
        ([b"accept, COOKIE ,origin"], [b"accept", b"cookie", b"origin"]),
        ([b"accept", b"origin"], [b"accept", b"origin", b"cookie"]),
        ([b"accept", b"Cookie"], [b"accept", b"cookie"]),
        ([b"*"], [b"*"]),
        ([b"cookies"], [b"cookies", b"cookie"]),
    ],
)
async def test_vary_is_merged(theirs: list[bytes], expected: list[bytes]) -> None:
    """Case 94: Vary names Cookie once, whatever fields there were, and ``*`` stays as it is."""
    site = Site()

    response = await site.visit(len, headers=tuple((b"Vary", value) for value in theirs))

    assert _vary(response.values(b"vary")) == expected


@pytest.mark.parametrize("kind", ["write", "renewal", "expiry"])
async def test_responses_with_a_session_cookie_are_not_cached(kind: str) -> None:
    """Case 95: a response that sets or clears the cookie is kept from caches unless the application said something."""
    site = Site()
    await site.write(user="ann")
    site.clock.advance(HALF)
    act: dict[str, Callable[[Session], object]] = {
        "write": lambda session: session.update(user="bob"),
        "renewal": lambda session: session["user"],
        "expiry": lambda session: session.clear(),
    }

    response = await site.visit(act[kind])

    assert len(response.set_cookies) == 1
    assert response.values(b"cache-control") == [b"private, no-store"]


async def test_responses_without_a_session_cookie_are_left_alone() -> None:
    """Case 95: a response that only depends on the session gets no Cache-Control."""
    site = Site()
    await site.write(user="ann")

    assert (await site.visit(len)).values(b"cache-control") == []


@pytest.mark.parametrize(
    ("theirs", "shared"),
    [
        (b"public, max-age=60", True),
        (b"S-MaxAge=60", True),
        (b"max-age=60", True),
        (b"no-cache", False),
        (b"private, max-age=60", False),
        (b"no-store", False),
        (b'private="set-cookie", max-age=60', False),
    ],
)
async def test_the_applications_cache_control_stays(theirs: bytes, shared: bool) -> None:
    """Case 95: what the application said stays; if caches may store the cookie with it, that is told."""
    site = Site()

    response = await site.visit(lambda session: session.update(user="ann"), headers=((b"Cache-Control", theirs),))

    assert response.values(b"cache-control") == [theirs]
    assert len(response.set_cookies) == 1
    assert len(site.log.named("session.cacheable_set_cookie")) == int(shared)


async def test_a_prohibition_in_another_field() -> None:
    """Case 95: a Cache-Control in two fields is one list: what forbids storing counts wherever it stands."""
    site = Site()
    fields = ((b"cache-control", b"max-age=60"), (b"cache-control", b"no-store"))

    await site.visit(lambda session: session.update(user="ann"), headers=fields)

    assert site.log.named("session.cacheable_set_cookie") == []


@pytest.mark.parametrize(("setting", "expected"), [(None, []), ("no-cache", [b"no-cache"])])
async def test_cache_control_is_a_setting(setting: str | None, expected: list[bytes]) -> None:
    """Case 95: the Cache-Control that is added can be another, or none."""
    site = Site(cache_control=setting)

    assert (await site.write(user="ann")).values(b"cache-control") == expected


async def test_public_pages_do_not_renew() -> None:
    """Case 96: a session that is due is renewed only by a response that looked at it."""
    site = Site()
    await site.write(user="ann")
    site.clock.advance(HALF)

    assert (await site.visit()).headers == []
    assert len((await site.visit(len)).set_cookies) == 1


@pytest.mark.parametrize("bad", ["rubbish", "leftover"])
@pytest.mark.parametrize(
    ("headers", "act", "cleared"),
    [
        ((), None, True),
        (((b"cache-control", b"public, max-age=60"),), None, False),
        (((b"cache-control", b"public, max-age=60"),), len, True),
        (((b"cache-control", b"no-store"),), None, True),
    ],
)
async def test_a_cacheable_page_does_not_clear(bad: str, headers: Any, act: Any, cleared: bool) -> None:
    """Case 97: a page that caches may store clears no bad cookie, unless it depends on the session anyway."""
    site = Site()
    if bad == "rubbish":
        site.put(("session", b"rubbish"))
    else:
        await site.write(user="ann")
        site.jar.plant("session-3", b"leftover", site.client.base_url)
    site.log.lines.clear()

    response = await site.visit(act, headers=headers)

    assert bool(response.set_cookies) is cleared
    if cleared and not headers:
        assert response.values(b"cache-control") == [b"private, no-store"]


async def test_a_revalidated_page() -> None:
    """Case 98: a 304 that sets the cookie is kept from caches like any other response."""
    site = Site()

    response = await site.run(
        page(lambda scope: scope["session"].update(user="ann"), status=304, headers=((b"etag", b'"1"'),))
    )

    assert response.values(b"cache-control") == [b"private, no-store"]
    assert response.values(b"etag") == [b'"1"']
