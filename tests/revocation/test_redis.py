"""The list in a real Redis: what it keeps, what it costs, and what happens when the server is killed under traffic."""

from __future__ import annotations

import asyncio
import gc
import re
import sys
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sessionkit.exceptions import ConfigurationError
from sessionkit.revocation import RevocationConfig, Standing
from sessionkit.revocation import gate as module
from sessionkit.revocation.outage import FAILURES, PAUSE
from sessionkit.revocation.redis import RedisRevocationList
from sessionkit.testing import AsgiClient, FixedClock
from tests.middleware.apps import Site, page
from tests.middleware.hosting import Stage, counter, until
from tests.revocation.redis_server import PASSWORD, RedisServer
from tests.revocation.test_logout import log_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.real_time

KEY = b"k" * 32
PATIENT = 10.0
"""Seconds to wait for a server on a machine that has much else to do."""

on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
"""What the library runs on."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Return a server that no test takes away."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(shared: RedisServer) -> RedisServer:
    """Return it, empty."""
    shared.command("FLUSHALL")
    shared.command("CONFIG", "RESETSTAT")
    return shared


@pytest.fixture
def own(tmp_path: Any) -> Iterator[RedisServer]:
    """Return a server that the test may take away."""
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
async def revocations(server: RedisServer) -> AsyncIterator[RedisRevocationList]:
    """Return a list in the server."""
    made = RedisRevocationList(server.url, timeout=PATIENT)
    yield made
    await made.aclose()


def commands(server: RedisServer) -> dict[str, int]:
    """Return how often each command was served."""
    told = server.command("INFO", "commandstats").decode()
    return {name: int(calls) for name, calls in re.findall(r"cmdstat_([^:]+):calls=(\d+)", told)}


def settings(server: RedisServer, **more: Any) -> RevocationConfig:
    """Return settings for a server."""
    return RevocationConfig(**{"redis": server.url, "key": KEY, "subject_key": "user", "timeout": PATIENT, **more})


@on_asyncio
async def test_what_it_keeps(revocations: RedisRevocationList, server: RedisServer) -> None:
    """Marks and times under names of ours, each with an end; what was ended before is told, and what was not."""
    assert await revocations.look(b"id", b"who") == Standing()
    assert await revocations.look(b"id", b"who", terminate_for=60.0) == Standing()
    assert await revocations.look(b"id", None, terminate_for=60.0) == Standing(terminated=True)
    await revocations.revoke(b"who", 1000.123, keep_for=30.0)
    assert await revocations.look(b"id", b"who") == Standing(terminated=True, not_before=1000.123)
    assert await revocations.look(None, b"who") == Standing(not_before=1000.123)
    assert await revocations.look(b"other", b"else") == Standing()
    assert sorted(re.findall(rb"sessionkit:[^\r]+", server.command("KEYS", "*"))) == [
        b"sessionkit:s:d2hv",
        b"sessionkit:t:aWQ",
    ]
    for name, longest in (("t:aWQ", 60_000), ("s:d2hv", 30_000)):
        left = int(server.command("PTTL", f"sessionkit:{name}").strip(b":\r\n"))
        assert 0 < left <= longest


@on_asyncio
async def test_a_subjects_time_never_goes_back(revocations: RedisRevocationList) -> None:
    """Of two hosts that revoke, the later time holds, whichever came last."""
    for when, holds in ((1000.0, 1000.0), (999.0, 1000.0), (1_800_000_000.123, 1_800_000_000.123), (5.0, None)):
        await revocations.revoke(b"who", when, keep_for=30.0)
        assert (await revocations.look(None, b"who")).not_before == (holds or 1_800_000_000.123)


@on_asyncio
async def test_entries_end_by_themselves(revocations: RedisRevocationList, server: RedisServer) -> None:
    """The server forgets what no cookie can bring any more."""
    await revocations.look(b"id", None, terminate_for=0.0001)
    await until(lambda: server.command("EXISTS", "sessionkit:t:aWQ") == b":0\r\n")
    assert await revocations.look(b"id", None) == Standing()
    assert server.command("DBSIZE") == b":0\r\n"


@on_asyncio
async def test_a_request_is_one_round_trip(server: RedisServer) -> None:
    """One command for id and subject; a write or a logout another one, in one packet; nothing without a session."""
    here = Site(revocation=settings(server, cache=0))
    async with here.client.lifespan():
        await here.visit(log_in())
        await here.read()
        server.command("CONFIG", "RESETSTAT")
        await here.read()
        assert {name: count for name, count in commands(server).items() if name in {"mget", "multi", "set"}} == {
            "mget": 1
        }
        server.command("CONFIG", "RESETSTAT")
        await here.visit(lambda session: session.destroy())
        told = commands(server)
        assert {name: told[name] for name in ("mget", "multi", "set", "exec")} == {
            "mget": 2,
            "multi": 1,
            "set": 1,
            "exec": 1,
        }
        server.command("CONFIG", "RESETSTAT")
        await here.read()
        assert not {"mget", "multi", "get"} & commands(server).keys()


@on_asyncio
async def test_a_logout_in_one_process_ends_it_in_another(server: RedisServer) -> None:
    """Two middlewares with connections of their own share nothing but the server; by id, and by subject."""
    here = Site(revocation=settings(server))
    there = Site(site=here, revocation=settings(server))
    async with here.client.lifespan(), there.client.lifespan():
        for end in ("session", "subject"):
            await here.visit(log_in())
            copied = here.cookies()
            assert await there.read() == {"user": "ann"}
            here.clock.advance(0.5)
            if end == "session":
                await here.visit(lambda session: session.destroy())
            else:
                await here.middleware.revoke_subject("ann")
            here.put(*copied.items())
            assert await here.read() == {}
            assert await there.read() == {"user": "ann"}  # what the cache may cost
            here.clock.advance(0.5)
            assert await there.read() == {}


@on_asyncio
async def test_what_the_server_is_told(server: RedisServer) -> None:
    """Neither ids nor subjects are anywhere in it."""
    here = Site(revocation=settings(server))
    async with here.client.lifespan():
        ids: list[str] = []
        await here.visit(log_in("ann@example.org"))
        await here.visit(lambda session: ids.append(session.id))
        await here.middleware.revoke_subject("ann@example.org")
        await here.visit(lambda session: session.destroy())
    held = server.command("KEYS", "*")
    assert held.startswith(b"*2\r\n")
    assert b"ann" not in held
    assert not any(name.encode() in held for name in ids)


# --- when it is not there ---------------------------------------------------------------------------------------------


def later(clock: FixedClock) -> bool:
    """Let a second pass after which a request may look again."""
    clock.advance(PAUSE)
    return True


class Traffic:
    """Browsers that click on one site, each with a copy of one session, until they are told to stop.

    Attributes:
        phase: what the server is doing; noted with every status.
        statuses: of all responses to requests that lie within one phase.
    """

    def __init__(self, site: Site) -> None:
        self.phase = "before"
        self.statuses: list[tuple[str, int]] = []
        self._site = site
        self._stop = False

    async def click(self) -> None:
        """Be one browser: refused or not, it keeps its cookie."""
        client = AsgiClient(self._site.middleware, jar=self._site.jar.copy(), clock=self._site.clock)
        while not self._stop:
            begun = self.phase
            response = await client.get("/")
            if begun == self.phase:
                self.statuses.append((begun, response.status))
            assert response.set_cookies == []
            if response.status == 503:
                assert response.values(b"retry-after") == [b"1"]
            await anyio.sleep(0.001)
        assert len(client.jar) == 1

    async def served(self, status: int, count: int) -> None:
        """Wait until so many responses of a status were given in this phase."""
        await until(lambda: self.statuses.count((self.phase, status)) >= count)

    def of(self, phase: str) -> set[int]:
        """Return the statuses of a phase."""
        return {status for when, status in self.statuses if when == phase}

    def stop(self) -> None:
        """Let the browsers go."""
        self._stop = True


@on_asyncio
@pytest.mark.parametrize(("policy", "status"), [("closed", 503), ("open", 200)])
async def test_the_server_is_killed_and_started_again_under_traffic(own: RedisServer, policy: str, status: int) -> None:
    """Requests go on all the time, by the policy; the log tells when it was away; no session and no logout is lost.

    Browsers keep clicking while the server is killed, stays away, and comes back with what it had written down.
    """
    here = Site(revocation=settings(own, policy=policy, cache=0))
    traffic = Traffic(here)
    seen: set[str | None] = set()
    async with here.client.lifespan():
        await here.visit(log_in("bob"))
        ended = here.cookies()
        await here.visit(lambda session: session.destroy())
        await here.visit(log_in())
        here._current = page(lambda scope: seen.add(scope["session"].get("user")))
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(traffic.click)
            await traffic.served(200, 40)
            own.kill()
            traffic.phase = "away"
            await traffic.served(status, 200)
            assert [line["policy"] for line in here.log.named("revocation.unavailable")] == [policy]
            assert here.log.named("revocation.recovered") == []
            assert own.start()
            here.clock.advance(PAUSE)  # from now on one request a second looks
            await until(lambda: later(here.clock) and here.log.named("revocation.recovered") != [])
            traffic.phase = "after"
            await traffic.served(200, 40)
            traffic.stop()
        [back] = here.log.named("revocation.recovered")
        assert back["unchecked"] >= 200
        assert FAILURES <= back["failures"] < 60  # the others did not ask
        assert (traffic.of("before"), traffic.of("after")) == ({200}, {200})
        assert status in traffic.of("away")
        assert seen == {"ann"}  # refused or served, nobody was shown an empty session
        here.put(*ended.items())
        assert await here.read() == {}
    assert PASSWORD not in repr(here.log.lines)


@on_asyncio
@pytest.mark.parametrize("policy", ["closed", "open"])
async def test_a_server_that_hangs(own: RedisServer, policy: str) -> None:
    """It holds the connection and says nothing: the policy holds after ``timeout``, and all is well when it goes on."""
    here = Site(revocation=settings(own, policy=policy, cache=0))
    assert here.middleware.gate is not None
    guard = here.middleware.gate._guard
    async with here.client.lifespan():
        await here.visit(log_in())
        guard._timeout = 0.02  # from here on nobody answers; before and afterwards the machine may be slow
        own.freeze()
        try:
            for _ in range(5):
                assert (await here.visit(lambda session: session.get("user"))).status == (
                    503 if policy == "closed" else 200
                )
        finally:
            own.thaw()
        guard._timeout = PATIENT
        with anyio.fail_after(60):
            while not here.log.named("revocation.recovered"):
                here.clock.advance(1.0)
                await here.visit()
        assert await here.read() == {"user": "ann"}


@on_asyncio
async def test_a_wrong_password_is_an_outage(server: RedisServer) -> None:
    """It is said at the start; neither the line nor anything else shows it."""
    wrong = RevocationConfig(redis=server.url.replace(PASSWORD, "wrong-password"), key=KEY, timeout=PATIENT)
    stage = Stage(counter, revocation=wrong)
    async with stage.client.lifespan():
        [line] = stage.log.named("revocation.unavailable")
    assert line["error_type"] == "AuthenticationError"
    assert "wrong-password" not in repr(stage.log.lines) + repr(stage.middleware.service) + repr(wrong)


@on_asyncio
async def test_who_asks_may_go_at_any_time(revocations: RedisRevocationList, server: RedisServer) -> None:
    """A question that is cancelled leaves its connection fit for the next: no answer goes to the wrong one."""
    await revocations.look(b"ended", None, terminate_for=60.0)
    for _ in range(50):
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(revocations.look, b"ended", b"who")
                await asyncio.sleep(0)
                scope.cancel()
        assert await revocations.look(b"alive", b"who") == Standing()
        assert await revocations.look(b"ended", None) == Standing(terminated=True)
    told = server.command("INFO", "clients").decode()
    assert int(re.findall(r"connected_clients:(\d+)", told)[0]) < 40


@on_asyncio
async def test_a_failure_that_nobody_waits_for_is_no_complaint(own: RedisServer) -> None:
    """Who asked has gone when the connection breaks: asyncio has nothing to say of it, and the end waits for it."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    revocations = RedisRevocationList(own.url, timeout=PATIENT)
    await revocations.look(b"id", None)
    own.freeze()
    with anyio.move_on_after(0.01):
        await revocations.look(b"id", None)
    assert len(revocations._running) == 1
    own.kill()
    await revocations.aclose()
    gc.collect()
    assert complaints == []


@on_asyncio
async def test_a_command_that_the_loop_cancels_is_no_complaint(own: RedisServer) -> None:
    """A loop that ends cancels what still runs on it; who waits is told so, and nobody else."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    revocations = RedisRevocationList(own.url, timeout=PATIENT)
    await revocations.look(b"id", None)
    own.freeze()
    try:
        asking = asyncio.ensure_future(revocations.look(b"id", None))
        await until(lambda: bool(revocations._running))
        for task in revocations._running:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert revocations._running == set()
    finally:
        own.thaw()
    await revocations.aclose()
    assert complaints == []


def test_every_loop_has_connections_of_its_own(server: RedisServer) -> None:
    """A service that is asked on one loop after another, as by a test client, works, and keeps nothing of the old."""
    revocations = RedisRevocationList(server.url, timeout=PATIENT)

    async def look(*, closes: bool) -> Standing:
        standing = await revocations.look(b"id", None, terminate_for=60.0)
        if closes:
            await revocations.aclose()
        else:
            for client in revocations._clients.values():
                await client.connection_pool.disconnect()  # or the collector would complain of an open socket
        return standing

    assert [asyncio.run(look(closes=closes)).terminated for closes in (False, False, True)] == [False, True, True]
    assert revocations._clients == {}
    asyncio.run(revocations.aclose())


def test_trio_is_refused(server: RedisServer) -> None:
    """At the start, and where there is no start, with the first question; a list in memory serves there."""
    revocation = settings(server)

    async def start() -> None:
        stage = Stage(revocation=revocation)
        async with stage.client.lifespan():
            raise AssertionError("it started")

    async def ask() -> None:
        stage = Stage(revocation=revocation)
        await stage.client.get("/")
        await stage.client.get("/")

    for attempt in (start, ask):
        with pytest.raises(ConfigurationError, match=r"revocation\.redis: needs asyncio.*Serve with asyncio or uvloop"):
            anyio.run(attempt, backend="trio")


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost:99999",
        "redis://h?socket_timeout=" + PASSWORD,
        "redis://h?no_such_option_" + PASSWORD + "=1",
        "http://" + PASSWORD,
    ],
)
def test_an_address_that_cannot_be_used(url: str) -> None:
    """Said when the list is made, without the address."""
    with pytest.raises(ConfigurationError, match=r"revocation\.redis: is no address") as caught:
        RedisRevocationList(url)
    assert PASSWORD not in str(caught.value)
    assert caught.value.__context__ is None


def test_without_the_library(monkeypatch: pytest.MonkeyPatch, server: RedisServer) -> None:
    """What to install is said; another module that is missing is told as Python tells it."""
    monkeypatch.delitem(sys.modules, "sessionkit.revocation.redis")
    for missing, error in (("redis.asyncio", ConfigurationError), ("base64", ModuleNotFoundError)):
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, missing, None)
            with pytest.raises(error, match=r"pip install 'asgi-sessionkit\[redis\]'|import of base64 halted"):
                module.list_of(settings(server), clock=FixedClock())


def test_nothing_shows_the_address(server: RedisServer) -> None:
    """Neither the list nor the settings."""
    revocations = RedisRevocationList(server.url, prefix="shop")
    assert repr(revocations) == "<RedisRevocationList 'shop'>"
    assert PASSWORD not in repr(settings(server)) + str(settings(server))
