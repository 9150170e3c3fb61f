"""Group G: applications that fail, sessions that cannot be stored, and an actor that cannot answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sessionkit.exceptions import NotRunning, Overloaded, SerializationError
from tests.middleware.apps import Site, answer, noise, page

if TYPE_CHECKING:
    from sessionkit.asgi import ASGIApp, Receive, Scope, Send
    from sessionkit.backend.messages import Message, Reply


class Unstorable:
    """What no session can hold."""


def _caught(app: ASGIApp, status: int = 500) -> ASGIApp:
    """Return an application whose inner error middleware answers for it."""

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except Exception:  # noqa: BLE001 - as error middleware does
            await answer(send, status=status, headers=[(b"x-error", b"page")])

    return outer


def _reasons(site: Site) -> list[str]:
    return [line["reason"] for line in site.log.named("session.write_lost")]


async def test_an_error_before_the_response() -> None:
    """Case 82: the application's error passes unchanged, nothing is sent, and what it wrote is told as lost."""
    site = Site()
    raised = RuntimeError("broken")

    def act(scope: Scope) -> None:
        scope["session"]["user"] = "ann"
        raise raised

    with pytest.raises(RuntimeError) as caught:
        await site.run(page(act))

    assert caught.value is raised
    assert site.client.messages == []
    assert _reasons(site) == ["exception"]


@pytest.mark.parametrize("touch", [True, False])
async def test_an_error_without_a_write(touch: bool) -> None:
    """Case 82: an error of an application that wrote nothing loses nothing."""
    site = Site()
    await site.write(user="ann")

    def act(scope: Scope) -> None:
        if touch:
            scope["session"].get("user")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await site.run(page(act))

    assert _reasons(site) == []


@pytest.mark.parametrize("status", [500, 503, 599])
async def test_server_errors_keep_the_old_session(status: int) -> None:
    """Case 83: what was written before a server error is not kept, and told as lost."""
    site = Site()
    await site.write(user="ann")

    response = await site.visit(lambda session: session.update(user="bob"), status=status)

    assert response.set_cookies == []
    assert _reasons(site) == ["error_response"]
    assert await site.read() == {"user": "ann"}


async def test_server_errors_of_a_new_visitor() -> None:
    """Case 83: nor is a session begun by one."""
    site = Site()

    response = await site.visit(lambda session: session.update(user="bob"), status=500)

    assert response.set_cookies == []
    assert _reasons(site) == ["error_response"]


async def test_server_errors_without_a_write() -> None:
    """Case 83: an error page that only reads the session loses nothing, and tidies up as any other page."""
    site = Site()
    await site.write(user="ann")
    site.jar.plant("session-4", b"leftover", site.client.base_url)

    response = await site.visit(lambda session: session.get("user"), status=500)

    assert _reasons(site) == []
    assert [value.partition(b"=")[0] for value in response.set_cookies] == [b"session-4"]


@pytest.mark.parametrize("end", ["clear", "destroy"])
async def test_server_errors_do_not_undo_a_logout(end: str) -> None:
    """Case 83: ending a session counts even then."""
    site = Site()
    await site.write(user="ann")

    await site.visit(lambda session: getattr(session, end)(), status=500)

    assert site.cookies() == {}
    assert await site.read() == {}


@pytest.mark.parametrize("value", ["new", Unstorable()])
async def test_a_session_begun_after_a_logout_is_lost_to_an_error(value: object) -> None:
    """Case 83: the session that was ended goes, the one that was begun in its place is not kept."""
    site = Site()
    await site.write(user="ann")

    def act(scope: Scope) -> None:
        scope["session"].destroy()
        scope["session"]["user"] = value

    await site.run(page(act, status=500))

    assert site.cookies() == {}
    assert _reasons(site) == ["error_response"]
    assert len(site.log.named("session.destroyed")) == 1


async def test_server_errors_may_be_saved() -> None:
    """Case 83: with ``save_on_error`` the session is written as on any other response."""
    site = Site(save_on_error=True)

    await site.visit(lambda session: session.update(user="bob"), status=500)

    assert await site.read() == {"user": "bob"}
    assert _reasons(site) == []


async def test_a_replaced_session_on_a_server_error_is_told_once() -> None:
    """Case 83: a session that was put in the other's place is told as lost once, not again at the end."""
    site = Site()
    await site.write(user="ann")

    await site.run(page(lambda scope: scope.update(session={"user": "bob"}), status=500))

    assert _reasons(site) == ["error_response"]
    assert await site.read() == {"user": "ann"}


async def test_client_errors_are_saved() -> None:
    """Case 84: a session is written on responses of 4xx."""
    site = Site()

    await site.visit(lambda session: session.update(tries=1), status=401)

    assert await site.read() == {"tries": 1}


async def test_a_value_that_cannot_be_stored() -> None:
    """Case 85: an error with the place of the value, not the value, is raised before anything is sent."""
    site = Site()
    await site.write(user="ann")

    with pytest.raises(SerializationError) as caught:
        await site.write(cart=[1, 2, 3, {"owner": Unstorable()}])

    assert caught.value.path == 'session["cart"][3]["owner"]'
    assert "Unstorable" in caught.value.problem
    assert site.client.messages == []
    assert [line["error_type"] for line in site.log.named("session.save_failed")] == ["SerializationError"]
    assert await site.read() == {"user": "ann"}


@pytest.mark.parametrize(
    ("value", "error"), [(Unstorable(), "SerializationError"), (noise(40_000), "SessionTooLargeError")]
)
async def test_an_error_page_after_a_failed_save(value: object, error: str) -> None:
    """Cases 81 and 86: an error page inside ours gets out, the save is not tried again, the cookie stays as it was."""
    site = Site()
    await site.write(user="ann")

    response = await site.run(_caught(page(lambda scope: scope["session"].update(user=value))))

    assert response.status == 500
    assert response.headers == [(b"x-error", b"page")]
    told = [line["error_type"] for line in site.log.named("session.save_failed")]
    told += ["SessionTooLargeError" for _ in site.log.named("session.oversized")]
    assert told == [error]
    assert _reasons(site) == []
    assert await site.read() == {"user": "ann"}


@pytest.mark.parametrize("value", [Unstorable(), noise(40_000)], ids=["unstorable", "too large"])
@pytest.mark.parametrize("status", [400, 500])
async def test_a_logout_holds_although_what_came_after_it_cannot_be_stored(value: object, status: int) -> None:
    """Case 83: the error page inside ours carries the end of the session, whatever was to take its place."""
    site = Site()
    await site.write(user="ann")

    def act(scope: Scope) -> None:
        scope["session"].destroy()
        scope["session"] = {"user": value}

    response = await site.run(_caught(page(act), status))

    assert response.status == status
    assert [cookie[:13] for cookie in response.set_cookies] == [b"session=null;"]
    assert len(site.log.named("session.destroyed")) == 1
    assert await site.read() == {}


async def test_an_error_page_with_a_value_that_cannot_be_stored() -> None:
    """Case 86: an error page is not lost to a value that it would not have saved."""
    site = Site()
    await site.write(user="ann")

    response = await site.visit(lambda session: session.update(user=Unstorable()), status=500)

    assert response.status == 500
    assert response.set_cookies == []
    assert _reasons(site) == ["error_response"]
    assert await site.read() == {"user": "ann"}


async def test_an_error_with_a_value_that_cannot_be_stored() -> None:
    """Case 82: an error of the application passes even if the session could not have been stored."""
    site = Site()

    def act(scope: Scope) -> None:
        scope["session"]["user"] = Unstorable()
        raise KeyError

    with pytest.raises(KeyError):
        await site.run(page(act))
    assert _reasons(site) == ["exception"]


def _deaf(site: Site, error: Exception, *, kinds: tuple[str, ...]) -> None:
    """Make the service refuse messages of some kinds."""
    ask = site.middleware.service.ask

    async def refuse(message: Message) -> Reply:
        if type(message).__name__ in kinds:
            raise error
        return await ask(message)

    site.middleware.service.ask = refuse  # type: ignore[method-assign]  # a fault put in on purpose


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_session_that_cannot_be_read_now(method: str) -> None:
    """Case 87: a request with a session that the actor cannot open is a 503, never an empty session."""
    site = Site()
    await site.write(user="ann")
    _deaf(site, Overloaded("full"), kinds=("Load",))
    called: list[Scope] = []

    response = await site.run(page(called.append), method=method)

    assert response.status == 503
    assert response.values(b"retry-after") == [b"1"]
    assert response.values(b"cache-control") == [b"no-store"]
    assert response.set_cookies == []
    assert response.body == (b"" if method == "HEAD" else b"Service Unavailable")
    assert response.values(b"content-length") == [b"19"]
    assert called == []


async def test_visitors_without_a_session_are_served_meanwhile() -> None:
    """Case 87: what needs no session needs no actor."""
    site = Site()
    _deaf(site, NotRunning("down"), kinds=("Load", "Save"))

    assert (await site.visit()).status == 200
    assert (await site.visit(cookies=[b"other=1"])).status == 200


async def test_a_session_that_cannot_be_saved_now() -> None:
    """Case 87: a save that the actor cannot serve is an error in the application, and the cookie stays."""
    site = Site()
    await site.write(user="ann")
    before = site.cookies()
    _deaf(site, NotRunning("down"), kinds=("Save",))

    with pytest.raises(NotRunning):
        await site.write(user="bob")

    assert site.client.messages == []
    assert site.cookies() == before
    assert [line["error_type"] for line in site.log.named("session.save_failed")] == ["NotRunning"]


async def test_exception_groups() -> None:
    """Case 88: an exception group of the application comes out as it was raised."""
    site = Site()
    raised = ExceptionGroup("tasks", [ValueError("one"), ExceptionGroup("more", [KeyError("two")])])

    def act(scope: Scope) -> None:
        raise raised

    for _ in range(2):
        with pytest.raises(ExceptionGroup) as caught:
            await site.run(page(act))
        assert caught.value is raised


async def test_an_error_after_the_start() -> None:
    """Case 89: an error after the start passes; the cookie that was sent holds."""
    site = Site()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["user"] = "ann"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await site.run(app)

    assert _reasons(site) == []
    assert await site.read() == {"user": "ann"}


async def test_a_send_that_fails() -> None:
    """Case 114: if the server does not take the response, its error passes and nothing is told as saved."""
    site = Site()

    async def refuse(message: Any) -> None:
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - an OSError has nothing to match
        await site.visit(lambda session: session.update(user="ann"), on_send=refuse)
    assert site.log.named("session.created") == []
