"""One suite for every framework: what a browser sees is the same whichever of them serves it.

``AsgiClient`` keeps cookies as strictly as browsers do. Every application runs on asyncio, and on trio where its
framework does.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit.config import SessionConfig
from sessionkit.keyring.key import KeyState
from sessionkit.revocation import RevocationConfig
from sessionkit.testing import AsgiClient, FixedClock
from tests.apps import django_app, fastapi_app, litestar_app, quart_app, raw_app, starlette_app
from tests.middleware.apps import Log, key, ring

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sessionkit.asgi import ASGIApp
    from sessionkit.keyring.keyring import Keyring
    from sessionkit.testing import Response

APPLICATIONS: dict[str, Any] = {
    "raw": raw_app.application,
    "starlette": starlette_app.application,
    "fastapi": fastapi_app.application,
    "litestar": litestar_app.application,
    "quart": quart_app.application,
    "django": django_app.application,
}
ASYNCIO_ALONE = frozenset({"quart", "django"})
"""Frameworks that are written for asyncio."""

ANSWERS_ERRORS = frozenset({"litestar", "quart", "django"})
"""Frameworks that turn an exception into a response inside the middleware."""

CONFIG = SessionConfig(exclude="/health")

pytestmark = pytest.mark.parametrize(
    ("visitor", "anyio_backend"),
    [
        (name, loop)
        for name in APPLICATIONS
        for loop in ("asyncio", "trio")
        if loop == "asyncio" or name not in ASYNCIO_ALONE
    ],
    indirect=True,
)


class Visitor:
    """A browser in front of one of the applications.

    Args:
        name: of the framework.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.clock = FixedClock()
        self.log = Log()
        self.client = AsgiClient(self.app(ring()), clock=self.clock)

    def app(self, keyring: Keyring) -> ASGIApp:
        """Return a fresh application with a ring."""
        made: ASGIApp = APPLICATIONS[self.name](keyring, config=CONFIG, clock=self.clock, logger=self.log)
        return made

    async def read(self) -> Any:
        """Return the session as the application sees it."""
        return json.loads((await self.client.get("/read")).text)

    async def post(self, path: str, values: object = None) -> Response:
        """Post JSON to a page that answers 200."""
        headers = [(b"content-type", b"application/json")]
        response = await self.client.post(path, body=json.dumps(values).encode(), headers=headers)
        assert response.status == 200, response.text
        return response


@pytest.fixture
def visitor(request: pytest.FixtureRequest) -> Visitor:
    """Return a browser in front of each of the applications, none of which has been started."""
    return Visitor(request.param)


@pytest.fixture
async def started(visitor: Visitor) -> AsyncIterator[Visitor]:
    """Return the browser with its application's lifespan running."""
    async with visitor.client.lifespan():
        yield visitor


async def test_who_only_reads_gets_no_cookie(started: Visitor) -> None:
    """A first visit that stores nothing sets nothing."""
    assert await started.read() == {}
    assert len(started.client.jar) == 0


async def test_what_is_written_comes_back(started: Visitor) -> None:
    """Values of JSON are those that were written, on the next request and the one after."""
    values = {"n": 1, "text": "ä", "list": [1, {"deep": None}], "yes": True}
    response = await started.post("/write", values)
    assert len(response.set_cookies) == 1
    assert [await started.read(), await started.read()] == [values, values]


async def test_unchanged_sessions_send_no_cookie(started: Visitor) -> None:
    """Writing what is there already sends nothing."""
    await started.post("/write", {"n": 1})
    assert (await started.post("/write", {"n": 1})).set_cookies == []
    assert (await started.client.get("/read")).set_cookies == []


async def test_changes_inside_are_saved(started: Visitor) -> None:
    """A change of a nested list is saved though no entry was set."""
    await started.post("/write", {"list": ["one"]})
    await started.post("/nested")
    assert await started.read() == {"list": ["one", "more"]}


async def test_login_changes_the_id_and_keeps_the_data(started: Visitor) -> None:
    """The id before a login is not the one after it; what was collected stays."""
    await started.post("/write", {"cart": [1]})
    ids = json.loads((await started.post("/login")).text)
    assert len(ids["before"]) == len(ids["after"]) == 32
    assert ids["before"] != ids["after"]
    assert await started.read() == {"cart": [1], "user": "ann"}
    assert [line["event"] for line in started.log.lines if line["category"] == "session"] == [
        "session.created",
        "session.regenerated",
    ]


@pytest.mark.parametrize("page", ["/logout", "/clear"])
async def test_the_end_of_a_session_clears_its_cookies(started: Visitor, page: str) -> None:
    """After logout or clear the browser holds nothing of ours."""
    await started.post("/write", {"n": 1})
    await started.post(page)
    assert len(started.client.jar) == 0
    assert await started.read() == {}
    assert started.log.named("session.write_lost") == []


@pytest.mark.parametrize("page", ["/logout", "/clear", "/login"])
async def test_with_a_list_a_copied_cookie_ends_with_its_session(visitor: Visitor, page: str) -> None:
    """In each framework's own words for a logout, and when the session goes on under another id."""
    revoking = CONFIG.model_copy(update={"revocation": RevocationConfig(memory=True)})
    visitor.client.app = APPLICATIONS[visitor.name](ring(), config=revoking, clock=visitor.clock, logger=visitor.log)
    await visitor.post("/write", {"n": 1})
    copied = visitor.client.jar.copy()
    await visitor.post(page)
    visitor.client.jar = copied
    assert await visitor.read() == {}
    assert [line["reason"] for line in visitor.log.named("session.revoked")] == ["terminated"]


async def test_large_sessions_grow_and_shrink(started: Visitor) -> None:
    """A session takes as many cookies as it needs, and leaves none behind when it shrinks."""
    held = []
    for size in (10, 8_000, 5_000, 10):
        await started.post(f"/big?n={size}")
        held.append(len(started.client.jar))
        assert len((await started.read())["big"]) == size
    assert held == [1, 3, 2, 1]


async def test_a_page_without_a_session_has_none(started: Visitor) -> None:
    """An excluded page neither sees a session nor says that it depends on one."""
    await started.post("/write", {"n": 1})
    response = await started.client.get("/health")
    assert json.loads(response.text) == {"session": False}
    assert (response.set_cookies, response.values(b"vary")) == ([], [])


async def test_a_request_that_fails_changes_nothing(started: Visitor) -> None:
    """What was written before an exception is not kept; the session before it is, and the loss is told."""
    await started.post("/write", {"n": 1})
    with suppress(LookupError):  # some answer it inside the middleware, the others outside
        await started.client.get("/boom")
    assert await started.read() == {"n": 1}
    [lost] = started.log.named("session.write_lost")
    assert lost["reason"] == ("error_response" if started.name in ANSWERS_ERRORS else "exception")


async def test_websockets_read_and_write_before_they_accept(started: Visitor) -> None:
    """A websocket sees the session, and its cookies travel on the handshake."""
    await started.post("/write", {"sockets": 4})
    for count in ("5", "6"):
        async with started.client.websocket("/ws") as socket:
            assert socket.accepted
            assert await socket.receive_text() == count
    assert await started.read() == {"sockets": 6}


async def test_forged_cookies_are_an_empty_session(started: Visitor) -> None:
    """A cookie that nobody sealed is refused, cleared, and logged; the visitor is served."""
    await started.post("/write", {"user": "ann"})
    response = await started.client.get("/read", cookies=[b"session=" + b"A" * 200])
    assert json.loads(response.text) == {}
    assert len(started.log.named("session.rejected")) == 1


async def test_the_actor_runs_with_the_application(started: Visitor) -> None:
    """One actor is started, not one a route, and no request is served without it."""
    await started.post("/write", {"n": 1})
    await started.read()
    told = [line["event"] for line in started.log.lines if line["category"] == "actor"]
    assert told == ["actor.started"]


async def test_without_a_lifespan_all_the_same(visitor: Visitor) -> None:
    """An application that nobody starts keeps sessions too, and says once that no actor runs."""
    await visitor.post("/write", {"n": 1})
    assert await visitor.read() == {"n": 1}
    told = [line["event"] for line in visitor.log.lines if line["category"] == "actor"]
    assert told == ["actor.inline"]


async def test_a_rotation_is_not_noticed(visitor: Visitor) -> None:
    """A session sealed under yesterday's key is read, and goes on under today's with its next change."""
    await visitor.post("/write", {"n": 1})
    rotated = ring(key(1, KeyState.RETIRED), key(2))
    visitor.client.app = visitor.app(rotated)
    assert await visitor.read() == {"n": 1}
    await visitor.post("/write", {"n": 2})
    visitor.client.app = visitor.app(ring(key(2)))
    assert await visitor.read() == {"n": 2}
