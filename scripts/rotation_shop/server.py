"""The shop under real servers, in several worker processes each, on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import httpx

from rotation_shop.browser import connections
from rotation_shop.command import Failed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["HOST", "free_port", "hypercorn", "ready", "serve", "uvicorn"]

HOST = "127.0.0.1"

START = 60.0
"""Seconds that the workers may take to come up, on a machine that has other things to do."""

KEEP_ALIVE = 75
"""Seconds that an idle connection is kept: longer than any browser waits, so that none is closed under a request."""

SCRIPTS = Path(__file__).parent.parent


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def uvicorn(module: str, port: int, workers: int) -> list[str]:
    """Return the command that serves ``create_app()`` of a module by uvicorn, on asyncio."""
    command = [sys.executable, "-m", "uvicorn", "--factory", f"{module}:create_app", "--app-dir", str(SCRIPTS)]
    command += ["--host", HOST, "--port", str(port), "--workers", str(workers)]
    return [*command, "--timeout-keep-alive", str(KEEP_ALIVE), "--log-level", "warning"]


def hypercorn(module: str, port: int, workers: int) -> list[str]:
    """Return the command that serves ``create_app()`` of a module by hypercorn, on trio."""
    command = [sys.executable, "-m", "hypercorn", f"asgi:{module}:create_app()", "--worker-class", "trio"]
    command += ["--bind", f"{HOST}:{port}", "--workers", str(workers)]
    return [*command, "--keep-alive", str(KEEP_ALIVE), "--log-level", "warning"]


@contextmanager
def serve(command: Sequence[str], variables: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server while the context lasts.

    Args:
        command: what starts it.
        variables: added to the environment.
        log: where the server's own output goes.
    """
    path = os.pathsep.join(filter(None, [str(SCRIPTS), os.environ.get("PYTHONPATH")]))
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": path, **variables}, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def ready(
    url: str, process: subprocess.Popen[bytes], log: Path, workers: int, *, http2: bool = False
) -> set[int]:
    """Wait until every worker has answered, and return their process ids.

    Raises:
        Failed: if they do not come up in time.
    """
    seen: set[int] = set()
    end = time.monotonic() + START
    while len(seen) < workers:
        if process.poll() is not None or time.monotonic() > end:
            raise Failed(f"the server did not start; its output: {log}")
        try:
            # One connection each time, which any worker may take.
            async with httpx.AsyncClient(transport=connections(http2=http2)) as client:
                seen.add((await client.get(f"{url}/health")).json()["pid"])
        except httpx.TransportError:
            await anyio.sleep(0.1)
    return seen
