"""The lifespan hosts the actor; without one the same behaviour serves inline (group M)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio import to_thread

from sessionkit.keyring.key import KeyState
from sessionkit.testing import AsgiClient, LifespanFailed
from tests.middleware.apps import answer, key, ring
from tests.middleware.hosting import BOTH_WAYS, Stage, counter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sessionkit.asgi import ASGIApp, ASGIMessage, Receive, Scope, Send

ROOT = Path(__file__).parents[2]

STARTUP: ASGIMessage = {"type": "lifespan.startup"}
SHUTDOWN: ASGIMessage = {"type": "lifespan.shutdown"}
STARTED: ASGIMessage = {"type": "lifespan.startup.complete"}
STOPPED: ASGIMessage = {"type": "lifespan.shutdown.complete"}


def with_lifespan(lifespan: ASGIApp) -> ASGIApp:
    """Return the counter with a lifespan."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (lifespan if scope["type"] == "lifespan" else counter)(scope, receive, send)

    return app


async def live(stage: Stage, messages: Sequence[ASGIMessage] = (STARTUP, SHUTDOWN)) -> list[ASGIMessage]:
    """Run a lifespan as a server would, and return what it was answered."""
    waiting, sent = list(messages), []

    async def receive() -> ASGIMessage:
        return waiting.pop(0)

    async def send(message: ASGIMessage) -> None:
        sent.append(message)

    await stage.middleware({"type": "lifespan", "state": {}}, receive, send)
    return sent


@pytest.mark.parametrize("speaks", [True, False])
async def test_shutdown_is_complete_when_the_actor_has_stopped(speaks: bool) -> None:
    """Case 118: servers wait for nothing after ``lifespan.shutdown.complete``, so nothing is left to do then."""

    async def lifespan(_: Scope, receive: Receive, send: Send) -> None:
        for expected, answered in ((STARTUP, STARTED), (SHUTDOWN, STOPPED)):
            assert await receive() == expected
            await send(answered)

    stage = Stage(with_lifespan(lifespan) if speaks else counter)
    waiting = [STARTUP, SHUTDOWN]
    told: list[list[str]] = []

    async def receive() -> ASGIMessage:
        return waiting.pop(0)

    async def send(_: ASGIMessage) -> None:
        told.append([line["event"] for line in stage.log.lines])

    await stage.middleware({"type": "lifespan", "state": {}}, receive, send)
    at_startup, at_shutdown = told
    assert "actor.started" in at_startup
    assert "actor.stopped" not in at_startup
    assert "actor.stopped" in at_shutdown
    assert stage.log.lines[len(at_shutdown) :] == []


async def test_first_request_without_a_lifespan_works() -> None:
    """Case 128: no server has ever said startup; the session works, and that it is served inline is said once."""
    stage = Stage()
    assert [await stage.count() for _ in range(3)] == ["1", "2", "3"]
    assert stage.reasons("actor.inline") == ["no_lifespan"]
    assert stage.log.named("actor.started") == []
    assert len(stage.log.named("keyring.loaded")) == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_every_request_on_a_loop_of_its_own(backend: str) -> None:
    """Case 129: inline service is bound to no loop."""
    stage = Stage()
    assert [anyio.run(stage.count, backend=backend) for _ in range(3)] == ["1", "2", "3"]


@pytest.mark.real_time
@BOTH_WAYS
async def test_another_loop_is_served_while_the_actor_runs(in_place: bool) -> None:
    """Case 129: a request on another thread's loop is answered there, and waits for no loop that cannot wake it."""
    stage = Stage(in_place=in_place)

    def visit() -> str:
        return anyio.run(stage.count)

    async with stage.client.lifespan():
        assert await stage.count() == "1"
        assert await to_thread.run_sync(visit) == "2"
        assert await stage.count() == "3"
        assert stage.service.stats()["inline"] == 2


@BOTH_WAYS
async def test_lifespan_of_the_application_runs_inside_ours(in_place: bool) -> None:
    """Case 130: each message reaches the application once; the actor is up before it starts, down after it ends."""
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for stage_ in ("startup", "shutdown"):
            message = await receive()
            seen.extend((message["type"], stage.service.stats()["state"]))
            scope["state"]["mark"] = stage_
            await send({"type": f"lifespan.{stage_}.complete"})

    stage = Stage(with_lifespan(app), in_place=in_place)
    async with stage.client.lifespan() as state:
        assert state == {"mark": "startup"}
        assert stage.service.hosted
        assert await stage.count() == "1"
    assert seen == ["lifespan.startup", "running", "lifespan.shutdown", "running"]
    assert stage.service.stats()["state"] == "stopped"
    told = [line["event"] for line in stage.log.lines if line["category"] != "session"]
    assert told == ["actor.started", "keyring.loaded", "actor.stopped", "keyring.key_usage"]


async def test_host_can_be_entered_again() -> None:
    """Case 130: a server that restarts in one process has the actor started anew; the ring is announced once."""
    stage = Stage()
    for counted in ("1", "2"):
        async with stage.client.lifespan():
            assert await stage.count() == counted
    assert len(stage.log.named("actor.started")) == len(stage.log.named("actor.stopped")) == 2
    assert len(stage.log.named("keyring.loaded")) == 1


async def test_application_that_speaks_no_lifespan_is_spoken_for() -> None:
    """Case 131: it raises before it asks for a message, as Django does: ours runs all the same, in its name."""
    states: list[str] = []

    async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
        states.append(stage.service.stats()["state"])
        raise ValueError("no lifespan here")

    stage = Stage(with_lifespan(refuses))
    assert await live(stage) == [STARTED, STOPPED]
    assert states == ["running"]
    async with stage.client.lifespan():
        assert await stage.count() == "1"


async def test_application_that_takes_a_lifespan_for_a_request_is_spoken_for() -> None:
    """Case 131: what it answers is kept from the server, which would take it for a broken protocol."""

    async def naive(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send)

    assert await live(Stage(with_lifespan(naive))) == [STARTED, STOPPED]


async def _ignores(scope: Scope, receive: Receive, send: Send) -> None:
    return


async def _takes_the_start(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()


async def _starts(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send(STARTED)


async def _takes_both(scope: Scope, receive: Receive, send: Send) -> None:
    await _starts(scope, receive, send)
    await receive()


@pytest.mark.parametrize("app", [_ignores, _takes_the_start, _starts, _takes_both])
async def test_what_an_application_leaves_unsaid_is_said_for_it(app: ASGIApp) -> None:
    """Case 131: one that returns early, at whatever point, keeps nobody waiting."""
    assert await live(Stage(with_lifespan(app))) == [STARTED, STOPPED]


async def test_application_that_fails_after_it_was_asked_has_failed() -> None:
    """Case 131: an error after the first receive is a failed start: it reaches the server, in no group."""
    error = RuntimeError("no database")

    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise error

    stage = Stage(with_lifespan(fails))
    with pytest.raises(RuntimeError) as caught:
        await live(stage)
    assert caught.value is error
    assert not stage.service.hosted
    assert len(stage.log.named("actor.stopped")) == 1


async def test_group_of_errors_stays_the_applications_own() -> None:
    """Case 131: a group that the application raises itself is not unwrapped, and not wrapped again."""
    group = ExceptionGroup("both", [RuntimeError("one"), RuntimeError("two")])

    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise group

    with pytest.raises(ExceptionGroup) as caught:
        await live(Stage(with_lifespan(fails)))
    assert caught.value is group
    assert len(caught.value.exceptions) == 2


async def test_failed_start_is_passed_on() -> None:
    """Case 132: startup.failed goes to the server as it is, and our actor is shut down."""

    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    stage = Stage(with_lifespan(fails))
    assert await live(stage) == [{"type": "lifespan.startup.failed", "message": "no database"}]
    assert not stage.service.hosted
    with pytest.raises(LifespanFailed, match="no database"):
        async with stage.client.lifespan():
            pass


@pytest.mark.parametrize("kind", ["mcp", "lifespan2"])
async def test_unknown_scopes_are_passed_through(kind: str) -> None:
    """Case 133: a type of scope that did not exist when this was written reaches the application untouched."""
    seen: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend((scope, receive, send))

    async def receive() -> ASGIMessage:
        raise AssertionError

    async def send(message: ASGIMessage) -> None:
        raise AssertionError

    scope: dict[str, Any] = {"type": kind}
    await Stage(app).middleware(scope, receive, send)
    assert seen[0] is scope
    assert seen[1:] == [receive, send]
    assert scope == {"type": kind}


def test_fork_after_import_gives_each_process_its_own() -> None:
    """Case 134: a middleware made before a fork serves in every child, under an instance name of each child's own."""
    script = """
import json, os
import anyio
from tests.middleware.hosting import Stage

stage = Stage()

async def serve():
    async with stage.client.lifespan():
        return await stage.count(), stage.client.jar.header("https://testserver/", stage.clock())[0].decode()

pipe = os.pipe()
child = os.fork()
counted, cookie = anyio.run(serve)
line = json.dumps([counted, cookie, stage.service.log.instance])
if not child:
    os.write(pipe[1], line.encode())
    os._exit(0)
os.waitpid(child, 0)
print(line)
print(os.read(pipe[0], 65536).decode())
"""
    # Not measured: coverage's tracer does not survive the fork of a process that it was started in by the environment.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    parent, child = (json.loads(line) for line in done.stdout.splitlines())
    assert parent[0] == child[0] == "1"
    assert parent[1] != child[1]
    assert parent[2] != child[2]


@BOTH_WAYS
async def test_worker_that_lags_behind_reads_what_the_first_one_writes(in_place: bool) -> None:
    """Case 135: staged first, a key opens everywhere before it seals anywhere; nothing is lost between two workers."""
    lagging = Stage(keyring=ring(key(1, created=1.0), key(2, KeyState.STAGED, created=2.0)), in_place=in_place)
    ahead = Stage(
        keyring=ring(key(1, KeyState.RETIRED, created=1.0, retired=3.0), key(2, created=2.0, activates=3.0)),
        in_place=in_place,
    )
    lagging.client.jar = ahead.client.jar
    async with lagging.client.lifespan(), ahead.client.lifespan():
        assert await lagging.count() == "1"
        assert await ahead.count() == "2"
        assert await lagging.count() == "3"
        assert await ahead.count() == "4"


async def test_worker_without_the_key_leaves_the_cookie_alone() -> None:
    """Case 135: published without staging, the new key's sessions are empty elsewhere for a while, never cleared."""
    ahead, lagging = Stage(keyring=ring(key(2))), Stage()
    lagging.client.jar = ahead.client.jar
    await ahead.count()
    assert await lagging.count("/read") == "None"
    assert await ahead.count() == "2"


@BOTH_WAYS
async def test_crash_of_the_actor_is_survived(in_place: bool) -> None:
    """Case 136: the loop is started again, who waits is answered, and it is said."""
    stage = Stage(in_place=in_place)
    async with stage.client.lifespan():
        assert await stage.count() == "1"
        stage.actor.kill()
        assert await stage.count() == "2"
        await anyio.wait_all_tasks_blocked()
        assert await stage.count() == "3"
        assert stage.service.stats()["restarts"] == 1
    [restarted] = stage.log.named("actor.restarted")
    assert restarted["error_type"] == "OSError"


async def test_cancelled_host_tells_what_its_keys_did() -> None:
    """Case 118: a server that gives up on a lifespan cancels it; the actor drains, and the last tally is not lost."""
    stage = Stage()
    with anyio.CancelScope() as scope:

        async def receive() -> ASGIMessage:
            if not stage.service.stats()["handled"]:
                await AsgiClient(stage.middleware, clock=stage.clock).get("/")
                return STARTUP
            scope.cancel()
            await anyio.sleep_forever()
            raise AssertionError

        async def send(message: ASGIMessage) -> None:
            assert message == STARTED

        await stage.middleware({"type": "lifespan"}, receive, send)
    assert scope.cancelled_caught
    [usage] = stage.log.named("keyring.key_usage")
    assert usage["sealed"] == 1
    assert len(stage.log.named("actor.stopped")) == 1
