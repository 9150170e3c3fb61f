"""The servers that are looked at, and how each is started: with its defaults, but for what the row is about."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from rotation_shop.server import HOST

__all__ = ["KEYRING", "SERVERS", "Server"]

APP = "server_survey.served:app"

KEYRING = "SERVER_SURVEY_KEYRING"
"""Environment variable with the path of the keyring file."""


@dataclass(frozen=True, slots=True)
class Server:
    """One server in one way of running it.

    Attributes:
        name: of the row.
        arguments: of the interpreter; ``{port}`` stands for the port.
        packages: distributions whose versions matter.
        http2: whether it is asked over HTTP/2 (cleartext, by prior knowledge) instead of HTTP/1.1.
        loop: the library whose event loop it must turn out to run.
        workers: its processes.
    """

    name: str
    arguments: tuple[str, ...]
    packages: tuple[str, ...]
    http2: bool = False
    loop: str = "asyncio"
    workers: int = 1

    def command(self, port: int) -> list[str]:
        """Return what starts it."""
        return [sys.executable, "-m", *(argument.format(port=port) for argument in self.arguments)]


def _uvicorn(http: str, loop: str, sockets: str | None = None) -> Server:
    chosen = () if sockets is None else (sockets,)
    return Server(
        ", ".join(("uvicorn", http, loop, *chosen)),
        (
            *("uvicorn", APP, "--host", HOST, "--port", "{port}", "--http", http, "--loop", loop),
            *(("--ws", *chosen) if chosen else ()),
        ),
        ("uvicorn", http, sockets or "websockets", *(("uvloop",) if loop == "uvloop" else ())),
        loop=loop,
    )


def _hypercorn(loop: str, *, http2: bool) -> Server:
    return Server(
        f"hypercorn, {loop}, {_spoken(http2=http2)}",
        ("hypercorn", APP, "--bind", f"{HOST}:{{port}}", "--worker-class", loop),
        ("hypercorn", "h2" if http2 else "h11", "wsproto", *(("trio",) if loop == "trio" else ())),
        http2,
        loop,
    )


def _granian(*, http2: bool) -> Server:
    return Server(
        f"granian, {_spoken(http2=http2)}",
        (
            *("granian", APP, "--interface", "asgi", "--host", HOST, "--port", "{port}", "--loop", "asyncio"),
            *("--http", "2" if http2 else "1"),
        ),
        ("granian",),
        http2,
    )


def _gunicorn(name: str, worker: str, *packages: str, http2: bool = False) -> Server:
    """Two workers, since being several processes is what it is there for."""
    return Server(
        f"gunicorn, {name}",
        (
            *("gunicorn", APP, "--bind", f"{HOST}:{{port}}", "--workers", "2", "--worker-class", worker),
            "--no-control-socket",  # or it keeps one in the home folder
            *(("--http-protocols", "h2", "--http2-cleartext", "prior-knowledge") if http2 else ()),
        ),
        ("gunicorn", "uvloop", *packages),
        http2,
        "uvloop",
        workers=2,
    )


def _spoken(*, http2: bool) -> str:
    return "HTTP/2" if http2 else "HTTP/1.1"


SERVERS = {
    server.name: server
    for server in (
        _uvicorn("h11", "asyncio"),
        _uvicorn("h11", "uvloop"),
        _uvicorn("httptools", "asyncio"),
        _uvicorn("httptools", "uvloop"),
        _uvicorn("httptools", "uvloop", "wsproto"),
        _hypercorn("asyncio", http2=False),
        _hypercorn("asyncio", http2=True),
        _hypercorn("trio", http2=False),
        _hypercorn("trio", http2=True),
        _granian(http2=False),
        _granian(http2=True),
        Server("daphne", ("daphne", "-b", HOST, "-p", "{port}", APP), ("daphne", "twisted", "autobahn")),
        _gunicorn("uvicorn's worker", "uvicorn_worker.UvicornWorker", "uvicorn", "uvicorn-worker", "httptools"),
        _gunicorn("its own worker", "asgi"),
        _gunicorn("its own worker, HTTP/2", "asgi", "h2", http2=True),
    )
}
"""By name, in the order of the table."""
