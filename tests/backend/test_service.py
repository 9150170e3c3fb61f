"""The service: one way to ask, hosted or inline, and everything that happens told to the log."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NoReturn

import anyio
import pytest
from anyio import to_thread

from sessionkit.backend import service as module
from sessionkit.backend.backend import SessionBackend
from sessionkit.backend.lifecycle import Recovered
from sessionkit.backend.messages import Inspect, Inspected, Load, Rejected, Save, Saved
from sessionkit.backend.service import TAKEOVER_CHECK, TALLIES_A_FULL_ONE, TALLY_INTERVAL, SessionService
from sessionkit.config import AuditConfig, SessionConfig
from sessionkit.exceptions import ConfigurationError, MessageFailed
from sessionkit.keyring.key import KeyState
from sessionkit.session import Session
from sessionkit.testing import FixedClock
from tests.keyring.rings import Bell, text, write
from tests.middleware.apps import Log, key, ring

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sessionkit.keyring.keyring import Keyring


class Bench:
    """A service of two keys, with its clock and its log."""

    def __init__(self, keyring: Any = None, **options: Any) -> None:
        self.clock = FixedClock()
        self.log = Log()
        self.service = SessionService(
            ring(key(1, created=1.0), key(2, KeyState.STAGED)) if keyring is None else keyring,
            options.pop("config", SessionConfig()),
            clock=self.clock,
            logger=self.log,
            **options,
        )

    async def save(self) -> Saved:
        """Have a new session stored."""
        session = Session({"n": 1}, clock=self.clock)
        saved = await self.service.ask(Save(session, session))
        assert isinstance(saved, Saved)
        return saved

    def usage(self) -> list[tuple[str, int]]:
        """Return what was told of each key: its id and how often it sealed."""
        return [(line["kid"], line["sealed"]) for line in self.log.named("keyring.key_usage")]


# --- what it is made of -----------------------------------------------------------------------------------------------


def test_ring_comes_in_four_ways(tmp_path: Path) -> None:
    """A ring, one secret, a path as text or object, or the path that the configuration names."""
    path = tmp_path / "keyring.yaml"
    write(path, text(3, a="active"))
    for given in (ring(), bytes([1]) * 32, path, str(path)):
        assert SessionService(given, SessionConfig()).keyring.active(0).kid == key(1).kid
    assert SessionService(None, SessionConfig(keyring=path)).keyring.generation == 3


@pytest.mark.parametrize(("given", "problem"), [(None, "is missing"), (7, "is a int")])
def test_no_ring_is_an_error_with_a_remedy(given: Any, problem: str) -> None:
    """Case 186: a random key per process is never made up; the error says what to pass."""
    with pytest.raises(ConfigurationError, match=problem) as caught:
        SessionService(given, SessionConfig())
    assert caught.value.field == "keyring"


def test_repr_shows_no_secret() -> None:
    """A service shows its cookie's name, its ring and its state."""
    assert repr(Bench().service) == "<SessionService 'session' <Keyring gen 0: 1 active, 1 staged> new>"


def test_references_match_between_the_services_of_one_process() -> None:
    """Without an audit key one random one serves the whole process; with one, it is the configuration's."""
    one, two = Bench().service, Bench().service
    keyed = Bench(config=SessionConfig(audit=AuditConfig(key=b"k" * 16))).service
    assert one._refs.session(b"id") == two._refs.session(b"id") != keyed._refs.session(b"id")


async def test_value_that_cannot_be_stored_differs_from_all() -> None:
    """What cannot be serialised is no reason to fail where only a difference is looked for."""
    service = Bench().service
    assert not service.differs(None, b"{}")
    assert not service.differs({"n": 1}, b'{"n":1}')
    assert service.differs({"n": object()}, b'{"n":1}')


# --- inline -----------------------------------------------------------------------------------------------------------


async def test_fault_of_a_handler_inline_is_as_by_the_actor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller hears the type of the error alone, unchained, and the log too."""

    def handle(self: object, message: object) -> NoReturn:
        raise ZeroDivisionError("quotes a payload")

    bench = Bench()
    monkeypatch.setattr(SessionBackend, "handle", handle)
    with pytest.raises(MessageFailed) as caught:
        await bench.service.ask(Inspect())
    assert caught.value.error_type == "ZeroDivisionError"
    assert caught.value.__context__ is None
    [told] = bench.log.named("actor.message_failed")
    assert (told["message_type"], told["error_type"], told["where"]) == ("Inspect", "ZeroDivisionError", "inline")
    assert "payload" not in str(bench.log.lines)


async def test_inline_service_tells_what_keys_did_once_a_minute() -> None:
    """Without a host a request that comes after a minute tells it."""
    bench = Bench()
    await bench.save()
    await bench.save()
    assert bench.usage() == []
    bench.clock.advance(TALLY_INTERVAL)
    await bench.save()
    assert bench.usage() == [(key(1).kid, 3)]


@pytest.mark.real_time
def test_inline_service_counts_over_all_threads() -> None:
    """Loops that come and go in threads of their own are counted together."""
    bench = Bench()
    for _ in range(3):
        thread = threading.Thread(target=anyio.run, args=(bench.save,))
        thread.start()
        thread.join()
    bench.clock.advance(TALLY_INTERVAL)
    anyio.run(bench.save)
    assert bench.usage() == [(key(1).kid, 4)]
    assert len(bench.log.named("actor.inline")) == 1


# --- hosted -----------------------------------------------------------------------------------------------------------


async def test_hosted_service_tells_what_keys_did(in_place: bool) -> None:
    """Every minute the keys in use, every hour all of them, and at the end what is left."""
    bench = Bench(in_place=in_place)
    async with bench.service.host():
        await bench.save()
        await anyio.sleep(TALLY_INTERVAL + 1)
        assert bench.usage() == [(key(1).kid, 1)]
        bench.log.lines.clear()
        await anyio.sleep(TALLY_INTERVAL * (TALLIES_A_FULL_ONE - 2))
        assert bench.usage() == []
        await anyio.sleep(TALLY_INTERVAL)
        assert sorted(bench.usage()) == sorted([(key(1).kid, 0), (key(2).kid, 0)])
        bench.log.lines.clear()
        await bench.save()
    assert bench.usage() == [(key(1).kid, 1)]


async def test_what_other_loops_do_is_told_by_the_host(in_place: bool) -> None:
    """Beside a running actor, and before it, sessions served on other threads and loops are counted like all others."""
    bench = Bench(in_place=in_place)
    await bench.save()
    async with bench.service.host():
        await bench.save()
        for _ in range(3):
            await to_thread.run_sync(anyio.run, bench.save)
        await anyio.sleep(TALLY_INTERVAL + 1)
        assert sorted(bench.usage()) == [(key(1).kid, 1), (key(1).kid, 4)]
        bench.log.lines.clear()
        await anyio.sleep(TALLY_INTERVAL)
        assert bench.usage() == []
        await to_thread.run_sync(anyio.run, bench.save)
    assert bench.usage() == [(key(1).kid, 1)]
    assert bench.service.stats()["inline"] == 4


async def test_a_busy_foreign_loop_tells_its_counts_by_itself(in_place: bool) -> None:
    """A thread that asks after the interval tells what was counted there, whatever the host's own loop does."""
    bench = Bench(in_place=in_place)
    async with bench.service.host():
        await to_thread.run_sync(anyio.run, bench.save)
        bench.clock.advance(TALLY_INTERVAL)
        await to_thread.run_sync(anyio.run, bench.save)
        assert bench.usage() == [(key(1).kid, 2)]
        bench.clock.advance(-2 * TALLY_INTERVAL)
        await to_thread.run_sync(anyio.run, bench.save)
        assert bench.usage() == [(key(1).kid, 2), (key(1).kid, 1)]


async def test_counts_from_before_a_reload_are_told_with_the_ring_in_force(tmp_path: Path) -> None:
    """What another loop did before a reload is told after it under the new digest, or we would seem to be behind."""
    path, bell = tmp_path / "keyring.yaml", Bell()
    write(path, text(5, a="active", b="staged"))
    bench = Bench(path, watch=bell.watch)
    async with bench.service.host():
        await to_thread.run_sync(anyio.run, bench.save)
        write(path, text(6, a="retired", b="active", c="staged"))
        bell.ring()
        await _told(bench, "keyring.reloaded")
    [line] = bench.log.named("keyring.key_usage")
    assert (line["kid"], line["sealed"], line["state"]) == (key(1).kid, 1, "retired")
    assert (line["generation"], line["digest"]) == (6, bench.service.keyring.digest)


async def test_figures_name_the_ring_that_serves(tmp_path: Path, in_place: bool) -> None:
    """Digest and generation stand among the figures: the actor's own while it runs, else those of the ring at hand."""
    path, bell = tmp_path / "keyring.yaml", Bell()
    write(path, text(5, a="active", b="staged"))
    bench = Bench(path, in_place=in_place, watch=bell.watch)
    figures = [bench.service.stats()]
    async with bench.service.host():
        figures.append(bench.service.stats())
        write(path, text(6, a="retired", b="active", c="staged"))
        bell.ring()
        await _told(bench, "keyring.reloaded")
        figures.append(bench.service.stats())
        stats = bench.service._actor.stats()
        assert stats.behaviour == {"digest": bench.service.keyring.digest, "generation": 6}
    figures.append(bench.service.stats())
    assert [one["generation"] for one in figures] == [5, 5, 6, 6]
    assert figures[0]["digest"] == figures[1]["digest"] != figures[2]["digest"] == bench.service.keyring.digest


async def test_fault_in_the_last_tally_does_not_fail_the_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application's shutdown goes on whatever ails the backend, in the minute's tally and in the last one."""

    def tally(self: object, *, all_keys: bool) -> NoReturn:
        raise ZeroDivisionError

    bench = Bench()
    monkeypatch.setattr(SessionBackend, "_tally", tally)
    async with bench.service.host():
        await anyio.sleep(TALLY_INTERVAL + 1)
    assert [line["event"] for line in bench.log.lines if line["category"] == "actor"] == [
        "actor.started",
        "actor.message_failed",
        "actor.stopped",
    ]


async def test_start_that_fails_comes_out_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the actor's start is wrapped in no exception group."""

    def refuse() -> NoReturn:
        raise LookupError("mine")

    bench = Bench()
    monkeypatch.setattr(bench.service._actor, "_factory", refuse)
    with pytest.raises(LookupError, match="mine"):
        async with bench.service.host():
            raise AssertionError
    assert not bench.service.hosted


async def test_error_of_the_body_comes_out_as_it_is(in_place: bool) -> None:
    """What the body raises is no group either, and the actor is stopped before it leaves."""
    bench = Bench(in_place=in_place)
    with pytest.raises(LookupError, match="mine"):
        async with bench.service.host():
            raise LookupError("mine")
    assert bench.service.stats()["state"] == "stopped"


async def test_ask_is_answered_wherever_it_comes_from(in_place: bool) -> None:
    """Before the host, in it, on another thread while it lasts, and after it."""
    bench = Bench(in_place=in_place)

    async def inspect() -> Inspected:
        reply = await bench.service.ask(Inspect())
        assert isinstance(reply, Inspected)
        return reply

    async def elsewhere() -> Inspected:
        return await to_thread.run_sync(anyio.run, inspect)

    replies = [await inspect()]
    async with bench.service.host():
        replies += [await inspect(), await elsewhere()]
    replies.append(await inspect())
    assert [reply.active_kid for reply in replies] == [key(1).kid] * 4


async def test_new_ring_reaches_actor_and_inline_service(tmp_path: Path, in_place: bool) -> None:
    """A ring taken over while hosted is in force inline afterwards, and the other way about."""
    path, bell = tmp_path / "keyring.yaml", Bell()
    write(path, text(5, a="active", b="staged"))
    bench = Bench(path, in_place=in_place, watch=bell.watch)

    async def sealing() -> str:
        reply = await bench.service.ask(Inspect())
        assert isinstance(reply, Inspected)
        return reply.active_kid

    assert await sealing() == key(1).kid
    write(path, text(6, a="retired", b="active", c="staged"))
    async with bench.service.host():
        await _told(bench, "keyring.reloaded")
        assert await sealing() == key(2).kid
    assert await sealing() == key(2).kid
    write(path, text(7, a="retired", b="retired", c="active"))
    bench.clock.advance(1)
    assert await sealing() == key(3).kid
    async with bench.service.host():
        assert await sealing() == key(3).kid


async def test_failed_reload_leaves_the_ring_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the actor fails at a ring, service and actor go on with the one before."""
    path, bell = tmp_path / "keyring.yaml", Bell()
    write(path, text(5, a="active", b="staged"))
    bench = Bench(path, watch=bell.watch)

    def use(self: object, keyring: Keyring) -> NoReturn:
        raise MemoryError

    async with bench.service.host():
        monkeypatch.setattr(SessionBackend, "_use", use)
        write(path, text(6, a="retired", b="active", c="staged"))
        bell.ring()
        await _told(bench, "keyring.reload_failed")
        assert bench.service.keyring.generation == 5
        reply = await bench.service.ask(Inspect())
        assert isinstance(reply, Inspected)
        assert reply.generation == 5
        assert bench.service.stats()["reload_failures"] == 1


async def test_unknown_key_is_left_alone_by_a_service_without_a_file() -> None:
    """Where there is no file to look at, an unknown key id is a reply like any other."""
    bench, other = Bench(), Bench(ring(key(3)))
    cookie = (await other.save()).cookies[0].partition(b";")[0]
    reply = await bench.service.ask(Load((cookie,)))
    assert isinstance(reply, Rejected)
    assert reply.reason.keeps_cookie


async def _told(bench: Bench, event: str) -> None:
    """Wait until a line of a name has been written."""
    seen = anyio.Event()

    def keep(write_line: Callable[..., None]) -> Callable[..., None]:
        def line(name: str, /, **fields: Any) -> None:
            write_line(name, **fields)
            if name == event:
                seen.set()

        return line

    bench.service.log._logger = _Tee(keep(bench.log.debug))
    if not bench.log.named(event):
        await seen.wait()


class _Tee:
    def __init__(self, line: Callable[..., None]) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = line


# --- take-overs by time -----------------------------------------------------------------------------------------------


def scheduled(bench: Bench) -> list[tuple[str, str]]:
    """Return what was told of keys that took over and were outrun."""
    names = ("keyring.key_activated", "keyring.key_retired")
    return [(line["event"].partition("_")[2], line["kid"]) for line in bench.log.lines if line["event"] in names]


SOON = ring(key(1, created=1.0), key(2, KeyState.STAGED, activates=FixedClock().now + 60))
TAKEN_OVER = [("retired", key(1).kid), ("activated", key(2).kid)]


async def test_takeover_by_time_is_told_where_nobody_asks(in_place: bool) -> None:
    """Case 185: a hosted service tells within seconds that a key has taken over, once, however its clock is set."""
    bench = Bench(SOON, in_place=in_place)
    async with bench.service.host():
        await anyio.sleep(10 * TAKEOVER_CHECK - 1)
        assert scheduled(bench) == []
        bench.clock.advance(60)
        await anyio.sleep(TAKEOVER_CHECK)
        assert scheduled(bench) == TAKEN_OVER
        for seconds in (-61, 30, 90):
            bench.clock.advance(seconds)
            await anyio.sleep(2 * TAKEOVER_CHECK)
            await bench.save()
    await bench.save()
    assert scheduled(bench) == TAKEN_OVER
    assert {line["digest"] for line in bench.log.named("keyring.key_activated")} == {SOON.digest}


async def test_takeover_by_time_is_told_on_time() -> None:
    """A timer runs to the very moment, if the clock and the ring stay as they are."""
    log = Log()
    began = FixedClock().now + 58.5 - anyio.current_time()
    service = SessionService(SOON, SessionConfig(), clock=lambda: began + anyio.current_time(), logger=log)
    async with service.host():
        await anyio.sleep(1.4)
        assert log.named("keyring.key_activated") == []
        await anyio.sleep(0.2)
        [told] = log.named("keyring.key_activated")
    assert told["kid"] == key(2).kid


async def test_takeover_by_time_is_told_by_the_next_request_hosted(in_place: bool) -> None:
    """The request that finds it need not wait for the timer, whichever way it is answered."""
    bench = Bench(SOON, in_place=in_place)
    async with bench.service.host():
        bench.clock.advance(60)
        if in_place:
            assert isinstance(bench.service.answer_now(Inspect()), Inspected)
        else:
            await bench.save()
        assert scheduled(bench) == TAKEN_OVER


async def test_takeover_by_time_is_told_by_the_next_request_inline() -> None:
    """Without a host the request that finds it tells it, before anything is sealed under the key; later ones do not."""
    bench = Bench(SOON)
    sealed = [await bench.save()]
    bench.clock.advance(60)
    sealed += [await bench.save(), await bench.save()]
    assert scheduled(bench) == TAKEN_OVER
    names = [line["event"] for line in bench.log.lines]
    assert names.index("keyring.loaded") < names.index("keyring.key_activated")
    assert [saved.events[0].as_fields()["kid"] for saved in sealed] == [key(1).kid, key(2).kid, key(2).kid]
    late = Bench(SOON)
    late.clock.advance(60)
    await late.save()
    assert (scheduled(late), late.log.named("keyring.loaded")[0]["active_kid"]) == ([], key(2).kid)


@pytest.mark.parametrize("told_before", [True, False])
async def test_takeover_by_time_and_the_publish_that_writes_it_down(tmp_path: Path, told_before: bool) -> None:
    """A ring that says what time has brought about is no news, whether that was told already or is told at once."""
    path = tmp_path / "keyring.yaml"
    staged = "created: 2026-02-01T00:00:00Z"
    write(path, text(5, a="active", b="staged").replace(staged, f"{staged}, activates: 2027-01-15T08:01:00Z"))
    bench = Bench(path)
    await bench.save()
    bench.clock.advance(60)
    if told_before:
        await bench.save()
    write(path, text(6, a="retired", b="active", c="staged"))
    bench.clock.advance(60)
    await bench.save()
    assert bench.log.named("keyring.reloaded")[0]["generation"] == 6
    assert sorted(scheduled(bench)) == sorted(TAKEN_OVER)
    assert [line["kid"] for line in bench.log.named("keyring.key_staged")] == [key(3).kid]


async def test_ring_that_comes_later_takes_over_by_its_own_times(tmp_path: Path) -> None:
    """The times of the newest ring count: one that was taken out of the file passes without a word."""
    path = tmp_path / "keyring.yaml"
    staged = "created: 2026-02-01T00:00:00Z"
    first, later = (f"{staged}, activates: 2027-01-15T08:0{minute}:00Z" for minute in (1, 5))
    write(path, text(5, a="active", b="staged").replace(staged, first))
    bench = Bench(path)
    await bench.save()
    write(path, text(6, a="active", b="staged").replace(staged, later))
    for _ in range(3):
        bench.clock.advance(40)
        await bench.save()
    assert scheduled(bench) == []
    bench.clock.advance(180)
    await bench.save()
    assert scheduled(bench) == TAKEN_OVER


def test_lives_of_the_actor_become_events() -> None:
    """Each thing that happens to an actor has its event; a recovery tells how much was refused."""
    event = module._life_event(Recovered(rejected=7))
    assert event.as_fields() == {"rejected": 7}
