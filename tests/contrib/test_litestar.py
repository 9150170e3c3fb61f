"""What Litestar alone has: its configuration's fields, SessionAuth, its test client's helpers, encoders, plugins."""

from __future__ import annotations

import traceback
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from litestar import Litestar, Request, Router, get, post
from litestar.middleware.session.client_side import CookieBackendConfig as Reference
from litestar.plugins.flash import FlashConfig, FlashPlugin, flash
from litestar.security.session_auth import SessionAuth
from litestar.template import TemplateConfig
from litestar.testing import RequestFactory, TestClient
from pydantic import BaseModel

from sessionkit.config import SessionConfig
from sessionkit.contrib.litestar import CookieBackend, CookieBackendConfig
from sessionkit.exceptions import ConfigurationError, SerializationError
from sessionkit.testing import AsgiClient, FixedClock
from tests.middleware.apps import Log, ring, secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from litestar.connection import ASGIConnection

AnyRequest = Request[Any, Any, Any]
MOMENT = datetime(2026, 10, 1, 12, tzinfo=UTC)


@get("/", sync_to_thread=False)
def read(request: AnyRequest) -> dict[str, Any]:
    """Tell what the session holds."""
    return dict(request.session)


@post("/visit", status_code=200)
async def visit(request: AnyRequest) -> None:
    """Count."""
    request.session["n"] = request.session.get("n", 0) + 1


@get("/id", sync_to_thread=False)
def told_id(request: AnyRequest) -> list[str | None]:
    """Tell both ways to the session's id."""
    session: Any = request.session
    return [request.get_session_id(), session.id]


@get("/skipped", skip_session=True, sync_to_thread=False)
def skipped(request: AnyRequest) -> list[Any]:
    """Tell what a route that opted out sees."""
    return ["session" in request.scope, request.get_session_id()]


def make(config: CookieBackendConfig, *handlers: Any, **options: Any) -> Any:
    """Return an application with a configuration's middleware and plugin.

    Litestar's types of scopes and messages are narrower than ASGI's, so it is no application to a type checker.
    """
    return Litestar(
        [*handlers],
        middleware=[config.middleware],
        plugins=[config.plugin, *options.pop("plugins", ())],
        openapi_config=None,
        logging_config=None,
        **options,
    )


def sessions(log: Log | None = None, **settings: Any) -> CookieBackendConfig:
    """Return a configuration with a ring."""
    return CookieBackendConfig(ring(), clock=FixedClock(), logger=log or Log(), **settings)


# --- the configuration ------------------------------------------------------------------------------------------------


def test_fields_and_defaults_are_those_of_the_reference() -> None:
    """Every field of Litestar's own class but the secret is there, with its default."""
    ours, theirs = sessions(), Reference(secret=secret(1))
    names = [field.name for field in fields(Reference) if field.name != "secret"]
    assert len(names) == 10
    assert {name: getattr(ours, name) for name in names} == {name: getattr(theirs, name) for name in names}


def test_settings_by_name_are_kept_and_checked() -> None:
    """Settings go by name as in Litestar's own class, and are checked as SessionConfig checks them."""
    config = sessions(key="shop", max_age=60, exclude=["/static/"], scopes={"http"})
    assert (config.key, config.max_age, config.exclude, config.scopes) == ("shop", 60, ["/static/"], {"http"})
    with pytest.raises(ConfigurationError, match="max_age: is not positive"):
        sessions(max_age=0)


def test_an_exclude_of_code_is_no_pattern_for_litestar() -> None:
    """A function that excludes is ours alone: Litestar's field holds patterns."""
    assert sessions(config=SessionConfig(exclude=lambda scope: scope["path"] == "/x")).exclude is None


def test_a_secret_is_pointed_to_the_keyring() -> None:
    """Who leaves the reference's argument in place is told what took its place, not shown it."""
    with pytest.raises(ConfigurationError, match="secret: is what the keyring has taken the place of") as caught:
        CookieBackendConfig(secret=b"not to be shown, not to be shown")
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    inside = [frame for frame in told.stack if "/sessionkit/" in Path(frame.filename).as_posix()]
    assert inside
    assert "not to be shown" not in str([frame.locals for frame in inside])


def test_a_configuration_and_settings_exclude_each_other() -> None:
    """Two sources of settings are refused, rather than one of them ignored."""
    with pytest.raises(ConfigurationError, match="config: is given together with single settings"):
        sessions(config=SessionConfig(), key="shop")


def test_repr_shows_no_secret() -> None:
    """It shows the cookie's name and the ring's counts."""
    assert repr(sessions()) == "<CookieBackendConfig <SessionService 'session' <Keyring gen 0: 1 active> new>>"


# --- requests ---------------------------------------------------------------------------------------------------------


async def test_get_session_id_is_the_sessions() -> None:
    """Litestar's accessor and the session's own agree, from the second request on with what is stored."""
    client = AsgiClient(make(sessions(), visit, told_id, skipped))
    await client.post("/visit")
    first = (await client.get("/id")).text
    assert (await client.get("/id")).text == first
    told = first.strip("[]").split(",")
    assert told[0] == told[1] != "null"
    assert (await client.get("/skipped")).text == "[false,null]"


async def test_middleware_of_one_router() -> None:
    """On one router, the others' routes have no session."""
    config = sessions()
    inside = Router("/in", route_handlers=[visit, read], middleware=[config.middleware])
    app: Any = Litestar([inside, skipped], plugins=[config.plugin], openapi_config=None, logging_config=None)
    client = AsgiClient(app)
    async with client.lifespan():
        await client.post("/in/visit")
        assert (await client.get("/in/")).text == '{"n":1}'
        assert (await client.get("/skipped")).text == "[false,null]"


async def test_routes_share_what_is_said_once() -> None:
    """That a Secure cookie goes over plain HTTP is said once, though each route has a middleware."""
    log = Log()

    @post("/again", status_code=200)
    async def again(request: AnyRequest) -> None:
        request.session["again"] = True

    client = AsgiClient(make(sessions(log, secure=True), visit, again), base_url="http://example.org")
    await client.post("/visit")
    await client.post("/again")
    assert len(log.named("session.insecure_transport")) == 1


async def test_two_applications_share_a_configuration() -> None:
    """A configuration at the top of a module serves every application made from it, with one actor at a time."""
    log = Log()
    config = sessions(log)
    one, other = AsgiClient(make(config, visit, read)), AsgiClient(make(config, visit, read))
    async with one.lifespan(), other.lifespan():
        await one.post("/visit")
        await other.post("/visit")
        assert (await other.get("/")).text == '{"n":1}'
    assert [line["event"] for line in log.lines if line["category"] == "actor"] == ["actor.started", "actor.stopped"]


async def test_an_error_at_start_comes_out_as_it_is() -> None:
    """What the application raises at its start is not wrapped by the actor's host."""

    async def broken(app: Litestar) -> None:
        raise LookupError("no database")

    log = Log()
    with pytest.raises(Exception, match="no database") as caught:
        async with AsgiClient(make(sessions(log), read, on_startup=[broken])).lifespan():
            pass
    assert not isinstance(caught.value, ExceptionGroup)
    assert [line["event"] for line in log.lines if line["category"] == "actor"] == ["actor.started", "actor.stopped"]


@pytest.mark.parametrize("everywhere", [True, False])
async def test_health_page(*, everywhere: bool) -> None:
    """The page that the settings ask for is there, whether the middleware is on the application or on one router."""
    config = sessions(health_path="/-/sessions")
    router = Router("/in", route_handlers=[visit], middleware=[config.middleware])
    options: dict[str, Any] = {"openapi_config": None, "logging_config": None, "plugins": [config.plugin]}
    app: Any = make(config, visit) if everywhere else Litestar([router], **options)
    client = AsgiClient(app)
    async with client.lifespan():
        response = await client.get("/-/sessions")
        assert response.status == 200
        assert "running" in response.text
        async with client.websocket("/-/sessions") as socket:
            assert not socket.accepted


# --- encoders ---------------------------------------------------------------------------------------------------------


class Point:
    """A type that nobody can store without being told how."""


class Order(BaseModel):
    """A model with a moment inside."""

    at: datetime


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, "of the application"), ({"type_encoders": {Point: lambda _: "of the settings"}}, "of the settings")],
)
@pytest.mark.parametrize("hosted", [True, False])
async def test_encoders_of_the_application(settings: dict[str, Any], expected: str, *, hosted: bool) -> None:
    """Values are stored as the application says, unless the configuration says otherwise; with the actor or without."""

    @post("/put", status_code=200)
    async def put(request: AnyRequest) -> None:
        request.session["point"] = Point()

    client = AsgiClient(make(sessions(**settings), put, read, type_encoders={Point: lambda _: "of the application"}))
    if hosted:
        async with client.lifespan():
            await client.post("/put")
    else:
        await client.post("/put")
    assert (await client.get("/")).text == f'{{"point":"{expected}"}}'


@pytest.mark.parametrize(
    ("encoders", "kind"), [({}, "datetime"), ({BaseModel: lambda model: model.model_dump(mode="json")}, "str")]
)
async def test_models_keep_the_types_inside(encoders: dict[Any, Callable[[Any], Any]], kind: str) -> None:
    """A moment inside a model stays one, though Litestar adds an encoder that makes text; the user's own is heeded."""

    @post("/put", status_code=200)
    async def put(request: AnyRequest) -> None:
        request.session["order"] = Order(at=MOMENT)

    @get("/kind", sync_to_thread=False)
    def told(request: AnyRequest) -> str:
        return type(request.session["order"]["at"]).__name__

    client = AsgiClient(make(sessions(), put, told, type_encoders=encoders))
    await client.post("/put")
    assert (await client.get("/kind")).text == kind


async def test_encoders_arrive_after_the_first_request_of_another_application() -> None:
    """What the second application adds is known to the backend that the first one has put into service."""

    @post("/put", status_code=200)
    async def put(request: AnyRequest) -> None:
        request.session["point"] = Point()

    config = sessions()
    await AsgiClient(make(config, visit)).post("/visit")
    client = AsgiClient(make(config, put, read, type_encoders={Point: lambda _: [1, 2]}))
    await client.post("/put")
    assert (await client.get("/")).text == '{"point":[1,2]}'


# --- SessionAuth ------------------------------------------------------------------------------------------------------


async def _user(session: dict[str, Any], connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    return session.get("user")


@get("/me", sync_to_thread=False)
def me(request: AnyRequest) -> str:
    """Tell who it is."""
    user: str = request.user
    return user


@post("/login", exclude_from_auth=True, status_code=200)
async def login(request: AnyRequest) -> None:
    """Sign in."""
    request.set_session({"user": "ann"})


@post("/lock", exclude_from_auth=True, status_code=200)
async def lock(request: AnyRequest) -> None:
    """Leave a session that belongs to nobody."""
    request.set_session({"user": None})


async def test_session_auth() -> None:
    """Litestar's SessionAuth finds the user in our session, and its refusal clears the cookies of a stranger's."""
    log = Log()
    config = sessions(log)
    auth = SessionAuth[str, CookieBackend](retrieve_user_handler=_user, session_backend_config=config)
    options: dict[str, Any] = {"openapi_config": None, "logging_config": None, "plugins": [config.plugin]}
    app: Any = Litestar([me, login, lock], on_app_init=[auth.on_app_init], **options)
    client = AsgiClient(app)
    async with client.lifespan():
        assert (await client.get("/me")).status == 401
        await client.post("/login")
        assert (await client.get("/me")).text == "ann"
        await client.post("/lock")
        assert len(client.jar) == 1
        assert (await client.get("/me")).status == 401
        assert len(client.jar) == 0
    assert [line["event"] for line in log.lines if line["category"] == "actor"] == ["actor.started", "actor.stopped"]


# --- Litestar's test client -------------------------------------------------------------------------------------------


def test_session_helpers_of_the_test_client() -> None:
    """What a test puts into the session the application sees, and the other way round; over several cookies too."""
    config = sessions()
    with TestClient(make(config, visit, read, told_id), session_config=config) as client:
        assert client.get_session_data() == {}
        client.set_session_data({"n": 4, "long": "x" * 8000})
        assert sorted(client.cookies) == ["session-0", "session-1", "session-2"]
        client.post("/visit")
        assert client.get("/").json() == client.get_session_data() == {"n": 5, "long": "x" * 8000}


@pytest.mark.parametrize("wrapped", [True, False])
def test_session_helpers_know_the_applications_encoders(*, wrapped: bool) -> None:
    """What the application can store a test can put in before the first request; not through what hides it."""
    config = sessions()
    app = make(config, read, type_encoders={Point: lambda _: [1, 2]})

    async def around(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    client: Any = TestClient(around if wrapped else app, session_config=config)
    if wrapped:
        with pytest.raises(SerializationError):
            client.set_session_data({"point": Point()})
        client.get("/")
    client.set_session_data({"point": Point()})
    assert client.get("/").json() == {"point": [1, 2]}


def test_session_helpers_refuse_what_cannot_be_stored() -> None:
    """A value that no session can hold is an error of the helper, with its place."""
    config = sessions()
    client: Any = TestClient(make(config, read), session_config=config)
    with pytest.raises(SerializationError, match=r'session\["point"\]'):
        client.set_session_data({"point": Point()})


def test_backend_keeps_the_references_methods() -> None:
    """Tokens made and read by hand, names of cookies, and an id that stays, as the reference's backend has them."""
    config = sessions()
    backend = CookieBackend(config)
    chunks = backend.dump_data({"n": 1})
    assert backend.load_data(chunks) == {"n": 1}
    connection = RequestFactory().get("/", headers={"cookie": f"session={chunks[0].decode()}; other=1"})
    assert backend.get_cookie_keys(connection) == ["session"]
    assert backend.get_cookie_key_set(connection) == {"session"}
    assert backend.get_session_id(connection) == backend.get_session_id(connection)


# --- plugins that look for a session ----------------------------------------------------------------------------------


async def test_flash_messages() -> None:
    """Litestar's FlashPlugin takes the middleware for one of its own, and its messages travel in our session."""

    class Engine:
        def __init__(self, *args: Any) -> None: ...

        def register_template_callable(self, *args: Any) -> None: ...

    @post("/flash", status_code=200)
    async def say(request: AnyRequest) -> None:
        flash(request, "saved", "info")

    engine: Any = Engine()
    plugin = FlashPlugin(FlashConfig(template_config=TemplateConfig(instance=engine)))
    client = AsgiClient(make(sessions(), say, read, plugins=[plugin]))
    await client.post("/flash")
    assert (await client.get("/")).text == '{"_messages":[{"message":"saved","category":"info"}]}'
