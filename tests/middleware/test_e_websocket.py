"""Websockets: read at the handshake, written on accept, and never promised more (group E)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sessionkit.exceptions import SessionClosedError
from tests.middleware.hosting import BOTH_WAYS, Stage, counter

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionkit.asgi import ASGIApp, ASGIMessage, Receive, Scope, Send
    from sessionkit.session import Session


def site(socket: ASGIApp, **settings: Any) -> Stage:
    """Return a stage that counts visits over HTTP and gives websockets to an application."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (socket if scope["type"] == "websocket" else counter)(scope, receive, send)

    return Stage(app, **settings)


def socket_app(
    before: Callable[[Session], object] | None = None,
    after: Callable[[Session], object] | None = None,
    **accept: Any,
) -> ASGIApp:
    """Return an application that acts before it accepts, acts after, and serves until the browser leaves."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if before is not None:
            before(scope["session"])
        await send({"type": "websocket.accept", **accept})
        if after is not None:
            after(scope["session"])
        await send({"type": "websocket.send", "text": "ready"})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    return app


@BOTH_WAYS
async def test_session_is_there_before_the_socket_is_accepted(in_place: bool) -> None:
    """Case 64: what an HTTP request stored is readable during the handshake."""
    seen: list[object] = []
    stage = site(socket_app(lambda session: seen.append(session["n"])), in_place=in_place)
    async with stage.client.lifespan():
        await stage.count()
        async with stage.client.websocket("/ws") as socket:
            assert socket.accepted
    assert seen == [1]


@BOTH_WAYS
async def test_write_before_accept_travels_on_accept(in_place: bool) -> None:
    """Case 65: a write before accept is put into its headers, after those of the application, which stay."""
    stage = site(
        socket_app(lambda session: session.update(n=41), headers=[(b"x-own", b"1")], subprotocol="chat"),
        in_place=in_place,
    )
    async with stage.client.lifespan():
        async with stage.client.websocket("/ws", subprotocols=["chat"]) as socket:
            assert socket.headers[0] == (b"x-own", b"1")
            assert socket.subprotocol == "chat"
            assert [name for name, _ in socket.headers].count(b"set-cookie") == 1
        assert await stage.count() == "42"
    [created] = stage.log.named("session.created")
    assert created["scope_type"] == "websocket"


async def test_server_of_old_specification_is_given_the_cookie_all_the_same() -> None:
    """Case 66: whether accept headers are delivered cannot be known, so they are set, and never an error."""
    stage = site(socket_app(lambda session: session.update(n=1)))
    stage.client.spec_version = "2.0"
    async with stage.client.websocket("/ws") as socket:
        assert socket.accepted
    assert await stage.count() == "2"


async def test_server_known_to_drop_accept_headers_has_a_setting() -> None:
    """Case 66: with websocket_persistence "off" nothing is put on accept, and a write is told as lost."""
    stage = site(socket_app(lambda session: session.update(n=9)), websocket_persistence="off")
    assert await stage.count() == "1"
    async with stage.client.websocket("/ws") as socket:
        assert socket.headers == []
    assert stage.reasons() == ["websocket"]
    assert await stage.count() == "2"


async def test_reading_with_persistence_off_loses_nothing() -> None:
    """Case 66: a socket that only reads is passed on as it is, and nothing is told."""
    stage = site(socket_app(lambda session: session.get("n")), websocket_persistence="off")
    await stage.count()
    async with stage.client.websocket("/ws") as socket:
        assert socket.headers == []
    assert stage.reasons() == []


async def test_write_after_accept_is_told_once_at_the_end() -> None:
    """Case 67: writes after accept cannot be kept; however many there are, one line says so when the socket ends."""

    def write(session: Session) -> None:
        session["a"] = 1
        session["b"] = 2

    stage = site(socket_app(after=write))
    async with stage.client.websocket("/ws") as socket:
        await socket.receive_text()
        assert stage.reasons() == []
    assert stage.reasons() == ["websocket_open"]


async def test_nested_write_after_accept_is_told() -> None:
    """Case 67: also one that no accessor of the session sees."""
    stage = site(socket_app(lambda session: session.update(cart=[]), lambda session: session["cart"].append(1)))
    async with stage.client.websocket("/ws"):
        pass
    assert stage.reasons() == ["websocket_open"]


async def test_write_after_accept_raises_where_that_is_asked_for() -> None:
    """Case 67: strict mode raises at the write itself, and the value does not change."""
    raised: list[str] = []

    def write(session: Session) -> None:
        with pytest.raises(SessionClosedError) as caught:
            session["late"] = 1
        raised.append(caught.value.reason)
        assert "late" not in session

    stage = site(socket_app(after=write), strict=True)
    async with stage.client.websocket("/ws"):
        pass
    assert raised == ["websocket_open"]
    assert stage.reasons() == []


async def test_denial_response_carries_cookies() -> None:
    """Case 68: a handshake answered with an HTTP response is written like one."""

    async def deny(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        scope["session"]["n"] = 6
        await send({"type": "websocket.http.response.start", "status": 403, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"no"})

    stage = site(deny)
    async with stage.client.websocket("/ws") as socket:
        assert socket.denial is not None
        assert socket.denial.status == 403
        assert len(socket.denial.set_cookies) == 1
    assert await stage.count() == "7"


@pytest.mark.parametrize(("write", "told"), [(True, ["handshake_refused"]), (False, [])])
async def test_close_before_accept_can_carry_nothing(write: bool, told: list[str]) -> None:
    """Case 69: servers answer such a close with a bare 403, so a write is lost, and said to be; a read is not."""

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        scope["session"].get("n")
        if write:
            scope["session"]["n"] = 2
        await send({"type": "websocket.close", "code": 4000})

    stage = site(refuse)
    async with stage.client.websocket("/ws") as socket:
        assert not socket.accepted
        assert socket.close_code == 4000
    assert stage.reasons() == told


async def test_socket_that_ends_without_a_word_loses_its_write() -> None:
    """Case 69: an application that returns without accepting or refusing has lost its write too."""

    async def mute(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["n"] = 2

    stage = site(mute)
    await stage.middleware({"type": "websocket", "headers": []}, _no_message, _drop)
    assert stage.reasons() == ["no_response"]


async def test_open_socket_can_ask_whether_its_session_has_ended() -> None:
    """Case 70: the session tells when it is over; the socket stays the application's to close."""
    expired: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] == "websocket.receive":
            expired.append(scope["session"].expired())
            await send({"type": "websocket.send", "text": "ok"})

    stage = site(app, max_age=100)
    await stage.count()
    async with stage.client.websocket("/ws") as socket:
        for _ in range(2):
            await socket.send_text("still there?")
            await socket.receive_text()
            stage.clock.advance(100)
    assert expired == [False, True]
    assert stage.reasons() == []


async def test_open_socket_keeps_its_snapshot() -> None:
    """Case 71: what requests store meanwhile is not seen by an open socket, and does not make it lose a write."""
    seen: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] == "websocket.receive":
            seen.append(scope["session"]["n"])
            await send({"type": "websocket.send", "text": "ok"})

    stage = site(app)
    await stage.count()
    async with stage.client.websocket("/ws") as socket:
        assert await stage.count() == "2"
        await socket.send_text("look")
        await socket.receive_text()
    assert seen == [1]
    assert stage.reasons() == []
    assert await stage.count() == "3"


async def test_frames_are_passed_through_untouched() -> None:
    """Case 72: frames go in and out as the very objects they were."""
    sent: list[ASGIMessage] = []
    frame: ASGIMessage = {"type": "websocket.send", "bytes": b"\x00\xff"}
    incoming: ASGIMessage = {"type": "websocket.receive", "bytes": b"\x01"}
    received: list[ASGIMessage] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        received.append(await receive())
        await send({"type": "websocket.accept"})
        await send(frame)
        await send({"type": "websocket.close"})

    async def receive() -> ASGIMessage:
        return incoming

    async def send(message: ASGIMessage) -> None:
        sent.append(message)

    await site(app).middleware({"type": "websocket", "headers": []}, receive, send)
    assert received[0] is incoming
    assert sent[1] is frame
    assert sent[2] == {"type": "websocket.close"}


async def test_accept_without_headers_works() -> None:
    """Case 73: an accept that has only a subprotocol gets headers of its own when there is a cookie to set."""
    stage = site(socket_app(lambda session: session.update(n=1), subprotocol="chat"))
    async with stage.client.websocket("/ws", subprotocols=["chat"]) as socket:
        assert socket.subprotocol == "chat"
        assert [name for name, _ in socket.headers] == [b"cache-control", b"set-cookie", b"vary"]
    untouched = site(socket_app(subprotocol="chat"))
    async with untouched.client.websocket("/ws") as socket:
        assert socket.messages[0] == {"type": "websocket.accept", "subprotocol": "chat"}


@BOTH_WAYS
async def test_handshake_is_put_off_while_the_actor_cannot_answer(in_place: bool) -> None:
    """A session that cannot be read now is never an empty one: the handshake ends with 1013, the cookie stays."""
    stage = site(socket_app(), in_place=in_place)
    async with stage.client.lifespan():
        await stage.count()
        kept = stage.cookies
        await stage.actor.kill_for_good()
        async with stage.client.websocket("/ws") as socket:
            assert not socket.accepted
            assert socket.close_code == 1013
    assert stage.cookies == kept
    async with stage.client.lifespan():
        assert await stage.count() == "2"


async def test_error_before_accept_is_the_applications_own() -> None:
    """What a socket raises comes out as it is, and its write is told as lost."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["n"] = 1
        raise LookupError("mine")

    stage = site(app)
    with pytest.raises(LookupError, match="mine"):
        await stage.middleware({"type": "websocket", "headers": []}, _no_message, _drop)
    assert stage.reasons() == ["exception"]


async def _no_message() -> ASGIMessage:
    return {"type": "websocket.connect"}


async def _drop(message: ASGIMessage) -> None:
    return


async def test_plain_denial_of_an_untouched_session_is_passed_on() -> None:
    """Case 68: without a write the denial leaves as it was sent."""

    async def deny(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await answer_denial(send)

    async def answer_denial(send: Send) -> None:
        await send({"type": "websocket.http.response.start", "status": 404, "headers": [(b"x", b"y")]})
        await send({"type": "websocket.http.response.body", "body": b""})

    stage = site(deny)
    async with stage.client.websocket("/ws") as socket:
        assert socket.denial is not None
        assert socket.denial.headers == [(b"x", b"y")]


async def test_a_close_behind_an_accept_refuses_nothing() -> None:
    """Both are asked for before either is sent: the first decides, its cookie goes out, and nothing is told as lost."""

    async def socket(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["n"] = 1
        accept, close = send({"type": "websocket.accept"}), send({"type": "websocket.close"})
        await accept
        await close

    stage = site(socket)
    async with stage.client.websocket("/ws") as opened:
        assert opened.accepted
    assert stage.reasons() == []
    assert await stage.count() == "2"
