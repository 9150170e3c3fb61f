"""The health page: off unless asked for, honest about what fails requests, silent about secrets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sessionkit.backend.lifecycle import ActorState
from sessionkit.config import SessionConfig
from sessionkit.exceptions import ConfigurationError
from tests.keyring.rings import Bell, text, write
from tests.middleware.apps import key
from tests.middleware.hosting import BOTH_WAYS, Stage, until

if TYPE_CHECKING:
    from pathlib import Path

    from sessionkit.testing import Response

PAGE = "/-/sessions"


def facts(response: Response) -> dict[str, Any]:
    """Return what the page says, having looked at how it is served."""
    assert response.values(b"content-type") == [b"application/json"]
    assert response.values(b"cache-control") == [b"no-store"]
    assert response.set_cookies == []
    told: dict[str, Any] = json.loads(response.body)
    return told


async def test_there_is_no_page_unless_asked_for() -> None:
    """By default every path is the application's."""
    stage = Stage()
    async with stage.client.lifespan():
        response = await stage.client.get(PAGE)
        assert response.values(b"x-count") == [b"1"]


@BOTH_WAYS
async def test_a_healthy_service(in_place: bool) -> None:
    """The page names the ring in force and the actor's figures, and neither loads nor makes a session."""
    stage = Stage(in_place=in_place, health_path=PAGE)
    async with stage.client.lifespan():
        await stage.count()
        response = await stage.client.get(PAGE)
        told = facts(response)
        assert (response.status, told["status"], told["problems"]) == (200, "ok", [])
        ring = stage.service.keyring
        assert (told["digest"], told["generation"], told["active_kid"]) == (ring.digest, ring.generation, key(1).kid)
        assert told["keys"] == {"staged": 0, "active": 1, "retired": 0, "revoked": 0}
        assert (told["hosted"], told["instance"]) == (True, stage.service.log.instance)
        assert told["actor"]["state"] == "running"
        assert told["actor"]["handled"] >= 2
        assert await stage.count() == "2"


async def test_the_page_tells_no_secret() -> None:
    """Neither a key's secret nor a cookie stands in it."""
    stage = Stage(health_path=PAGE)
    async with stage.client.lifespan():
        await stage.count()
        body = (await stage.client.get(PAGE)).body
    for secret in (bytes([1]) * 32, *stage.cookies.values()):
        assert secret not in body
        assert secret.hex().encode() not in body


async def test_head_and_other_methods() -> None:
    """HEAD is the page without its body; nothing can be posted to it."""
    stage = Stage(health_path=PAGE)
    async with stage.client.lifespan():
        head = await stage.client.request("HEAD", PAGE)
        assert (head.status, head.body) == (200, b"")
        assert int(head.values(b"content-length")[0]) > 100
        refused = await stage.client.request("POST", PAGE)
        assert (refused.status, refused.values(b"allow")) == (405, [b"GET, HEAD"])


async def test_without_a_lifespan() -> None:
    """Inline service is healthy, and says that nothing hosts it."""
    stage = Stage(health_path=PAGE)
    told = facts(await stage.client.get(PAGE))
    assert (told["status"], told["hosted"], told["actor"]["state"]) == ("ok", False, "new")


async def test_below_a_mount() -> None:
    """The path is the one within the application, wherever that is mounted."""
    stage = Stage(health_path=PAGE)
    for path in (PAGE, "/app" + PAGE):
        response = await stage.client.get(path, scope={"root_path": "/app"})
        assert facts(response)["status"] == "ok"


@BOTH_WAYS
async def test_an_actor_that_has_failed_is_unhealthy(in_place: bool) -> None:
    """Where requests with a session get 503, the page is 503, too, with the reason."""
    stage = Stage(in_place=in_place, health_path=PAGE)
    async with stage.client.lifespan():
        await stage.count()
        await stage.actor.kill_for_good()
        assert (await stage.client.get("/")).status == 503
        response = await stage.client.get(PAGE)
        told = facts(response)
        assert (response.status, told["status"]) == (503, "unhealthy")
        assert told["problems"] == ["actor: NotRunning"]
        assert (told["actor"]["state"], told["active_kid"]) == ("failed", None)


async def test_a_full_mailbox_is_unhealthy_while_it_lasts() -> None:
    """Overload passes, and so does the 503."""
    stage = Stage(health_path=PAGE, capacity=1)
    async with stage.client.lifespan():
        await stage.actor.hold()
        while len(stage.actor._mailbox) < 1:
            stage.actor.kill()
        response = await stage.client.get(PAGE)
        assert (response.status, facts(response)["problems"]) == (503, ["actor: Overloaded"])
        stage.actor.release()
        await anyio.wait_all_tasks_blocked()
        assert (await stage.client.get(PAGE)).status == 200


async def test_a_service_that_is_stopping_is_unhealthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the actor drains, traffic should go elsewhere, although what comes is still served."""
    stage = Stage(health_path=PAGE)
    async with stage.client.lifespan():
        monkeypatch.setattr(stage.actor, "_state", ActorState.DRAINING)
        response = await stage.client.get(PAGE)
        assert (response.status, facts(response)["problems"]) == (503, ["actor: stopping"])
        monkeypatch.setattr(stage.actor, "_state", ActorState.RUNNING)


async def test_a_stale_ring_degrades_and_does_not_fail(tmp_path: Path) -> None:
    """A refused keyring file is named, with 200: the ring before serves all, and all processes have that file."""
    path, bell = tmp_path / "keyring.yaml", Bell()
    write(path, text(5, a="active", b="staged"))
    stage = Stage(keyring=path, watch=bell.watch, health_path=PAGE)
    async with stage.client.lifespan():
        path.write_text("version: 1\n")
        bell.ring()
        await until(lambda: bool(stage.log.named("keyring.reload_failed")))
        response = await stage.client.get(PAGE)
        told = facts(response)
        assert (response.status, told["status"], told["generation"]) == (200, "degraded", 5)
        assert told["problems"] == ["keyring: the file is refused, the ring before it serves"]
        assert told["reload_failures"] >= 1


async def test_lost_audit_lines_degrade() -> None:
    """A sink that fails harms no request, and shows here."""
    stage = Stage(health_path=PAGE)
    async with stage.client.lifespan():
        stage.service.log.failures = 3
        response = await stage.client.get(PAGE)
        told = facts(response)
        assert (response.status, told["status"], told["problems"]) == (200, "degraded", ["audit: lines were lost"])
        assert told["audit_failures"] == 3


@pytest.mark.parametrize("path", ["health", "", "/a?b=c", "/a b"])
def test_a_path_that_no_request_has_is_refused(path: str) -> None:
    """What could never be asked for is said at start-up."""
    with pytest.raises(ConfigurationError, match="health_path"):
        SessionConfig(health_path=path)
