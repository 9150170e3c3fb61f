"""What Quart alone has: its settings, permanent sessions, flash, its test client's transactions."""

from __future__ import annotations

import json
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import quart
from quart import Quart, flash, get_flashed_messages
from quart.sessions import SessionMixin

from sessionkit.config import SessionConfig
from sessionkit.contrib.quart import QuartSession, SessionInterface, _NoSession
from sessionkit.exceptions import ConfigurationError
from sessionkit.migrate import Migration
from sessionkit.revocation import RevocationConfig
from sessionkit.session import Session
from sessionkit.testing import AsgiClient, FixedClock
from tests.middleware.apps import Log, noise, ring
from tests.migrate.peers import PEERS
from tests.revocation.lists import Watched

if TYPE_CHECKING:
    from sessionkit.asgi import ASGIApp

pytestmark = pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)


def make(log: Log | None = None, clock: FixedClock | None = None, /, **settings: Any) -> tuple[Quart, SessionInterface]:
    """Return an application that counts visits, and its sessions; capital letters go into its configuration."""
    app = Quart(__name__)
    app.config.update({name: settings.pop(name) for name in list(settings) if name.isupper()})
    sessions = SessionInterface(app, ring(), clock=clock or FixedClock(), logger=log or Log(), **settings)

    @app.get("/")
    async def visit() -> str:
        quart.session["n"] = quart.session.get("n", 0) + 1
        return str(quart.session["n"])

    @app.get("/remember/<word>")
    async def remember(word: str) -> str:
        quart.session["n"] = 1
        quart.session.permanent = word == "yes"
        return str(quart.session.permanent)

    @app.get("/look")
    async def look() -> dict[str, Any]:
        held: Any = quart.session
        return {"keys": sorted(quart.session), "permanent": held.permanent, "new": held.new}

    @app.get("/write")
    async def write() -> str:
        quart.session.update(flag=True)
        return ""

    @app.get("/flash")
    async def tell() -> str:
        await flash("saved")
        return ""

    @app.get("/flashed")
    async def told() -> list[str]:
        return [str(message) for message in get_flashed_messages()]

    @app.websocket("/late")
    async def late() -> None:
        await quart.websocket.accept()
        quart.session["late"] = True
        await quart.websocket.send("done")

    return app, sessions


def browser(app: Quart, clock: FixedClock | None = None) -> AsgiClient:
    """Return a browser in front of an application."""
    asgi: Any = app  # Quart's types of scopes and messages are narrower than ASGI's
    served: ASGIApp = asgi
    return AsgiClient(served, clock=clock or FixedClock())


async def look(client: AsgiClient) -> Any:
    """Return what the application sees of the session."""
    return json.loads((await client.get("/look")).text)


# --- settings ---------------------------------------------------------------------------------------------------------


async def test_the_cookie_is_what_quarts_settings_say() -> None:
    """Name, lifetime and every attribute come from the application's own configuration."""
    app, sessions = make(
        SESSION_COOKIE_NAME="shop",
        SESSION_COOKIE_DOMAIN="testserver.example",
        SESSION_COOKIE_PATH="/",
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_HTTPONLY=False,
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_PARTITIONED=True,
        PERMANENT_SESSION_LIFETIME=timedelta(hours=1),
    )
    [cookie] = (await browser(app).get("/")).set_cookies
    name, _, rest = cookie.partition(b"=")
    attributes = b"Path=/; Domain=testserver.example; Secure; SameSite=Strict; Partitioned"
    assert (name, rest.partition(b"; ")[2]) == (b"shop", attributes)
    assert sessions.sessions.config.max_age == 3600


async def test_quarts_defaults_are_kept() -> None:
    """Without settings: "session", 31 days, Lax, below the application's root, for the browser's session."""
    app, sessions = make(APPLICATION_ROOT="/shop")
    config = sessions.sessions.config
    assert (config.key, config.max_age, config.samesite, config.path) == ("session", 31 * 86_400, "lax", "/shop")
    assert (config.secure, config.httponly, config.domain, config.persistent) == (False, True, None, False)
    assert isinstance(app.session_interface, SessionInterface)


async def test_single_settings_prevail_and_a_configuration_takes_the_place_of_all() -> None:
    """What is passed by name comes on top; a whole configuration is used as it is."""
    _, sessions = make(SESSION_COOKIE_NAME="shop", absolute_max_age=60, key="till")
    config = sessions.sessions.config
    assert (config.key, config.absolute_max_age, config.max_age) == ("till", 60, 31 * 86_400)
    _, sessions = make(SESSION_COOKIE_NAME="shop", config=SessionConfig(max_age=60))
    config = sessions.sessions.config
    assert (config.key, config.max_age, config.persistent) == ("session", 60, True)


async def test_a_configuration_and_settings_exclude_each_other() -> None:
    """Two sources of settings are refused, rather than one of them ignored."""
    with pytest.raises(ConfigurationError, match="config: is given together with single settings"):
        make(config=SessionConfig(), key="shop")


async def test_repr_shows_no_secret() -> None:
    """The interface shows the cookie's name and the ring."""
    assert repr(make()[1]) == "<SessionInterface <SessionService 'session' <Keyring gen 0: 1 active> new>>"


# --- the session ------------------------------------------------------------------------------------------------------


async def test_permanent_sessions_alone_outlive_the_browser() -> None:
    """``session.permanent`` decides on Max-Age, is told on the next request, and may be taken back."""
    client = browser(make()[0])
    [cookie] = (await client.get("/remember/no")).set_cookies
    assert b"Max-Age" not in cookie
    assert (await client.get("/remember/no")).set_cookies == []
    [cookie] = (await client.get("/remember/yes")).set_cookies
    assert b"Max-Age=2678400" in cookie
    assert (await look(client))["permanent"] is True
    assert (await client.get("/remember/yes")).set_cookies == []
    [cookie] = (await client.get("/remember/no")).set_cookies
    assert b"Max-Age" not in cookie


async def test_the_session_is_of_quarts_kind() -> None:
    """Libraries that ask for Quart's kind of session find it; it is new until it was stored, and shows no value."""
    client = browser(make()[0])
    assert await look(client) == {"keys": [], "permanent": False, "new": True}
    await client.get("/")
    assert await look(client) == {"keys": ["n"], "permanent": False, "new": False}
    assert issubclass(QuartSession, SessionMixin)
    assert repr(QuartSession(Session({"user": "ann"}, clock=FixedClock()))) == "<QuartSession <Session: 1 key>>"


async def test_a_mapping_as_any_other() -> None:
    """What code does with Quart's own session it can do with this one."""
    ours = Session({"a": 1, "b": 2}, clock=FixedClock())
    held = QuartSession(ours)
    assert not ours.accessed
    assert ("a" in held, held.get("c"), len(held), sorted(held)) == (True, None, 2, ["a", "b"])
    held.permanent = False
    assert not held.modified
    held.modified = False
    assert not ours.modified
    assert copy(held) == held.copy() == {"a": 1, "b": 2}
    assert (held | {"c": 3}, {"c": 3} | held) == ({"a": 1, "b": 2, "c": 3}, {"c": 3, "a": 1, "b": 2})
    assert (list(reversed(held)), held.modified) == (["b", "a"], False)
    same = held
    held |= {"c": 3}
    assert (held is same, ours.modified, held.popitem()) == (True, True, ("c", 3))
    assert held.pop("a") == 1
    del held["b"]
    assert (dict(ours), held.modified) == ({}, True)


async def test_sessions_end_in_a_list_of_revocations() -> None:
    """A list given in code is asked: a copied cookie is worth nothing once its session has ended."""
    clock = FixedClock()
    revocations = Watched(clock=clock)
    app, _ = make(None, clock, revocations=revocations, revocation=RevocationConfig())

    @app.get("/end")
    async def end() -> str:
        quart.session.clear()
        return ""

    client = browser(app, clock)
    await client.get("/")
    copied = client.jar.header("https://testserver/", clock())
    await client.get("/end")

    thief = browser(app, clock)
    assert (await thief.get("/", headers=[(b"cookie", copied[0])])).body == b"1"
    assert revocations.asked != []


async def test_marking_is_a_write() -> None:
    """``modified = True`` after a change inside a value, as Quart's own needs it, is taken as what it says."""
    ours = Session({"list": []}, clock=FixedClock())
    QuartSession(ours).modified = True
    assert ours.modified


async def test_a_page_that_never_looks_does_not_depend_on_the_session() -> None:
    """What Quart 0.23 sets on every response does not make it vary by cookie."""
    app, _ = make()

    @app.get("/public")
    async def public() -> str:
        quart.session.accessed = True
        return "for all"

    client = browser(app)
    await client.get("/")
    assert (await client.get("/public")).values(b"vary") == []
    assert (await client.get("/look")).values(b"vary") == [b"Cookie"]


async def test_flashed_messages_are_told_once() -> None:
    """``flash`` on one request, ``get_flashed_messages`` on the next, and nothing on the one after."""
    client = browser(make()[0])
    await client.get("/flash")
    assert [(await client.get("/flashed")).text for _ in range(2)] == ['["saved"]\n', "[]\n"]
    assert len(client.jar) == 0


async def test_a_write_after_a_websocket_was_accepted_is_told_as_lost() -> None:
    """Where Quart's own would log an error without a place, the audit log has its event."""
    log = Log()
    client = browser(make(log)[0])
    async with client.websocket("/late") as socket:
        assert await socket.receive_text() == "done"
    assert [line["reason"] for line in log.named("session.write_lost")] == ["websocket_open"]


async def test_permanence_comes_along_from_quarts_own_sessions() -> None:
    """A cookie of Quart's own becomes one of ours, permanent if it was, without Quart's entry for that."""
    clock = FixedClock()
    migrate = [Migration(source="quart", secret=b"secret", until=datetime(2100, 1, 1, tzinfo=UTC))]
    client = browser(make(None, clock, migrate=migrate)[0], clock)
    [(name, value)] = PEERS["quart"].at(clock() - 60, {"n": 4, "_permanent": True}, secret=b"secret")
    response = await client.get("/", cookies=[name.encode() + b"=" + value])
    assert response.text == "5"
    assert b"Max-Age=2678400" in response.set_cookies[0]
    assert await look(client) == {"keys": ["n"], "permanent": True, "new": False}


async def test_a_page_without_a_session_reads_none_and_says_so_at_a_write() -> None:
    """On an excluded path the proxy reads as empty; a write is an error that names the remedy."""
    app, _ = make(exclude=["/look", "/write"])

    @app.errorhandler(ConfigurationError)
    async def told(error: Exception) -> str:
        return str(error)

    client = browser(app)
    await client.get("/")
    response = await client.get("/look")
    assert json.loads(response.text)["keys"] == []
    assert (response.set_cookies, response.values(b"vary")) == ([], [])
    assert (await client.get("/write")).text.startswith("session: is written on a connection that has none")
    with pytest.raises(ConfigurationError, match=r"is written on a connection that has none"):
        _NoSession().__ior__({"a": 1})


# --- Quart's own tests ------------------------------------------------------------------------------------------------


@pytest.mark.real_time
async def test_quarts_test_client_and_its_lifespan() -> None:
    """Requests of Quart's client keep a session, and its test application runs the actor."""
    log = Log()
    app, _ = make(log)
    async with app.test_app() as running:
        client = running.test_client()
        assert [await (await client.get("/")).get_data(as_text=True) for _ in range(3)] == ["1", "2", "3"]
    assert [line["event"] for line in log.lines if line["category"] == "actor"] == ["actor.started", "actor.stopped"]


async def test_a_transaction_reads_and_writes_the_clients_session() -> None:
    """``session_transaction`` sees what requests stored and stores what they read, in as many cookies as it takes."""
    client = make()[0].test_client()
    await client.get("/")
    async with client.session_transaction() as held:
        assert (held["n"], held.new) == (1, False)
        held["n"] = 41
        held["noise"] = noise(5_000)
    assert [cookie.name for cookie in client.cookie_jar or () if cookie.value != "null"] == ["session-0", "session-1"]
    assert await (await client.get("/")).get_data(as_text=True) == "42"


async def test_a_transaction_that_writes_nothing_sets_nothing() -> None:
    """Looking at a session does not make one."""
    client = make()[0].test_client()
    async with client.session_transaction() as held:
        assert dict(held) == {}
        assert held.new
    assert list(client.cookie_jar or ()) == []
    await client.get("/")
    before = [cookie.value for cookie in client.cookie_jar or ()]
    async with client.session_transaction() as held:
        assert held["n"] == 1
    assert [cookie.value for cookie in client.cookie_jar or ()] == before != []
