"""Two lifespans of one middleware at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from tests.middleware.hosting import Stage

if TYPE_CHECKING:
    from sessionkit.asgi import ASGIMessage


async def test_two_lifespans_that_begin_together() -> None:
    """The first hosts the service, the second only the application: neither fails, and both end.

    The second found no actor running yet, tried to run it a second time, and failed the start of its server.
    """
    stage = Stage()
    answered: list[str] = []

    async def serve() -> None:
        asked = iter(["lifespan.startup", "lifespan.shutdown"])

        async def receive() -> ASGIMessage:
            await anyio.lowlevel.checkpoint()
            return {"type": next(asked)}

        async def send(message: ASGIMessage) -> None:
            answered.append(message["type"])

        async def app(scope: object, receive: object, send: object) -> None:
            """Stay quiet: the middleware speaks for it."""

        stage.middleware.app = app
        await stage.middleware({"type": "lifespan"}, receive, send)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        tasks.start_soon(serve)
    assert not stage.service.hosted
    assert sorted(answered) == ["lifespan.shutdown.complete", "lifespan.startup.complete"]
    assert len(stage.log.named("actor.started")) == 1
