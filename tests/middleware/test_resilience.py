"""The actor killed, flooded, asked by callers that give up, and stopped under load: no request without an answer.

None of it costs a session: what cannot be read is a 503 and never an empty session, what cannot be saved is an error in
the application before its response has started, and the browser's cookie stays as it was.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NoReturn

import anyio
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from sessionkit.exceptions import ActorError, AskTimeout, MessageFailed, NotRunning, Overloaded
from sessionkit.testing import AsgiClient
from tests.middleware.apps import answer
from tests.middleware.hosting import BOTH_WAYS, Stage, counter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response as StarletteResponse

    from sessionkit.asgi import ASGIApp, Receive, Scope, Send
    from sessionkit.testing import Response


def browser(stage: Stage) -> AsgiClient:
    """Return another browser with the same cookies."""
    return AsgiClient(stage.middleware, jar=stage.client.jar.copy(), clock=stage.clock)


def assert_put_off(response: Response) -> None:
    """Check that an answer is a 503 that touches no cookie."""
    assert response.status == 503
    assert response.values(b"retry-after") == [b"1"]
    assert response.values(b"cache-control") == [b"no-store"]
    assert response.set_cookies == []


@BOTH_WAYS
async def test_actor_killed_for_good_puts_requests_off(in_place: bool) -> None:
    """Case 87: every request with a session gets a 503; one without needs no actor as long as it writes nothing."""
    stage = Stage(in_place=in_place)
    async with stage.client.lifespan():
        await stage.count()
        kept = stage.cookies
        await stage.actor.kill_for_good()
        for _ in range(3):
            assert_put_off(await stage.client.get("/"))
        head = await stage.client.request("HEAD", "/")
        assert_put_off(head)
        assert head.body == b""
        assert (await stage.client.get("/read", cookies=[])).status == 200
        assert stage.service.stats()["state"] == "failed"
    assert stage.cookies == kept
    assert len(stage.log.named("actor.failed")) == 1
    assert len(stage.log.named("keyring.key_usage")) == 1
    async with stage.client.lifespan():
        assert await stage.count() == "2"


@pytest.mark.unmeasured
@BOTH_WAYS
async def test_actor_killed_under_load_answers_everybody(in_place: bool) -> None:
    """Case 136: with a hundred requests waiting and one crash among them, all are served; with too many, none hangs."""
    stage = Stage(in_place=in_place)
    statuses: Counter[int] = Counter()

    async def visit() -> None:
        response = await browser(stage).get("/read")
        statuses[response.status] += 1
        if response.status != 200:
            assert_put_off(response)

    async with stage.client.lifespan():
        await stage.count()
        await stage.actor.hold()
        async with anyio.create_task_group() as tasks:
            for number in range(100):
                if number == 50:
                    stage.actor.kill()
                tasks.start_soon(visit)
                if number % 10 == 0:
                    await anyio.wait_all_tasks_blocked()
            await anyio.wait_all_tasks_blocked()
            stage.actor.release()
        assert statuses == {200: 100}
        await stage.actor.hold()
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                stage.actor.kill()
            for _ in range(100):
                tasks.start_soon(visit)
            await anyio.wait_all_tasks_blocked()
            stage.actor.release()
        assert statuses == {200: 100, 503: 100}
        assert stage.service.stats()["state"] == "failed"


@BOTH_WAYS
async def test_full_mailbox_puts_off_what_does_not_fit(in_place: bool) -> None:
    """Case 87: beyond its places requests are answered at once; those inside are served when the actor goes on."""
    stage = Stage(in_place=in_place, capacity=3)
    responses: list[Response] = []

    async def visit() -> None:
        responses.append(await browser(stage).get("/read"))

    async with stage.client.lifespan():
        await stage.count()
        await stage.actor.hold()
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(visit)
            await anyio.wait_all_tasks_blocked()
            assert len(responses) == 2
            for response in responses:
                assert_put_off(response)
            stage.actor.release()
    assert sorted(response.status for response in responses) == [200, 200, 200, 503, 503]


@BOTH_WAYS
async def test_actor_that_hangs_puts_requests_off(in_place: bool) -> None:
    """Case 87: a request waits five seconds for its session at most."""
    stage = Stage(in_place=in_place)
    async with stage.client.lifespan():
        await stage.count()
        await stage.actor.hold()
        began = anyio.current_time()
        with anyio.fail_after(60):
            assert_put_off(await stage.client.get("/"))
        assert anyio.current_time() - began == pytest.approx(5)
        stage.actor.release()
        assert await stage.count() == "2"


async def _hold(stage: Stage) -> None:
    await stage.actor.hold()


async def _kill(stage: Stage) -> None:
    await stage.actor.kill_for_good()


async def _fill(stage: Stage) -> None:
    await stage.actor.hold()
    while len(stage.actor._mailbox) < 3:
        stage.actor.kill()


class _Faulty:
    """A behaviour with a fault."""

    def handle(self, _: object) -> NoReturn:
        """Fail at every message."""
        raise ZeroDivisionError

    def facts(self) -> dict[str, object]:
        """Say nothing."""
        return {}


async def _break(stage: Stage) -> None:
    stage.actor._behaviour = _Faulty()


@BOTH_WAYS
@pytest.mark.parametrize(
    ("trouble", "error"), [(_hold, AskTimeout), (_kill, NotRunning), (_fill, Overloaded), (_break, MessageFailed)]
)
async def test_save_that_fails_is_an_error_in_the_application(
    in_place: bool, trouble: Callable[[Stage], Awaitable[None]], error: type[ActorError]
) -> None:
    """Case 87: it is raised before anything was sent, told as session.save_failed, and the cookie is not touched."""
    caught: list[ActorError] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/trouble":
            await trouble(stage)
        try:
            await counter(scope, receive, send)
        except ActorError as failed:
            caught.append(failed)
            await answer(send, status=500)

    stage = Stage(app, in_place=in_place, capacity=3)
    async with stage.client.lifespan():
        await stage.count()
        kept = stage.cookies
        response = await stage.client.get("/trouble")
        assert (response.status, response.set_cookies) == (500, [])
        assert [type(one) for one in caught] == [error]
        assert [message["type"] for message in response.messages] == ["http.response.start", "http.response.body"]
        assert stage.cookies == kept
    [failed] = stage.log.named("session.save_failed")
    assert failed["error_type"] == error.__name__
    assert stage.reasons() == []


@BOTH_WAYS
async def test_save_that_fails_reaches_starlettes_error_handler(in_place: bool) -> None:
    """Case 85: Starlette's outermost handler answers with a clean 500, outside ours; no second save is tried."""

    async def endpoint(request: Request) -> StarletteResponse:
        request.session["n"] = 1
        await stage.actor.kill_for_good()
        return PlainTextResponse("saved")

    async def sorry(request: Request, error: Exception) -> StarletteResponse:
        return PlainTextResponse(type(error).__name__, status_code=500)

    def ours(app: ASGIApp) -> ASGIApp:
        stage.middleware.app = app
        return stage.middleware

    stage = Stage(in_place=in_place)
    stage.client.app = Starlette(
        routes=[Route("/", endpoint)], exception_handlers={500: sorry}, middleware=[Middleware(ours)]
    )
    async with stage.client.lifespan():
        with pytest.raises(NotRunning):
            await stage.client.get("/")
        start, body = stage.client.messages
    assert (start["status"], body["body"]) == (500, b"NotRunning")
    assert stage.cookies == {}
    assert len(stage.log.named("session.save_failed")) == 1


@pytest.mark.unmeasured
@BOTH_WAYS
async def test_stop_under_load_answers_everybody(in_place: bool) -> None:
    """Case 118: requests before, during and after the stop are all served, and every session goes on counting."""
    stage = Stage(in_place=in_place)
    browsers = [AsgiClient(stage.middleware, clock=stage.clock) for _ in range(20)]
    counted: list[list[bytes]] = []
    go_on = anyio.Event()

    async def visits(client: AsgiClient) -> None:
        seen = []
        for number in range(30):
            if number == 15:
                await go_on.wait()
            response = await client.get("/")
            assert response.status == 200
            seen += response.values(b"x-count")
        counted.append(seen)

    async with anyio.create_task_group() as tasks, stage.client.lifespan():
        for client in browsers:
            tasks.start_soon(visits, client)
        await anyio.wait_all_tasks_blocked()
        go_on.set()
        await anyio.lowlevel.checkpoint()
    assert counted == [[str(number).encode() for number in range(1, 31)]] * 20
