"""Two hosts, each with a server of another kind and its own copy of the keyring, which a delivery brings late."""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from rotation_drill.worker import AUDIT_KEY, CLOCKS, FOLDER, LIFETIME, log_name
from rotation_shop.server import HOST, free_port, hypercorn, serve, uvicorn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from random import Random
    from subprocess import Popen

__all__ = ["WORKERS", "Delivery", "Host", "hosts", "put"]

WORKERS = 2
"""Worker processes of each host."""

LOOK = 0.05
"""Seconds between two looks of the delivery at the file it delivers."""

SERVERS = {"uvicorn": uvicorn, "hypercorn": hypercorn}


@dataclass(frozen=True, slots=True)
class Host:
    """One host.

    Attributes:
        server: name of the program that serves there, and of the host.
        folder: its files.
        port: on loopback.
        clocks: seconds by which the clock of each worker is ahead.
    """

    server: str
    folder: Path
    port: int
    clocks: tuple[float, ...]

    @property
    def url(self) -> str:
        """Where its shop is, without a slash at the end."""
        return f"http://{HOST}:{self.port}"

    @property
    def keyring(self) -> Path:
        """Its copy of the keyring."""
        return self.folder / "keyring.yaml"

    @property
    def output(self) -> Path:
        """What its server itself says."""
        return self.folder / "server.log"

    def audits(self) -> list[Path]:
        """Return its workers' audit logs."""
        return [self.folder / log_name(number) for number in range(len(self.clocks))]

    def serve(self, lifetime: int, audit_key: bytes) -> AbstractContextManager[Popen[bytes]]:
        """Run its server while the context lasts.

        Args:
            lifetime: seconds a session lives without being renewed.
            audit_key: key of the references in the logs.
        """
        variables = {
            FOLDER: str(self.folder),
            CLOCKS: " ".join(map(str, self.clocks)),
            LIFETIME: str(lifetime),
            AUDIT_KEY: audit_key.hex(),
        }
        return serve(SERVERS[self.server]("rotation_drill.worker", self.port, len(self.clocks)), variables, self.output)


def hosts(folder: Path, skew: float, random: Random) -> list[Host]:
    """Return the hosts, with clocks that differ by nearly ``skew`` seconds: half of that behind ours, half ahead."""
    number = len(SERVERS) * WORKERS
    ahead = [round(0.95 * skew * (place / (number - 1) - 0.5), 3) for place in range(number)]
    random.shuffle(ahead)
    made = []
    for server in SERVERS:
        (folder / server).mkdir(parents=True)
        clocks, ahead = tuple(ahead[:WORKERS]), ahead[WORKERS:]
        made.append(Host(server, folder / server, free_port(), clocks))
    return made


def put(data: bytes, path: Path) -> None:
    """Put a file in place as a careful delivery does: at once, and for its owner alone."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    temporary.replace(path)


@dataclass(slots=True)
class _Route:
    """What is on its way to one host, in order: when it arrives (by ``time.monotonic()``), and what."""

    held: bool = False
    parcels: deque[tuple[float, bytes]] = field(default_factory=deque)


class Delivery:
    """Copies a file to every host whenever it changes; each time another host gets it first.

    Args:
        source: the file.
        hosts: where to.
        latest: seconds after which the last host has it.
        random: chooses how late each copy arrives.
    """

    def __init__(self, source: Path, hosts: Sequence[Host], latest: float, random: Random) -> None:
        self._source = source
        self._hosts = hosts
        self._latest = latest
        self._random = random
        self._routes = {host.server: _Route() for host in hosts}
        self._seen = b""
        self._sent = 0

    def first(self) -> None:
        """Bring every host its first copy, without delay."""
        self._seen = self._source.read_bytes()
        for host in self._hosts:
            put(self._seen, host.keyring)

    def hold(self, host: Host) -> None:
        """Let nothing more arrive at a host."""
        self._routes[host.server].held = True

    def release(self, host: Host) -> None:
        """Let arrive what is due."""
        self._routes[host.server].held = False

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            self.look(time.monotonic())
            await anyio.sleep(LOOK)

    def look(self, now: float) -> None:
        """Send what is new, and hand over what is due."""
        data = self._source.read_bytes()
        if data != self._seen:
            self._seen = data
            self._send(data, now)
        for host in self._hosts:
            route = self._routes[host.server]
            while route.parcels and not route.held and route.parcels[0][0] <= now:
                put(route.parcels.popleft()[1], host.keyring)

    def _send(self, data: bytes, now: float) -> None:
        for place in range(len(self._hosts)):
            host = self._hosts[(self._sent + place) % len(self._hosts)]
            # The first one within the first half of the time that there is, the last one within the last.
            late = (place + self._random.random()) / len(self._hosts) * self._latest
            self._routes[host.server].parcels.append((now + late, data))
        self._sent += 1
