"""Cookies that name keys nobody has: looked for once each, whatever comes in, and kept for whoever can open them."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

import pytest

from sessionkit.backend.messages import Load, Loaded, Rejected, Save, Saved
from sessionkit.backend.service import SessionService
from sessionkit.config import SessionConfig
from sessionkit.exceptions import ConfigurationError, KeyringError, RejectReason
from sessionkit.keyring.admission import refuse_ahead
from sessionkit.keyring.key import KeyState
from sessionkit.keyring.keyring import Keyring, Policy
from sessionkit.keyring.reloader import PROD_INTERVAL, UNWATCHED_INTERVAL
from sessionkit.keyring.unknown import UnknownKeys
from sessionkit.session import Session
from sessionkit.testing import FixedClock
from sessionkit.wire import base64url
from tests.keyring.rings import text, write
from tests.middleware.apps import Log
from tests.middleware.hosting import never, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HOSTED = pytest.mark.parametrize("hosted", [True, False], ids=["hosted", "inline"])


class Counter:
    """A service on a keyring file, whose looks for unknown keys are counted."""

    def __init__(self, path: Path, *, hosted: bool = False) -> None:
        self.path = path
        write(path, text(5, a="active", b="staged"))
        self.clock = FixedClock()
        self.log = Log()
        self.looks: list[str] = []
        self._hosted = hosted
        self.service = SessionService(path, SessionConfig(), clock=self.clock, logger=self.log, watch=never)
        assert self.service._reloader is not None
        self.reloader = self.service._reloader
        look = self.reloader.look

        async def counted(trigger: str) -> None:
            await look(trigger)
            self.looks.append(trigger)

        self.reloader.look = counted  # type: ignore[method-assign]  # the one way in for all looks

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Serve, in a lifespan or without."""
        async with AsyncExitStack() as stack:
            if self._hosted:
                await stack.enter_async_context(self.service.host())
                await until(lambda: "start" in self.looks)
            yield

    @property
    def asked_for(self) -> int:
        """Looks that unknown keys caused."""
        return self.looks.count("unknown_key")

    async def come(self, kid: bytes) -> RejectReason:
        """Come with a cookie that names a key, and return why it is refused."""
        token = base64url.encode(b"\x01" + kid + bytes(60))
        reply = await self.service.ask(Load((b"session=" + token,)))
        assert isinstance(reply, Rejected)
        assert reply.names == ("session",)
        return reply.reason

    async def look_for(self, kid: bytes) -> bool:
        """Come with a cookie, and once more later; return whether the file was looked at for it."""
        before = self.asked_for
        self.clock.advance(PROD_INTERVAL)
        assert await self.come(kid) is RejectReason.UNKNOWN_KEY
        if self._hosted:
            if self.reloader._asked_for:
                await until(lambda: self.asked_for > before)
        else:
            await self.come(kid)
        return self.asked_for > before


@HOSTED
async def test_looked_for_once(tmp_path: Path, hosted: bool) -> None:
    """An id that is nowhere is looked for once, however long it keeps coming; another one is looked for as well."""
    counter = Counter(tmp_path / "keyring.yaml", hosted=hosted)
    async with counter.open():
        assert await counter.look_for(b"gone")
        for _ in range(50):
            assert not await counter.look_for(b"gone")
        assert await counter.look_for(b"more")
        assert not await counter.look_for(b"more")
        assert not await counter.look_for(b"gone")
    assert counter.asked_for == 2


@HOSTED
async def test_looked_for_again_when_something_changes(tmp_path: Path, hosted: bool) -> None:
    """Another ring, other octets for the same ring, a file that is refused, one that is gone: each is a new chance."""
    counter = Counter(tmp_path / "keyring.yaml", hosted=hosted)
    async with counter.open():
        for content in (
            text(6, a="retired", b="active", c="staged"),
            text(6, a="retired", b="active", c="staged") + "# by hand\n",
            "keys: [",
            None,
            text(7, b="active", c="staged"),
        ):
            assert not await counter.look_for(b"gone") or counter.asked_for == 1
            if content is None:
                counter.path.unlink()
            else:
                write(counter.path, content)
            await counter.reloader.look("watch")
            assert await counter.look_for(b"gone"), content


async def test_the_key_that_was_looked_for_is_found(tmp_path: Path) -> None:
    """A cookie of a node ahead of us opens with the next request, and its id was never taken for unknown."""
    counter = Counter(tmp_path / "keyring.yaml")
    ahead = SessionService(Keyring.from_secret(b"\x03" * 32), SessionConfig(), clock=counter.clock, logger=Log())
    session = Session({"n": 1}, clock=counter.clock)
    saved = await ahead.ask(Save(session, session))
    assert isinstance(saved, Saved)
    cookie = saved.cookies[0].partition(b";")[0]
    await counter.service.ask(Load(()))  # the look that was due
    write(counter.path, text(6, a="retired", b="active", c="staged"))
    counter.clock.advance(UNWATCHED_INTERVAL * 0.9)
    refused = await counter.service.ask(Load((cookie,)))
    assert isinstance(refused, Rejected)
    assert refused.reason.keeps_cookie
    assert isinstance(await counter.service.ask(Load((cookie,))), Loaded)
    assert counter.looks == ["poll", "unknown_key"]


@pytest.mark.unmeasured
@HOSTED
async def test_a_flood_of_made_up_ids(tmp_path: Path, hosted: bool) -> None:
    """Thousands of ids in ten seconds cost ten looks and no reload, a table that is full, and ten lines of log."""
    counter = Counter(tmp_path / "keyring.yaml", hosted=hosted)
    counter.reloader._unknown = UnknownKeys(8)
    made_up = Random(4)
    async with counter.open():
        for _ in range(10):
            counter.clock.advance(PROD_INTERVAL)
            for _ in range(500):
                assert await counter.come(made_up.randbytes(4)) is RejectReason.UNKNOWN_KEY
            if hosted:
                await until(lambda: not counter.reloader._asked_for)
        assert 1 <= counter.asked_for <= 10
        assert len(counter.reloader._unknown) <= 8
        assert len(counter.reloader._asked_for) <= 1
        assert len(counter.log.named("session.rejected")) == 10
        assert not [line for line in counter.log.lines if line["event"].startswith("keyring.re")]
    counter.service.log.flush(everything=True)
    [summary] = counter.log.named("audit.summary")
    assert summary["count"] == 5_000 - 10


def test_a_time_to_come_does_not_start(tmp_path: Path) -> None:
    """A ring that ends the sessions of a time to come is refused at the start, with how far ahead it is."""
    path = tmp_path / "keyring.yaml"
    clock = FixedClock(1_800_000_000.0)
    ahead = "not_before: 2027-01-15T09:00:00Z\n"
    write(path, text(5, a="active") + ahead)
    with pytest.raises(KeyringError, match=r"keyring\.yaml: not_before: lies 3600 s ahead of this machine's clock"):
        SessionService(path, SessionConfig(), clock=clock, logger=Log())
    clock.advance(3600 - 601)
    SessionService(path, SessionConfig(), clock=clock, logger=Log())
    with pytest.raises(ConfigurationError, match="not_before: lies 5 s ahead"):
        refuse_ahead(Keyring.load(path).changed(not_before=5.0, policy=Policy(skew=0.0)), 0.0, None)


async def test_a_time_to_come_is_not_reloaded(tmp_path: Path) -> None:
    """Nor does it take over in a running process: the ring in force serves on, and that is said."""
    counter = Counter(tmp_path / "keyring.yaml")
    await counter.come(b"gone")
    write(counter.path, text(6, a="retired", b="active") + "not_before: 2100-01-01T00:00:00Z\n")
    counter.clock.advance(1)
    await counter.come(b"gone")
    [failed] = counter.log.named("keyring.reload_failed")
    assert failed["problem"].endswith("ahead of this machine's clock")
    assert counter.service.keyring.generation == 5


async def test_a_process_takes_back_what_was_ended(tmp_path: Path) -> None:
    """A wrong key that was revoked by mistake has a way back: processes do not refuse it, `check` tells of it."""
    counter = Counter(tmp_path / "keyring.yaml")
    for generation, state in ((6, "revoked"), (7, "retired")):
        write(counter.path, text(generation, a=state, b="active"))
        await counter.reloader.look("watch")
    assert counter.service.keyring.generation == 7
    assert counter.service.keyring.counts()[KeyState.RETIRED] == 1
