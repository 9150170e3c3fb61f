"""What the log says of requests, what it never says, and that it harms none (group T)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import anyio
import pytest
from anyio import to_thread

from sessionkit.audit.events import CATALOGUE
from sessionkit.audit.log import FLUSH_INTERVAL, AuditLog
from sessionkit.audit.pseudonyms import Pseudonyms
from sessionkit.backend.backend import SessionBackend
from sessionkit.config import AuditConfig, SessionConfig
from sessionkit.middleware import SessionMiddleware
from sessionkit.testing import AsgiClient
from tests.audit.test_background import PATIENCE, Gate
from tests.middleware.apps import Log, key, noise, ring
from tests.middleware.hosting import BOTH_WAYS, Stage, counter

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionkit.asgi import ASGIMessage, Receive, Scope, Send

KNOWN = {
    *("event", "timestamp", "level", "schema", "component", "category", "outcome", "instance", "owasp"),
    *("reason", "cookie_ref", "kid", "size", "chunks"),
}


def _flip(value: bytes) -> bytes:
    return value[:60] + (b"A" if value[60:61] != b"A" else b"B") + value[61:]


@BOTH_WAYS
async def test_rejection_is_told_by_facts_alone(in_place: bool) -> None:
    """Case 200: one line with reason, key id and sizes, references in place of values, and nothing else."""
    stage = Stage(in_place=in_place)
    async with stage.client.lifespan():
        await stage.count()
        bad = _flip(stage.cookies["session"])
        await stage.client.get("/", cookies=[b"session=" + bad])
    [line] = stage.log.named("session.rejected")
    assert set(line) == KNOWN
    assert (line["reason"], line["kid"], line["size"], line["chunks"]) == ("bad_tag", key(1).kid, len(bad), 1)
    assert bad.decode() not in str(stage.log.lines)


async def test_key_id_from_a_cookie_is_not_told_unless_it_is_ours() -> None:
    """Case 200: what a client claims as a key id is no fact; unknown ones stay out of the log."""
    stranger = Stage(keyring=ring(key(2)))
    await stranger.count()
    stage = Stage()
    stage.client.jar = stranger.client.jar
    await stage.count("/read")
    [line] = stage.log.named("session.rejected")
    assert line["reason"] == "unknown_key"
    assert "kid" not in line


@pytest.mark.unmeasured
@BOTH_WAYS
async def test_flood_of_bad_cookies_is_counted(in_place: bool) -> None:
    """Case 201: of a thousand alike the first ten a minute are written, the rest is one line at the end."""
    stage = Stage(in_place=in_place)
    async with stage.client.lifespan():
        for number in range(1000):
            response = await stage.client.get("/read", cookies=[f"session={noise(100, number)}".encode()])
            assert response.status == 200
    rejected, summaries = stage.log.named("session.rejected"), stage.log.named("audit.summary")
    assert len(rejected) + sum(line["count"] for line in summaries) == 1000
    assert len(rejected) <= 10 * len({line["reason"] for line in rejected})


async def test_flood_is_summed_up_when_its_window_ends() -> None:
    """Case 201: hosted, the total comes seconds after the minute is over, also if nothing more happens."""
    stage = Stage(audit=AuditConfig(level="info"))
    async with stage.client.lifespan():
        for number in range(25):
            await stage.client.get("/read", cookies=[f"session={noise(100, number)}".encode()])
        assert stage.log.named("audit.summary") == []
        stage.clock.advance(60)
        await anyio.sleep(FLUSH_INTERVAL + 1)
        told = stage.log.named("audit.summary")
        assert len(stage.log.named("session.rejected")) + sum(line["count"] for line in told) == 25


async def test_flood_is_summed_up_with_the_next_request() -> None:
    """Case 201: inline no timer runs; the total comes with the next session that is read, without a word on that."""
    stage = Stage(audit=AuditConfig(level="info"))
    await stage.count()
    good = stage.cookies["session"]
    for number in range(25):
        await stage.client.get("/read", cookies=[f"session={noise(100, number)}".encode()])
    stage.clock.advance(60)
    assert stage.log.named("audit.summary") == []
    await stage.client.get("/read", cookies=[b"session=" + good])
    told = stage.log.named("audit.summary")
    assert len(stage.log.named("session.rejected")) + sum(line["count"] for line in told) == 25


@pytest.mark.unmeasured
@BOTH_WAYS
async def test_attack_with_forged_cookies(in_place: bool) -> None:
    """Case 201: what tampered cookies write is bounded by minutes, not by their number, and all are counted.

    The long form, with 200,000, is a row of ``scripts/bench``.
    """
    stage = Stage(in_place=in_place, audit=AuditConfig(level="info"))
    async with stage.client.lifespan():
        await stage.count()
        good = stage.cookies["session"]
        for number in range(400):
            place = 60 + number % (len(good) - 60)
            forged = good[:place] + (b"A" if good[place : place + 1] != b"A" else b"B") + good[place + 1 :]
            await stage.client.get("/read", cookies=[b"session=" + forged])
            stage.clock.advance(0.5)  # 200 s in all: four windows of a minute
    rejected, summaries = stage.log.named("session.rejected"), stage.log.named("audit.summary")
    assert len(rejected) + sum(line["count"] for line in summaries) == 400
    assert len(rejected) + len(summaries) <= 4 * (10 + 1)


class _Broken:
    """A logger that fails at every line."""

    def debug(self, _: str, /, **__: object) -> NoReturn:
        """Fail."""
        raise OSError("disk full")

    info = warning = error = critical = debug


@BOTH_WAYS
async def test_broken_log_harms_no_request(in_place: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Case 202: whatever the log raises, requests are served; that it failed is said once to Python's logging."""
    stage = Stage(in_place=in_place)
    middleware = SessionMiddleware(counter, ring(), clock=stage.clock, logger=_Broken(), in_place=in_place)
    client = AsgiClient(middleware, clock=stage.clock)
    async with client.lifespan():
        for counted in (b"1", b"2"):
            assert (await client.get("/")).values(b"x-count") == [counted]
        assert middleware.service.stats()["audit_failures"] > 1
    assert len(caplog.records) == 1
    assert "disk full" not in caplog.text


def _counting(function: Callable[..., Any], calls: list[str]) -> Callable[..., Any]:
    """Return a function that does the same, and notes its name."""

    def counted(*args: Any, **options: Any) -> Any:
        calls.append(function.__qualname__)
        return function(*args, **options)

    return counted


class _Blocking(Log):
    """A logger that takes no line while its gate is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()

    def debug(self, event: str, /, **fields: object) -> None:
        """Keep a line, once the gate is open."""
        self.gate()
        super().debug(event, **fields)

    info = warning = error = critical = debug


@pytest.mark.real_time
@pytest.mark.parametrize("hosted", [True, False], ids=["lifespan", "no lifespan"])
async def test_log_that_blocks_keeps_no_request_waiting(*, hosted: bool) -> None:
    """Case 202: with a queue, requests are answered while the sink stands still; the lifespan's end waits for it."""
    log = _Blocking()
    config = SessionConfig(audit=AuditConfig(level="debug", queue=50))
    middleware = SessionMiddleware(counter, ring(), config, logger=log)
    client = AsgiClient(middleware)

    async def visits() -> None:
        for number in range(1, 101):
            assert (await client.get("/")).values(b"x-count") == [str(number).encode()]
        stats = middleware.service.stats()
        assert log.lines == []
        assert stats["audit_waiting"] == 50
        assert stats["audit_failures"] > 100
        log.gate.open()

    try:
        if hosted:
            async with client.lifespan():
                await visits()
        else:
            await visits()
            await to_thread.run_sync(middleware.service.log.close, PATIENCE)
    finally:
        log.gate.open()
    assert middleware.service.stats()["audit_waiting"] == 0
    [told] = log.named("audit.recovered")
    assert told["error_type"] == "QueueFull"
    assert told["count"] == middleware.service.log.failures


async def test_unconfigured_structlog_works(capsys: pytest.CaptureFixture[str]) -> None:
    """Case 202: with structlog as it comes, lines go where it sends them by default, and debug lines nowhere."""
    client = AsgiClient(SessionMiddleware(counter, ring()))
    for _ in range(2):
        assert (await client.get("/")).status == 200
    printed = capsys.readouterr().out
    assert "session.created" in printed
    assert "session.loaded" not in printed


async def test_control_characters_do_not_reach_the_log() -> None:
    """Case 203: a newline or an escape sequence in a free text would forge a line; it is replaced, and cut."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/end":
            scope["session"].destroy("bye\n\x1b[31msession.created " + "x" * 500)
        await counter(scope, receive, send)

    stage = Stage(app)
    await stage.count()
    await stage.client.get("/end", headers=[(b"cookie", b"\x1b[2J\nnasty=1")])
    [line] = stage.log.named("session.destroyed")
    assert "\n" not in line["reason"]
    assert "\x1b" not in line["reason"]
    assert len(line["reason"]) == 128
    assert "nasty" not in str(stage.log.lines)


@BOTH_WAYS
async def test_saved_is_told_after_the_send(in_place: bool) -> None:
    """Case 204: while the start is being sent nothing is told of the write yet."""
    told: list[list[str]] = []

    async def look(message: ASGIMessage) -> None:
        told.append(stage.log.names())

    stage = Stage(in_place=in_place)
    async with stage.client.lifespan():
        await stage.client.get("/", on_send=look)
        assert told == [[], ["session.created"]]
        told.clear()
        await stage.client.get("/", on_send=look)
    assert told[0] == ["session.created", "session.loaded"]
    assert told[1] == ["session.created", "session.loaded", "session.updated"]


@BOTH_WAYS
async def test_nothing_but_the_counters_on_the_read_path(in_place: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the default level a session that is read, or written, builds no event, makes no reference, asks no logger."""
    made: list[str] = []
    stage = Stage(in_place=in_place, audit=AuditConfig())
    async with stage.client.lifespan():
        await stage.count()
        for kind in CATALOGUE.values():
            monkeypatch.setattr(kind, "__init__", _counting(kind.__init__, made))
        monkeypatch.setattr(Pseudonyms, "_reference", _counting(Pseudonyms._reference, made))
        monkeypatch.setattr(AuditLog, "_emit", _counting(AuditLog._emit, made))
        told = len(stage.log.lines)
        for url in ("/read", "/", "/read"):
            await stage.count(url)
        assert (made, len(stage.log.lines)) == ([], told)
        backend = stage.actor.behaviour
        assert isinstance(backend, SessionBackend)
        [usage] = backend._usage.values()
        assert (usage.opened, usage.sealed) == (3, 2)
        await stage.client.get("/read", cookies=[b"session=" + b"A" * 100])
        assert sorted(made) == ["AuditLog._emit", "Pseudonyms._reference", "SessionRejected.__init__"]  # it does count


@pytest.mark.parametrize("opted_in", [False, True])
async def test_client_is_referred_to_by_consent_alone(opted_in: bool) -> None:
    """Case 205: an address is never logged; a keyed hash of it only where that is switched on."""
    stage = Stage(audit=AuditConfig(level="debug", client_ref=opted_in))
    stage.client.client = ("203.0.113.77", 4711)
    await stage.client.get("/read", cookies=[b"session=" + b"A" * 100], headers=[(b"user-agent", b"Browser/9")])
    [line] = stage.log.named("session.rejected")
    assert ("client_ref" in line) is opted_in
    assert "203.0.113.77" not in str(stage.log.lines)
    assert "Browser/9" not in str(stage.log.lines)


async def test_client_may_be_unknown() -> None:
    """Case 205: servers on Unix sockets name no client."""
    stage = Stage(audit=AuditConfig(level="debug", client_ref=True))
    stage.client.client = None
    await stage.client.get("/read", cookies=[b"session=" + b"A" * 100])
    [line] = stage.log.named("session.rejected")
    assert "client_ref" not in line
