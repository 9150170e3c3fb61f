"""A look at the keyring file that is cut short."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from sessionkit.keyring import file
from sessionkit.keyring.keyring import Keyring
from sessionkit.keyring.reloader import POLL_INTERVAL, Reloader, watch_folder
from sessionkit.testing import FixedClock
from tests.keyring.rings import text, write

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


@pytest.mark.real_time
@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_a_cancelled_request_does_not_hide_a_new_ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a lifespan a request looks; if its task is cancelled while the file is read, a later one takes over."""
    path = tmp_path / "keyring.yaml"
    write(path, text(5, a="active", b="staged"))
    adopted: list[Keyring] = []

    async def adopt(ring: Keyring) -> float:
        adopted.append(ring)
        return clock()

    clock = FixedClock()
    looking = Reloader(
        path,
        Keyring.load(path),
        adopt=adopt,
        suits=lambda _: None,
        emit=lambda _: None,
        clock=clock,
        watch=watch_folder,
    )
    await looking.look_if_due()
    write(path, text(6, a="retired", b="active"))

    reading, go_on, read = threading.Event(), threading.Event(), threading.Event()
    parse: Callable[[bytes, Path], Keyring] = file.parse

    def slowly(data: bytes, source: Path) -> Keyring:
        reading.set()
        assert go_on.wait(30)
        ring = parse(data, source)
        read.set()
        return ring

    monkeypatch.setattr(file, "parse", slowly)
    clock.advance(POLL_INTERVAL)
    pending: Awaitable[None] = looking.look_if_due()
    task = asyncio.ensure_future(pending)
    assert await asyncio.to_thread(reading.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    assert await asyncio.to_thread(read.wait, 30)
    assert adopted == []

    clock.advance(POLL_INTERVAL)
    await looking.look_if_due()
    assert [ring.generation for ring in adopted] == [6]
