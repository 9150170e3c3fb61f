"""A keyring file that changes under a running application: taken over without a failed request, or refused and said."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING

import anyio
import pytest

from sessionkit.config import SessionConfig
from sessionkit.exceptions import ConfigurationError, KeyringError
from sessionkit.keyring import file
from sessionkit.keyring.key import Key
from sessionkit.keyring.reloader import UNWATCHED_INTERVAL, watch_folder
from sessionkit.middleware import SessionMiddleware
from sessionkit.testing import AsgiClient
from tests.keyring.rings import A, B, Bell, C, text, write
from tests.middleware.apps import key as numbered
from tests.middleware.apps import ring
from tests.middleware.hosting import BOTH_WAYS, Stage, counter, until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a keyring file, generation 5, with A active and B staged."""
    path = tmp_path / "keyring.yaml"
    write(path, text(5, a="active", b="staged"))
    return path


PROMOTED = text(6, a="retired", b="active", c="staged")


async def _until_generation(stage: Stage, generation: int) -> None:
    """Visit again and again, and see every visit counted, until a ring is in force."""
    expected = int(await stage.count())
    while stage.service.stats()["generation"] != generation:
        expected += 1
        assert await stage.count() == str(expected)
        await anyio.sleep(0.01)


@pytest.mark.real_time
@BOTH_WAYS
async def test_new_file_takes_over_under_load(path: Path, in_place: bool) -> None:
    """With the real watch on a real file two publishes take over, and not one request fails or loses its session."""
    stage = Stage(keyring=path, in_place=in_place, watch=watch_folder)
    async with stage.client.lifespan(), anyio.create_task_group() as tasks:
        browsers = [AsgiClient(stage.middleware, clock=stage.clock) for _ in range(5)]
        counted: dict[AsgiClient, int] = dict.fromkeys(browsers, 0)

        async def load(browser: AsgiClient) -> None:
            while True:
                response = await browser.get("/")
                counted[browser] += 1
                assert response.values(b"x-count") == [str(counted[browser]).encode()]
                await anyio.sleep(0.001)

        for browser in browsers:
            tasks.start_soon(load, browser)
        await _until_generation(stage, 5)
        write(path, PROMOTED)
        await _until_generation(stage, 6)
        # As the protocol has it, the old key goes only when nothing hangs on it any more.
        await stage.count()
        before = counted.copy()
        await until(lambda: all(counted[browser] >= before[browser] + 2 for browser in browsers))
        write(path, text(7, b="active", c="staged"))
        await _until_generation(stage, 7)
        tasks.cancel_scope.cancel()
    assert [line["generation"] for line in stage.log.named("keyring.reloaded")] == [6, 7]
    assert stage.log.named("session.rejected") == []
    assert all(counted.values())


@BOTH_WAYS
async def test_bad_file_is_refused_and_the_old_ring_serves_on(path: Path, in_place: bool) -> None:
    """Whatever lies there meanwhile, sessions open and are written; what is wrong is said."""
    bell = Bell()
    stage = Stage(keyring=path, in_place=in_place, watch=bell.watch)
    async with stage.client.lifespan():
        assert await stage.count() == "1"
        write(path, "keys: [")
        bell.ring()
        await until(lambda: stage.service.stats()["reload_failures"] > 0)
        assert await stage.count() == "2"
        write(path, PROMOTED)
        bell.ring()
        await until(lambda: stage.service.stats()["reload_failures"] == 0)
        assert await stage.count() == "3"
    [failed] = stage.log.named("keyring.reload_failed")
    assert failed["generation"] == 5
    [rekeyed] = stage.log.named("session.rekeyed")
    assert (rekeyed["previous_kid"], rekeyed["kid"]) == (Key.from_secret(A).kid, Key.from_secret(B).kid)


async def test_inline_service_reloads_too(path: Path) -> None:
    """Case 128: without a lifespan requests themselves look, twice a second at most."""
    stage = Stage(keyring=path)
    assert await stage.count() == "1"
    write(path, PROMOTED)
    assert await stage.count() == "2"
    assert stage.service.stats()["generation"] == 5
    stage.clock.advance(UNWATCHED_INTERVAL)
    assert await stage.count() == "3"
    assert stage.service.stats()["generation"] == 6
    assert len(stage.log.named("session.rekeyed")) == 1


@BOTH_WAYS
@pytest.mark.parametrize("hosted", [True, False])
async def test_unknown_key_makes_the_worker_look(path: Path, in_place: bool, hosted: bool) -> None:
    """Case 181: a cookie of a key that is not here yet is kept, and makes the worker look for it."""
    ahead = Stage(keyring=ring(numbered(3)))
    assert await ahead.count() == "1"
    stage = Stage(keyring=path, in_place=in_place)
    stage.client.jar = ahead.client.jar

    async def behind() -> None:
        assert await stage.count("/read") == "None"
        write(path, text(7, a="retired", b="retired", c="active"))
        stage.clock.advance(0.4)
        assert await stage.count("/read") == "None"
        stage.clock.advance(0.7)
        for _ in range(2):
            await stage.count("/read")
            if hosted:
                await until(lambda: stage.service.stats()["generation"] == 7)
        assert await stage.count() == "2"

    if hosted:
        async with stage.client.lifespan():
            await behind()
    else:
        await behind()
    assert stage.reasons("session.rejected")[0] == "unknown_key"


@pytest.mark.unmeasured
@pytest.mark.parametrize("hosted", [True, False])
async def test_flood_of_unknown_keys_causes_no_flood_of_looks(
    path: Path, hosted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 201: a thousand cookies with key ids of their own cause one look, and are left alone."""
    reads: list[Path] = []
    original = file.read_bytes

    def read(path: Path) -> bytes:
        reads.append(path)
        return original(path)

    stage = Stage(keyring=path)

    async def flood() -> None:
        await stage.client.get("/read")
        monkeypatch.setattr(file, "read_bytes", read)
        for number in range(1000):
            cookie = _token_of(number)
            response = await stage.client.get("/read", cookies=[cookie])
            assert (response.status, response.set_cookies) == (200, [])

    if hosted:
        async with stage.client.lifespan():
            await anyio.sleep(1)
            await flood()
            await anyio.wait_all_tasks_blocked()
    else:
        await flood()
    assert len(reads) <= 2
    assert {line["reason"] for line in stage.log.named("session.rejected")} == {"unknown_key"}


def _token_of(number: int) -> bytes:
    raw = b"\x01" + (0xAB000000 + number).to_bytes(4, "big") + bytes(120)
    return b"session=" + urlsafe_b64encode(raw).rstrip(b"=")


def test_ring_that_cannot_be_used_is_refused_at_the_start(path: Path) -> None:
    """A process never starts with a bad file, nor with a ring that promises less than its sessions may live."""
    write(path, text(5, lifetime="60", a="active"))
    with pytest.raises(ConfigurationError, match="token_lifetime") as caught:
        SessionMiddleware(counter, path, SessionConfig(max_age=61))
    assert caught.value.field == "max_age"
    SessionMiddleware(counter, path, SessionConfig(max_age=60))
    path.write_text("keys: [")
    with pytest.raises(KeyringError):
        SessionMiddleware(counter, path)


async def test_ring_that_promises_too_little_is_refused_at_a_reload(path: Path) -> None:
    """The same check at a reload keeps the old ring."""
    stage = Stage(keyring=path, max_age=3600)
    await stage.count()
    write(path, text(6, lifetime="60", a="retired", b="active"))
    stage.clock.advance(UNWATCHED_INTERVAL)
    assert await stage.count() == "2"
    [failed] = stage.log.named("keyring.reload_failed")
    assert "token_lifetime" in failed["problem"]
    assert stage.service.stats()["generation"] == 5


@BOTH_WAYS
async def test_reload_while_the_actor_is_down_is_tried_again(path: Path, in_place: bool) -> None:
    """A ring that the actor does not take is not said to be in force; the next actor starts with the file's."""
    bell = Bell()
    stage = Stage(keyring=path, in_place=in_place, watch=bell.watch)
    async with stage.client.lifespan():
        await stage.count()
        await stage.actor.kill_for_good()
        write(path, PROMOTED)
        bell.ring()
        await until(lambda: stage.service.stats()["reload_failures"] > 0)
        assert stage.service.stats()["generation"] == 5
        assert stage.service.keyring.generation == 5
    async with stage.client.lifespan():
        await until(lambda: stage.service.stats()["generation"] == 6)
        assert await stage.count() == "2"


async def test_secrets_of_the_file_stay_out_of_the_log(path: Path) -> None:
    """What is told of reloads and refusals holds no secret, in no spelling."""
    stage = Stage(keyring=path)
    await stage.count()
    for content in (PROMOTED, "keys: [", text(7, b="active", c="active"), text(7, b="active", c="staged")):
        write(path, content)
        stage.clock.advance(60)
        await stage.count()
    assert len(stage.log.named("keyring.reloaded")) == 2
    told = str(stage.log.lines)
    for secret in (A, B, C):
        assert secret.hex() not in told
        assert repr(secret)[2:-1] not in told
    assert "AgICAg" not in told
