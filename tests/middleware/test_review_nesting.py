"""Two sessions in one scope, and an application that has several tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from sessionkit.config import SessionConfig
from sessionkit.middleware import SessionMiddleware
from tests.middleware.apps import Log, answer, ring

if TYPE_CHECKING:
    from sessionkit.asgi import ASGIApp, ASGIMessage, Receive, Scope, Send


def named(app: ASGIApp, name: str) -> SessionMiddleware:
    """Return an application behind a session of a name."""
    return SessionMiddleware(app, ring(), SessionConfig(key=name), logger=Log())


async def test_scope_holds_the_inner_session_while_the_response_starts() -> None:
    """Another task of the inner application finds its own session, not that of the middleware outside."""
    starting, looked = anyio.Event(), anyio.Event()
    found: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def look() -> None:
            await starting.wait()
            found.append(scope["session"] is scope["sessionkit"]["inner"])
            looked.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            scope["session"]["n"] = 1
            await answer(send)

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        async def hold(message: ASGIMessage) -> None:
            starting.set()
            await looked.wait()
            await send(message)

        await named(app, "inner")(scope, receive, hold)

    async def nothing() -> ASGIMessage:
        return {"type": "http.disconnect"}

    sent: list[ASGIMessage] = []

    async def keep(message: ASGIMessage) -> None:
        sent.append(message)

    await named(slow, "outer")({"type": "http", "path": "/", "headers": []}, nothing, keep)
    assert found == [True]
    assert [value.partition(b"=")[0] for name, value in sent[0]["headers"] if name == b"set-cookie"] == [b"inner"]


@pytest.mark.parametrize("copied", [True, False])
async def test_what_is_put_in_the_inner_sessions_place_stays_there(*, copied: bool) -> None:
    """The outer session keeps what was put in its place before; what the inner application puts there is not its."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"] = {"inside": 1}
        await answer(send)

    async def between(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"] = {"outside": 1}
        await named(app, "inner")({**scope} if copied else scope, receive, send)

    async def nothing() -> ASGIMessage:
        return {"type": "http.disconnect"}

    sent: list[ASGIMessage] = []

    async def keep(message: ASGIMessage) -> None:
        sent.append(message)

    site = named(between, "outer")
    await site({"type": "http", "path": "/", "headers": []}, nothing, keep)
    cookies = [value.partition(b";")[0] for name, value in sent[0]["headers"] if name == b"set-cookie"]

    seen: list[dict[str, object]] = []

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend(dict(scope["sessionkit"][name]) for name in ("outer", "inner"))
        await answer(send)

    header = (b"cookie", b"; ".join(cookies))
    again = named(named(both, "inner"), "outer")
    await again({"type": "http", "path": "/", "headers": [header]}, nothing, keep)
    assert seen == [{"outside": 1}, {"inside": 1}]


async def test_a_response_that_starts_when_the_application_is_through() -> None:
    """A task that outlives the application's call starts the response: its session is saved, and nobody else's."""
    left: list[Send] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["n"] = 1
        left.append(send)

    async def patient(scope: Scope, receive: Receive, send: Send) -> None:
        await named(app, "inner")(scope, receive, send)
        await answer(left[0])

    async def nothing() -> ASGIMessage:
        return {"type": "http.disconnect"}

    sent: list[ASGIMessage] = []

    async def keep(message: ASGIMessage) -> None:
        sent.append(message)

    await named(patient, "outer")({"type": "http", "path": "/", "headers": []}, nothing, keep)
    assert [value.partition(b"=")[0] for name, value in sent[0]["headers"] if name == b"set-cookie"] == [b"inner"]
