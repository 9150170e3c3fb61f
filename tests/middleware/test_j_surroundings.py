"""Other middleware, background work, threads and context variables (group J)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import anyio
import pytest
import structlog
from anyio import to_thread
from asgiref.sync import AsyncToSync, iscoroutinefunction
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from structlog.contextvars import bind_contextvars, get_contextvars, merge_contextvars

from sessionkit.config import AuditConfig, SessionConfig
from sessionkit.exceptions import SessionClosedError
from sessionkit.middleware import SessionMiddleware
from sessionkit.testing import AsgiClient, FixedClock
from tests.middleware.apps import answer, ring
from tests.middleware.hosting import BOTH_WAYS, Stage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from sessionkit.asgi import ASGIMessage, Receive, Scope, Send

    Next = Callable[[Request], Awaitable[Response]]


async def _visit(request: Request) -> Response:
    return PlainTextResponse(str(request.session.get("after")))


async def _write_after(request: Request, call_next: Next) -> Response:
    response = await call_next(request)
    request.session["after"] = True
    return response


@BOTH_WAYS
async def test_function_middleware_inside_may_write_after_the_endpoint(in_place: bool) -> None:
    """Case 107: Starlette's BaseHTTPMiddleware inside ours writes after call_next, before the start reaches us."""
    app = Starlette(routes=[Route("/", _visit)], middleware=[Middleware(BaseHTTPMiddleware, dispatch=_write_after)])
    stage = Stage(app, in_place=in_place)
    async with stage.client.lifespan():
        await stage.client.get("/")
        assert (await stage.client.get("/")).text == "True"
    assert stage.reasons() == []


async def test_function_middleware_outside_writes_too_late() -> None:
    """Case 107: outside ours, the start has passed us when call_next returns: lost, and told."""
    inner = Stage(Starlette(routes=[Route("/", _visit)]))
    outer = BaseHTTPMiddleware(inner.middleware, dispatch=_write_after)
    client = AsgiClient(outer, clock=inner.clock)
    await client.get("/")
    assert (await client.get("/")).text == "None"
    assert set(inner.reasons()) == {"response_started"}


@pytest.mark.parametrize("strict", [False, True])
async def test_background_task_writes_too_late(strict: bool) -> None:
    """Case 108: what runs after the response has lost its write; only strict mode raises, and in that task."""
    raised: list[str] = []

    def late(request: Request) -> None:
        try:
            request.session["late"] = 1
        except SessionClosedError as error:
            raised.append(error.reason)

    async def endpoint(request: Request) -> Response:
        return PlainTextResponse("ok", background=BackgroundTask(late, request))

    stage = Stage(Starlette(routes=[Route("/", endpoint)]), strict=strict)
    assert (await stage.client.get("/")).text == "ok"
    assert raised == (["response_started"] if strict else [])
    assert stage.reasons() == ([] if strict else ["response_started"])


async def test_task_that_outlives_the_request_is_told_once() -> None:
    """Case 108: a task of the application's own writes when the request is long over: one line, no error."""
    over = anyio.Event()

    async with anyio.create_task_group() as tasks:

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            async def late() -> None:
                await over.wait()
                scope["session"]["a"] = 1
                scope["session"]["b"] = 2

            tasks.start_soon(late)
            await answer(send)

        stage = Stage(app)
        await stage.client.get("/")
        assert stage.reasons() == []
        over.set()
    assert stage.reasons() == ["response_started"]


@BOTH_WAYS
async def test_response_may_be_sent_by_another_task(in_place: bool) -> None:
    """Case 109: the start comes from a child task, within a cancel scope of its own, and carries the cookie."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["n"] = 1

        async def respond() -> None:
            with anyio.fail_after(5):
                await answer(send)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(respond)

    stage = Stage(app, in_place=in_place)
    async with stage.client.lifespan():
        assert len((await stage.client.get("/")).set_cookies) == 1


async def test_streaming_response_carries_what_was_written_before_it() -> None:
    """Case 109: Starlette streams from a task group; the generator may read, and what it writes is told as lost."""

    async def endpoint(request: Request) -> Response:
        request.session["n"] = 1

        async def parts() -> AsyncIterator[str]:
            yield str(request.session["n"])
            if "write" in request.query_params:
                request.session["late"] = 1

        return StreamingResponse(parts())

    stage = Stage(Starlette(routes=[Route("/", endpoint)]))
    response = await stage.client.get("/")
    assert response.text == "1"
    assert len(response.set_cookies) == 1
    assert stage.reasons() == []
    await stage.client.get("/?write=1")
    assert stage.reasons() == ["response_started"]


@BOTH_WAYS
async def test_sync_endpoint_in_a_worker_thread_writes(in_place: bool) -> None:
    """Case 110: the session is a dict and needs no loop, so Starlette's sync endpoints use it in their threads."""

    def endpoint(request: Request) -> Response:
        request.session["n"] = request.session.get("n", 0) + 1
        return PlainTextResponse(str(request.session["n"]))

    stage = Stage(Starlette(routes=[Route("/", endpoint)]), in_place=in_place)
    async with stage.client.lifespan():
        assert [(await stage.client.get("/")).text for _ in range(2)] == ["1", "2"]


async def test_threads_write_side_by_side() -> None:
    """Case 110: several threads of one request each leave their entry."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        session = scope["session"]
        if scope["path"] == "/":
            async with anyio.create_task_group() as tasks:
                for number in range(8):
                    tasks.start_soon(to_thread.run_sync, session.__setitem__, str(number), number)
        await answer(send, headers=[(b"x-size", str(len(session)).encode())])

    stage = Stage(app)
    await stage.client.get("/")
    assert (await stage.client.get("/again")).values(b"x-size") == [b"8"]


def recording() -> tuple[Any, list[dict[str, Any]]]:
    """Return a structlog logger that merges context variables, and the lines it was given; it writes none."""
    lines: list[dict[str, Any]] = []

    def keep(logger: object, method: str, line: Any) -> NoReturn:
        lines.append(dict(line))
        raise structlog.DropEvent

    return structlog.wrap_logger(None, processors=[merge_contextvars, keep]), lines


@BOTH_WAYS
async def test_audit_lines_carry_what_the_request_has_bound(in_place: bool) -> None:
    """Case 111: each line has the request id of its own request, whichever task handled it; none of ours is bound."""
    logger, lines = recording()
    clock = FixedClock()
    inside: list[dict[str, Any]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["n"] = 1
        inside.append(get_contextvars())
        await answer(send)

    middleware = SessionMiddleware(
        app,
        ring(),
        SessionConfig(audit=AuditConfig(level="debug")),
        clock=clock,
        logger=logger,
        in_place=in_place,
    )

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            bind_contextvars(request_id=scope["path"])
        await middleware(scope, receive, send)

    async def browser(path: str) -> None:
        client = AsgiClient(outer, clock=clock)
        await client.get(path)
        await client.get(path)

    async with AsgiClient(outer, clock=clock).lifespan(), anyio.create_task_group() as tasks:
        for path in ("/one", "/two"):
            tasks.start_soon(browser, path)
    told = sorted((line["event"], line["request_id"]) for line in lines if line["category"] == "session")
    assert told == [(event, path) for event in ("session.created", "session.loaded") for path in ("/one", "/two")]
    assert [line for line in lines if line["category"] != "session" and "request_id" in line] == []
    assert sorted(bound["request_id"] for bound in inside) == ["/one", "/one", "/two", "/two"]
    assert all(set(bound) == {"request_id"} for bound in inside)
    assert get_contextvars() == {}


async def test_send_can_be_told_to_be_asynchronous() -> None:
    """Case 107: asgiref (WSGI applications, Channels' synchronous consumers) warns of a send that is not marked so."""
    marked: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        AsyncToSync(send)  # a warning is an error here
        marked.append(iscoroutinefunction(send))
        await answer(send)

    await Stage(app).client.get("/")
    assert marked == [True]


async def test_messages_of_other_kinds_do_not_close_the_session() -> None:
    """Case 108: what is sent before the start, such as an early hint, leaves time to write."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        hint: ASGIMessage = {"type": "http.response.early_hint", "links": []}
        await send(hint)
        scope["session"]["n"] = 1
        await answer(send)

    stage = Stage(app)
    assert len((await stage.client.get("/")).set_cookies) == 1
    assert stage.reasons() == []
