"""A connection of HTTP/2 as far as httpx has none: how a server refuses, and websockets (RFC 8441)."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

from server_survey.answer import Answer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from anyio.abc import ByteStream

    Headers = Sequence[tuple[bytes, bytes]]

__all__ = ["connection", "get", "socket"]

READ = 65_536
"""Octets read at once."""

STREAM = 1
"""A connection is used for one stream, which is a client's first."""


class _Refused(Exception):  # noqa: N818 - caught in this file
    """The server ended the stream or the connection; its only argument says how."""


class _Connection:
    """One connection with one stream.

    Args:
        stream: to the server.
        authority: host and port.
    """

    def __init__(self, stream: ByteStream, authority: str) -> None:
        self._stream = stream
        self._authority = authority.encode("ascii")
        self._h2 = H2Connection(H2Configuration(header_encoding=None))
        self.websockets = False

    async def begin(self) -> None:
        """Exchange settings, so that it is known what the server allows."""
        self._h2.initiate_connection()
        await self._flush()
        settled = False
        while not settled:
            for event in await self._read():
                if isinstance(event, RemoteSettingsChanged):
                    settled = True
                    self.websockets = bool(self._h2.remote_settings.enable_connect_protocol)

    async def ask(self, path: str, headers: Headers, *, protocol: bytes | None = None) -> None:
        """Send the head of a request: a GET, or a CONNECT that is to become another protocol."""
        head = [
            (b":method", b"GET" if protocol is None else b"CONNECT"),
            (b":scheme", b"http"),
            (b":authority", self._authority),
            (b":path", path.encode("ascii")),
        ]
        head += [] if protocol is None else [(b":protocol", protocol)]
        self._h2.send_headers(STREAM, [*head, *headers], end_stream=protocol is None)
        await self._flush()

    async def events(self) -> AsyncGenerator[ResponseReceived | DataReceived, None]:
        """Yield what comes on the stream until it ends.

        Raises:
            _Refused: if the server ends it otherwise.
        """
        while True:
            for event in await self._read():
                match event:
                    case ResponseReceived() | DataReceived():
                        yield event
                    case StreamEnded():
                        return
                    case StreamReset():
                        raise _Refused(f"RST_STREAM {_error(event.error_code)}")
                    case ConnectionTerminated():
                        raise _Refused(f"GOAWAY {_error(event.error_code)}")

    async def _read(self) -> list[Event]:
        try:
            data = await self._stream.receive(READ)
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            raise _Refused("the connection is closed") from None
        events = self._h2.receive_data(data)
        for event in events:
            if isinstance(event, DataReceived):
                self._h2.acknowledge_received_data(event.flow_controlled_length, STREAM)
        await self._flush()
        return events

    async def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data:
            # A server that has seen enough may hang up meanwhile; what it said before is read all the same.
            try:
                await self._stream.send(data)
            except anyio.BrokenResourceError:
                return


@asynccontextmanager
async def connection(host: str, port: int) -> AsyncIterator[_Connection]:
    """Open a connection and exchange settings."""
    async with await anyio.connect_tcp(host, port) as stream:
        made = _Connection(stream, f"{host}:{port}")
        await made.begin()
        yield made


async def get(host: str, port: int, path: str, headers: Headers) -> Answer:
    """Make a GET request; a refusal below HTTP is an answer, too."""
    try:
        async with connection(host, port) as made:
            await made.ask(path, headers)
            return await _answer(made)
    except _Refused as refused:
        return Answer(refused=str(refused))


async def socket(host: str, port: int, path: str, headers: Headers) -> Answer | None:
    """Open a websocket and return what came before or instead of its first message; ``None`` if it is not offered."""
    try:
        async with connection(host, port) as made:
            if not made.websockets:
                return None
            await made.ask(path, [(b"sec-websocket-version", b"13"), *headers], protocol=b"websocket")
            return await _answer(made, Protocol(CLIENT, state=OPEN))
    except _Refused as refused:
        return Answer(refused=str(refused))


async def _answer(made: _Connection, frames: Protocol | None = None) -> Answer:
    """Read an answer to its end; where a websocket was accepted, to its first message."""
    answer = Answer()
    async with aclosing(made.events()) as events:
        async for event in events:
            if isinstance(event, ResponseReceived):
                fields = [(bytes(name), bytes(value)) for name, value in event.headers]
                answer = Answer(int(dict(fields)[b":status"]), fields)
            elif frames is None or answer.status != 200:  # noqa: PLR2004 - accepted (RFC 8441)
                answer = replace(answer, body=answer.body + event.data)
            else:
                frames.receive_data(event.data)
                for frame in frames.events_received():
                    if isinstance(frame, Frame) and frame.opcode is Opcode.TEXT:
                        return replace(answer, body=bytes(frame.data))
    return answer


def _error(code: ErrorCodes | int | None) -> str:
    return code.name if isinstance(code, ErrorCodes) else str(code)
