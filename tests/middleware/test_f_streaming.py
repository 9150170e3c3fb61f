"""Group F: streams, informational responses and messages of extensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sessionkit.exceptions import SessionClosedError
from tests.middleware.apps import Site, answer

if TYPE_CHECKING:
    from sessionkit.asgi import ASGIApp, ASGIMessage, Receive, Scope, Send

START: ASGIMessage = {"type": "http.response.start", "status": 200, "headers": []}
END: ASGIMessage = {"type": "http.response.body", "body": b""}


def _late(act: Any) -> ASGIApp:
    """Return an application that does something with its scope between the start of its response and the end."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(dict(START))
        act(scope)
        await send(dict(END))

    return app


async def test_cookies_are_decided_at_the_start() -> None:
    """Case 74: cookies leave with the start of the response, and each part of the body as the application sent it."""
    site = Site()
    parts: list[ASGIMessage] = [
        {"type": "http.response.body", "body": bytes(1_000), "more_body": True},
        {"type": "http.response.body", "body": memoryview(b"x"), "more_body": True},
        {"type": "http.response.body"},
    ]
    sent: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["user"] = "ann"
        await send(dict(START))
        for part in parts:
            sent.append(len(site.client.messages))
            await send(part)

    site.middleware.app = app
    connection = {"type": "http", "method": "GET", "path": "/", "headers": []}
    arrived: list[ASGIMessage] = []

    async def receive() -> ASGIMessage:
        raise AssertionError  # the middleware has no business with the request's body

    async def send(message: ASGIMessage) -> None:
        await anyio.lowlevel.checkpoint()
        arrived.append(message)

    await site.middleware(connection, receive, send)

    assert [name for name, _ in arrived[0]["headers"]].count(b"set-cookie") == 1
    assert all(came is went for came, went in zip(arrived[1:], parts, strict=True))


async def test_a_write_after_the_start() -> None:
    """Case 75: a write after the response started is lost and said once, without an error."""
    site = Site()

    def act(scope: Scope) -> None:
        scope["session"]["user"] = "ann"
        scope["session"]["cart"] = [1]

    assert (await site.run(_late(act))).set_cookies == []
    assert [line["reason"] for line in site.log.named("session.write_lost")] == ["response_started"]


async def test_a_nested_write_after_the_start() -> None:
    """Case 75: also one inside a value, which no method of the session sees."""
    site = Site()
    await site.write(cart=[1])

    await site.run(_late(lambda scope: scope["session"]["cart"].append(2)))

    assert [line["reason"] for line in site.log.named("session.write_lost")] == ["response_started"]
    assert site.log.named("session.write_lost")[0]["session_ref"]


@pytest.mark.parametrize("value", [{"user": "bob"}, None])
async def test_a_replacement_after_the_start(value: object) -> None:
    """Case 75: also a session that was put in the other's place."""
    site = Site()
    await site.write(user="ann")

    await site.run(_late(lambda scope: scope.update(session=value)))

    assert [line["reason"] for line in site.log.named("session.write_lost")] == ["response_started"]
    assert await site.read() == {"user": "ann"}


async def test_a_late_write_is_not_confused_with_somebody_elses_session() -> None:
    """Case 75: a session that another middleware put into the scope before ours is not taken for a replacement."""
    site = Site()
    outer = {"theirs": 1}

    await site.run(_late(lambda scope: scope["session"].get("user")), scope={"session": outer})

    assert site.log.named("session.write_lost") == []


async def test_a_strict_session_refuses_late_writes() -> None:
    """Case 75: with ``strict`` the write itself raises."""
    site = Site(strict=True)

    with pytest.raises(SessionClosedError, match="response_started"):
        await site.run(_late(lambda scope: scope["session"].update(user="ann")))


@pytest.mark.parametrize("strict", [False, True])
async def test_a_read_after_the_start(strict: bool) -> None:
    """Case 76: reading goes on, whatever the mode, and is no lost write."""
    site = Site(strict=strict)
    await site.write(user="ann")
    seen: list[object] = []

    await site.run(_late(lambda scope: seen.append(scope["session"]["user"])))

    assert seen == ["ann"]
    assert site.log.named("session.write_lost") == []


@pytest.mark.parametrize(
    "kind",
    [
        "http.response.early_hint",
        "http.response.push",
        "http.response.debug",
        "http.response.trailers",
        "http.response.zerocopysend",
        "http.response.pathsend",
        "http.response.yet.unknown",
    ],
)
@pytest.mark.parametrize("before", [True, False])
async def test_messages_of_extensions(kind: str, before: bool) -> None:
    """Case 77: any other message passes untouched, is no start of a response, and carries no cookie."""
    site = Site()
    extra: ASGIMessage = {"type": kind, "links": [], "headers": [(b"a", b"b")]}
    copied = {**extra, "headers": list(extra["headers"])}
    arrived: list[ASGIMessage] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if before:
            await send(extra)
        scope["session"]["user"] = "ann"
        await send(dict(START))
        if not before:
            await send(extra)
        await send(dict(END))

    async def see(message: ASGIMessage) -> None:
        arrived.append(message)

    response = await site.run(app, on_send=see)

    assert any(message is extra for message in arrived)
    assert extra == copied
    assert len(response.set_cookies) == 1


async def test_informational_responses() -> None:
    """Case 78: cookies wait for the final response, and so does the session's state."""
    site = Site()
    arrived: list[ASGIMessage] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["user"] = "ann"
        for status in (100, 103, 199):
            await send({"type": "http.response.start", "status": status, "headers": []})
        scope["session"]["user"] = "bob"
        await answer(send)

    async def see(message: ASGIMessage) -> None:
        arrived.append(message)

    await site.run(app, on_send=see)

    assert [message["headers"] for message in arrived[:3]] == [[], [], []]
    assert await site.read() == {"user": "bob"}


async def test_a_second_start() -> None:
    """Case 79: a second start passes as it is; nothing is sealed twice."""
    site = Site()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["user"] = "ann"
        await send(dict(START))
        await send({"type": "http.response.start", "status": 500, "headers": [(b"a", b"b")]})
        await send(dict(END))

    await site.run(app)

    starts = [message for message in site.client.messages if message["type"] == "http.response.start"]
    assert [len(message["headers"]) for message in starts] == [3, 1]
    assert site.log.names() == ["session.created"]


async def test_a_stream_holds_nothing() -> None:
    """Case 80: while one response is open for hours, others load and save sessions under the same actor."""
    site = Site()
    opened, close = anyio.Event(), anyio.Event()

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["user"] = "ann"
        await send(dict(START))
        opened.set()
        await close.wait()
        await send(dict(END))

    async with site.client.lifespan():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(site.run, stream)
            await opened.wait()
            for count in range(20):
                await site.write(count=count)
            assert site.middleware.service.stats()["depth"] == 0
            close.set()
        assert await site.read() == {"user": "ann", "count": 19}


async def test_streams_from_another_task() -> None:
    """Case 109: the response may come from another task than the one that called us."""
    site = Site()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def respond() -> None:
            scope["session"]["user"] = "ann"
            await answer(send)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(respond)

    await site.run(app)

    assert await site.read() == {"user": "ann"}


@pytest.mark.parametrize(
    ("scope_type", "message"),
    [
        ("http", {"type": "http.response.start", "status": 200, "headers": []}),
        ("websocket", {"type": "websocket.accept", "headers": []}),
    ],
)
async def test_what_two_tasks_begin_is_decided_once(scope_type: str, message: dict[str, Any]) -> None:
    """Case 109: both call ``send`` before either is waited for: the first has the cookie, the other is passed on."""
    site = Site()
    sent: list[ASGIMessage] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["user"] = "ann"
        first, second = send(dict(message)), send(dict(message))
        await first
        await second

    async def receive() -> ASGIMessage:
        raise NotImplementedError  # nobody asks

    async def keep(message: ASGIMessage) -> None:
        sent.append(message)

    scope = {"type": scope_type, "scheme": "https", "path": "/", "headers": []}
    await site.middleware.around(app)(scope, receive, keep)

    cookies = [[value for name, value in message["headers"] if name == b"set-cookie"] for message in sent]
    assert [len(values) for values in cookies] == [1, 0]
