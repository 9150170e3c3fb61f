"""Whole servers: requests a second under uvicorn, by a load generator on loopback. Shown, and judged by nobody.

Generator and server share the machine, so figures differ by 40 % from run to run; ``goals`` can be compared.

Rules of this file:

* One server a contender, all up at once; each is asked for a moment in turn, in another order every round.
* The listening socket is made here, on a free port of the loopback, and handed over: nobody waits for a port to open.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from random import Random
from typing import TYPE_CHECKING

from anyio import to_thread

from bench_sessions.contenders import CONTENDERS, Load
from bench_sessions.figures import Figure, Group, Options
from bench_sessions.timing import summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionkit.asgi import ASGIApp, Receive, Scope, Send

__all__ = ["GROUP", "application"]

QUICK, THOROUGH = (3, 0.3), (15, 1.0)
"""Rounds, and seconds of each contender in one."""

CONNECTIONS = 16
"""Kept open, each with one request at a time."""

STARTS, ENDS = 60.0, 10.0
"""Seconds a server has to answer at first, and to end."""

WHO = ("bare app", "sessionkit", "Starlette", "Litestar app", "sessionkit in Litestar", "Litestar client-side")

_VARIABLE = "BENCH_CONTENDER"


def application() -> ASGIApp:
    """Return the application of the contender that the environment names, for uvicorn."""
    contender = CONTENDERS[os.environ[_VARIABLE]]
    serving: list[ASGIApp] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await serving[0](scope, receive, send)
            return
        await receive()
        async with contender.build(Load()) as built:
            serving.append(built)
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    return app


@contextmanager
def _server(name: str) -> Iterator[int]:
    """Serve a contender while the block lasts, and yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        command = [sys.executable, "-m", "uvicorn", "--factory", "bench_sessions.served:application"]
        command += ["--fd", str(listening.fileno()), "--log-level", "warning", "--no-access-log"]
        environment = {name_: value for name_, value in os.environ.items() if not name_.startswith("COVERAGE")}
        environment |= {_VARIABLE: name, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.Popen(command, env=environment, pass_fds=[listening.fileno()])
        try:
            yield listening.getsockname()[1]
        finally:
            process.terminate()
            try:
                process.wait(ENDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, cookie: str) -> str:
    """Make one request, and return the cookies the response sets."""
    field = f"Cookie: {cookie}\r\n" if cookie else ""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{field}\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status, *fields = head.split("\r\n")
    if " 200" not in status:
        msg = f"{path} was answered with {status}"
        raise RuntimeError(msg)
    told = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in fields)]
    await reader.readexactly(int(dict(told)["content-length"]))
    return "; ".join(value.partition(";")[0] for name, value in told if name == "set-cookie")


async def _load(name: str, port: int, seconds: float) -> float:
    """Return the requests a second that a server answers."""
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]
    async with asyncio.timeout(STARTS):
        cookie = await _ask(*streams[0], "/" if CONTENDERS[name].over is None else "/begin", "")
    done = 0
    began = time.perf_counter()

    async def customer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal done
        while time.perf_counter() - began < seconds:
            if bool(await _ask(reader, writer, "/", cookie)) is not bool(cookie):
                msg = "the session was not written"
                raise RuntimeError(msg)
            done += 1

    async with asyncio.timeout(seconds + STARTS), asyncio.TaskGroup() as tasks:
        for stream in streams:
            tasks.create_task(customer(*stream))
    taken = time.perf_counter() - began
    for _, writer in streams:
        writer.close()
    return done / taken


async def _run(options: Options) -> list[Figure]:
    # On a thread and loop of its own: the generator is asyncio's, whatever runs here.
    return await to_thread.run_sync(lambda: asyncio.run(_measure(options)))


async def _measure(options: Options) -> list[Figure]:
    rounds, seconds = QUICK if options.quick else THOROUGH
    found: dict[str, list[float]] = {name: [] for name in WHO}
    order = Random(1)
    with ExitStack() as stack:
        ports = [(name, stack.enter_context(_server(name))) for name in WHO]
        for name, port in ports:
            await _load(name, port, 0.0)  # until it is up
        for _ in range(rounds):
            order.shuffle(ports)
            for name, port in ports:
                found[name].append(await _load(name, port, seconds))
    return [_figure(name, found) for name in WHO]


def _figure(name: str, found: dict[str, list[float]]) -> Figure:
    value, low, high = summary(found[name])
    over = CONTENDERS[name].over
    if over is None:
        return Figure(name, value, "requests/s", low, high)
    added = summary(1e6 / one - 1e6 / other for one, other in zip(found[name], found[over], strict=True))[0]
    return Figure(name, value, "requests/s", low, high, against=over, note=f"{added:+.0f} µs a request")


GROUP = Group(
    "served", "Under uvicorn, by a generator on the same machine (read + write, 200 B): shown, not judged", _run
)
