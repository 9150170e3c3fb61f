"""Group N: paths and routes without a session."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit.config import SessionConfig
from sessionkit.exceptions import ConfigurationError
from tests.middleware.apps import Site, answer, page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sessionkit.asgi import Receive, Scope, Send


async def _has_session(site: Site, path: str, **scope: Any) -> bool:
    """Return whether the application sees a session on a path."""
    seen: list[bool] = []
    await site.run(page(lambda found: seen.append("session" in found)), scope={"path": path, **scope})
    return seen[0]


@pytest.mark.parametrize(
    ("path", "session"),
    [
        ("/health", False),
        ("/health/", False),
        ("/health/x", False),
        ("/unhealthy", True),
        ("/healthy", True),
        ("/x/health", True),
        ("/", True),
        ("/static/app.js", False),
        ("/static", True),
    ],
)
async def test_patterns_are_anchored(path: str, session: bool) -> None:
    """Case 139: a pattern matches whole segments from the start of the path."""
    site = Site(exclude=["/health", "/static/"])

    assert await _has_session(site, path) is session


async def test_an_excluded_page() -> None:
    """Case 140: an excluded page has no session, no Vary, no cookie, and leaves bad cookies as they are."""
    site = Site(exclude="/health")
    site.put(("session", b"rubbish"), ("session-3", b"leftover"))
    before = site.cookies()

    response = await site.visit(url="/health")

    assert response.headers == []
    assert site.cookies() == before
    assert site.log.lines == []
    with pytest.raises(KeyError):
        await site.visit(len, "/health")


@pytest.mark.parametrize(
    ("path", "session"),
    [
        ("/caf\xe9", False),  # a server decodes /caf%C3%A9
        ("/caf%C3%A9", True),
        ("//health", True),
        ("/health//", False),
        ("/Health", True),
        ("/health\n", True),
        ("", True),
    ],
)
async def test_paths_are_taken_as_they_are_decoded(path: str, session: bool) -> None:
    """Case 141: what counts is the decoded path, octet by octet: no folding of slashes or case."""
    site = Site(exclude=["/caf\xe9", "/health"])

    assert await _has_session(site, path) is session


@pytest.mark.parametrize(
    ("path", "root", "session"),
    [
        ("/app/health", "/app", False),
        ("/health", "/app", False),
        ("/app/health", "", True),
        ("/apphealth", "/app", True),
        ("/app", "/app", True),
        ("/app/health", "/app/", False),
    ],
)
async def test_paths_are_taken_without_root_path(path: str, root: str, session: bool) -> None:
    """Case 104: whether or not the server puts root_path in front, patterns see the path below it."""
    site = Site(exclude="/health")

    assert await _has_session(site, path, root_path=root) is session


def test_a_pattern_that_is_none() -> None:
    """Case 142: a pattern that is no regular expression is refused at start-up, by its text."""
    with pytest.raises(ConfigurationError, match=r"exclude: '\(open' is no regular expression"):
        SessionConfig(exclude=["/fine", "(open"])


async def test_a_function_decides() -> None:
    """Case 143: a function of the scope may decide; what it raises, passes."""

    def exclude(scope: Mapping[str, Any]) -> bool:
        return bool(1 / len(scope["path"][1:]) == 1 / 4)

    site = Site(exclude=exclude)

    assert await _has_session(site, "/something")
    assert not await _has_session(site, "/none")
    with pytest.raises(ZeroDivisionError):
        await _has_session(site, "/")


async def test_kinds_of_connection() -> None:
    """Case 144: a function may exclude one kind of connection, and ``scopes`` does so for all paths."""
    assert not await _has_session(Site(exclude=lambda scope: scope["type"] == "http"), "/")
    assert await _has_session(Site(exclude=lambda scope: scope["type"] == "websocket"), "/")
    assert not await _has_session(Site(scopes={"websocket"}), "/")
    assert await _has_session(Site(scopes={"http"}), "/")


@pytest.mark.parametrize(
    "scope",
    [
        {"route_handler": SimpleNamespace(opt={"skip_session": True})},
        {"endpoint": SimpleNamespace(skip_session=True)},
        {"skip_session": True},
    ],
    ids=["opt", "endpoint", "scope"],
)
async def test_a_route_opts_out(scope: dict[str, Any]) -> None:
    """Case 140: a route opts out by Litestar's ``opt``, by an attribute of its endpoint, or by a key in the scope."""
    site = Site()

    assert not await _has_session(site, "/", **scope)


@pytest.mark.parametrize(
    "scope",
    [
        {"route_handler": SimpleNamespace(opt={"skip_session": False})},
        {"route_handler": SimpleNamespace(opt=None)},
        {"route_handler": None, "endpoint": None},
        {"endpoint": page()},
        {"skip_session": False},
    ],
)
async def test_a_route_does_not_opt_out(scope: dict[str, Any]) -> None:
    """Case 140: any other route has its session."""
    assert await _has_session(Site(), "/", **scope)


async def test_the_option_has_a_name() -> None:
    """Case 140: the name of the option is a setting."""
    site = Site(exclude_opt_key="anonymous")

    assert not await _has_session(site, "/", anonymous=True)
    assert await _has_session(site, "/", skip_session=True)


async def test_a_router_finds_the_route_behind_us() -> None:
    """Case 140: a route that opts out and is found only behind the middleware sends no cookie, Vary or clearing."""
    site = Site()
    site.put(("session", b"rubbish"))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["endpoint"] = SimpleNamespace(skip_session=True)
        scope["session"]["user"] = "ann"
        await answer(send)

    response = await site.run(app)

    assert response.headers == []
    assert site.cookies() == {"session": b"rubbish"}
