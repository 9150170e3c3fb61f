"""Real servers on loopback, in a thread of this process, so that a test can hold its application and hear its log.

Rules of this file:

* The socket listens before the server starts: the first request waits for it, so nobody polls for it to be up.
* Whatever happens, the thread ends with its context, and what it raised is raised there.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NamedTuple

import hypercorn.trio
import trio
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypercorn.config import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sessionkit.asgi import ASGIApp

__all__ = ["SERVERS", "Certificate", "serving"]

HOST = "127.0.0.1"

NAMES = ("shop.test", "www.shop.test", "portal.test", "magazine.test", "localhost")
"""Hosts that the certificate is good for."""

HEADERS = 1 << 16
"""Octets of one request's header that servers are told to take: six cookies are 24,000, their defaults often 16,384."""

PATIENCE = 30.0
"""Seconds that a server may take to end."""


class Certificate(NamedTuple):
    """A certificate on disk.

    Attributes:
        certificate: its file.
        key: that of its key.
        pin: hash of its public key, as the browser wants it.
    """

    certificate: Path
    key: Path
    pin: str

    @classmethod
    def make(cls, folder: Path) -> Certificate:
        """Make one that is good for a day, signed by itself."""
        private = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAMES[0])])
        alternatives = [*(x509.DNSName(one) for one in NAMES), x509.IPAddress(ip_address(HOST))]
        signed = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .sign(private, hashes.SHA256())
        )
        files = cls(folder / "certificate.pem", folder / "key.pem", _pin(private.public_key()))
        files.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        files.key.write_bytes(
            private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files


def _pin(public: ec.EllipticCurvePublicKey) -> str:
    encoded = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(encoded).digest()).decode("ascii")


class _Uvicorn:
    """HTTP/1.1 on asyncio."""

    def __init__(self, app: ASGIApp, listening: socket.socket, files: Certificate | None) -> None:
        tls: dict[str, Any] = {}
        if files is not None:
            tls = {"ssl_certfile": files.certificate, "ssl_keyfile": files.key}
        settings = uvicorn.Config(
            app,
            http="h11",
            ws="wsproto",
            lifespan="on",
            log_config=None,
            access_log=False,
            h11_max_incomplete_event_size=HEADERS,
            timeout_graceful_shutdown=0,  # browsers take their time to agree to the end of a connection
            **tls,
        )
        self._server = uvicorn.Server(settings)
        self._listening = listening

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        await self._server.serve(sockets=[self._listening])
        # Browsers open connections that they may need soon; uvicorn does not know of one before TLS is agreed upon.
        loop: Any = asyncio.get_running_loop()
        for transport in list(loop._transports.values()):
            transport.abort()
        await asyncio.sleep(0)  # the loop closes their sockets with its next round

    def stop(self) -> None:
        self._server.should_exit = True


class _Hypercorn:
    """HTTP/2 on trio."""

    protocols: tuple[str, ...] = ("h2", "http/1.1")

    def __init__(self, app: ASGIApp, listening: socket.socket, files: Certificate | None) -> None:
        self._app: Any = app
        self._settings = Config()
        self._settings.bind = [f"fd://{listening.detach()}"]
        self._settings.accesslog = self._settings.errorlog = None
        self._settings.h11_max_incomplete_size = self._settings.h2_max_header_list_size = HEADERS
        self._settings.alpn_protocols = list(self.protocols)
        self._settings.graceful_timeout = 1.0
        if files is not None:
            self._settings.certfile, self._settings.keyfile = str(files.certificate), str(files.key)
        self._over = trio.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._begun = threading.Event()

    def run(self) -> None:
        trio.run(self._serve)

    async def _serve(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._begun.set()
        await hypercorn.trio.serve(self._app, self._settings, shutdown_trigger=self._over.wait)

    def stop(self) -> None:
        if self._begun.wait(PATIENCE) and self._token is not None:
            with suppress(trio.RunFinishedError):  # it failed before; ``serving`` tells how
                self._token.run_sync_soon(self._over.set)


class _HypercornOne(_Hypercorn):
    """HTTP/1.1 on trio.

    A browser that still speaks on a websocket over HTTP/2 which the application has closed ends hypercorn 0.18 on trio,
    all of it, with a KeyError (its issue 329).
    """

    protocols = ("http/1.1",)


SERVERS: dict[str, Callable[[ASGIApp, socket.socket, Certificate | None], _Uvicorn | _Hypercorn]] = {
    "uvicorn": _Uvicorn,
    "hypercorn": _Hypercorn,
    "hypercorn-http1": _HypercornOne,
}
"""Servers by name."""


@contextmanager
def serving(server: str, app: ASGIApp, files: Certificate | None = None) -> Iterator[int]:
    """Serve an application while the context lasts; its value is the port.

    Args:
        server: one of ``SERVERS``.
        app: the application; it must know the lifespan.
        files: serve it over TLS with these.
    """
    listening = socket.create_server((HOST, 0))
    port: int = listening.getsockname()[1]
    made = SERVERS[server](app, listening, files)
    raised: list[BaseException] = []

    def run() -> None:
        try:
            made.run()
        except BaseException as error:  # noqa: BLE001 - raised again below, in the test's own thread
            raised.append(error)

    thread = threading.Thread(target=run, name=server)
    thread.start()
    try:
        yield port
    finally:
        made.stop()
        thread.join(PATIENCE)
        listening.close()
        if thread.is_alive():
            raised.append(TimeoutError(f"{server} does not end"))
        if raised:
            raise raised[0]  # whatever the test saw of it comes from here, and stays its context
