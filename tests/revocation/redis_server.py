"""A real Redis server on the loopback interface, which a test can kill, stop, and start again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from itertools import repeat
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PASSWORD", "RedisServer"]

PASSWORD = "hunter2-in-the-address"
ATTEMPTS = 5
"""Ports tried: between asking the system for a free one and taking it, another process may."""


class RedisServer:
    """A server process with a folder of its own.

    Args:
        folder: keeps what it writes down, so that a restart forgets nothing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Its address, password included."""
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        for _ in range(ATTEMPTS):
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))
                self.port = taken.getsockname()[1]
            if self.start():
                return self
        raise AssertionError("no redis-server could be started")

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> bool:
        """Start it on its port; return whether it answers."""
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "requirepass": PASSWORD,
            "dir": str(self._folder),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
        }
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        for _ in repeat(None):
            if self._process.poll() is not None or time.monotonic() > deadline:
                return False
            if self._answers():
                return True
            time.sleep(0.01)
        raise AssertionError("unreachable")

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {PASSWORD}\r\nPING\r\nQUIT\r\n".encode())
                return b"+PONG" in connection.makefile("rb").read()
        except OSError:
            return False

    def command(self, *words: str) -> bytes:
        """Return the raw answer to a command."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(f"AUTH {PASSWORD}\r\n".encode())
            assert connection.recv(64) == b"+OK\r\n"
            connection.sendall(" ".join(words).encode() + b"\r\n")
            return connection.recv(65_536)

    def kill(self) -> None:
        """End it as the kernel would: without a word to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)

    def freeze(self) -> None:
        """Let it hold its connections and answer nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)
