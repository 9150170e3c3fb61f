"""The reloader: a new valid file takes over whole, whatever else lies there is refused, and said."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import anyio
import pytest
from anyio import to_thread

from sessionkit.audit import events
from sessionkit.exceptions import ConfigurationError, NotRunning
from sessionkit.keyring import file, reloader, succession
from sessionkit.keyring.key import Key, KeyState
from sessionkit.keyring.keyring import Keyring
from sessionkit.keyring.reloader import POLL_INTERVAL, PROD_INTERVAL, UNWATCHED_INTERVAL, Reloader, watch_folder
from sessionkit.testing import FixedClock
from tests.keyring.rings import A, B, Bell, C, D, text, write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator
    from pathlib import Path


KID = b"\xab\xcd\xef\x01"
"""The id of a key that no ring holds."""


class Rig:
    """A reloader whose collaborators only take notes.

    Args:
        folder: where the file is.
        keys: of the first ring, generation 5, as ``write`` takes them.
    """

    def __init__(self, folder: Path, **keys: str) -> None:
        self.path = folder / "keyring.yaml"
        self.write(5, **(keys or {"a": "active", "b": "staged"}))
        self.clock = FixedClock()
        self.bell = Bell()
        self.adopted: list[Keyring] = []
        self.told: list[events.Event] = []
        self.refusal: Exception | None = None
        self.reads = 0
        self._news = anyio.Event()
        first = Keyring.load(self.path)
        self.reloader = Reloader(
            self.path,
            first,
            adopt=self._adopt,
            suits=self._suits,
            emit=self._emit,
            clock=self.clock,
            watch=self.bell.watch,
        )

    def write(self, generation: int, **keys: str) -> None:
        """Publish a file."""
        write(self.path, text(generation, **keys))

    def promote(self, generation: int = 6) -> None:
        """Publish the next ring, as the protocol has it."""
        self.write(generation, a="retired", b="active", c="staged")

    async def look(self, trigger: str = "watch") -> None:
        """Look once."""
        await self.reloader.look(trigger)

    async def news(self) -> None:
        """Wait for the next event."""
        self._news = anyio.Event()
        await self._news.wait()

    @property
    def generations(self) -> list[int]:
        """The generations that were adopted."""
        return [ring.generation for ring in self.adopted]

    @property
    def failures(self) -> list[events.KeyringReloadFailed]:
        """The refusals told."""
        return [event for event in self.told if isinstance(event, events.KeyringReloadFailed)]

    @property
    def triggers(self) -> list[str]:
        """What made it look each time that it found something to tell."""
        return [
            event.trigger
            for event in self.told
            if isinstance(event, events.KeyringReloaded | events.KeyringReloadFailed)
        ]

    async def _adopt(self, ring: Keyring) -> float:
        if self.refusal is not None:
            raise self.refusal
        self.adopted.append(ring)
        return self.clock()

    def _suits(self, ring: Keyring) -> None:
        if ring.policy.token_lifetime == 60:
            raise ConfigurationError("max_age", "is longer than the ring promises", "Lower it.")

    def _emit(self, told: Iterable[events.Event]) -> None:
        self.told.extend(told)
        self._news.set()


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Return a reloader of a ring with A active and B staged."""
    return Rig(tmp_path)


def count_reads(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Count how often the file is read."""

    def read(path: Path) -> bytes:
        rig.reads += 1
        return original(path)

    original = file.read_bytes
    monkeypatch.setattr(file, "read_bytes", read)


# --- what takes over --------------------------------------------------------------------------------------------------


async def test_new_file_takes_over_whole(rig: Rig) -> None:
    """A valid next ring is handed over once, and every key's change is told after it."""
    before = Keyring.load(rig.path)
    rig.promote()
    await rig.look()
    await rig.look()
    [adopted] = rig.adopted
    reloaded, *keys = rig.told
    assert isinstance(reloaded, events.KeyringReloaded)
    assert (reloaded.previous_digest, reloaded.digest) == (before.digest, adopted.digest)
    assert (reloaded.generation, reloaded.active_kid, reloaded.trigger) == (6, Key.from_secret(B).kid, "watch")
    assert (reloaded.staged, reloaded.retired, reloaded.revoked) == (1, 1, 0)
    assert [type(event) for event in keys] == [events.KeyRetired, events.KeyActivated, events.KeyStaged]


async def test_unchanged_file_is_not_even_parsed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same octets again cost a read and nothing more."""
    await rig.look()
    monkeypatch.setattr(file, "parse", _fail)
    await rig.look()
    assert (rig.adopted, rig.told) == ([], [])


async def test_change_of_a_comment_is_no_change(rig: Rig) -> None:
    """Other octets for the same ring are noted, not adopted."""
    rig.path.write_text(text(5, a="active", b="staged") + "# by hand\n")
    await rig.look()
    await rig.look()
    assert (rig.adopted, rig.told) == ([], [])


async def test_time_of_the_file_means_nothing(rig: Rig) -> None:
    """A file whose modification time goes backwards, as a restored one's does, is taken for what it holds."""
    rig.promote()
    os.utime(rig.path, (0, 0))
    await rig.look()
    assert rig.generations == [6]


async def test_time_going_backwards_harms_nothing(rig: Rig) -> None:
    """A clock that is set back gives no negative duration or staleness, and silences no refusal for long."""
    rig.path.write_text("keys: [")
    await rig.look()
    rig.clock.advance(-86_400)
    await rig.look()
    assert [failure.stale_for for failure in rig.failures] == [0, 0]
    rig.promote()
    await rig.look()
    assert rig.generations == [6]


async def test_swap_of_a_link_takes_over(tmp_path: Path) -> None:
    """Kubernetes writes a new folder and turns the link ``..data`` to it; the file's own path never changes."""
    for number, keys in ((1, {"a": "active", "b": "staged"}), (2, {"a": "retired", "b": "active"})):
        (tmp_path / f"..{number}").mkdir()
        write(tmp_path / f"..{number}" / "keyring.yaml", text(4 + number, **keys))
    (tmp_path / "..data").symlink_to("..1")
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    rig = Rig(mounted)
    rig.path.unlink()
    rig.path.symlink_to(tmp_path / "..data" / "keyring.yaml")
    await rig.look()
    assert (rig.adopted, rig.told) == ([], [])
    (tmp_path / "..next").symlink_to("..2")
    (tmp_path / "..next").replace(tmp_path / "..data")
    await rig.look()
    assert rig.generations == [6]


async def test_rename_of_an_editor_takes_over(rig: Rig) -> None:
    """An editor moves the old file away and the new one into its place; a look in between finds none."""
    rig.path.rename(rig.path.with_suffix(".bak"))
    await rig.look()
    rig.promote()
    await rig.look()
    assert [failure.location for failure in rig.failures] == ["keyring.yaml"]
    assert rig.generations == [6]


async def test_file_deleted_and_put_back(rig: Rig) -> None:
    """Without its file a process serves on; when the same one is back, all is well again."""
    whole = rig.path.read_bytes()
    rig.path.unlink()
    await rig.look()
    assert rig.reloader.consecutive_failures == 1
    rig.path.write_bytes(whole)
    rig.path.chmod(0o600)
    rig.clock.advance(7)
    await rig.look()
    assert (rig.reloader.consecutive_failures, rig.adopted) == (0, [])
    ring = Keyring.load(rig.path)
    recovered = events.KeyringRecovered(digest=ring.digest, generation=ring.generation, failures=1, stale_for=7.0)
    assert rig.told[-1] == recovered
    await rig.look()
    assert len([event for event in rig.told if isinstance(event, events.KeyringRecovered)]) == 1


async def test_half_a_file_is_refused_and_the_whole_one_taken(rig: Rig) -> None:
    """A writer that does not rename is caught half way: refused, then taken when it is done."""
    whole = text(6, a="retired", b="active", c="staged")
    rig.path.write_text(whole[: len(whole) // 2])
    await rig.look()
    assert (rig.adopted, len(rig.failures)) == ([], 1)
    rig.path.write_text(whole)
    await rig.look()
    assert rig.generations == [6]


# --- what is refused --------------------------------------------------------------------------------------------------


async def test_refusal_names_the_place_and_the_ring_that_serves_on(rig: Rig) -> None:
    """The event has file, line and problem, no secret, and the digest still in force."""
    before = Keyring.load(rig.path)
    rig.path.write_text(text(6, a="active", b="active"))
    await rig.look("poll")
    [failure] = rig.failures
    assert failure.location.startswith("keyring.yaml:")
    assert "active" in failure.problem
    assert (failure.digest, failure.generation) == (before.digest, 5)
    assert (failure.error_type, failure.trigger, failure.consecutive_failures) == ("KeyringError", "poll", 1)


async def test_refusal_is_repeated_every_minute_and_when_it_changes(rig: Rig) -> None:
    """The same problem is said when it begins and each minute after; another one at once."""
    rig.path.write_text("keys: [")
    for _ in range(3):
        await rig.look()
    assert len(rig.failures) == 1
    rig.clock.advance(60)
    await rig.look()
    rig.path.write_text("version: 2\n")
    await rig.look()
    assert [failure.consecutive_failures for failure in rig.failures] == [1, 4, 5]
    assert [failure.stale_for for failure in rig.failures] == [0, 60, 60]


@pytest.mark.parametrize(
    ("generation", "keys", "condition"),
    [
        (4, {"a": "retired", "b": "active"}, "generation goes back"),
        (5, {"a": "retired", "b": "active"}, "two different rings"),
        (6, {"a": "retired", "c": "active"}, "before the nodes on the old ring can open it"),
        (6, {"b": "active"}, "would not open any more"),
        (6, {"a": "active"}, "would be gone"),
    ],
)
async def test_unsafe_next_ring_is_refused(rig: Rig, generation: int, keys: dict[str, str], condition: str) -> None:
    """A generation that goes back or stands still, and a next one that breaks C1, would lose sessions."""
    rig.write(generation, **keys)
    await rig.look()
    assert rig.adopted == []
    assert condition in rig.failures[0].problem


@pytest.mark.parametrize("keys", [{"a": "retired", "c": "active"}, {"b": "active"}, {"c": "active"}])
async def test_ring_after_one_that_was_missed_is_taken(rig: Rig, keys: dict[str, str]) -> None:
    """C1 holds between neighbours: who missed a generation cannot judge, and must not be the one that stays behind."""
    rig.write(7, **keys)
    await rig.look()
    assert rig.generations == [7]


@pytest.mark.parametrize(
    ("generation", "keys", "told"),
    [
        (6, {"a": "active"}, ("C3", "d")),
        (7, {"d": "retired", "a": "retired", "c": "active"}, ("C1", "c")),
        (6, {"d": "active", "a": "retired"}, ("C4", "a")),
    ],
)
async def test_ring_that_is_taken_all_the_same_is_told(
    tmp_path: Path, generation: int, keys: dict[str, str], told: tuple[str, str]
) -> None:
    """What is no reason to stay behind is a reason for a warning: a node may not know what its operator knows."""
    rig = Rig(tmp_path, a="active", d="retired")
    rig.clock.now = 1_768_000_000.0  # a week after `d` was retired
    rig.write(generation, **keys)
    await rig.look()
    assert rig.generations == [generation]
    [unsafe] = [event for event in rig.told if isinstance(event, events.KeyringUnsafe)]
    assert (unsafe.condition, unsafe.label) == told
    assert (unsafe.digest, unsafe.generation) == (rig.adopted[0].digest, generation)
    assert unsafe.kid == Key.from_secret({"a": A, "c": C, "d": D}[told[1]]).kid


@pytest.mark.parametrize("keys", [{"a": "revoked", "b": "active"}, {"a": "revoked", "b": "revoked", "c": "active"}])
async def test_emergency_is_taken_at_once(rig: Rig, keys: dict[str, str]) -> None:
    """With the active key revoked its sessions are meant to end, so C1 is not asked for."""
    rig.write(6, **keys)
    await rig.look()
    assert rig.generations == [6]


async def test_open_permissions_are_refused(rig: Rig) -> None:
    """A file with secrets that everybody may read is refused until that is mended."""
    rig.path.write_text(text(6, a="retired", b="active"))
    rig.path.chmod(0o644)
    await rig.look()
    assert "open to everybody" in rig.failures[0].problem
    rig.path.chmod(0o600)
    await rig.look()
    assert rig.generations == [6]


async def test_ring_that_does_not_suit_is_refused(rig: Rig) -> None:
    """What the service says of a ring counts as much as what the ring says of itself."""
    rig.path.write_text(text(6, lifetime="60", a="retired", b="active"))
    await rig.look()
    assert rig.adopted == []
    assert rig.failures[0].error_type == "ConfigurationError"


async def test_unforeseen_error_is_told_by_its_type_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker outlives any file; the error's text stays out of the log, since it may quote one."""
    rig.promote()
    with monkeypatch.context() as broken:
        broken.setattr(file, "parse", _fail)
        await rig.look()
    [failure] = rig.failures
    assert (failure.error_type, failure.problem) == ("_Unforeseen", "ZeroDivisionError")
    await rig.look()
    assert rig.generations == [6]


async def test_ring_that_cannot_be_handed_over_is_tried_again(rig: Rig) -> None:
    """If the actor does not take it, the old ring is still what the file is compared with."""
    rig.promote()
    rig.refusal = NotRunning("the actor has failed")
    await rig.look()
    assert [failure.problem for failure in rig.failures] == ["the actor has failed"]
    rig.refusal = None
    await rig.look()
    assert rig.generations == [6]


async def test_source_of_a_secret_that_fails_and_recovers(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is right and a secret does not come: refused, asked again every five seconds, taken when it comes."""
    monkeypatch.delenv("RELOADER_C", raising=False)
    rig.write(6, a="retired", b="active", c="staged:{env: RELOADER_C}")
    await rig.look()
    assert "RELOADER_C is not set" in rig.failures[0].problem
    monkeypatch.setenv("RELOADER_C", C.hex())
    await rig.look("poll")
    assert rig.adopted == []
    rig.clock.advance(POLL_INTERVAL)
    await rig.look("poll")
    assert rig.generations == [6]


@pytest.mark.parametrize("trigger", ["watch", "signal"])
async def test_source_of_a_secret_is_asked_at_once_when_somebody_says_so(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, trigger: str
) -> None:
    """A change in the folder or a signal does not wait for the five seconds: the secret may lie there now."""
    monkeypatch.delenv("RELOADER_C", raising=False)
    rig.write(6, a="retired", b="active", c="staged:{env: RELOADER_C}")
    await rig.look("poll")
    monkeypatch.setenv("RELOADER_C", C.hex())
    await rig.look(trigger)
    assert rig.generations == [6]


async def test_two_looks_do_not_overlap(rig: Rig) -> None:
    """While one look is under way another one has nothing to add."""
    rig.promote()
    entered, leave = anyio.Event(), anyio.Event()

    async def slow(ring: Keyring) -> float:
        entered.set()
        await leave.wait()
        rig.adopted.append(ring)
        return rig.clock()

    rig.reloader._adopt = slow
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(rig.look)
        await entered.wait()
        await rig.look()
        assert rig.adopted == []
        leave.set()
    assert rig.generations == [6]


# --- when it looks ----------------------------------------------------------------------------------------------------


async def test_looks_at_the_start_and_when_the_folder_changes(rig: Rig) -> None:
    """What was published while the process started is found at once, the rest when the folder says so."""
    rig.promote()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(rig.reloader.run)
        await rig.news()
        rig.write(7, b="active", c="retired")
        rig.bell.ring()
        await rig.news()
        tasks.cancel_scope.cancel()
    assert rig.generations == [6, 7]
    assert rig.triggers == ["start", "watch"]


async def test_polls_where_the_folder_says_nothing(rig: Rig) -> None:
    """A watch that stays silent, as on network file systems, delays a ring by the polling interval."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(rig.reloader.run)
        await anyio.wait_all_tasks_blocked()
        rig.promote()
        await rig.news()
        tasks.cancel_scope.cancel()
    assert rig.generations == [6]


@pytest.mark.parametrize("error", [OSError("no inotify instances left"), None])
async def test_polls_faster_where_watching_ends(
    rig: Rig, error: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch that fails or ends leaves polling, often enough for a take-over within a second."""
    count_reads(rig, monkeypatch)
    rig.bell.end(error)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(rig.reloader.run)
        await anyio.sleep(POLL_INTERVAL)
        assert rig.reads >= POLL_INTERVAL / UNWATCHED_INTERVAL / 2
        rig.promote()
        await rig.news()
        tasks.cancel_scope.cancel()
    assert rig.triggers == ["poll"]


async def test_unknown_key_makes_it_look_once_a_second(rig: Rig) -> None:
    """However many cookies name keys that are not there, one of them a second causes a look."""
    assert [rig.reloader.prod(KID) for _ in range(100)] == [True] + [False] * 99
    rig.clock.advance(PROD_INTERVAL)
    assert rig.reloader.prod(KID)
    rig.clock.advance(-3600)
    assert rig.reloader.prod(KID)
    assert not rig.reloader.prod(KID)


async def test_unknown_key_wakes_the_reloader(rig: Rig) -> None:
    """Hosted, the look happens in the reloader's own task, at once."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(rig.reloader.run)
        await anyio.sleep(1)
        rig.promote()
        rig.reloader.prod(KID)
        await rig.news()
        tasks.cancel_scope.cancel()
    assert rig.triggers == ["unknown_key"]


async def test_unknown_key_on_another_thread_waits_for_the_next_poll(rig: Rig) -> None:
    """Another thread must not touch the reloader's loop; the look comes with the next poll."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(rig.reloader.run)
        await anyio.sleep(1)
        rig.promote()
        assert await to_thread.run_sync(rig.reloader.prod, KID)
        await rig.news()
        tasks.cancel_scope.cancel()
    assert rig.triggers == ["poll"]


async def test_inline_it_looks_twice_a_second(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a host a request looks if the last look is half a second old, whichever way the clock goes."""
    count_reads(rig, monkeypatch)
    for seconds in (0.0, 0.1, UNWATCHED_INTERVAL, 0.1, -3600.0):
        rig.clock.advance(seconds)
        await rig.reloader.look_if_due()
    assert rig.reads == 3


async def test_inline_an_unknown_key_makes_the_next_request_look(rig: Rig) -> None:
    """Without a host the look is that of the next request, and says what made it."""
    await rig.reloader.look_if_due()
    rig.promote()
    await rig.reloader.look_if_due()
    assert rig.adopted == []
    rig.reloader.prod(KID)
    await rig.reloader.look_if_due()
    assert rig.triggers == ["unknown_key"]


async def test_unknown_key_after_the_host_has_gone(rig: Rig) -> None:
    """A process whose lifespan is over looks inline again."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(rig.reloader.run)
        await anyio.sleep(1)
        tasks.cancel_scope.cancel()
    rig.promote()
    assert rig.reloader.prod(KID)
    await rig.reloader.look_if_due()
    assert rig.triggers == ["unknown_key"]


@pytest.fixture(autouse=True)
def _unclaimed_hangup() -> Iterator[None]:
    """Begin as a process that nobody has protected from SIGHUP, also where nohup runs the tests."""
    hangup = signal.SIGHUP  # a test below does away with the name
    before = signal.signal(hangup, signal.SIG_DFL)
    yield
    signal.signal(hangup, before)


@pytest.mark.real_time
async def test_hangup_makes_it_look(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGHUP forces a look, and is given back afterwards."""
    count_reads(rig, monkeypatch)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(rig.reloader.run)
        while not rig.reads or rig.reloader._look_lock.locked() or signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            await anyio.lowlevel.checkpoint()
        rig.promote()
        os.kill(os.getpid(), signal.SIGHUP)
        await rig.news()
        tasks.cancel_scope.cancel()
    assert rig.triggers == ["signal"]
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


async def test_hangup_claimed_by_another_is_left_to_it(rig: Rig) -> None:
    """A server or supervisor that uses SIGHUP keeps it, and nohup's protection holds."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        await _run_for_a_while(rig)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


async def test_system_without_hangup(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no such signal, watching and polling do."""
    monkeypatch.delattr(signal, "SIGHUP")
    await _run_for_a_while(rig)


@pytest.mark.parametrize("error", [NotImplementedError, RuntimeError, ValueError])
async def test_loop_that_takes_no_signals(rig: Rig, monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    """A loop that cannot take signals costs the signal, not the service."""

    def refuse(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(anyio, "open_signal_receiver", refuse)
    await _run_for_a_while(rig)


async def test_signals_that_end(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that ends, as a loop's shutdown can make it, ends nothing else."""

    async def none() -> AsyncIterator[signal.Signals]:
        if rig.reads:
            yield signal.SIGHUP

    @contextmanager
    def receive(*_: object) -> Iterator[AsyncIterator[signal.Signals]]:
        yield none()

    monkeypatch.setattr(anyio, "open_signal_receiver", receive)
    await _run_for_a_while(rig)


@pytest.mark.real_time
def test_loop_of_another_thread_takes_no_signals(rig: Rig) -> None:
    """Signals belong to the main thread; on another one the reloader works without them."""

    async def elsewhere() -> None:
        await to_thread.run_sync(anyio.run, _run_for_a_moment)

    async def _run_for_a_moment() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(rig.reloader.run)
            rig.promote()
            await rig.news()
            tasks.cancel_scope.cancel()

    anyio.run(elsewhere)
    assert rig.generations == [6]
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


async def _run_for_a_while(rig: Rig) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(rig.reloader.run)
        await anyio.sleep(1)
        rig.promote()
        rig.bell.ring()
        await rig.news()
        tasks.cancel_scope.cancel()
    assert rig.generations == [6]


@pytest.mark.real_time
async def test_folder_is_watched_for_real(tmp_path: Path) -> None:
    """The library says when a file is renamed into the folder, and lets go of it when it is cancelled."""
    path = tmp_path / "keyring.yaml"
    seen = anyio.Event()

    async def watch() -> None:
        async for _ in watch_folder(path):
            seen.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        generation = 0
        while not seen.is_set():
            # Until the watch stands, which nothing tells, renames go unseen.
            write(path, text(generation, a="active"))
            generation += 1
            with anyio.move_on_after(0.2):
                await seen.wait()
        tasks.cancel_scope.cancel()
    assert seen.is_set()


# --- events and the self-test -----------------------------------------------------------------------------------------


def _ring(*keys: Key) -> Keyring:
    return Keyring([*keys, Key.from_secret(A, label="a")])


@pytest.mark.parametrize("state", [KeyState.STAGED, KeyState.RETIRED, KeyState.REVOKED])
def test_every_new_state_of_a_key_is_told(state: KeyState) -> None:
    """A key that is new, or in another state than before, makes one event of that state."""
    key = Key.from_secret(B, label="b", state=state, created=0.0, activates=60.0, prune_after=3600.0)
    [event] = reloader.key_events(_ring(), _ring(key), 0.0)
    assert event.name == f"keyring.key_{state.value}"
    told = event.as_fields()
    assert (told["kid"], told["label"], told["state"]) == (key.kid, "b", state.value)
    if state is KeyState.STAGED:
        assert told["activates_at"] == "1970-01-01T00:01:00.000Z"
    assert reloader.key_events(_ring(key), _ring(key), 0.0) == []


def test_what_the_times_of_keys_bring_about_is_told_once() -> None:
    """A key that took over by its time is active, the outrun one retired; a publish that says so is no news."""
    key = Key.from_secret(B, label="b", state=KeyState.STAGED, activates=60.0)
    ring = _ring(key)
    assert reloader.key_events(ring, ring, 59.0, 0.0) == []
    activated, retired = reloader.key_events(ring, ring, 60.0, 59.0)
    assert (activated.name, activated.as_fields()["kid"]) == ("keyring.key_activated", key.kid)
    assert (retired.name, retired.as_fields()["label"]) == ("keyring.key_retired", "a")
    assert retired.as_fields()["prune_after"] == "1970-01-15T00:16:00.000Z"  # D, T and twice ε later
    assert activated.as_fields()["digest"] == retired.as_fields()["digest"] == ring.digest
    assert reloader.key_events(ring, ring, 90.0, 60.0) == []
    assert reloader.key_events(ring, succession.settle(ring, 90.0).changed(generation=1), 90.0) == []


@pytest.mark.parametrize(
    ("state", "prune_after", "early"),
    [
        (KeyState.RETIRED, 3600.0, True),
        (KeyState.RETIRED, 60.0, False),
        (KeyState.RETIRED, None, False),
        (KeyState.REVOKED, 3600.0, False),
    ],
)
def test_pruned_key_is_told_with_a_warning_before_its_time(
    state: KeyState, prune_after: float | None, early: bool
) -> None:
    """A retired key that goes before its last session has ended is worth a warning; a revoked one may go."""
    key = Key.from_secret(B, label="b", state=state, prune_after=prune_after)
    [event] = reloader.key_events(_ring(key), _ring(), 600.0)
    assert isinstance(event, events.KeyPruned)
    assert event.early is early
    assert event.severity is (events.Level.WARNING if early else events.Level.INFO)


def _fail(*_: Any) -> NoReturn:
    raise ZeroDivisionError("quotes a secret")
