"""What Django alone has: its settings, SessionBase, its own logins, the admin, expiry, its test clients."""

from __future__ import annotations

import copy
import os
import pickle
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.cookies import Morsel
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import django
import pytest
from django.apps import apps
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import alogin, alogout, get_user_model, user_logged_in
from django.core import checks
from django.core.asgi import get_asgi_application as django_alone
from django.core.management import call_command
from django.db import connections
from django.http import HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import path
from django.views import View

from sessionkit.contrib import django as ours
from sessionkit.contrib.django import SessionStore, get_asgi_application
from sessionkit.exceptions import ConfigurationError, SerializationError, SessionTooLargeError
from sessionkit.keyring.key import KeyState
from sessionkit.migrate import Migration
from sessionkit.revocation import RevocationConfig
from sessionkit.session import Session
from sessionkit.testing import AsgiClient, FixedClock
from tests.middleware.apps import Log, key, noise, ring
from tests.migrate.peers import PEERS
from tests.revocation.lists import Watched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from django.http import HttpRequest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.apps.django_settings")
django.setup()

Project = Callable[..., "Site"]

asyncio_alone = pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)

DAY = 86_400


# --- pages ------------------------------------------------------------------------------------------------------------


def visit(request: HttpRequest) -> HttpResponse:
    """Count visits."""
    request.session["n"] = request.session.get("n", 0) + 1
    return HttpResponse(str(request.session["n"]))


def look(request: HttpRequest) -> HttpResponse:
    """Tell the names of what is there, looking at the session if it is to be looked at."""
    return HttpResponse(" ".join(sorted(request.session.keys())))


def known(request: HttpRequest) -> HttpResponse:
    """Know a visitor again by the session's key alone, as many projects do."""
    if not request.session.session_key:
        request.session.create()
    return HttpResponse(request.session.session_key)


def public(request: HttpRequest) -> HttpResponse:
    """Answer without a look at the session."""
    return HttpResponse("for all")


def expiring(request: HttpRequest) -> HttpResponse:
    """Give the session an expiry: seconds, "none", or a point in time."""
    word = request.GET["at"]
    value = None if word == "none" else datetime.fromisoformat(word) if "T" in word else int(word)
    request.session["n"] = 1
    request.session.set_expiry(value)
    return HttpResponse(str(request.session.get_expire_at_browser_close()))


def large(request: HttpRequest) -> HttpResponse:
    """Store n characters that do not repeat."""
    request.session["large"] = noise(int(request.GET["n"]))
    return HttpResponse(request.session["large"][-8:])


def own(request: HttpRequest) -> HttpResponse:
    """Set cookies and headers of the view's own, one of them by the session's name."""
    request.session["n"] = 1
    response = HttpResponse("", headers={"Vary": "Accept-Language", "Cache-Control": "private"})
    response.set_cookie("mine", "kept")
    response.set_cookie(settings.SESSION_COOKIE_NAME, "not ours")
    return response


def unstorable(request: HttpRequest) -> HttpResponse:
    """Put something into the session that cannot be stored."""
    request.session["bad"] = object()
    return HttpResponse("never seen")


def ended(request: HttpRequest) -> HttpResponse:
    """End the session and begin one that cannot be stored."""
    request.session.flush()
    request.session["bad"] = object()
    return HttpResponse("never seen")


def streamed(request: HttpRequest) -> StreamingHttpResponse:
    """Write to the session when the response has begun."""

    async def body() -> AsyncIterator[bytes]:
        yield b"one "
        request.session["late"] = True
        yield b"two"

    return StreamingHttpResponse(body())


async def sign_in(request: HttpRequest) -> HttpResponse:
    """Log in by Django's own ``alogin``."""
    user = await get_user_model().objects.aget(username=request.GET["user"])
    before = request.session.session_key
    await alogin(request, user, "django.contrib.auth.backends.ModelBackend")
    return HttpResponse(f"{before} {request.session.session_key}")


def fresh(request: HttpRequest) -> HttpResponse:
    """Tell whether the login is less than a minute old."""
    return HttpResponse(str(request.session.ours.require_recent_auth(60)))


async def sign_out(request: HttpRequest) -> HttpResponse:
    """Log out by Django's own ``alogout``."""
    await alogout(request)
    return HttpResponse("")


def me(request: HttpRequest) -> HttpResponse:
    """Tell who is logged in, and the messages for them."""
    told = [str(message) for message in messages.get_messages(request)]
    return HttpResponse(" ".join([request.user.get_username() or "nobody", *told]))


def say(request: HttpRequest) -> HttpResponse:
    """Leave a message for the next page."""
    messages.info(request, "saved")
    return HttpResponse("")


def opted_out(request: HttpRequest) -> HttpResponse:
    """Write to a session that is not to be stored."""
    request.session["n"] = 1
    return HttpResponse("")


opted_out.skip_session = True  # type: ignore[attr-defined]  # as the opt-out is spelt


class OptedOut(View):  # type: ignore[misc]  # Django ships no types
    """Write to a session that is not to be stored, because the class says so."""

    skip_session = True

    def get(self, request: HttpRequest) -> HttpResponse:
        """Write."""
        request.session["n"] = 1
        return HttpResponse("")


kept = OptedOut.as_view()
kept.skip_session = False

urlpatterns = [
    path("class", OptedOut.as_view()),
    path("but", kept),
    *(
        path(view.__name__, view)
        for view in (
            visit,
            look,
            known,
            public,
            expiring,
            large,
            own,
            unstorable,
            ended,
            streamed,
            sign_in,
            sign_out,
            fresh,
            me,
            say,
            opted_out,
        )
    ),
    path("admin/", admin.site.urls),
]


# --- sites ------------------------------------------------------------------------------------------------------------


class Site:
    """The project with a keyring, a clock and a log of its own, while a test lasts."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.log = Log()

    def given(self, **entries: Any) -> dict[str, Any]:
        """Return ``SESSIONKIT``."""
        return {"KEYRING": ring(), "CLOCK": self.clock, "LOGGER": self.log, **entries}

    def asgi(self) -> AsgiClient:
        """Return a browser in front of the project under ASGI."""
        return AsgiClient(get_asgi_application(), clock=self.clock)


@pytest.fixture
def project() -> Iterator[Project]:
    """Return what starts a project: given settings, those in lower case as entries of ``SESSIONKIT``."""
    with ExitStack() as stack:

        def start(**said: Any) -> Site:
            site = Site()
            entries = {name.upper(): value for name, value in said.items() if name.islower()}
            more = {name: value for name, value in said.items() if name.isupper()}
            stack.enter_context(override_settings(ROOT_URLCONF=__name__, SESSIONKIT=site.given(**entries), **more))
            return site

        yield start


MODELS = ("contenttypes.ContentType", "auth.Permission", "auth.Group", "auth.User", "admin.LogEntry")


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a user of the admin, in a database of the test's own."""
    monkeypatch.setitem(connections.settings["default"], "NAME", str(tmp_path / "db.sqlite3"))
    connections.close_all()
    with connections["default"].schema_editor() as editor:
        for model in MODELS:
            editor.create_model(apps.get_model(model))
    yield get_user_model().objects.create_superuser("ann", password="correct horse")
    connections.close_all()


# --- settings ---------------------------------------------------------------------------------------------------------


def test_the_cookie_is_what_djangos_settings_say(project: Project) -> None:
    """Name, lifetime and every attribute come from Django's own settings, seen by a client of Django's."""
    project(
        SESSION_COOKIE_NAME="shop",
        SESSION_COOKIE_AGE=3600,
        SESSION_COOKIE_DOMAIN="testserver.example",
        SESSION_COOKIE_PATH="/",
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_HTTPONLY=False,
        SESSION_COOKIE_SAMESITE="Strict",
        partitioned=True,
    )
    cookie = Client().get("/visit").cookies["shop"]
    attributes = "Path=/; Max-Age=3600; Domain=testserver.example; Secure; SameSite=Strict; Partitioned"
    assert cookie.OutputString() == f"shop={cookie.value}; {attributes}"
    assert (cookie["max-age"], cookie["secure"], cookie["httponly"]) == ("3600", True, "")


def test_djangos_defaults_are_kept(project: Project) -> None:
    """Without settings: two weeks, HttpOnly, Lax; SameSite=False means what browsers take its absence for."""
    project()
    config = ours.sessions().config
    assert (config.max_age, config.httponly, config.secure, config.samesite) == (14 * DAY, True, False, "lax")
    project(SESSION_COOKIE_SAMESITE=False)
    assert ours.sessions().config.samesite == "lax"


@pytest.mark.parametrize(
    ("entry", "setting"), [("secure", "SESSION_COOKIE_SECURE"), ("persistent", "SESSION_EXPIRE_AT_BROWSER_CLOSE")]
)
def test_what_django_has_a_setting_for_is_not_said_twice(entry: str, setting: str, project: Project) -> None:
    """Django's own checks look at its settings: a second place is refused, and the first one named."""
    project(**{entry: True})
    with pytest.raises(ConfigurationError, match=f"Set {setting} instead"):
        ours.sessions()


def test_misspelt_entries_are_refused(project: Project) -> None:
    """An entry that nobody knows stops the start, and no secret is shown."""
    project(max_agee=60)
    with pytest.raises(ConfigurationError, match="max_agee"):
        get_asgi_application()


def test_the_longest_life_is_not_the_shorter_one(project: Project) -> None:
    """SESSION_COOKIE_AGE is not quietly cut short by an entry of ours."""
    project(max_age=60)
    with pytest.raises(ConfigurationError, match=r"SESSIONKIT\['MAX_AGE'\]: is 60 s, less than the 1209600 s"):
        ours.sessions()


def test_one_middleware_for_all_until_a_test_overrides_settings(project: Project) -> None:
    """What the settings describe is made once; overriding other settings leaves it, overriding its own replaces it."""
    project()
    made = ours.sessions()
    with override_settings(DEBUG=True):
        assert ours.sessions() is made
    with override_settings(SESSION_COOKIE_AGE=60):
        assert ours.sessions().config.max_age == 60
    assert ours.sessions() is not made


def test_another_engine_is_refused(project: Project) -> None:
    """The middleware says which engine it goes with, instead of storing sessions where nobody reads them."""
    project(SESSION_ENGINE="django.contrib.sessions.backends.cache")
    with pytest.raises(ConfigurationError, match=r"SESSION_ENGINE: is 'django\.contrib\.sessions\.backends\.cache'"):
        Client().get("/visit")


def test_djangos_own_middleware_is_refused(project: Project) -> None:
    """The engine does not work in silence with a middleware that would cut its sessions to one cookie."""
    project(MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"])
    with pytest.raises(ConfigurationError, match=r"Put 'sessionkit\.contrib\.django\.SessionMiddleware' in its place"):
        Client().get("/visit")


@pytest.mark.parametrize(
    ("module", "question"), [("gevent.monkey", "is_module_patched"), ("eventlet.patcher", "is_monkey_patched")]
)
def test_greenlets_are_refused(module: str, question: str, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose requests share a thread is told so at the start, not by errors as soon as two come at once."""
    project()
    said = [True, False]
    monkeypatch.setitem(sys.modules, module, SimpleNamespace(**{question: lambda _: said.pop()}))
    assert Client().get("/visit").content == b"1"  # the module is there, and patched nothing
    with pytest.raises(ConfigurationError, match=rf"greenlets of {module[:3]}.*gunicorn -k gthread"):
        Client().get("/visit")


def test_a_missing_keyring_is_told_in_djangos_terms() -> None:
    """Without a keyring nothing starts, and the error says where to name one."""
    with (
        override_settings(SESSIONKIT={"keyring": "config/keyring.yaml"}),
        pytest.raises(ConfigurationError, match=r"SESSIONKIT\['KEYRING'\]: is missing"),
    ):
        get_asgi_application()


def test_djangos_checks_are_content(project: Project) -> None:
    """The admin finds a session middleware, and what is checked for deployment is told of Django's own settings."""
    project(SESSION_COOKIE_SECURE=True)
    told = checks.run_checks(include_deployment_checks=True)
    assert [message.id for message in told if "session" in message.msg.lower()] == []


def test_clearing_expired_sessions_has_nothing_to_do(project: Project) -> None:
    """``manage.py clearsessions`` works, and there is nothing to clear."""
    project()
    call_command("clearsessions")


# --- SessionBase ------------------------------------------------------------------------------------------------------


def store(held: dict[str, Any] | None = None) -> SessionStore:
    """Return a request's session with something in it."""
    return SessionStore.over(Session(held, clock=FixedClock()))


def test_the_interface_is_all_there() -> None:
    """Reads and writes go to our session, by every name that Django has for them."""
    held = store({"a": 1})
    assert (held["a"], held.get("b", 2), "a" in held, held.has_key("b")) == (1, 2, True, False)
    assert not held.modified
    held["b"] = 2
    held.update({"c": 3})
    assert (held.pop("a"), held.setdefault("b", 9), held.setdefault("d", 4)) == (1, 2, 4)
    del held["c"]
    assert (sorted(held.items()), list(held.keys()), sorted(held.values())) == (
        [("b", 2), ("d", 4)],
        ["b", "d"],
        [2, 4],
    )
    held.set_test_cookie()
    assert held.test_cookie_worked()
    held.delete_test_cookie()
    assert (held.accessed, held.modified, held.load()) == (True, True, {"b": 2, "d": 4})
    held.clear()
    assert held.load() == {}


@asyncio_alone
async def test_the_asynchronous_interface_is_all_there(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same by Django's names with an a, none of which leaves the loop for a thread."""
    monkeypatch.delattr("django.contrib.sessions.backends.base.sync_to_async")
    project()
    held = store({"a": 1})
    await held.aset("b", 2)
    await held.aupdate({"c": 3})
    assert (await held.aget("a"), await held.ahas_key("z"), await held.apop("c")) == (1, False, 3)
    assert await held.asetdefault("d", 4) == 4
    assert (sorted(await held.aitems()), list(await held.akeys())) == ([("a", 1), ("b", 2), ("d", 4)], ["a", "b", "d"])
    key_before = held.session_key
    await held.acycle_key()
    assert (held.session_key == key_before, await held.aload()) == (False, {"a": 1, "b": 2, "d": 4})
    await held.aset_expiry(60)
    assert await held.aget_expiry_age() == 60
    assert not await held.aexists(held.session_key)
    await held.adelete()
    assert (await held.aload(), held.session_key) == ({}, None)
    await held.acreate()
    await held.asave()
    assert held.session_key is not None
    await held.aflush()
    await SessionStore.aclear_expired()
    assert held.is_empty()


def test_the_repr_shows_nothing_of_it() -> None:
    """A session in a log or a debugging page is a count of keys."""
    assert repr(store({"user": "ann"})) == "<SessionStore <Session: 1 key>>"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda held: pickle.loads(pickle.dumps(held))])  # noqa: S301 - its own
def test_a_copy_is_a_plain_dict(copied: Callable[[SessionStore], object]) -> None:
    """What is copied or pickled is what it holds: no copy is taken for a session that somebody saves."""
    held = store({"list": [1]})
    assert (type(copied(held)), copied(held)) == (dict, {"list": [1]})


def test_djangos_own_encoding_is_there() -> None:
    """Libraries that keep a session's values elsewhere find ``encode`` and ``decode``."""
    held = store({})
    assert held.decode(held.encode({"a": 1})) == {"a": 1}


def test_a_key_exists_as_soon_as_there_is_something_to_keep() -> None:
    """As with Django's own: none for a new session, one after ``create`` or a write, another after ``cycle_key``."""
    held = store()
    assert (held.session_key, held.is_empty(), held.exists("any")) == (None, True, False)
    held["cart"] = ["tea"]
    first = held.session_key
    assert first is not None
    held.cycle_key()
    assert held.session_key not in {None, first}
    held.flush()
    assert (held.session_key, held.load()) == (None, {})


def test_sessions_of_others_cannot_be_ended() -> None:
    """``delete`` of another key is refused: nothing here could do it, and who calls it relies on it."""
    held = store({"n": 1})
    with pytest.raises(NotImplementedError, match="by its visitor's requests alone"):
        held.delete("somebody else's")
    held.delete(held.session_key)
    assert held.load() == {}


def test_marking_is_a_write() -> None:
    """``modified = True`` after a change inside a value, as Django's own needs it, is taken as what it says."""
    session = Session({"list": []}, clock=FixedClock())
    held = SessionStore.over(session)
    held.modified = False
    assert not session.modified
    held.modified = True
    assert session.modified


# --- requests ---------------------------------------------------------------------------------------------------------


@asyncio_alone
async def test_the_actor_runs_with_the_lifespan_and_the_log_tells(project: Project) -> None:
    """Under ASGI one actor serves; Django alone, without a lifespan, is served inline."""
    site = project()
    client = site.asgi()
    async with client.lifespan():
        assert [(await client.get("/visit")).text for _ in range(2)] == ["1", "2"]
    assert [line["event"] for line in site.log.lines if line["category"] in {"actor", "session"}] == [
        "actor.started",
        "session.created",
        "actor.stopped",
    ]
    site = project()
    client = AsgiClient(django_alone(), clock=site.clock)
    assert [(await client.get("/visit")).text for _ in range(2)] == ["1", "2"]
    assert [line["reason"] for line in site.log.named("actor.inline")] == ["no_lifespan"]


def test_djangos_clients_keep_sessions_of_any_size(project: Project) -> None:
    """A client of Django's, which knows no ASGI, carries a session of one cookie, of three, and of one again."""
    project()
    client = Client()
    assert [client.get("/visit").content for _ in range(2)] == [b"1", b"2"]
    for size, names in ((6_500, ["session-0", "session-1", "session-2"]), (10, ["session"])):
        response = client.get(f"/large?n={size}")
        assert response.content == noise(size)[-8:].encode()
        assert [name for name, cookie in response.cookies.items() if cookie.value != "null"] == names
        assert client.get("/look").content == b"large n"


@asyncio_alone
async def test_djangos_asynchronous_client_too(project: Project) -> None:
    """The same by Django's ``AsyncClient``."""
    project()
    client = AsyncClient()
    assert [(await client.get("/visit")).content for _ in range(2)] == [b"1", b"2"]


def test_a_session_made_for_its_key_is_kept(project: Project) -> None:
    """An empty session is not stored, unless the application made it on purpose: then its key stays."""
    project()
    client = Client()
    assert list(client.get("/look").cookies) == []
    keys = [client.get("/known").content for _ in range(2)]
    assert keys[0] == keys[1] != Client().get("/known").content


def test_around_a_plain_function(project: Project) -> None:
    """Tests that make a middleware by hand get a session on their request, and cookies on its response."""
    project()
    middleware = ours.SessionMiddleware(visit)
    response = middleware(RequestFactory().get("/"))
    assert (response.content, list(response.cookies)) == (b"1", ["session"])
    request = RequestFactory().get("/")
    middleware.process_request(request)
    request.session["n"] = 1
    request.session.save()
    assert SessionStore(request.session.session_key).load() == {"n": 1}


def test_headers_and_cookies_of_the_view_stay(project: Project) -> None:
    """What the view set is kept, what depends on the session is added, and of one name there is one cookie: ours."""
    site = project()
    response = Client().get("/own")
    assert response["Vary"] == "Accept-Language, Cookie"
    assert response["Cache-Control"] == "private"
    assert (type(response.cookies["mine"]), response.cookies["mine"].value) == (Morsel, "kept")
    assert response.cookies["session"].value != "not ours"
    assert len(site.log.named("session.cookie_conflict")) == 1
    assert "private, no-store" in Client().get("/visit")["Cache-Control"]


def test_a_page_that_never_looks_does_not_depend_on_the_session(project: Project) -> None:
    """No Vary and no cookie, although there is a session."""
    project()
    client = Client()
    client.get("/visit")
    response = client.get("/public")
    assert (response.has_header("Vary"), list(response.cookies)) == (False, [])


def test_what_cannot_be_stored_becomes_djangos_error_page(project: Project) -> None:
    """A value that cannot be stored, or too much of it, is an error inside Django; the session before stays."""
    project()
    client = Client(raise_request_exception=False)
    client.get("/visit")
    assert [client.get(page).status_code for page in ("/unstorable", "/large?n=60000")] == [500, 500]
    assert client.get("/visit").content == b"2"
    with pytest.raises(SerializationError, match=r'session\["bad"\]'):
        Client().get("/unstorable")


@asyncio_alone
async def test_a_logout_survives_what_cannot_be_stored_behind_it(project: Project) -> None:
    """Django's error page carries the end of the session; an application's own client gets the error all the same."""
    site = project()
    client = site.asgi()
    await client.get("/visit")
    response = await client.get("/ended")
    assert (response.status, b"Server Error" in response.body) == (500, True)
    assert (len(client.jar), (await client.get("/look")).text) == (0, "")
    with pytest.raises(SerializationError):
        await AsyncClient().get("/ended")


@asyncio_alone
async def test_a_write_in_a_stream_is_told_as_lost(project: Project) -> None:
    """A streamed response goes out as it is made, and a write behind its beginning has its event."""
    site = project()
    assert (await site.asgi().get("/streamed")).text == "one two"
    assert [line["reason"] for line in site.log.named("session.write_lost")] == ["response_started"]


def test_excluded_paths_have_none_and_say_so(project: Project) -> None:
    """A page that needs no session works; one that asks for it gets an error that names the remedy."""
    project(exclude=["/public", "/look"])
    client = Client()
    client.get("/visit")
    assert client.get("/public").content == b"for all"
    with pytest.raises(ConfigurationError, match="session: is asked for on a path that has none"):
        client.get("/look")
    held = SessionStore.over(None)
    assert (held.accessed, held.modified) == (False, False)


def test_a_view_opts_out_by_its_attribute(project: Project) -> None:
    """``skip_session`` on a view keeps its response free of cookies; a path without a view has none either."""
    project()
    client = Client()
    assert list(client.get("/opted_out").cookies) == []
    assert client.get("/nowhere").status_code == 404


@pytest.mark.parametrize(("page", "names"), [("class", []), ("but", ["session"])])
def test_a_class_of_views_opts_out_too(page: str, names: list[str], project: Project) -> None:
    """``skip_session`` may stand in the class of a view; what the function made of it says prevails."""
    project()
    assert list(Client().get(f"/{page}").cookies) == names


def test_the_health_page_is_served(project: Project) -> None:
    """``HEALTH_PATH`` answers from within Django, as the middleware answers it."""
    project(health_path="/livez")
    response = Client().get("/livez")
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")
    assert (response.json()["status"], response["Cache-Control"]) == ("ok", "no-store")
    refused = Client().post("/livez")
    assert (refused.status_code, refused["Allow"], refused.has_header("Content-Type")) == (405, "GET, HEAD", False)


@asyncio_alone
async def test_websockets_beside_django_share_the_session(project: Project) -> None:
    """What stands beside Django in one application, Channels say, finds the session in its scope, until it expires."""
    site = project()

    async def socket(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": str(scope["session"].get("n"))})

    pages = django_alone()

    async def both(scope: Any, receive: Any, send: Any) -> None:
        await (socket if scope["type"] == "websocket" else pages)(scope, receive, send)

    client = AsgiClient(ours.around(both), clock=site.clock)
    await client.get("/expiring?at=60")
    for wait, told in ((59, "1"), (1, "None")):
        site.clock.advance(wait)
        async with client.websocket("/") as opened:
            assert await opened.receive_text() == told


def test_sessions_of_djangos_signed_cookies_are_taken_over(project: Project) -> None:
    """A cookie of the same name, at another path, becomes one of ours; the old one is cleared where it was."""
    moving = Migration(
        source="django", secret=b"old", until=datetime(2100, 1, 1, tzinfo=UTC), cookie="session", path="/old"
    )
    site = project(migrate=[moving])
    [(name, value)] = PEERS["django"].at(site.clock() - 60, {"n": 4}, secret=b"old", name="session")
    client = Client()
    client.cookies[name] = value.decode()
    response = client.get("/visit")
    assert response.content == b"5"
    fields = [cookie.OutputString() for cookie in response.cookies.values()]
    assert [field.split("=", 1)[0] for field in fields] == ["session", "session"]
    assert ["Path=/old" in field for field in fields] == [False, True]
    assert len(site.log.named("session.migrated")) == 1


def test_responses_travel_through_caches(project: Project) -> None:
    """A response with our cookie can be pickled, as Django's caches of whole pages do it."""
    project()
    cookies = Client().get("/visit").cookies
    back = pickle.loads(pickle.dumps(cookies))  # noqa: S301 - made in the line itself
    assert back["session"].OutputString() == cookies["session"].OutputString()


# --- expiry -----------------------------------------------------------------------------------------------------------


def test_sessions_may_end_with_the_browser(project: Project) -> None:
    """``set_expiry(0)`` takes the Max-Age away, ``set_expiry(None)`` brings the setting's rule back."""
    project()
    client = Client()
    for at, told, ages in (("0", "True", ""), ("none", "False", str(14 * DAY))):
        response = client.get(f"/expiring?at={at}")
        assert (response.content.decode(), response.cookies["session"]["max-age"]) == (told, ages)
    project(SESSION_EXPIRE_AT_BROWSER_CLOSE=True)
    assert Client().get("/visit").cookies["session"]["max-age"] == ""
    assert Client().get("/expiring?at=60").cookies["session"]["max-age"] == str(14 * DAY)


@pytest.mark.parametrize("at", ["300", "time", "setting"])
def test_sessions_expire_when_they_say(at: str, project: Project) -> None:
    """Seconds, a point in time, or SESSION_COOKIE_AGE below the longest: over is over, on the server, to the second."""
    site = project(SESSION_COOKIE_AGE=300, max_age=14 * DAY)
    client = Client()
    moment = datetime.fromtimestamp(site.clock() + 300, UTC)
    given = moment.isoformat().replace("+", "%2B") if at == "time" else at
    client.get("/visit" if at == "setting" else f"/expiring?at={given}")
    site.clock.advance(149)
    assert b"n" in client.get("/look").content
    site.clock.advance(151)
    assert list(client.get("/public").cookies) == []
    response = client.get("/look")
    assert response.content == b""
    assert response.cookies["session"]["max-age"] == "0"
    assert [line["reason"] for line in site.log.named("session.destroyed")] == ["expired"]


def test_who_expires_unseen_was_not_ended(project: Project) -> None:
    """A page for all leaves an expired session as it came: no list of revocations has it, and no alarm follows."""
    site = project(revocations=Watched(clock=FixedClock()), revocation=RevocationConfig())
    client = Client()
    client.get("/expiring?at=60")
    site.clock.advance(60)

    for _ in range(2):
        assert list(client.get("/public").cookies) == []
    assert list(client.get("/look").cookies) == ["session"]

    told = [line["event"] for line in site.log.lines if line["event"] in {"session.revoked", "session.destroyed"}]
    assert told == ["session.destroyed"]


@asyncio_alone
async def test_a_websocket_leaves_it_as_it_came_too(project: Project) -> None:
    """The same for a websocket that never looks at its session."""
    site = project(revocations=Watched(clock=FixedClock()), revocation=RevocationConfig())
    pages = django_alone()

    async def both(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await pages(scope, receive, send)
        else:
            await send({"type": "websocket.accept"})

    client = AsgiClient(ours.around(both), clock=site.clock)
    await client.get("/expiring?at=60")
    site.clock.advance(60)

    for _ in range(2):
        async with client.websocket("/"):
            pass

    assert site.log.named("session.revoked") == []


@asyncio_alone
async def test_a_websocket_that_ends_its_session_too_late_has_it_revoked(project: Project) -> None:
    """Where a handshake carries no cookies, the end of a session is kept by the list alone."""
    site = project(revocations=Watched(clock=FixedClock()), revocation=RevocationConfig(), websocket_persistence="off")
    pages = django_alone()

    async def both(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await pages(scope, receive, send)
        else:
            scope["session"].destroy()
            await send({"type": "websocket.accept"})

    client = AsgiClient(ours.around(both), clock=site.clock)
    await client.get("/visit")
    async with client.websocket("/"):
        pass
    assert (await client.get("/look")).text == ""


def test_a_life_shorter_than_the_longest_is_extended_in_its_second_half(project: Project) -> None:
    """A request that looks at the session extends it, one that does not leaves it; as for all sessions here."""
    site = project(max_age=14 * DAY)
    client = Client()
    client.get("/expiring?at=300")
    site.clock.advance(150)
    assert list(client.get("/public").cookies) == []
    assert list(client.get("/look").cookies) == ["session"]
    site.clock.advance(299)
    assert b"n" in client.get("/look").content
    site.clock.advance(300)
    assert client.get("/look").content == b""


def test_every_request_saves_where_django_is_told_so(project: Project) -> None:
    """``SESSION_SAVE_EVERY_REQUEST`` extends the session on every response, as Django's own does."""
    project(SESSION_SAVE_EVERY_REQUEST=True)
    client = Client()
    assert list(client.get("/public").cookies) == []
    client.get("/visit")
    assert list(client.get("/public").cookies) == ["session"]


@pytest.mark.parametrize("given", ["seconds", "span", "time"])
def test_an_expiry_beyond_the_longest_is_refused(given: str, project: Project) -> None:
    """What could not be kept is not promised: the error names the setting to raise."""
    site = project(SESSION_COOKIE_AGE=300, max_age=600)
    values: dict[str, Any] = {
        "seconds": 601,
        "span": timedelta(seconds=601),
        "time": datetime.fromtimestamp(site.clock() + 601, UTC),
    }
    held = store()
    with pytest.raises(ConfigurationError, match=r"set_expiry: is given 601 s, .* Set SESSIONKIT\['MAX_AGE'\]"):
        held.set_expiry(values[given])
    assert held.load() == {}
    held.set_expiry(600)
    held.set_expiry(timedelta(seconds=600))


# --- logins -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("user")
@asyncio_alone
async def test_djangos_own_login_and_logout(project: Project) -> None:
    """``alogin`` gives a new id, keeps the cart, and survives a rotation; ``alogout`` ends all of it."""
    site = project()
    client = site.asgi()
    await client.get("/visit")
    before, after = (await client.get("/sign_in?user=ann")).text.split()
    assert before != after
    [told] = site.log.named("session.regenerated")
    assert told["reason"] == "login"
    assert (await client.get("/fresh")).text == "True"
    site.clock.advance(60)
    assert (await client.get("/fresh")).text == "False"
    rotated = site.given(KEYRING=ring(key(1, KeyState.RETIRED), key(2)))
    with override_settings(SESSIONKIT=rotated):
        client.app = get_asgi_application()
    assert (await client.get("/me")).text == "ann"
    assert (await client.get("/visit")).text == "2"
    await client.get("/sign_out")
    assert len(client.jar) == 0
    assert (await client.get("/me")).text == "nobody"
    assert [line["reason"] for line in site.log.named("session.destroyed")] == ["logout"]


def test_the_admins_login_works(user: Any, project: Project) -> None:
    """The form, its redirect, the index behind it, a second login as somebody else, and the logout."""
    project()
    client = Client()
    assert client.get("/admin/").status_code == 302
    sent = client.post("/admin/login/?next=/admin/", {"username": "ann", "password": "correct horse"})
    assert (sent.status_code, sent["Location"]) == (302, "/admin/")
    assert client.get("/admin/").status_code == 200
    assert client.get("/me").content == b"ann"
    type(user).objects.create_superuser("bob", password="battery staple")
    client.get("/visit")
    client.post("/admin/login/", {"username": "bob", "password": "battery staple"})
    assert client.get("/me").content == b"bob"
    assert client.get("/visit").content == b"1"  # nothing of ann's session went along
    client.post("/admin/logout/")
    assert client.get("/me").content == b"nobody"


def test_a_change_of_password_ends_other_sessions(user: Any, project: Project) -> None:
    """What Django keeps in the session to tell by is where it looks for it."""
    project()
    client = Client()
    client.force_login(user)
    assert client.get("/me").content == b"ann"
    user.set_password("another one")
    user.save()
    assert client.get("/me").content == b"nobody"


def test_messages_are_told_once(user: Any, project: Project) -> None:
    """``django.contrib.messages`` in the session: told on the next page, gone on the one after."""
    project()
    client = Client()
    client.force_login(user)
    client.get("/say")
    assert [client.get("/me").content for _ in range(2)] == [b"ann saved", b"ann"]


def test_djangos_client_logs_in_and_out(user: Any, project: Project) -> None:
    """``login``, ``force_login``, ``session`` and ``logout`` of the client itself, without a request."""
    project()
    client = Client()
    assert client.login(username="ann", password="correct horse")
    assert client.get("/me").content == b"ann"
    assert client.session["_auth_user_id"] == str(user.pk)
    client.get("/visit")
    assert client.session["n"] == 1
    client.force_login(user)
    assert client.get("/visit").content == b"2"
    client.logout()
    assert client.get("/me").content == b"nobody"


@asyncio_alone
async def test_djangos_asynchronous_client_logs_in_and_out(user: Any, project: Project) -> None:
    """The same by ``alogin``, ``aforce_login``, ``asession`` and ``alogout``."""
    project()
    client = AsyncClient()
    assert await client.alogin(username="ann", password="correct horse")
    assert (await client.get("/me")).content == b"ann"
    assert await (await client.asession()).aget("_auth_user_id") == str(user.pk)
    await client.aforce_login(user)
    await client.alogout()
    assert (await client.get("/me")).content == b"nobody"


def test_a_login_into_a_session_of_another_kind_is_none_of_ours(user: Any, project: Project) -> None:
    """Who logs in a request with a session of their own, as tests do, is left alone."""
    project()
    request = RequestFactory().get("/")
    user_logged_in.send(sender=type(user), request=request, user=user)
    assert not hasattr(request, "session")


# --- without a request ------------------------------------------------------------------------------------------------


def test_a_session_in_hand_is_sealed_into_its_key(project: Project) -> None:
    """A test may make a session, save it, and give its key to a client as the cookie."""
    project()
    made = SessionStore()
    assert made.session_key is None
    made["n"] = 4
    made.save()
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = made.session_key
    assert client.get("/visit").content == b"5"
    back = SessionStore(made.session_key)
    assert back.load() == {"n": 4}
    back.flush()
    assert (back.session_key, back.load()) == (None, {})


def test_a_session_in_hand_expires_too(project: Project) -> None:
    """A key whose session has expired by its own account opens as an empty one, and so does one that nobody sealed."""
    site = project()
    made = SessionStore()
    made.set_expiry(60)
    made.save()
    site.clock.advance(60)
    assert SessionStore(made.session_key).load() == {}
    assert SessionStore("\udcff made up").load() == {}


def test_a_session_in_hand_takes_one_cookie(project: Project) -> None:
    """Django's clients hold one cookie for it: more is an error that says how much it is."""
    project()
    made = SessionStore()
    made["large"] = noise(6_000)
    with pytest.raises(SessionTooLargeError) as caught:
        made.save()
    assert (caught.value.chunks, caught.value.max_chunks) == (3, 1)
    assert made.session_key is None
