"""Disconnects, cancellation and shutdown (group K)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.middleware.apps import answer
from tests.middleware.hosting import BOTH_WAYS, Stage, counter

if TYPE_CHECKING:
    from sessionkit.asgi import ASGIMessage, Receive, Scope, Send


@BOTH_WAYS
async def test_request_abandoned_while_its_session_loads_leaves_nothing_behind(in_place: bool) -> None:
    """Case 112: a request cancelled before its start seals nothing, and its place in the mailbox is passed over."""
    stage = Stage(in_place=in_place)
    async with stage.client.lifespan():
        await stage.count()
        kept = stage.cookies
        await stage.actor.hold()
        with anyio.move_on_after(1) as patience:
            await stage.client.get("/")
        assert patience.cancelled_caught
        stage.actor.release()
        assert await stage.count("/read") == "1"
        assert stage.service.stats()["skipped"] == 1
    assert stage.cookies == kept
    assert len(stage.log.named("session.loaded")) == 1


async def test_disconnect_before_the_start_is_the_applications_to_notice() -> None:
    """Case 112: an application that ends without a response has nothing sealed; what it wrote is told as lost."""

    async def gives_up(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["n"] = 1

    stage = Stage(gives_up)
    with pytest.raises(RuntimeError, match="without a response"):
        await stage.client.get("/")
    assert stage.cookies == {}
    assert stage.reasons() == ["no_response"]


@BOTH_WAYS
async def test_cancellation_while_the_session_is_saved_goes_through(in_place: bool) -> None:
    """Case 113: a request cancelled while it waits for its save is gone at once; the actor serves the next."""

    async def holds(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/hold":
            await stage.actor.hold()
        await counter(scope, receive, send)

    stage = Stage(holds, in_place=in_place)
    async with stage.client.lifespan():
        await stage.count()
        kept = stage.cookies
        with anyio.move_on_after(1) as patience:
            await stage.client.get("/hold")
        assert patience.cancelled_caught
        assert stage.client.messages == []
        assert stage.cookies == kept
        stage.actor.release()
        assert await stage.count() == "2"
        assert stage.service.stats()["state"] == "running"
    assert stage.log.named("session.save_failed") == []


@BOTH_WAYS
@pytest.mark.parametrize("fails_on", ["http.response.start", "http.response.body"])
async def test_error_of_the_servers_send_is_passed_on(in_place: bool, fails_on: str) -> None:
    """Case 114: the error comes out unchanged; what was not handed over is not told as saved."""

    async def gone(message: ASGIMessage) -> None:
        if message["type"] == fails_on:
            raise error

    error = OSError("gone")
    stage = Stage(in_place=in_place)
    async with stage.client.lifespan():
        with pytest.raises(OSError, match="gone") as caught:
            await stage.client.get("/", on_send=gone)
        assert caught.value is error
    assert len(stage.log.named("session.created")) == (fails_on == "http.response.body")


@BOTH_WAYS
async def test_saved_means_handed_to_the_server(in_place: bool) -> None:
    """Case 115: the event comes once the server has taken the message, whatever becomes of it on the wire."""
    told: list[list[Any]] = []

    async def look(message: ASGIMessage) -> None:
        told.append(stage.log.named("session.created"))

    stage = Stage(in_place=in_place)
    async with stage.client.lifespan():
        await stage.client.get("/", on_send=look)
    assert [len(lines) for lines in told] == [0, 1]


@BOTH_WAYS
async def test_cancellation_between_seal_and_send_claims_nothing(in_place: bool) -> None:
    """Case 116: sealed and never taken by the server, a session counts as not stored."""

    async def stuck(message: ASGIMessage) -> None:
        await anyio.sleep_forever()

    stage = Stage(in_place=in_place)
    async with stage.client.lifespan():
        with anyio.move_on_after(1):
            await stage.client.get("/", on_send=stuck)
        assert stage.cookies == {}
        assert await stage.count() == "1"
    assert len(stage.log.named("session.created")) == 1


@BOTH_WAYS
async def test_many_cancelled_callers_do_not_hurt_the_actor(in_place: bool) -> None:
    """Case 117: the loop outlives all of its callers; those that waited on are answered."""
    stage = Stage(in_place=in_place)
    answers: list[str] = []

    async def patient() -> None:
        answers.append(await stage.count("/read"))

    async with stage.client.lifespan():
        await stage.count()
        await stage.actor.hold()
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(patient)
            async with anyio.create_task_group() as impatient:
                for _ in range(50):
                    impatient.start_soon(stage.client.get, "/")
                await anyio.wait_all_tasks_blocked()
                impatient.cancel_scope.cancel()
            stage.actor.release()
        stats = stage.service.stats()
        assert (stats["state"], stats["restarts"], stats["skipped"]) == ("running", 0, 50)
    assert answers == ["1"] * 5


@BOTH_WAYS
async def test_shutdown_answers_requests_in_flight(in_place: bool) -> None:
    """Case 118: stopping while requests wait for their sessions answers every one, and loses none."""
    stage = Stage(in_place=in_place)
    answers: list[str] = []

    async def visit() -> None:
        answers.append(await stage.count("/read"))

    async with anyio.create_task_group() as tasks, stage.client.lifespan():
        await stage.count()
        await stage.actor.hold()
        for _ in range(20):
            tasks.start_soon(visit)
        await anyio.wait_all_tasks_blocked()
        assert answers == []
    assert answers == ["1"] * 20
    [stopped] = stage.log.named("actor.stopped")
    assert stopped["unanswered"] == 0


@BOTH_WAYS
async def test_request_that_outlives_the_lifespan_is_saved(in_place: bool) -> None:
    """Case 118: a response that starts when the actor has stopped is saved inline, and that is said."""
    leave = anyio.Event()

    async def lingers(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["n"] = 1
        await leave.wait()
        await answer(send)

    stage = Stage(lingers, in_place=in_place)
    async with anyio.create_task_group() as tasks:
        async with stage.client.lifespan():
            tasks.start_soon(stage.client.get, "/")
            await anyio.wait_all_tasks_blocked()
        leave.set()
    assert sorted(stage.cookies) == ["session"]
    assert stage.reasons("actor.inline") == ["stopped"]
