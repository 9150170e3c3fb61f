"""Serves a Starlette app over a real socket, with a keyring from YAML; run by scripts/smoke on the installed wheel."""

from __future__ import annotations

import base64
import http.client
import importlib.metadata
import os
import socket
import sys
import threading
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

import sessionkit

if TYPE_CHECKING:
    from starlette.requests import Request

KEYRING = """\
version: 1
generation: 1
keys:
  - label: "smoke"
    state: active
    secret: {{base64: {secret}}}
    created: 2026-01-01T00:00:00Z
"""


async def count(request: Request) -> JSONResponse:
    """Count the visits."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JSONResponse(request.session["visits"])


def main() -> None:
    """Serve, ask twice, and see the session come back."""
    home = Path(sessionkit.__file__).parent
    if not home.is_relative_to(sys.prefix) or not (home / "py.typed").is_file():
        sys.exit(f"not the installed package, or without its types: {home}")
    keyring = Path("keyring.yaml")
    keyring.write_text(KEYRING.format(secret=base64.b64encode(os.urandom(32)).decode()))
    keyring.chmod(0o600)
    app = sessionkit.SessionMiddleware(Starlette(routes=[Route("/", count)]), keyring=keyring)
    listener = socket.create_server(("127.0.0.1", 0))
    host, port = listener.getsockname()
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        connection = http.client.HTTPConnection(host, port, timeout=20)
        cookie = ""
        for visits in (1, 2, 3):
            connection.request("GET", "/", headers={"Cookie": cookie})
            response = connection.getresponse()
            if (response.status, response.read()) != (HTTPStatus.OK, b"%d" % visits):
                sys.exit(f"visit {visits}: status {response.status}, or the session was lost")
            cookie = response.headers["Set-Cookie"].partition(";")[0]
        connection.close()
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
    print(f"asgi-sessionkit {importlib.metadata.version('asgi-sessionkit')} serves Starlette from its wheel alone")


if __name__ == "__main__":
    main()
