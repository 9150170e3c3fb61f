"""The shop under uvicorn, in two worker processes on loopback."""

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

from rotation_demo.app import AUDIT_VARIABLE, KEYRING_VARIABLE
from rotation_demo.rotation import Failed

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HOST", "WORKERS", "free_port", "ready", "serve"]

HOST = "127.0.0.1"
WORKERS = 2

START = 30.0
"""Seconds that the workers may take to come up."""

KEEP_ALIVE = 75
"""Seconds that an idle connection is kept: longer than any browser waits, so that none is closed under a request."""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serve(port: int, *, keyring: Path, audit: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the server while the context lasts.

    Args:
        port: on loopback.
        keyring: the ring's file, which the workers watch.
        audit: where they log session events.
        log: where the server's own output goes.
    """
    command = [sys.executable, "-m", "uvicorn", "--factory", "rotation_demo.app:create_app"]
    command += ["--app-dir", str(Path(__file__).parent.parent), "--host", HOST, "--port", str(port)]
    command += ["--workers", str(WORKERS), "--timeout-keep-alive", str(KEEP_ALIVE), "--log-level", "warning"]
    variables = {**os.environ, KEYRING_VARIABLE: str(keyring), AUDIT_VARIABLE: str(audit)}
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=variables, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until every worker has answered.

    Raises:
        Failed: if they do not come up in time.
    """
    seen: set[int] = set()
    end = time.monotonic() + START
    async with httpx.AsyncClient(base_url=url) as client:
        while len(seen) < WORKERS:
            if process.poll() is not None or time.monotonic() > end:
                raise Failed(f"the server did not start; its output: {log}")
            try:
                # One connection each time, which either worker may take.
                seen.add((await client.get("/health", headers={"connection": "close"})).json()["pid"])
            except httpx.TransportError:
                await anyio.sleep(0.1)
