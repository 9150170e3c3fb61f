"""What applications test with: sessions in any client's cookies, events as values, rings, a strict jar for httpx."""

from __future__ import annotations

import http.cookiejar
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from litestar.testing import TestClient as LitestarClient
from starlette.testclient import TestClient as StarletteClient

from sessionkit.audit import events
from sessionkit.audit.events import Event
from sessionkit.config import SessionConfig
from sessionkit.exceptions import ConfigurationError, KeyringError, SerializationError
from sessionkit.keyring.key import Key
from sessionkit.middleware import SessionMiddleware
from sessionkit.testing import (
    AsgiClient,
    CookieJar,
    FixedClock,
    Refusal,
    Sessions,
    captured_events,
    keyring,
    secret,
    strict_cookies,
)
from tests.apps import litestar_app, raw_app, starlette_app
from tests.middleware.apps import noise

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionkit.asgi import ASGIApp, Receive, Scope, Send

LARGE = {"big": noise(9_000)}
"""A session of four cookies."""


# --- keys -------------------------------------------------------------------------------------------------------------


def test_a_ring_is_made_of_labels() -> None:
    """Keys are given by label, one or several a state; the same label has the same secret in every ring."""
    ring = keyring("b", staged="c", retired=["a", "z"], revoked=("y",), generation=3)
    assert repr(ring) == "<Keyring gen 3: 1 active, 1 staged, 2 retired, 1 revoked>"
    assert [(key.label, key.state.value) for key in ring] == [
        ("b", "active"),
        ("c", "staged"),
        ("a", "retired"),
        ("z", "retired"),
        ("y", "revoked"),
    ]
    assert ring.active(0).kid == keyring("a", retired="b").keys[1].kid == Key.from_secret(secret("b")).kid
    assert keyring().digest == keyring().digest
    assert secret("a") != secret("b")


def test_a_label_stands_once() -> None:
    """One key cannot be active and retired at once."""
    with pytest.raises(KeyringError, match=r"stands 2 times"):
        keyring("a", retired="a")


# --- sessions in a client's cookies -----------------------------------------------------------------------------------


def asgi(config: SessionConfig, clock: FixedClock) -> AsgiClient:
    """Return this package's client."""
    return AsgiClient(raw_app.application(keyring(), config=config, clock=clock), clock=clock)


def starlette(config: SessionConfig, clock: FixedClock) -> StarletteClient:
    """Return Starlette's client."""
    app = starlette_app.application(keyring(), config=config, clock=clock)
    return StarletteClient(app, base_url="https://testserver")


def litestar(config: SessionConfig, clock: FixedClock) -> LitestarClient[Any]:
    """Return Litestar's client."""
    app = litestar_app.application(keyring(), config=config, clock=clock)
    return LitestarClient(app, base_url="https://testserver.local")


def strict(config: SessionConfig, clock: FixedClock) -> StarletteClient:
    """Return Starlette's client with a strict jar."""
    client = starlette(config, clock)
    strict_cookies(client, clock=clock)
    return client


def asynchronous(config: SessionConfig, clock: FixedClock) -> httpx.AsyncClient:
    """Return httpx's own client."""
    app = starlette_app.application(keyring(), config=config, clock=clock)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://shop.example.org")


def strict_asynchronous(config: SessionConfig, clock: FixedClock) -> httpx.AsyncClient:
    """Return httpx's own client with a strict jar."""
    client = asynchronous(config, clock)
    strict_cookies(client, clock=clock)
    return client


Client = Any
HARDENED = SessionConfig(key="__Host-shop", secure=True, max_age=3600)
CLIENTS = [asgi, starlette, litestar, strict, asynchronous, strict_asynchronous]


async def asked(client: Client, path: str) -> Any:
    """Post to a page of the applications, and return its answer; GET for ``/read``."""
    method = "GET" if path == "/read" else "POST"
    answer = client.request(method, path)
    if not isinstance(client, StarletteClient | LitestarClient):
        answer = await answer
    assert getattr(answer, "status", None) == 200 or answer.status_code == 200
    if isinstance(client, AsgiClient):
        return httpx.Response(200, content=answer.body).json()
    return answer.json() if answer.content else None


@pytest.mark.real_time
@pytest.mark.parametrize("make", CLIENTS)
async def test_what_a_test_sets_the_application_reads_and_the_other_way_round(
    make: Callable[[SessionConfig, FixedClock], Client],
) -> None:
    """One session goes to and fro between test and application: grown, shrunk, logged in, and out again."""
    clock = FixedClock()
    client = make(HARDENED, clock)
    sessions = Sessions(keyring(), HARDENED, clock=clock)
    assert sessions.read(client) == {}
    with sessions.edit(client) as session:
        session["user"] = "ann"
        session.update(LARGE)
        session.regenerate(authenticated=True)
    held = sessions.read(client)
    assert held == {"user": "ann", **LARGE}
    assert (held.info.chunks, held.authenticated) == (4, clock())
    assert await asked(client, "/read") == held
    with sessions.edit(client) as session:
        del session["big"]
        assert session.id == held.id
    assert sessions.read(client).info.chunks == 1
    assert await asked(client, "/read") == {"user": "ann"}
    await asked(client, "/big?n=3000")
    assert sessions.read(client) == {"user": "ann", "big": "x" * 3000}
    assert sessions.read(client).id == held.id
    with sessions.edit(client) as session:
        session.destroy()
    assert await asked(client, "/read") == {}
    assert sessions.read(client).id != held.id


@pytest.mark.parametrize("jar", [CookieJar(), http.cookiejar.CookieJar()], ids=lambda jar: type(jar).__name__)
def test_a_jar_alone_will_do(jar: Any) -> None:
    """Where the application is, is then said by ``url``; ``path`` is the configuration's."""
    sessions = Sessions(keyring(), SessionConfig(path="/shop", domain="example.org"), url="http://www.example.org/x")
    with sessions.edit(jar) as session:
        session.update(LARGE)
    assert sessions.read(jar) == LARGE
    elsewhere = Sessions(keyring(), SessionConfig(path="/"), url="http://www.example.org")
    assert elsewhere.read(jar) == {}
    assert Sessions(keyring(), SessionConfig(path="/shop"), url="http://example.com").read(jar) == {}


async def test_a_header_brings_a_session() -> None:
    """For clients without a jar: the whole of a session in one value."""
    clock = FixedClock()
    client = asgi(SessionConfig(), clock)
    header = Sessions(keyring(), clock=clock).header(LARGE)
    assert header.count(b"; ") == 3
    response = await client.get("/read", cookies=[header])
    assert httpx.Response(200, content=response.body).json() == LARGE
    assert response.set_cookies == []
    assert Sessions(keyring()).header({}) == b""


def test_a_refused_session_is_empty_and_says_why() -> None:
    """What the application would refuse, a test is refused too: here by the key, then by the time."""
    clock, jar = FixedClock(), CookieJar()
    with Sessions(keyring("a"), clock=clock).edit(jar) as session:
        session["user"] = "ann"
    assert Sessions(keyring("b"), clock=clock).read(jar).info.rejected == "unknown_key"
    assert Sessions(keyring("b", revoked="a"), clock=clock).read(jar).info.rejected == "revoked"
    with Sessions(keyring("b", retired="a"), clock=clock).edit(jar) as session:
        assert session == {"user": "ann"}
        session["seen"] = True
    held = Sessions(keyring("b"), clock=clock).read(jar)
    assert held == {"user": "ann", "seen": True}
    short = Sessions(keyring("b"), SessionConfig(max_age=60), clock=FixedClock(clock() + 60))
    assert short.read(jar).info.rejected == "expired"


def test_what_is_not_changed_is_not_written() -> None:
    """A look at a session leaves the jar as it was, and so does a test that fails in the middle of a change."""
    sessions, jar = Sessions(keyring(), clock=FixedClock()), CookieJar()
    with sessions.edit(jar):
        pass
    assert len(jar) == 0
    with sessions.edit(jar) as session:
        session["user"] = "ann"
    held = jar.get("session")
    with sessions.edit(jar) as session:
        assert session["user"] == "ann"
    with pytest.raises(ZeroDivisionError), sessions.edit(jar) as session:
        session["user"] = 1 / 0
    assert jar.get("session") == held


def test_a_write_that_reaches_nobody_is_an_error() -> None:
    """Neither what was read nor what was put back takes further changes."""
    sessions, jar = Sessions(keyring()), CookieJar()
    with sessions.edit(jar) as session:
        session["user"] = "ann"
    for late in (session, sessions.read(jar)):
        with pytest.raises(RuntimeError, match=r"write within `with sessions\.edit\(client\)`"):
            late["user"] = "bob"
    assert sessions.read(jar) == {"user": "ann"}


def test_a_value_that_cannot_be_stored_is_an_error() -> None:
    """The same error as in the application, and the jar is left alone."""
    sessions, jar = Sessions(keyring()), CookieJar()
    with pytest.raises(SerializationError), sessions.edit(jar) as session:
        session["lock"] = object()
    assert len(jar) == 0


@pytest.mark.parametrize(
    "jar", [CookieJar(trust_loopback=False), http.cookiejar.CookieJar()], ids=["strict", "lenient"]
)
def test_cookies_that_would_not_be_sent_are_an_error(jar: Any) -> None:
    """A Secure cookie for plain http is the mistake that everybody makes once: it is told at once."""
    sessions = Sessions(keyring(), SessionConfig(secure=True), url="http://testserver")
    with (
        pytest.raises(ConfigurationError, match=r"do not go to http://testserver/") as told,
        sessions.edit(jar) as session,
    ):
        session["user"] = "ann"
    assert ("Secure over an insecure connection" in str(told.value)) == isinstance(jar, CookieJar)


def test_an_older_session_in_the_place_of_the_one_put_back_is_an_error() -> None:
    """A login that changes no value is kept, or told not to be: a test would go on with the session before it."""
    jar, url = CookieJar(trust_loopback=False), "http://testserver"
    with Sessions(keyring(), url=url).edit(jar) as session:
        session["cart"] = 1
    secure = Sessions(keyring(), SessionConfig(secure=True), url=url)
    with (
        pytest.raises(ConfigurationError, match=r"Secure over an insecure connection"),
        secure.edit(jar) as session,
    ):
        session.regenerate(authenticated=True)


def test_what_is_no_client_is_an_error() -> None:
    """So is a client that does not say where it goes."""
    with pytest.raises(TypeError, match=r"a dict is no client"):
        Sessions(keyring()).read({})  # type: ignore[arg-type]  # that is the point
    with httpx.Client() as client, pytest.raises(ConfigurationError, match=r"Give the client a base_url"):
        Sessions(keyring()).read(client)
    with httpx.Client() as client:
        assert Sessions(keyring(), url="http://testserver").read(client) == {}


def test_repr_shows_no_secret() -> None:
    """Cookie and ring, nothing else."""
    assert repr(Sessions(keyring())) == "<Sessions <SessionBackend 'session' <Keyring gen 0: 1 active>>>"


# --- events -----------------------------------------------------------------------------------------------------------


async def test_events_are_captured_as_values() -> None:
    """Within the context, and there alone, every event is collected, of all applications and threads."""
    clock = FixedClock()
    first, second = asgi(SessionConfig(), clock), asgi(SessionConfig(key="other"), clock)
    await first.post("/login")
    with captured_events() as found:
        await second.post("/login")
        with captured_events() as inner:
            await first.post("/login")
        await first.post("/logout")
    await second.post("/logout")
    assert found.names() == [
        "keyring.loaded",
        "actor.inline",
        "session.created",
        "session.regenerated",
        "session.destroyed",
    ]
    assert inner.names() == ["session.regenerated"]
    [ended] = found.of(events.SessionDestroyed)
    assert ended.reason == "logout"
    assert found.of(Event) == found
    assert found.of(events.SessionRejected) == []


def test_events_are_captured_wherever_a_thread_writes_them() -> None:
    """A log with a queue is captured when the line is made, not when it is written."""
    client = StarletteClient(starlette_app.application(keyring(), config=SessionConfig(audit={"queue": 10})))
    with captured_events() as found, client:
        thread = threading.Thread(target=client.post, args=["/login"])
        thread.start()
        thread.join()
    assert {"actor.started", "session.created", "actor.stopped"} <= set(found.names())


# --- the strict jar in a client of httpx ------------------------------------------------------------------------------


def setter(fields: list[bytes], came: list[bytes]) -> ASGIApp:
    """Return an application that sets cookies, and tells which came last; ``/away`` leads elsewhere."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        came[:] = [value for name, value in scope["headers"] if name == b"cookie"]
        headers = [(b"set-cookie", field) for field in fields]
        away = scope["path"] == "/away"
        if away:
            headers.append((b"location", b"/"))
        await send({"type": "http.response.start", "status": 303 if away else 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    return app


async def test_httpx_keeps_and_sends_what_a_browser_would() -> None:
    """Refusals are told with reasons, a redirect's cookies are on the next request, the clock is the one given."""
    fields = [b"__Host-a=1; Secure", b"b=\xe9; Path=/", b"c=3; Path=/other", b"d=4; Max-Age=10"]
    came: list[bytes] = []
    clock = FixedClock()
    transport = httpx.ASGITransport(setter(fields, came))
    async with httpx.AsyncClient(transport=transport, base_url="https://testserver", follow_redirects=True) as client:
        jar = strict_cookies(client, clock=clock)
        response = await client.get("/away")
        assert came == [b"b=\xe9; d=4"]
        assert len(response.history) == 1
        assert jar.refusals == [Refusal(b"__Host-a", "__Host- with a Domain, or without Path=/")] * 2
        assert not client.cookies
        fields.clear()
        clock.advance(10)
        await client.get("http://testserver/other/page")
        assert came == [b"c=3; b=\xe9"]
        await client.get("/", headers={"cookie": "own=1"})
        assert came == [b"own=1"]


def test_the_clients_own_jar_stays_empty() -> None:
    """Cookies put into the lenient jar would never be sent: that is an error, before and after."""
    with StarletteClient(
        SessionMiddleware(starlette_app.application(keyring()), keyring(), SessionConfig(key="outer"))
    ) as client:
        client.cookies.set("mine", "1")
        with pytest.raises(ConfigurationError, match=r"the client's own jar holds cookies"):
            strict_cookies(client)
        client.cookies.clear()
        jar = CookieJar(trust_loopback=True)
        assert strict_cookies(client, jar) is jar
        with pytest.raises(ConfigurationError, match=r"Use the one that it was given first"):
            strict_cookies(client)
        assert client.get("/read").status_code == 200
        client.cookies.set("mine", "1")
        with pytest.raises(ConfigurationError, match=r"the client's own jar holds cookies"):
            client.get("/read")


def test_other_hooks_stay() -> None:
    """Hooks that the client has already are called as before, with the jar's cookies kept by then."""
    seen: list[object] = []
    with httpx.Client(
        transport=httpx.MockTransport(lambda _: httpx.Response(200, headers={"set-cookie": "a=1"})),
        base_url="http://testserver",
        event_hooks={"request": [seen.append], "response": [lambda _: seen.append(len(jar))]},
    ) as client:
        jar = strict_cookies(client)
        client.get("/")
    assert isinstance(seen[0], httpx.Request)
    assert seen[1] == 1
